//! Reads what a user has: a column of measurements, or a table of what members predicted.
//! Everything doubtful is refused with the line, the column and what to do about it; nothing is repaired silently.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read};

/// Fewest rows of a [`Series`]: below it no model has anything to learn from.
pub const MIN_ROWS: usize = 64;
/// Fewest rows of a [`PredictionMatrix`].
pub const MIN_MATRIX_ROWS: usize = 2;
/// Most rows of either table.
pub const MAX_ROWS: usize = 5_000_000;
/// Largest file, in bytes (512 MiB).
pub const MAX_BYTES: u64 = 512 << 20;
/// Longest line of a series, in bytes.
pub const MAX_LINE: usize = 64 << 10;
/// Longest line of a prediction matrix, in bytes.
pub const MAX_MATRIX_LINE: usize = 1 << 20;
/// Most members of a prediction matrix.
pub const MAX_MEMBERS: usize = 10_000;
/// Most cells (rows × members) of a prediction matrix: half a gigabyte in memory.
pub const MAX_CELLS: usize = 64 << 20;
/// Largest number that can be submitted to a topic.
pub const MAX_SIZE: f64 = 1e40;
/// Smallest number other than zero that can be submitted to a topic.
pub const MIN_SIZE: f64 = 1e-40;
/// Longest member name, in bytes.
pub const MAX_NAME: usize = 64;

/// One observation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub time: i64,
    /// What was measured, in the series' unit.
    pub value: f64,
}

/// A measured series, oldest first, timestamps strictly increasing, every value finite.
///
/// Rows are taken as consecutive observations. Missing steps (nights, weekends, outages) are allowed and counted
/// in [`gaps`](Series::gaps), and nothing is interpolated.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the series is called.
    pub name: String,
    /// Unit of the values; empty when unknown, because a CSV file does not carry it.
    pub unit: String,
    /// Median distance of neighbouring rows, in seconds; at least 1.
    pub step: u64,
    /// The shorter season, in steps; see [`seasons`].
    pub season_day: usize,
    /// The longer season, in steps; see [`seasons`].
    pub season_week: usize,
    /// Number of places where neighbouring rows lie more than one and a half steps apart.
    pub gaps: usize,
    /// The observations.
    pub points: Vec<Point>,
}

/// What members predicted and what then happened: one row per epoch, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionMatrix {
    /// Member names in the order of the file's columns; unique, 1 to 64 bytes each.
    pub members: Vec<String>,
    /// Seconds since 1970-01-01T00:00:00Z, one per row, strictly increasing.
    pub times: Vec<i64>,
    /// What happened, one per row, finite.
    pub truth: Vec<f64>,
    /// Row-major cells; NaN stands for "did not report" and never leaves this type.
    cells: Cells,
}

/// Row-major reports, compared bit by bit so that two equal tables are equal although NaN is not itself.
#[derive(Debug, Clone, Default)]
struct Cells(Vec<f64>);

impl PartialEq for Cells {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a.to_bits() == b.to_bits())
    }
}

