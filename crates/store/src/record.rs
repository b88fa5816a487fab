//! Records: plain tables beside the state, in the same file, which no root commits to. Blocks,
//! certificates, receipts and undecided blocks live there.

/// A table of records, named once as a constant. Keys are raw bytes, in byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordTable(&'static str);

impl RecordTable {
    /// Declares a table. The name is part of the file: change it and the records are not found.
    pub const fn new(name: &'static str) -> Self {
        RecordTable(name)
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.0
    }
}

/// Key and value of a record.
pub type Record = (Vec<u8>, Vec<u8>);

/// A change of one table of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordChange {
    /// Sets a record.
    Put {
        /// The table.
        table: RecordTable,
        /// The key.
        key: Vec<u8>,
        /// The new value.
        value: Vec<u8>,
    },
    /// Removes a record; removing an absent one is no error.
    Delete {
        /// The table.
        table: RecordTable,
        /// The key.
        key: Vec<u8>,
    },
    /// Removes every record whose key is less than `key`: how old blocks are pruned.
    DeleteBelow {
        /// The table.
        table: RecordTable,
        /// The first key that stays.
        key: Vec<u8>,
    },
}

impl RecordChange {
    /// Sets a record.
    pub fn put(table: RecordTable, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        RecordChange::Put { table, key: key.into(), value: value.into() }
    }

    /// Removes a record.
    pub fn delete(table: RecordTable, key: impl Into<Vec<u8>>) -> Self {
        RecordChange::Delete { table, key: key.into() }
    }

    /// Removes every record whose key is less than `key`.
    pub fn delete_below(table: RecordTable, key: impl Into<Vec<u8>>) -> Self {
        RecordChange::DeleteBelow { table, key: key.into() }
    }
}
