//! A CSV (or Parquet) file with a column `epoch`, `nonce` or `timestamp` and what came true beside it: `value`, `label`, or a column
//! per label. It is read again when it changes; the evidence of a truth is its line.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{Happened, Question, Raw, Truth, TruthError, TruthSource};
use crate::{
    columns::{is_parquet, read_as_csv},
    series::parse_time,
};

/// Largest file, bytes.
const MAX_FILE: u64 = 64 << 20;

/// What the first column counts.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum By {
    Epoch,
    Nonce,
    Time,
}

/// A file of truths.
pub struct Table {
    name: String,
    path: PathBuf,
    /// Seconds from the question to the moment that is asked for; none: the block from which truths are accepted.
    horizon: Option<i64>,
    read: Option<Read>,
}

/// The file as it was when it was read.
struct Read {
    state: (u64, Option<SystemTime>),
    by: By,
    columns: Vec<String>,
    /// Lines by their number or time.
    rows: BTreeMap<i64, String>,
}

impl Table {
    /// The file at this path, which need not exist yet. A table by time is asked for `horizon` seconds after the
    /// question.
    pub fn new(path: &Path, horizon: Option<i64>) -> Self {
        Self { name: path.display().to_string(), path: path.to_path_buf(), horizon, read: None }
    }

    /// Reads the file as it is now, which must be a table.
    ///
    /// # Errors
    /// [`TruthError::Source`]: what is wrong with it.
    pub fn look(&mut self) -> Result<(), TruthError> {
        self.refresh()
    }

    fn refuse(&self, cause: String) -> TruthError {
        TruthError::Source { source_name: self.name.clone(), cause }
    }

    fn refresh(&mut self) -> Result<(), TruthError> {
        let meta = fs::metadata(&self.path).map_err(|e| self.refuse(e.to_string()))?;
        let state = (meta.len(), meta.modified().ok());
        if self.read.as_ref().is_some_and(|read| read.state == state) {
            return Ok(());
        }
        if meta.len() > MAX_FILE {
            return Err(self.refuse(format!("larger than {MAX_FILE} bytes: keep the newest part")));
        }
        let text = match is_parquet(&self.path) {
            true => read_as_csv(&self.path).map_err(|e| self.refuse(e.to_string()))?,
            false => fs::read_to_string(&self.path).map_err(|e| self.refuse(e.to_string()))?,
        };
        self.read = Some(parse(&text, state).map_err(|cause| self.refuse(cause))?);
        Ok(())
    }
}

fn parse(text: &str, state: (u64, Option<SystemTime>)) -> Result<Read, String> {
    let text = text.trim_start_matches('\u{feff}');
    // A last line without an end is still being written.
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::trim_end);
    let mut lines = whole.enumerate().filter(|(_, line)| !line.is_empty());
    let header = lines.next().map_or("", |(_, line)| line);
    let mut columns = header.split(',').map(|c| c.trim().to_string());
    let by = match columns.next().as_deref() {
        Some("epoch") => By::Epoch,
        Some("nonce") => By::Nonce,
        Some("timestamp") => By::Time,
        _ => {
            return Err(
                "the first line must name the columns, the first of them epoch, nonce or timestamp".into()
            );
        }
    };
    let columns: Vec<String> = columns.collect();
    if columns.is_empty() {
        return Err("no column beside the first: add `value`, `label`, or one per label".into());
    }
    let mut rows = BTreeMap::new();
    for (at, line) in lines {
        let number = at + 1;
        let first = line.split(',').next().unwrap_or_default().trim();
        let key = if by == By::Time { parse_time(first) } else { first.parse().ok() };
        let key = key.ok_or_else(|| format!("line {number}: `{}` is no {}", clip(first), header_name(by)))?;
        if line.split(',').count() != columns.len() + 1 {
            return Err(format!("line {number} has another number of cells than the first line"));
        }
        if rows.insert(key, line.to_string()).is_some() {
            return Err(format!("line {number}: a second line for `{}`", clip(first)));
        }
    }
    Ok(Read { state, by, columns, rows })
}

fn header_name(by: By) -> &'static str {
    match by {
        By::Epoch => "epoch",
        By::Nonce => "nonce",
        By::Time => "time",
    }
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

impl Read {
    /// The line of a question, if the file has it.
    fn line(&self, question: &Question<'_>, horizon: Option<i64>) -> Option<&String> {
        let exact = |number: u64| self.rows.get(&i64::try_from(number).ok()?);
        match self.by {
            By::Epoch => exact(question.epoch),
            By::Nonce => exact(question.nonce),
            By::Time => {
                let moment = horizon.map_or(question.due, |horizon| question.asked.saturating_add(horizon));
                let (at, line) = self.rows.range(..=moment).next_back()?;
                // The newest line may be followed by one that is nearer.
                let settled = *at == moment || self.rows.range(moment..).next().is_some();
                settled.then_some(line)
            }
        }
    }
}

impl TruthSource for Table {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs_time(&mut self) -> bool {
        let _ = self.refresh(); // what is wrong with the file is told by the look-up
        self.read.as_ref().is_some_and(|read| read.by == By::Time)
    }