/// Why a file was refused. Lines and columns count from 1; a column is a cell of the line, not a letter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says it; the fields are the words of the message")]
pub enum SeriesError {
    #[error("cannot read: {0}")]
    Read(#[from] std::io::Error),
    #[error("the file is empty: it needs a header line such as `timestamp,value` and rows below it")]
    Empty,
    #[error("the file is larger than {limit} bytes: split it, or keep fewer columns")]
    FileTooBig { limit: u64 },
    #[error("line {line} is longer than {limit} bytes: are the line ends missing?")]
    LineTooLong { line: u64, limit: usize },
    #[error("line {line}, column {column} is not UTF-8 text: save the file as plain CSV in UTF-8")]
    NotUtf8 { line: u64, column: usize },
    #[error("line {line}, column {column}: a quote is opened and not closed on the same line: close it")]
    OpenQuote { line: u64, column: usize },
    #[error("line {line} holds data where the header belongs: put `{wanted}` above it")]
    NoHeader { line: u64, wanted: &'static str },
    #[error("line {line}: no column is called `{name}`, only {found}: rename the column you mean")]
    MissingColumn { line: u64, name: &'static str, found: String },
    #[error("line {line}, column {column}: a second column is called `{name}`: rename or remove one")]
    DuplicateColumn { line: u64, column: usize, name: String },
    #[error("line {line}: no member: add one column per member beside `timestamp` and `truth`")]
    NoMember { line: u64 },
    #[error("line {line}, column {column}: the member has no name: write one in the header")]
    EmptyName { line: u64, column: usize },
    #[error("line {line}, column {column}: the name has {found} bytes, more than {MAX_NAME}: shorten it")]
    LongName { line: u64, column: usize, found: usize },
    #[error("line {line}: {found} members, more than {MAX_MEMBERS}: drop columns")]
    TooManyMembers { line: u64, found: usize },
    #[error(
        "line {line} has {found} cells and the header has {wanted}: check for a decimal comma, a thousands \
         separator or a missing comma"
    )]
    CellCount { line: u64, found: usize, wanted: usize },
    #[error("line {line}, column {column}: the {name} is empty: fill it in, or delete the row")]
    EmptyCell { line: u64, column: usize, name: String },
    #[error("line {line}, column {column}: `{cell}` is not a number: write digits with a decimal point")]
    NotANumber { line: u64, column: usize, cell: String },
    #[error("line {line}, column {column}: `{cell}` is not a finite number: correct it, or delete the row")]
    NotFinite { line: u64, column: usize, cell: String },
    #[error(
        "line {line}, column {column}: `{cell}` is beyond what a submission can carry, zero or {MIN_SIZE:e} to \
         {MAX_SIZE:e} in size: use another unit"
    )]
    Size { line: u64, column: usize, cell: String },
    #[error(
        "line {line}, column {column}: `{cell}` is not a time: write 2024-02-29, 2024-02-29T13:30:00Z, the same \
         with an offset such as +01:00, or seconds since 1970"
    )]
    NotATime { line: u64, column: usize, cell: String },
    #[error("line {line}, column {column}: `{cell}` looks like milliseconds: divide by 1000 to get seconds")]
    Milliseconds { line: u64, column: usize, cell: String },
    #[error(
        "line {line}, column {column}: `{cell}` is the time of line {earlier} again: keep one of the two"
    )]
    DuplicateTime { line: u64, column: usize, cell: String, earlier: u64 },
    #[error(
        "line {line}, column {column}: `{cell}` lies before the time of line {earlier}: sort, oldest first"
    )]
    OutOfOrder { line: u64, column: usize, cell: String, earlier: u64 },
    #[error("{found} rows are too few: at least {needed} are needed")]
    TooFewRows { found: usize, needed: usize },
    #[error("line {line}: more than {limit} rows: keep the newest, or use a longer step")]
    TooManyRows { line: u64, limit: usize },
    #[error("line {line}: more than {MAX_CELLS} cells (rows × members): drop rows or columns")]
    TooManyCells { line: u64 },
}

impl Series {
    /// Reads comma-separated text with a header line.
    ///
    /// The columns `timestamp` and `value` are found by name in any position (other columns are ignored); a table
    /// of exactly two columns needs no such names, its first column is the time. A timestamp is an ISO 8601 date
    /// or date and time with or without zone (without one: UTC; fractions of a second are dropped), or whole
    /// seconds since 1970. A leading byte order mark, CRLF line ends, quoted cells and blank lines are fine.
    ///
    /// # Errors
    ///
    /// Refuses what [`SeriesError`] lists, at the first place where it occurs.
    pub fn from_csv(name: impl Into<String>, input: impl Read) -> Result<Self, SeriesError> {
        let mut lines = Lines::new(input, MAX_LINE);
        let (header_line, header) = lines.next()?.ok_or(SeriesError::Empty)?;
        let header = split(header_line, header)?;
        let (time_at, value_at) = series_columns(header_line, &header)?;
        let width = header.len();

        let mut points = Vec::new();
        let mut order = Order::default();
        while let Some((line, text)) = lines.next()? {
            let row = split(line, text)?;
            if row.len() != width {
                return Err(SeriesError::CellCount { line, found: row.len(), wanted: width });
            }
            if points.len() == MAX_ROWS {
                return Err(SeriesError::TooManyRows { line, limit: MAX_ROWS });
            }
            let time = order.next(line, time_at + 1, &row[time_at])?;
            let value = number(line, value_at + 1, "value", &row[value_at])?;
            points.push(Point { time, value });
        }
        Self::from_points(name, points)
    }

