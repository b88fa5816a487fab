//! Where a node lives: a folder with genesis, validator key and store. Made once, checked at every start, so that a
//! folder of another chain is never written to.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use dodona_chain::{Genesis, GenesisError};
use dodona_consensus::SigningKey;

/// A node's folder, opened.
pub struct Home {
    dir: PathBuf,
    genesis: Genesis,
    key: SigningKey,
}

/// Why a folder cannot be a home.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file could not be made or read.
    #[error("{what} {}: {cause}; choose another folder with --home, or mend its permissions", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The genesis file is not one.
    #[error("{}: {cause}", .path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: GenesisError,
    },
    /// The folder belongs to something else.
    #[error("{} holds {found}, which is not this chain ({wanted}): choose an empty folder with --home", .path.display())]
    Other {
        /// The folder.
        path: PathBuf,
        /// What is in it.
        found: String,
        /// What was wanted.
        wanted: String,
    },
    /// The key file does not hold a key.
    #[error("{} does not hold a validator key (64 hex digits): restore it from your backup", .0.display())]
    Key(PathBuf),
}

impl Home {
    /// Opens the folder, making it on first use. Folder and genesis must fit: same document, byte for byte.
    pub fn open(dir: &Path, genesis: Genesis, key: SigningKey) -> Result<Self, HomeError> {
        let failed = |what, path: &Path| {
            let path = path.to_path_buf();
            move |cause| HomeError::Io { what, path, cause }
        };
        fs::create_dir_all(dir).map_err(failed("cannot make", dir))?;
        let genesis_path = dir.join("genesis.json");
        let document = genesis.to_json();
        match fs::read(&genesis_path) {
            Ok(found) if found == document.as_bytes() => {}
            Ok(found) => {
                let other = Genesis::from_json(&found)
                    .map_err(|cause| HomeError::Genesis { path: genesis_path.clone(), cause })?;
                return Err(HomeError::Other {
                    path: dir.to_path_buf(),
                    found: format!("chain `{}` with another genesis", other.chain_id),
                    wanted: format!("`{}` of these arguments", genesis.chain_id),
                });
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let mut entries = fs::read_dir(dir).map_err(failed("cannot read", dir))?;
                if entries.next().is_some() {
                    return Err(HomeError::Other {
                        path: dir.to_path_buf(),
                        found: "files but no genesis.json".into(),
                        wanted: format!("`{}`", genesis.chain_id),
                    });
                }
                write_new(&dir.join("validator_key.hex"), hex::encode(key.to_bytes()).as_bytes())?;
                write_new(&genesis_path, document.as_bytes())?;
            }
            Err(cause) => return Err(failed("cannot read", &genesis_path)(cause)),
        }
        let key_path = dir.join("validator_key.hex");
        let text = fs::read_to_string(&key_path).map_err(failed("cannot read", &key_path))?;
        let bytes: [u8; 32] = hex::decode(text.trim())
            .ok()
            .and_then(|b| b.try_into().ok())
            .ok_or_else(|| HomeError::Key(key_path.clone()))?;
        Ok(Self { dir: dir.to_path_buf(), genesis, key: SigningKey::from_bytes(&bytes) })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The store's file.
    pub fn store_path(&self) -> PathBuf {
        self.dir.join("chain.redb")
    }

    /// How the chain began.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Signs votes.
    pub fn validator_key(&self) -> &SigningKey {
        &self.key
    }
}

/// Writes a file that only its owner reads, complete or not at all.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    let failed = |cause| HomeError::Io { what: "cannot write", path: path.to_path_buf(), cause };
    let part = path.with_extension("part");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&part, path).map_err(failed)
}
