//! `sortition`: who is in an epoch's active set and how everybody's average moves (topic specification, 3.4 to 3.6).
//! A row of averages and scores in, the active set and the averages after the epoch out.

use super::MechanismError;
use super::params::{NOT_NEGATIVE, Span, UNIT};
use super::table::{Output, Request, fill};
use dodona_mechanism::Real;
use dodona_mechanism::topic::sortition::{Epoch, initial_score, step};

/// Averages before the epoch, and its scores.
const AVERAGE: &str = "#_prev_quality_ema";
const METRIC: &str = "#_quality_metric";

/// The formula.
pub fn run(request: &Request) -> Result<Output, MechanismError> {
    let (params, row, refusal) = (&request.params, &request.row, request.refusal());
    params.only(&["passive_target", "lambda_initial_score"])?;
    let lambda = params.real("lambda_initial_score", Real::from_int(2), NOT_NEGATIVE)?;
    let count = row.size(AVERAGE)?.max(row.size(METRIC)?);
    if count == 0 {
        return Err(row.missing(&fill(AVERAGE, &[0]), "one average per participant, empty for a newcomer"));
    }
    let list = |pattern: &str| {
        (0..count).map(|i| row.get(&fill(pattern, &[i]))).collect::<Result<Vec<_>, MechanismError>>()
    };
    let (previous, metrics) = (list(AVERAGE)?, list(METRIC)?);
    let places = "n_participants_max";
    let cap = row.count(places)?.ok_or_else(|| row.missing(places, "the places in the active set"))? as usize;
    let or = |column: &str, default: f64, span: Span| match row.get(column)? {
        Some(value) => span.check(column, value),
        None => Real::new(default).map_err(&refusal),
    };
    let alpha = or("alpha_quality", 0.1, UNIT)?;
    let percentile = or("percentile", 5.0, Span(0.0, 100.0, "0 to 100"))?;
    let stored = "quality_percentile";
    let passive_target = match params.word("passive_target", &["this_epoch", "stored"])? {
        "stored" => Some(request.previous.need(stored, "params.passive_target says that it is stored")?),
        _ => None,
    };
    let epoch = Epoch {
        previous: &previous,
        initial: request.previous.get("initial_ema_score")?.unwrap_or(Real::ZERO),
        metrics: &metrics,
        cap,
        alpha,
        quantile: Real::new(percentile.get() / 100.0).map_err(&refusal)?,
        passive_target,
    };
    let outcome = step(&epoch).map_err(&refusal)?;

    let standing = |i: usize| previous[i].unwrap_or(epoch.initial);
    let judged: Vec<Real> = outcome.active.iter().filter_map(|&i| metrics[i]).collect();
    let mut output = Output::default();
    output.maybe("quality_cutoff", outcome.active.iter().map(|&i| standing(i)).min());
    output.real(stored, outcome.quantile);
    output.real("initial_ema_score", initial_score(&judged, lambda).map_err(&refusal)?);
    for (i, &average) in outcome.scores.iter().enumerate() {
        let active = outcome.active.binary_search(&i).is_ok();
        // As in the table: everybody by the averages before, those inside also by what they scored.
        let above = (0..count).filter(|&other| standing(other) > standing(i)).count();
        output.any(fill("#_sort_position_previous_quality_ema", &[i]), above);
        if active && metrics[i].is_some() {
            let above = outcome.active.iter().filter(|&&other| metrics[other] > metrics[i]).count();
            output.any(fill("#_sort_position_quality_metrics", &[i]), above);
        }
        output.any(fill("#_active", &[i]), active);
        output.real(fill("#_quality_ema", &[i]), average);
    }
    Ok(output)
}