    /// A series from points in hand: step, seasons and gaps are worked out from their times.
    ///
    /// # Errors
    ///
    /// Refuses fewer than [`MIN_ROWS`] points, more than [`MAX_ROWS`], values that are not finite, times that do
    /// not increase. The "line" of an error is the number of the point, counted from 1.
    pub fn from_points(name: impl Into<String>, points: Vec<Point>) -> Result<Self, SeriesError> {
        if points.len() < MIN_ROWS {
            return Err(SeriesError::TooFewRows { found: points.len(), needed: MIN_ROWS });
        }
        if points.len() > MAX_ROWS {
            return Err(SeriesError::TooManyRows { line: MAX_ROWS as u64 + 1, limit: MAX_ROWS });
        }
        for (at, point) in points.iter().enumerate() {
            let line = at as u64 + 1;
            if !point.value.is_finite() {
                return Err(SeriesError::NotFinite { line, column: 2, cell: point.value.to_string() });
            }
            let Some(before) = at.checked_sub(1).map(|i| points[i].time) else { continue };
            let cell = point.time.to_string();
            if point.time == before {
                return Err(SeriesError::DuplicateTime { line, column: 1, cell, earlier: line - 1 });
            }
            if point.time < before {
                return Err(SeriesError::OutOfOrder { line, column: 1, cell, earlier: line - 1 });
            }
        }
        let distances: Vec<u64> = points.windows(2).map(|w| w[1].time.abs_diff(w[0].time)).collect();
        let mut sorted = distances.clone();
        let middle = sorted.len() / 2;
        let step = *sorted.select_nth_unstable(middle).1;
        let gaps = distances.iter().filter(|d| **d > step.saturating_add(step / 2)).count();
        let (season_day, season_week) = seasons(step, gaps, points.len());
        Ok(Self { name: name.into(), unit: String::new(), step, season_day, season_week, gaps, points })
    }
}

/// The two seasons, in steps, of a series with this step (seconds), so many gaps and rows.
///
/// | step | shorter | longer |
/// |---|---|---|
/// | up to 12 hours | a day | a week |
/// | days, at least every tenth followed by a gap (a market) | 5 (trading week) | 21 (trading month) |
/// | days without such gaps | 7 (week) | 28 (four weeks) |
/// | about weeks (3 to 20 days) | 13 (quarter) | 52 (year) |
/// | longer | 3 (quarter of months) | 12 (year of months) |
pub fn seasons(step: u64, gaps: usize, rows: usize) -> (usize, usize) {
    const DAY: u64 = 86_400;
    let steps = |span: u64| ((span + step / 2) / step.max(1)).max(1) as usize;
    match step {
        0..=43_200 => (steps(DAY), steps(7 * DAY)),
        43_201..=259_200 if gaps.saturating_mul(10) >= rows => (5, 21),
        43_201..=259_200 => (7, 28),
        259_201..=1_728_000 => (13, 52),
        _ => (3, 12),
    }
}

