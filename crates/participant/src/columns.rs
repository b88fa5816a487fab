//! Parquet files, as pandas, Polars and DuckDB write them, read as the CSV text they would be: what reads tables here has
//! one form to understand and one to complain about.

use std::{borrow::Cow, fs::File, path::Path};

use parquet::{
    basic::{LogicalType, TimeUnit},
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
};

/// Largest file, and largest text it may come to, bytes.
const MAX_FILE: u64 = 256 << 20;
const MAX_TEXT: usize = 512 << 20;

/// Why a file is no table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says it; the fields are the words of the message")]
pub enum ColumnsError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("not a Parquet file that can be read: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("the column `{0}` holds lists or groups: a table has plain columns")]
    Nested(String),
    #[error("larger than {0} bytes: keep the newest part")]
    TooLarge(u64),
}

/// Whether a path names a Parquet file.
pub fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "parquet")
}

/// A Parquet file as CSV text with a header line. Times are seconds since 1970, fractions dropped; nulls are empty.
///
/// # Errors
/// [`ColumnsError`]: not there, not whole, too large, or with columns that are no columns.
pub fn read_as_csv(path: &Path) -> Result<String, ColumnsError> {
    let file = File::open(path)?;
    if file.metadata()?.len() > MAX_FILE {
        return Err(ColumnsError::TooLarge(MAX_FILE));
    }
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let mut nanoseconds = Vec::new();
    let mut text = String::new();
    for (at, field) in schema.root_schema().get_fields().iter().enumerate() {
        if field.is_group() {
            return Err(ColumnsError::Nested(field.name().to_string()));
        }
        // The one unit of time that the records do not tell apart from a number.
        let logical = field.get_basic_info().logical_type_ref();
        nanoseconds
            .push(matches!(logical, Some(LogicalType::Timestamp(time)) if time.unit == TimeUnit::NANOS));
        push(&mut text, at, field.name());
    }
    text.push('\n');
    for row in reader.get_row_iter(None)? {
        let row = row?;
        for (at, (_, field)) in row.get_column_iter().enumerate() {
            let cell = match field {
                Field::Null => String::new(),
                Field::Str(text) => text.clone(),
                Field::TimestampMillis(ms) => ms.div_euclid(1_000).to_string(),
                Field::TimestampMicros(us) => us.div_euclid(1_000_000).to_string(),
                Field::Long(ns) if nanoseconds.get(at) == Some(&true) => {
                    ns.div_euclid(1_000_000_000).to_string()
                }
                Field::Date(days) => (i64::from(*days) * 86_400).to_string(),
                Field::Float(number) => number.to_string(),
                Field::Double(number) => number.to_string(),
                other => other.to_string(),
            };
            push(&mut text, at, &cell);
        }
        text.push('\n');
        if text.len() > MAX_TEXT {
            return Err(ColumnsError::TooLarge(MAX_TEXT as u64));
        }
    }
    Ok(text)
}

fn push(text: &mut String, at: usize, cell: &str) {
    if at > 0 {
        text.push(',');
    }
    text.push_str(&quoted(cell));
}

/// A cell as CSV wants it.
pub fn quoted(cell: &str) -> Cow<'_, str> {
    match cell.contains([',', '"', '\n', '\r']) {
        true => Cow::Owned(format!("\"{}\"", cell.replace('"', "\"\""))),
        false => Cow::Borrowed(cell),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::{
        data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };

    use super::*;

    /// A file of three rows with times in each unit, a number that may be missing, and a text.
    fn write(path: &Path) {
        let schema = "message t {
            required int64 timestamp (TIMESTAMP(NANOS,true));
            required int64 ms (TIMESTAMP(MILLIS,true));
            required int64 us (TIMESTAMP(MICROS,true));
            optional double value;
            required binary note (UTF8);
        }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let file = File::create(path).unwrap();
        let mut writer =
            SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::default())).unwrap();
        let mut group = writer.next_row_group().unwrap();
        for scale in [1_000_000_000, 1_000, 1_000_000] {
            let mut column = group.next_column().unwrap().unwrap();
            let times: Vec<i64> = [60, 120, -1].map(|second| second * scale + scale / 2).to_vec();
            column.typed::<Int64Type>().write_batch(&times, None, None).unwrap();
            column.close().unwrap();
        }
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&[0.1, 1e300], Some(&[1, 0, 1]), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let notes = ["plain", "a,b", "say \"x\""].map(ByteArray::from);
        column.typed::<ByteArrayType>().write_batch(&notes, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn a_parquet_file_reads_like_the_text_it_would_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        write(&path);
        assert!(is_parquet(&path));
        let text = read_as_csv(&path).unwrap();
        let huge = 1e300_f64.to_string();
        assert_eq!(
            text,
            format!(
                "timestamp,ms,us,value,note\n60,60,60,0.1,plain\n120,120,120,,\"a,b\"\n-1,-1,-1,{huge},\"say \"\"x\"\"\"\n"
            )
        );
    }

    #[test]
    fn what_is_cut_or_no_parquet_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        write(&path);
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 4, 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(matches!(read_as_csv(&path), Err(ColumnsError::Parquet(_))), "{cut}");
        }
        assert!(matches!(read_as_csv(&dir.path().join("no.parquet")), Err(ColumnsError::Io(_))));
    }
}
