//! The three real series that travel inside the binary, so that a first run needs no download.
//! Sources, licences and changes are told in `data/README.md`.

use crate::series::Series;

/// Names that [`bundled`] answers, in the order in which they are shown.
pub const NAMES: [&str; 3] = ["electricity", "temperature", "sp500"];

/// The bundled series of that name, parsed afresh; `None` for a name that is not in [`NAMES`].
///
/// | name | unit | step | observations |
/// |---|---|---|---|
/// | `electricity` | MW, demand in England and Wales | 30 minutes | 4032 |
/// | `temperature` | °F, Seattle, hourly 30-year normals | 1 hour | 8759 |
/// | `sp500` | index points, daily close | 1 trading day | 5105 |
pub fn bundled(name: &str) -> Option<Series> {
    let (text, unit) = match name {
        "electricity" => (include_str!("../data/electricity.csv"), "MW"),
        "temperature" => (include_str!("../data/temperature.csv"), "°F"),
        "sp500" => (include_str!("../data/sp500.csv"), "index points"),
        _ => return None,
    };
    let mut series = Series::from_csv(name, text.as_bytes())
        .expect("the files are part of this source and tests read them all");
    series.unit = unit.to_owned();
    Some(series)
}