impl PredictionMatrix {
    /// Reads comma-separated text whose header names `timestamp`, `truth` and one column per member.
    ///
    /// An empty cell of a member means that it did not report. Everything else is as in [`Series::from_csv`].
    ///
    /// # Errors
    ///
    /// Refuses what [`SeriesError`] lists, at the first place where it occurs.
    pub fn from_csv(input: impl Read) -> Result<Self, SeriesError> {
        const WANTED: &str = "timestamp,truth,<member>,<member>";
        let mut lines = Lines::new(input, MAX_MATRIX_LINE);
        let (header_line, header) = lines.next()?.ok_or(SeriesError::Empty)?;
        let header = split(header_line, header)?;
        if header.iter().any(|cell| looks_like_data(cell)) && find(&header, "timestamp").is_none() {
            return Err(SeriesError::NoHeader { line: header_line, wanted: WANTED });
        }
        refuse_twice(header_line, &header, "timestamp")?;
        refuse_twice(header_line, &header, "truth")?;
        let time_at = find(&header, "timestamp").ok_or_else(|| missing(header_line, "timestamp", &header))?;
        let truth_at = find(&header, "truth").ok_or_else(|| missing(header_line, "truth", &header))?;
        let width = header.len();
        let columns: Vec<usize> = (0..width).filter(|at| *at != time_at && *at != truth_at).collect();
        let members = member_names(header_line, &header, &columns)?;

        let mut matrix = Self { members, times: Vec::new(), truth: Vec::new(), cells: Cells::default() };
        let mut order = Order::default();
        while let Some((line, text)) = lines.next()? {
            let row = split(line, text)?;
            if row.len() != width {
                return Err(SeriesError::CellCount { line, found: row.len(), wanted: width });
            }
            if matrix.times.len() == MAX_ROWS {
                return Err(SeriesError::TooManyRows { line, limit: MAX_ROWS });
            }
            if matrix.cells.0.len() + columns.len() > MAX_CELLS {
                return Err(SeriesError::TooManyCells { line });
            }
            matrix.times.push(order.next(line, time_at + 1, &row[time_at])?);
            matrix.truth.push(number(line, truth_at + 1, "truth", &row[truth_at])?);
            for at in &columns {
                let cell = &row[*at];
                let report = if cell.is_empty() { f64::NAN } else { number(line, at + 1, "report", cell)? };
                matrix.cells.0.push(report);
            }
        }
        if matrix.times.len() < MIN_MATRIX_ROWS {
            return Err(SeriesError::TooFewRows { found: matrix.times.len(), needed: MIN_MATRIX_ROWS });
        }
        Ok(matrix)
    }

    /// Number of rows (epochs).
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    /// What the member with this index said in that row; `None` when it did not report or there is no such cell.
    pub fn report(&self, row: usize, member: usize) -> Option<f64> {
        let width = self.members.len();
        if member >= width {
            return None;
        }
        self.cells.0.get(row.checked_mul(width)? + member).copied().filter(|cell| !cell.is_nan())
    }
}

/// Seconds since 1970-01-01T00:00:00Z of a timestamp's text, or `None` when it is not one.
///
/// Understood: `YYYY-MM-DD`, then optionally `T` or a blank and `HH:MM`, `:SS`, a fraction (dropped), and `Z`,
/// `±HH:MM`, `±HHMM` or `±HH` (none: UTC); or whole seconds since 1970 with an optional sign. Years 0001 to 9999,
/// Gregorian calendar. Leap seconds (`:60`) and `24:00` are no times here.
pub fn parse_time(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let unsigned = bytes.strip_prefix(b"-").or_else(|| bytes.strip_prefix(b"+")).unwrap_or(bytes);
    if !unsigned.is_empty() && unsigned.iter().all(u8::is_ascii_digit) {
        const FIRST: i64 = -62_135_596_800;
        const LAST: i64 = 253_402_300_799;
        return text.parse().ok().filter(|seconds| (FIRST..=LAST).contains(seconds));
    }

    let (year, month, day) = (digits(bytes, 0, 4)?, digits(bytes, 5, 2)?, digits(bytes, 8, 2)?);
    if bytes[4] != b'-' || bytes[7] != b'-' || year == 0 {
        return None;
    }
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let midnight = days_since_1970(year, month, day) * 86_400;
    if bytes.len() == 10 {
        return Some(midnight);
    }

    let (hour, minute) = (digits(bytes, 11, 2)?, digits(bytes, 14, 2)?);
    if !matches!(bytes[10], b'T' | b't' | b' ') || bytes[13] != b':' || hour > 23 || minute > 59 {
        return None;
    }
    let mut at = 16;
    let mut second = 0;
    if bytes.get(at) == Some(&b':') {
        second = digits(bytes, at + 1, 2)?;
        at += 3;
        if matches!(bytes.get(at), Some(b'.' | b',')) {
            let fraction = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            if fraction == 0 {
                return None;
            }
            at += 1 + fraction;
        }
    }
    if second > 59 {
        return None;
    }
    Some(midnight + hour * 3600 + minute * 60 + second - offset(&bytes[at..])?)
}

/// Seconds east of UTC of a zone's text.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, rest) = match zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let minutes_at = match rest.len() {
        2 => None,
        4 => Some(2),
        5 if rest[2] == b':' => Some(3),
        _ => return None,
    };
    let hours = digits(rest, 0, 2)?;
    let minutes = minutes_at.map_or(Some(0), |at| digits(rest, at, 2))?;
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// The number in exactly `count` digits from `at` on.
fn digits(bytes: &[u8], at: usize, count: usize) -> Option<i64> {
    let mut number = 0;
    for byte in bytes.get(at..at + count)? {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(byte - b'0');
    }
    Some(number)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let to_new_year = before * 365 + before / 4 - before / 100 + before / 400;
    let in_year: i64 = (1..month).map(|m| days_in_month(year, m)).sum();
    // 719 162 days lie between 0001-01-01 and 1970-01-01.
    to_new_year + in_year + day - 1 - 719_162
}

