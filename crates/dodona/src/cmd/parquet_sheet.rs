//! A table as a Parquet file: every column may be empty, rows are written in groups.

use std::{fs::File, sync::Arc};

use anyhow::{Result, bail};
use parquet::{
    basic::{Compression, ConvertedType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::Type,
};
use serde_json::Value;

/// Rows that are kept in memory until a group of them is written.
const GROUP: usize = 50_000;

/// What is in a column.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words, and amounts: base units do not fit the numbers of tables.
    Text,
    /// Numbers of epochs and blocks.
    Count,
    /// Doubles.
    Number,
}

/// The file that is being written.
pub(super) struct ParquetSheet {
    writer: SerializedFileWriter<File>,
    kinds: Vec<Kind>,
    /// Cells by column.
    waiting: Vec<Vec<Value>>,
}

impl ParquetSheet {
    pub(super) fn open(file: File, columns: &[(&str, Kind)]) -> Result<Self> {
        let mut fields = Vec::with_capacity(columns.len());
        for (name, kind) in columns {
            let (physical, converted) = match kind {
                Kind::Text => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
                Kind::Count => (Physical::INT64, ConvertedType::NONE),
                Kind::Number => (Physical::DOUBLE, ConvertedType::NONE),
            };
            let field = Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_converted_type(converted)
                .build()?;
            fields.push(Arc::new(field));
        }
        let schema = Type::group_type_builder("dodona").with_fields(fields).build()?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
        let kinds: Vec<Kind> = columns.iter().map(|(_, kind)| *kind).collect();
        Ok(Self { writer, waiting: vec![Vec::new(); kinds.len()], kinds })
    }

    pub(super) fn row(&mut self, cells: &[Value]) -> Result<()> {
        for (column, cell) in self.waiting.iter_mut().zip(cells) {
            column.push(cell.clone());
        }
        if self.waiting.first().is_some_and(|column| column.len() >= GROUP) {
            self.write_group()?;
        }
        Ok(())
    }

    pub(super) fn close(mut self) -> Result<()> {
        self.write_group()?;
        self.writer.close()?;
        Ok(())
    }

    fn write_group(&mut self) -> Result<()> {
        if self.waiting.first().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for (kind, cells) in self.kinds.iter().zip(&mut self.waiting) {
            let cells = std::mem::take(cells);
            let there: Vec<i16> = cells.iter().map(|cell| i16::from(!cell.is_null())).collect();
            let known = cells.iter().filter(|cell| !cell.is_null());
            let Some(mut column) = group.next_column()? else {
                bail!("the file has fewer columns than the table")
            };
            match kind {
                Kind::Text => {
                    let values: Vec<ByteArray> =
                        known.map(|cell| ByteArray::from(cell.as_str().unwrap_or_default())).collect();
                    column.typed::<ByteArrayType>().write_batch(&values, Some(&there), None)?;
                }
                Kind::Count => {
                    let values: Vec<i64> = known.map(|cell| cell.as_i64().unwrap_or(i64::MAX)).collect();
                    column.typed::<Int64Type>().write_batch(&values, Some(&there), None)?;
                }
                Kind::Number => {
                    let values: Vec<f64> = known.map(|cell| cell.as_f64().unwrap_or(f64::NAN)).collect();
                    column.typed::<DoubleType>().write_batch(&values, Some(&there), None)?;
                }
            }
            column.close()?;
        }
        group.close()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dodona_participant::columns::read_as_csv;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_in_groups_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.parquet");
        let columns = [("name", Kind::Text), ("block", Kind::Count), ("loss", Kind::Number)];
        let mut sheet = ParquetSheet::open(File::create(&path).unwrap(), &columns).unwrap();
        for i in 0..GROUP + 2 {
            let loss = if i % 2 == 0 { json!(i as f64 / 8.0) } else { Value::Null };
            sheet.row(&[json!(format!("m{i}")), json!(i), loss]).unwrap();
        }
        sheet.close().unwrap();
        let text = read_as_csv(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), GROUP + 3);
        assert_eq!((lines[0], lines[2], lines[3]), ("name,block,loss", "m1,1,", "m2,2,0.25"));
        assert_eq!(lines[GROUP + 1], "m50000,50000,6250");

        let empty = dir.path().join("empty.parquet");
        ParquetSheet::open(File::create(&empty).unwrap(), &columns).unwrap().close().unwrap();
        assert_eq!(read_as_csv(&empty).unwrap(), "name,block,loss\n", "a table without rows has columns");
    }
}
