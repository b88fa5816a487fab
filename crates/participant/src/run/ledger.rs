//! What was submitted, one JSON line per step, on disk before the next step is taken: after a kill at any moment the
//! file says which epochs are dealt with. One process at a time; a line that was cut off at the end is dropped.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

/// Largest ledger that is read, bytes: some millions of epochs.
const MAX_BYTES: u64 = 1 << 30;
/// Longest line, bytes: a sealed forecast of some thousand members.
const MAX_LINE: u64 = 1 << 20;

/// One step of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Chain it belongs to.
    pub chain: String,
    /// Account that acts.
    pub address: String,
    /// Topic.
    pub topic: u64,
    /// As what it acts; ledgers of before there were others know workers only.
    #[serde(default)]
    pub part: Part,
    /// Consecutive number of the epoch.
    pub epoch: u64,
    /// The epoch's name on the chain.
    pub nonce: u64,
    /// Last committed block when it was written.
    pub height: u64,
    /// What came of it.
    #[serde(flatten)]
    pub what: What,
}

/// As what an account acts.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Says what will be.
    #[default]
    Worker,
    /// Says how wrong the workers will be.
    Forecaster,
    /// Says what happened.
    Reputer,
}

impl Part {
    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Forecaster => "forecaster",
            Self::Reputer => "reputer",
        }
    }

    /// Whether it reports what happened; the others share one payload for each epoch.
    pub fn reports(self) -> bool {
        self == Self::Reputer
    }
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum What {
    /// About to be handed in.
    Intent {
        /// As it was or will be said.
        answer: String,
    },
    /// Sealed: without this line nobody can open the seal, and until it is opened whoever reads it knows the answer.
    Sealed {
        /// As it was or will be said.
        answer: String,
        /// The encoded payload behind the seal, hex.
        payload: String,
        /// The salt, hex.
        salt: String,
        /// Gas of opening it.
        gas: u64,
    },
    /// Handed in, under this transaction name (hex); empty when the chain had it already.
    Sent {
        /// Transaction.
        hash: String,
    },
    /// Not submitted, and why.
    Missed {
        /// For people.
        why: String,
    },
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says it; the fields are the words of the message")]
pub enum LedgerError {
    #[error("the ledger: {0}")]
    Io(#[from] io::Error),
    #[error("another process works with this ledger: end it, or use another folder")]
    Busy,
    #[error("line {line} of the ledger is damaged ({cause}): move the file away to begin a new one")]
    Damaged { line: u64, cause: String },
    #[error("the ledger is larger than {MAX_BYTES} bytes: move the file away to begin a new one")]
    TooLarge,
}

/// Chain, account, topic, nonce, and whether it is a report.
type Key = (String, String, u64, u64, bool);

/// The file, and the newest step of every epoch in it.
pub struct Ledger {
    file: File,
    newest: BTreeMap<Key, Entry>,
}

impl Ledger {
    /// Opens or begins a ledger and holds it until dropped.
    ///
    /// # Errors
    /// [`LedgerError`]: it is held by somebody else, damaged before its end, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Busy),
            Err(TryLockError::Error(e)) => return Err(e.into()),
        }
        let size = file.metadata()?.len();
        if size > MAX_BYTES {
            return Err(LedgerError::TooLarge);
        }
        let mut newest = BTreeMap::new();
        let (mut whole, mut number) = (0, 0);
        let mut reader = BufReader::new(&mut file);
        loop {
            let mut line = Vec::new();
            let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
            number += 1;
            if read == 0 || (line.last() != Some(&b'\n') && whole + read == size) {
                break;
            }
            let damaged = |e: serde_json::Error| LedgerError::Damaged { line: number, cause: e.to_string() };
            let entry: Entry = serde_json::from_slice(&line).map_err(damaged)?;
            newest.insert(key_of(&entry), entry);
            whole += read;
        }
        // The end of a line that a kill cut off was never acted on.
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, newest })
    }

    /// The newest step of an epoch, in this part or in one that shares its payload.
    pub fn of(&self, chain: &str, address: &str, topic: u64, part: Part, nonce: u64) -> Option<&Entry> {
        self.newest.get(&(chain.to_string(), address.to_string(), topic, nonce, part.reports()))
    }

    /// Writes a step; when this returns, it is on disk.
    ///
    /// # Errors
    /// [`LedgerError::Io`]: nothing may be submitted then.
    pub fn write(&mut self, entry: Entry) -> Result<(), LedgerError> {
        let mut line = serde_json::to_vec(&entry).map_err(io::Error::from)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.newest.insert(key_of(&entry), entry);
        Ok(())
    }
}

fn key_of(entry: &Entry) -> Key {
    (entry.chain.clone(), entry.address.clone(), entry.topic, entry.nonce, entry.part.reports())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(nonce: u64, what: What) -> Entry {
        let (chain, address, part) = ("c".into(), "a".into(), Part::Worker);
        Entry { chain, address, topic: 1, part, epoch: nonce, nonce, height: nonce, what }
    }

    #[test]
    fn a_ledger_remembers_drops_a_cut_line_and_refuses_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        let intent = entry(7, What::Intent { answer: "1.5".into() });
        let sent = entry(7, What::Sent { hash: "AB".into() });
        {
            let mut ledger = Ledger::open(&path).unwrap();
            ledger.write(intent.clone()).unwrap();
            ledger.write(sent.clone()).unwrap();
            assert!(matches!(Ledger::open(&path), Err(LedgerError::Busy)), "one at a time");
        }
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut ledger = Ledger::open(&path).unwrap();
            let first = serde_json::to_vec(&intent).unwrap().len() + 1;
            let known = if cut < first { None } else { Some(&intent) };
            assert_eq!(ledger.of("c", "a", 1, Part::Forecaster, 7), known, "{cut}");
            ledger.write(sent.clone()).unwrap();
            drop(ledger);
            assert_eq!(
                Ledger::open(&path).unwrap().of("c", "a", 1, Part::Forecaster, 7),
                Some(&sent),
                "{cut}"
            );
        }
        let mut ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.of("c", "a", 1, Part::Reputer, 7), None, "a report is another word");
        ledger.write(Entry { part: Part::Reputer, ..intent.clone() }).unwrap();
        assert_eq!(ledger.of("c", "a", 1, Part::Worker, 7), Some(&sent));
        drop(ledger);
        let old = r#"{"chain":"c","address":"a","topic":1,"epoch":7,"nonce":7,"height":7,"what":"sent","hash":"AB"}"#;
        std::fs::write(&path, format!("{old}\n")).unwrap();
        assert_eq!(
            Ledger::open(&path).unwrap().of("c", "a", 1, Part::Worker, 7),
            Some(&sent),
            "an older form"
        );
        std::fs::write(&path, [b"rubbish\n", &whole[..]].concat()).unwrap();
        assert!(matches!(Ledger::open(&path), Err(LedgerError::Damaged { line: 1, .. })));
    }
}