/// Lines of a file with their numbers, within the limits, without blank lines, line ends and byte order mark.
struct Lines<R> {
    input: BufReader<R>,
    buffer: Vec<u8>,
    line: u64,
    bytes: u64,
    limit: usize,
}

impl<R: Read> Lines<R> {
    fn new(input: R, limit: usize) -> Self {
        Self {
            input: BufReader::with_capacity(64 << 10, input),
            buffer: Vec::new(),
            line: 0,
            bytes: 0,
            limit,
        }
    }

    fn next(&mut self) -> Result<Option<(u64, &str)>, SeriesError> {
        loop {
            self.buffer.clear();
            // Three bytes more than the limit: a line end and one that proves the line too long.
            let most = self.limit as u64 + 3;
            let read = (&mut self.input).take(most).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.bytes += read as u64;
            if self.bytes > MAX_BYTES {
                return Err(SeriesError::FileTooBig { limit: MAX_BYTES });
            }
            while self.buffer.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
                self.buffer.pop();
            }
            if self.buffer.len() > self.limit {
                return Err(SeriesError::LineTooLong { line: self.line, limit: self.limit });
            }
            if self.line == 1 && self.buffer.starts_with(b"\xEF\xBB\xBF") {
                self.buffer.drain(..3);
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some((self.line, text))),
            Err(error) => {
                let commas = self.buffer[..error.valid_up_to()].iter().filter(|b| **b == b',').count();
                Err(SeriesError::NotUtf8 { line: self.line, column: commas + 1 })
            }
        }
    }
}

/// The cells of one line, trimmed; a quoted cell may hold commas, and a doubled quote stands for one.
fn split(line: u64, text: &str) -> Result<Vec<Cow<'_, str>>, SeriesError> {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        let open = rest.trim_start();
        if !open.starts_with('"') {
            match rest.split_once(',') {
                Some((cell, after)) => {
                    cells.push(Cow::Borrowed(cell.trim()));
                    rest = after;
                    continue;
                }
                None => {
                    cells.push(Cow::Borrowed(rest.trim()));
                    return Ok(cells);
                }
            }
        }
        let mut cell = String::new();
        let mut inside = &open[1..];
        let after = loop {
            let column = cells.len() + 1;
            let (part, tail) = inside.split_once('"').ok_or(SeriesError::OpenQuote { line, column })?;
            cell.push_str(part);
            match tail.strip_prefix('"') {
                Some(more) => {
                    cell.push('"');
                    inside = more;
                }
                None => break tail,
            }
        };
        // Whatever stands between the closing quote and the comma belongs to the cell: the parser of the cell
        // then refuses it with its own, clearer words.
        let (trailing, next) = after.split_once(',').map_or((after, None), |(t, n)| (t, Some(n)));
        cell.push_str(trailing.trim());
        cells.push(Cow::Owned(cell.trim().to_owned()));
        match next {
            Some(next) => rest = next,
            None => return Ok(cells),
        }
    }
}

