//! Weights that were committed and not yet revealed, with their salts: without this file nobody can reveal them. It is
//! replaced as a whole, on disk before anything is handed in, and readable by its owner only: whoever reads it can copy
//! the weights. One process at a time works with it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use dodona_proto::Address;
use serde::{Deserialize, Serialize};

/// Largest file, bytes: some thousand rows of 256 entries.
const MAX_BYTES: u64 = 16 << 20;
/// Rows whose fate is known that are kept, newest first.
const KEPT: usize = 32;
/// How long another process is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_millis(50);

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "lowercase")]
pub enum Fate {
    /// About to be committed: perhaps the chain has it, perhaps not.
    Written,
    /// The chain has the digest.
    Committed {
        /// In this block,
        block: u64,
        /// and takes the weights in this epoch of the subnet.
        reveal_epoch: u64,
    },
    /// The chain has the weights.
    Revealed {
        /// Since this block, or an earlier one.
        block: u64,
    },
    /// Newer ones were revealed, which used this commit up.
    Superseded,
    /// It can never be revealed.
    Missed {
        /// For people.
        why: String,
    },
}

impl Fate {
    /// Whether something is still to be done.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Written | Self::Committed { .. })
    }
}

/// A row of weights, its salt, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Subnet.
    pub netuid: u32,
    /// Incentive mechanism.
    pub mechanism: u32,
    /// Whom it is about.
    pub uids: Vec<u32>,
    /// What each is worth.
    pub values: Vec<u32>,
    /// Version of the validator's software.
    pub version: u64,
    /// Hex.
    pub salt: String,
    /// Hex: what the chain sees.
    pub digest: String,
    /// Last block when it was written.
    pub height: u64,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// Why a vault cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says it; the fields are the words of the message")]
pub enum VaultError {
    #[error("{path}: {cause}")]
    Io { path: String, cause: io::Error },
    #[error("another process has worked with {0} for a minute: end it, or try again later")]
    Busy(String),
    #[error("{path} is damaged ({cause}): move it away to begin a new one; what it held can not be revealed")]
    Damaged { path: String, cause: String },
}

/// The file, held by this process.
pub struct Vault {
    path: PathBuf,
    rows: Vec<Sealed>,
    _lock: File,
}

impl Vault {
    /// Opens the vault of a hotkey on a chain, in this folder, which is made when it is missing; waits up to a minute
    /// for another process.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn open(dir: &Path, chain: &str, hotkey: Address) -> Result<Self, VaultError> {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let chain: String = chain.chars().map(plain).take(64).collect();
        let path = dir.join(format!("{chain}-{hotkey}.json"));
        let shown = path.display().to_string();
        let io = |cause| VaultError::Io { path: shown.clone(), cause };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let lock = path.with_extension("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock);
        let lock = lock.map_err(io)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(PERIOD),
                Err(TryLockError::WouldBlock) => return Err(VaultError::Busy(shown)),
                Err(TryLockError::Error(cause)) => return Err(io(cause)),
            }
        }
        let mut text = Vec::new();
        match File::open(&path) {
            Ok(file) => {
                file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(io)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => text.extend(b"[]"),
            Err(error) => return Err(io(error)),
        }
        let damaged = |cause: String| VaultError::Damaged { path: shown.clone(), cause };
        if text.len() as u64 > MAX_BYTES {
            return Err(damaged(format!("more than {MAX_BYTES} bytes")));
        }
        let rows = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        Ok(Self { path, rows, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All rows, oldest first.
    pub fn rows(&self) -> &[Sealed] {
        &self.rows
    }

    /// Adds a row; when this returns, it is on disk.
    ///
    /// # Errors
    /// [`VaultError::Io`]: nothing may be committed then.
    pub fn put(&mut self, row: Sealed) -> Result<(), VaultError> {
        self.rows.push(row);
        self.save()
    }

    /// Forgets the row with this digest: it was never handed in.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn forget(&mut self, digest: &str) -> Result<(), VaultError> {
        self.rows.retain(|row| row.digest != digest);
        self.save()
    }

    /// Notes what became of the row with this digest.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn note(&mut self, digest: &str, fate: Fate) -> Result<(), VaultError> {
        for row in self.rows.iter_mut().filter(|row| row.digest == digest) {
            row.fate = fate.clone();
        }
        self.save()
    }

    fn save(&mut self) -> Result<(), VaultError> {
        let closed = self.rows.iter().filter(|row| !row.fate.is_open()).count();
        let mut spare = closed.saturating_sub(KEPT);
        self.rows.retain(|row| {
            let goes = spare > 0 && !row.fate.is_open();
            spare -= usize::from(goes);
            !goes
        });
        let write = || -> io::Result<()> {
            let part = self.path.with_extension("part");
            let _ = fs::remove_file(&part); // left by a kill; its owner and mode may be anything
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
            file.write_all(&serde_json::to_vec_pretty(&self.rows)?)?;
            file.sync_all()?;
            fs::rename(&part, &self.path)?;
            match self.path.parent() {
                Some(dir) => File::open(dir)?.sync_all(),
                None => Ok(()),
            }
        };
        write().map_err(|cause| VaultError::Io { path: self.path.display().to_string(), cause })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn row(digest: &str, fate: Fate) -> Sealed {
        let (uids, values, salt) = (vec![1, 2], vec![3, 4], "00".repeat(32));
        let digest = digest.to_string();
        Sealed { netuid: 1, mechanism: 0, uids, values, version: 0, salt, digest, height: 7, fate }
    }

    #[test]
    fn rows_survive_are_private_and_only_what_is_open_is_kept_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("weights");
        let hotkey = Address([7; 20]);
        let mut vault = Vault::open(&dir, "a/../chain", hotkey).unwrap();
        assert_eq!(vault.path().parent(), Some(dir.as_path()), "a chain's name leads nowhere else");
        vault.put(row("first", Fate::Written)).unwrap();
        for n in 0..100 {
            vault.put(row(&n.to_string(), Fate::Superseded)).unwrap();
        }
        let path = vault.path().to_path_buf();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        drop(vault);
        fs::write(path.with_extension("part"), "what a kill left").unwrap();
        let mut vault = Vault::open(&dir, "a/../chain", hotkey).unwrap();
        assert_eq!(vault.rows().len(), 1 + KEPT);
        assert_eq!((vault.rows()[0].digest.as_str(), &vault.rows()[0].fate), ("first", &Fate::Written));
        assert_eq!(vault.rows()[KEPT].digest, "99");
        vault.note("first", Fate::Committed { block: 9, reveal_epoch: 3 }).unwrap();
        drop(vault);
        let vault = Vault::open(&dir, "a/../chain", hotkey).unwrap();
        assert_eq!(vault.rows()[0].fate, Fate::Committed { block: 9, reveal_epoch: 3 });
        drop(vault);
        fs::write(&path, "[{").unwrap();
        assert!(matches!(Vault::open(&dir, "a/../chain", hotkey), Err(VaultError::Damaged { .. })));
    }
}
