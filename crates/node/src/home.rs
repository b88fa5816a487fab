//! Where a node lives: a folder with genesis, validator key and store. Made once, checked at every start, so that a
//! folder of another chain is never written to.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use dodona_chain::{Genesis, GenesisError};
use dodona_consensus::SigningKey;

/// What a first start makes before the genesis file, which marks a complete home.
const UNFINISHED: [&str; 4] = ["validator_key.hex", "validator_key.part", "genesis.part", "index.redb"];

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
    /// The key would never be asked for a vote, and no block would ever be made.
    #[error("the key in {} belongs to no validator of this chain's genesis: restore the right one from your backup", .0.display())]
    Stranger(PathBuf),
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
                for entry in fs::read_dir(dir).map_err(failed("cannot read", dir))? {
                    let name = entry.map_err(failed("cannot read", dir))?.file_name();
                    // A first start that was cut off leaves these; it is simply done again. An index is made anew.
                    if !UNFINISHED.iter().any(|own| name == *own) {
                        return Err(HomeError::Other {
                            path: dir.to_path_buf(),
                            found: "files but no genesis.json".into(),
                            wanted: format!("`{}`", genesis.chain_id),
                        });
                    }
                }
                let key_path = dir.join("validator_key.hex");
                if !key_path.exists() {
                    write_new(&key_path, hex::encode(key.to_bytes()).as_bytes())?;
                }
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
        let key = SigningKey::from_bytes(&bytes);
        let public = hex::encode(key.verifying_key().to_bytes());
        if !genesis.validators.iter().any(|v| v.public_key.eq_ignore_ascii_case(&public)) {
            return Err(HomeError::Stranger(key_path));
        }
        Ok(Self { dir: dir.to_path_buf(), genesis, key })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The store's file.
    pub fn store_path(&self) -> PathBuf {
        self.dir.join("chain.redb")
    }

    /// The index's file. It may be deleted while the node is down: the next start makes it again.
    pub fn index_path(&self) -> PathBuf {
        self.dir.join("index.redb")
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
    fs::rename(&part, path).map_err(failed)?;
    // The name itself must survive a power cut too.
    match path.parent() {
        Some(dir) => fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed),
        None => Ok(()),
    }
}