/// Position of the time and of the value column.
fn series_columns(line: u64, header: &[Cow<'_, str>]) -> Result<(usize, usize), SeriesError> {
    const WANTED: &str = "timestamp,value";
    let (time, value) = (find(header, "timestamp"), find(header, "value"));
    if time.is_none() && value.is_none() && header.iter().any(|cell| looks_like_data(cell)) {
        return Err(SeriesError::NoHeader { line, wanted: WANTED });
    }
    refuse_twice(line, header, "timestamp")?;
    refuse_twice(line, header, "value")?;
    match (time, value) {
        (Some(time), Some(value)) => Ok((time, value)),
        (Some(time), None) if header.len() == 2 => Ok((time, 1 - time)),
        (None, Some(value)) if header.len() == 2 => Ok((1 - value, value)),
        (None, None) if header.len() == 2 => Ok((0, 1)),
        (None, _) => Err(missing(line, "timestamp", header)),
        (_, None) => Err(missing(line, "value", header)),
    }
}

fn member_names(line: u64, header: &[Cow<'_, str>], columns: &[usize]) -> Result<Vec<String>, SeriesError> {
    if columns.is_empty() {
        return Err(SeriesError::NoMember { line });
    }
    if columns.len() > MAX_MEMBERS {
        return Err(SeriesError::TooManyMembers { line, found: columns.len() });
    }
    let mut seen = std::collections::BTreeSet::new();
    for at in columns {
        let (column, name) = (at + 1, header[*at].as_ref());
        if name.is_empty() {
            return Err(SeriesError::EmptyName { line, column });
        }
        if name.len() > MAX_NAME {
            return Err(SeriesError::LongName { line, column, found: name.len() });
        }
        if !seen.insert(name) {
            return Err(SeriesError::DuplicateColumn { line, column, name: name.to_owned() });
        }
    }
    Ok(columns.iter().map(|at| header[*at].clone().into_owned()).collect())
}

fn find(header: &[Cow<'_, str>], name: &str) -> Option<usize> {
    header.iter().position(|cell| cell.eq_ignore_ascii_case(name))
}

fn refuse_twice(line: u64, header: &[Cow<'_, str>], name: &'static str) -> Result<(), SeriesError> {
    match header.iter().enumerate().filter(|(_, cell)| cell.eq_ignore_ascii_case(name)).nth(1) {
        Some((at, _)) => Err(SeriesError::DuplicateColumn { line, column: at + 1, name: name.to_owned() }),
        None => Ok(()),
    }
}

fn missing(line: u64, name: &'static str, header: &[Cow<'_, str>]) -> SeriesError {
    let names: Vec<String> = header.iter().take(8).map(|cell| format!("`{}`", short(cell))).collect();
    let more = if header.len() > names.len() { ", …" } else { "" };
    SeriesError::MissingColumn { line, name, found: format!("{}{more}", names.join(", ")) }
}

fn looks_like_data(cell: &str) -> bool {
    cell.parse::<f64>().is_ok() || parse_time(cell).is_some()
}

/// The number in a cell: finite, and of a size that a submission can carry.
fn number(line: u64, column: usize, name: &str, cell: &str) -> Result<f64, SeriesError> {
    if cell.is_empty() {
        return Err(SeriesError::EmptyCell { line, column, name: name.to_owned() });
    }
    match cell.parse::<f64>() {
        Ok(value) if !value.is_finite() => Err(SeriesError::NotFinite { line, column, cell: short(cell) }),
        Ok(value) if value == 0.0 || (MIN_SIZE..=MAX_SIZE).contains(&value.abs()) => Ok(value),
        Ok(_) => Err(SeriesError::Size { line, column, cell: short(cell) }),
        Err(_) => Err(SeriesError::NotANumber { line, column, cell: short(cell) }),
    }
}

/// Remembers the row before, to refuse a time that does not advance.
#[derive(Default)]
struct Order {
    last: Option<(u64, i64)>,
}

impl Order {
    fn next(&mut self, line: u64, column: usize, cell: &str) -> Result<i64, SeriesError> {
        if cell.is_empty() {
            return Err(SeriesError::EmptyCell { line, column, name: "timestamp".to_owned() });
        }
        // A whole number beyond the year 5138 is far likelier a count of milliseconds.
        if cell.parse::<i64>().is_ok_and(|number| number.unsigned_abs() >= 100_000_000_000) {
            return Err(SeriesError::Milliseconds { line, column, cell: short(cell) });
        }
        let time =
            parse_time(cell).ok_or_else(|| SeriesError::NotATime { line, column, cell: short(cell) })?;
        if let Some((earlier, last)) = self.last {
            if time == last {
                return Err(SeriesError::DuplicateTime { line, column, cell: short(cell), earlier });
            }
            if time < last {
                return Err(SeriesError::OutOfOrder { line, column, cell: short(cell), earlier });
            }
        }
        self.last = Some((line, time));
        Ok(time)
    }
}

/// At most forty characters of a cell, so that a message stays a message.
fn short(cell: &str) -> String {
    let mut text: String = cell.chars().take(40).collect();
    if text.len() < cell.len() {
        text.push('…');
    }
    text
}
