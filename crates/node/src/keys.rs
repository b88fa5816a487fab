//! The secret files of a home: 64 hex digits each, for the eyes of their owner only, never overwritten.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use dodona_consensus::{SigningKey, engine::peer_id};
use dodona_proto::sign::AccountKey;

/// Signs votes.
pub const VALIDATOR_KEY: &str = "validator_key.hex";
/// Names the node among its peers.
pub const NETWORK_KEY: &str = "network_key.hex";
/// Key of the account that owns a validator: it signs transactions, the node itself never needs it.
pub const OPERATOR_KEY: &str = "operator_key.hex";

/// Why a secret file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system refused.
    #[error("{what} {}: {cause}; mend the permissions, or choose another folder with --home", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// It holds something else.
    #[error("{} does not hold a key (64 hex digits): restore it from your backup", .0.display())]
    NoKey(PathBuf),
    /// Others may read it.
    #[error("{} can be read by others (mode {mode:o}): its secret may be known; `chmod 600` it if you are sure it is not", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// The keys of one home.
pub struct Keys {
    /// Ed25519, signs votes.
    pub validator: SigningKey,
    /// Ed25519, names the node among its peers.
    pub network: SigningKey,
    /// Signs transactions of the operator.
    pub operator: AccountKey,
}

impl Keys {
    /// Reads the keys of a folder and makes those that are missing; `secret` is asked for 32 bytes for each.
    ///
    /// # Errors
    /// [`KeyFileError`]; nothing that is there is changed.
    pub fn make(dir: &Path, mut secret: impl FnMut() -> [u8; 32]) -> Result<Self, KeyFileError> {
        fs::create_dir_all(dir).map_err(failed("cannot make", dir))?;
        let mut key = |name: &str| {
            let path = dir.join(name);
            if !path.exists() {
                write_private(&path, hex::encode(secret()).as_bytes())?;
            }
            read_key(&path)
        };
        let validator = SigningKey::from_bytes(&key(VALIDATOR_KEY)?);
        let network = SigningKey::from_bytes(&key(NETWORK_KEY)?);
        let operator = AccountKey::from_bytes(key(OPERATOR_KEY)?)
            .map_err(|_| KeyFileError::NoKey(dir.join(OPERATOR_KEY)))?;
        Ok(Self { validator, network, operator })
    }

    /// Under which name peers know the node.
    pub fn peer(&self) -> String {
        peer_id(&self.network)
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> KeyFileError + use<> {
    let path = path.to_path_buf();
    move |cause| KeyFileError::Io { what, path, cause }
}

/// Reads a file of 64 hex digits that only its owner may read.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_key(path: &Path) -> Result<[u8; 32], KeyFileError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).map_err(failed("cannot read", path))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Open { path: path.to_path_buf(), mode });
        }
    }
    let text = fs::read_to_string(path).map_err(failed("cannot read", path))?;
    let bytes = hex::decode(text.trim()).ok().and_then(|b| b.try_into().ok());
    bytes.ok_or_else(|| KeyFileError::NoKey(path.to_path_buf()))
}

/// Writes a file that only its owner reads, complete or not at all.
///
/// # Errors
/// [`KeyFileError::Io`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let part = path.with_extension("part");
    match fs::remove_file(&part) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => {
            return Err(failed("cannot write", &part)(cause));
        }
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    // A file that is made here has these permissions from its first moment.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part).map_err(failed("cannot write", &part))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("cannot write", &part))?;
    fs::rename(&part, path).map_err(failed("cannot write", path))?;
    // The name itself must survive a power cut too.
    match path.parent() {
        Some(dir) => fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("cannot write", dir)),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_only_their_owner_may_read_them() {
        let dir = tempfile::tempdir().unwrap();
        let mut drawn = 0;
        let mut secret = || {
            drawn += 1;
            [drawn; 32]
        };
        let made = Keys::make(dir.path(), &mut secret).unwrap();
        let again = Keys::make(dir.path(), &mut secret).unwrap();
        assert_eq!(made.validator.to_bytes(), again.validator.to_bytes());
        assert_eq!(made.operator.address(), again.operator.address());
        assert_ne!(made.validator.to_bytes(), made.network.to_bytes());
        assert_eq!(drawn, 3, "the second time nothing is drawn");

        let path = dir.path().join(VALIDATOR_KEY);
        let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
        fs::set_permissions(&path, open).unwrap();
        assert!(matches!(read_key(&path), Err(KeyFileError::Open { mode: 0o644, .. })));
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.hex");
        for text in ["", "00", &"zz".repeat(32), &"00".repeat(33)] {
            write_private(&path, text.as_bytes()).unwrap();
            assert!(matches!(read_key(&path), Err(KeyFileError::NoKey(p)) if p == path), "{text}");
        }
        assert!(matches!(read_key(&dir.path().join("none")), Err(KeyFileError::Io { .. })));
    }
}