    fn look_up(&mut self, question: &Question<'_>) -> Result<Truth, TruthError> {
        self.refresh()?;
        let not_yet = || TruthError::NotYet(self.name.clone());
        let read = self.read.as_ref().ok_or_else(not_yet)?;
        let line = read.line(question, self.horizon).ok_or_else(not_yet)?;
        let cells: Vec<&str> = line.split(',').skip(1).map(str::trim).collect();
        let number = |cell: &str| {
            let value = cell.parse::<f64>().ok().filter(|value| value.is_finite());
            value.ok_or_else(|| self.refuse(format!("`{}` in `{}` is no number", clip(cell), clip(line))))
        };
        let cell =
            |name: &str| read.columns.iter().position(|c| c == name).and_then(|at| cells.get(at).copied());
        let happened = if question.labels.is_empty() {
            let value = cell("value").ok_or_else(|| self.refuse("no column is called `value`".into()))?;
            Happened::Value(number(value)?)
        } else if let Some(label) = cell("label") {
            Happened::Label(label.to_string())
        } else {
            let named = question.labels.iter().filter_map(|label| Some((label, cell(label)?)));
            let values = named
                .filter(|(_, cell)| !cell.is_empty())
                .map(|(label, cell)| Ok((label.clone(), number(cell)?)))
                .collect::<Result<Vec<_>, TruthError>>()?;
            if values.is_empty() {
                let labels = question.labels.join(", ");
                return Err(self.refuse(format!("no column is called `label` or like one of: {labels}")));
            }
            Happened::Labels(values)
        };
        let raw = Raw { source: self.name.clone(), bytes: line.as_bytes().to_vec() };
        Ok(Truth { happened, raw: vec![raw] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(labels: &[String]) -> Question<'_> {
        Question { topic: 1, epoch: 7, nonce: 10, asked: 1_000, due: 1_060, truth_first: 13, labels }
    }

    fn look_up(text: &str, horizon: Option<i64>, labels: &[String]) -> Result<Truth, TruthError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth.csv");
        fs::write(&path, text).unwrap();
        Table::new(&path, horizon).look_up(&question(labels))
    }

    #[test]
    fn a_truth_is_found_by_epoch_nonce_or_time_and_its_line_is_the_evidence() {
        for (text, horizon, line) in [
            ("epoch,value\n6,1\n7,2.5\n", None, "7,2.5"),
            ("nonce,value\n10,2.5\n", None, "10,2.5"),
            ("timestamp,value\n1059,1\n1060,2.5\n", None, "1060,2.5"),
            ("timestamp,value\n990,9\n1050,2.5\n1100,1\n", None, "1050,2.5"),
            (
                "timestamp,other,value\n1970-01-01T00:16:50Z,x,2.5\n1011,y,1\n",
                Some(10),
                "1970-01-01T00:16:50Z,x,2.5",
            ),
        ] {
            let truth = look_up(text, horizon, &[]).unwrap();
            assert_eq!(
                (&truth.happened, truth.raw[0].bytes.as_slice()),
                (&Happened::Value(2.5), line.as_bytes())
            );
        }
        let labels = ["down".to_string(), "up".to_string()];
        let classes = look_up("epoch,label\n7,up\n", None, &labels).unwrap();
        assert_eq!(classes.happened, Happened::Label("up".into()));
        let shares = look_up("epoch,up,down\n7,0.75,0.25\n", None, &labels).unwrap();
        assert_eq!(shares.happened, Happened::Labels(vec![("down".into(), 0.25), ("up".into(), 0.75)]));
    }

    #[test]
    fn what_is_not_there_yet_is_told_apart_from_what_is_wrong() {
        for text in [
            "epoch,value\n6,1\n",
            "epoch,value\n6,1\n7,2", // the line is not whole
            "timestamp,value\n1059,1\n",
            "timestamp,value\n1100,1\n",
        ] {
            assert!(matches!(look_up(text, None, &[]), Err(TruthError::NotYet(_))), "{text}");
        }
        for (text, word) in [
            ("", "the first line"),
            ("7,2.5\n", "the first line"),
            ("epoch\n7\n", "no column"),
            ("epoch,price\n7,2\n", "called `value`"),
            ("epoch,value\n7,two\n", "no number"),
            ("epoch,value\n7,NaN\n", "no number"),
            ("epoch,value\nx,2\n", "line 2"),
            ("epoch,value\n7,2\n7,3\n", "line 3"),
            ("epoch,value\n7,2,3\n", "line 2"),
        ] {
            let error = look_up(text, None, &[]).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
        let mut missing = Table::new(Path::new("/nowhere/truth.csv"), None);
        assert!(missing.look_up(&question(&[])).unwrap_err().to_string().contains("/nowhere/truth.csv"));
    }

    #[test]
    fn a_file_that_grows_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth.csv");
        fs::write(&path, "epoch,value\n6,1\n").unwrap();
        let mut table = Table::new(&path, None);
        assert!(matches!(table.look_up(&question(&[])), Err(TruthError::NotYet(_))));
        fs::write(&path, "epoch,value\n6,1\n7,2\n").unwrap();
        assert_eq!(table.look_up(&question(&[])).unwrap().happened, Happened::Value(2.0));
    }
}
