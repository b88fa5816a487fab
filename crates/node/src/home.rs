//! Where a node lives: a folder with genesis, keys and store. Made once, checked at every start, so that a folder of
//! another chain is never written to.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use dodona_chain::{Genesis, GenesisError};
use dodona_consensus::SigningKey;
use dodona_store::{RecordChange, RecordTable, Store, StoreError};
use sha2::{Digest, Sha256};

use crate::{
    config::CONFIG_FILE,
    keys::{KeyFileError, NETWORK_KEY, OPERATOR_KEY, VALIDATOR_KEY, read_key, write_private},
    offline,
};

/// What a first start makes before the genesis file, which marks a complete home.
const UNFINISHED: [&str; 9] = [
    VALIDATOR_KEY,
    "validator_key.part",
    NETWORK_KEY,
    "network_key.part",
    OPERATOR_KEY,
    CONFIG_FILE,
    "config.part",
    "genesis.part",
    "index.redb",
];

/// What is known of the chain's beginning: SHA-256 of its genesis document.
const ORIGIN: RecordTable = RecordTable::new("origin");
const GENESIS_DIGEST: &[u8] = b"genesis";

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
    /// No genesis file.
    #[error(
        "no genesis.json in {}: put the chain's there; `dodona init --home` makes the rest of a home",
        .0.display()
    )]
    NoGenesis(PathBuf),
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
    /// The chain in it began with another genesis of the same name.
    #[error(
        "the chain in {} began with another genesis.json than the one that is there now: put back the one it was made with, or choose an empty folder with --home",
        .0.display()
    )]
    OtherGenesis(PathBuf),
    /// Its store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key would never be asked for a vote, and no block would ever be made.
    #[error("the key in {} belongs to no validator of this chain's genesis: restore the right one from your backup", .0.display())]
    Stranger(PathBuf),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
}

impl Home {
    /// Opens the folder of a chain's only validator, making it on first use. Folder and genesis must fit: same
    /// document, byte for byte; the key must be one of genesis, as without it no block would ever be made.
    pub fn open(dir: &Path, genesis: Genesis, key: SigningKey) -> Result<Self, HomeError> {
        let home = Self::make(dir, genesis, key)?;
        if !home.is_in_genesis() {
            return Err(HomeError::Stranger(dir.join(VALIDATOR_KEY)));
        }
        Ok(home)
    }

    /// Remembers beside the state with which genesis its chain began, and refuses another: the state is of that one.
    pub(crate) fn hold_to_genesis(&self, store: &Store) -> Result<(), HomeError> {
        let digest: [u8; 32] = Sha256::digest(self.genesis.to_json().as_bytes()).into();
        match store.record(ORIGIN, GENESIS_DIGEST)? {
            Some(known) if known == digest => Ok(()),
            Some(_) => Err(HomeError::OtherGenesis(self.dir.clone())),
            // The first start, or the first since programs remember it.
            None => {
                Ok(store.put_records(vec![RecordChange::put(ORIGIN, GENESIS_DIGEST, digest.to_vec())])?)
            }
        }
    }

    /// Opens the folder of one node of a network, making it on first use: like [`Home::open`], for any key. One that is
    /// in no validator set follows without voting, and may become a validator later.
    pub fn make(dir: &Path, genesis: Genesis, key: SigningKey) -> Result<Self, HomeError> {
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
                let key_path = dir.join(VALIDATOR_KEY);
                if !key_path.exists() {
                    write_private(&key_path, hex::encode(key.to_bytes()).as_bytes())?;
                }
                write_private(&genesis_path, document.as_bytes())?;
            }
            Err(cause) => return Err(failed("cannot read", &genesis_path)(cause)),
        }
        Self::load(dir)
    }

    /// Opens a folder that is complete: genesis and validator key are there.
    pub fn load(dir: &Path) -> Result<Self, HomeError> {
        let genesis = offline::genesis(dir)?;
        let key = SigningKey::from_bytes(&read_key(&dir.join(VALIDATOR_KEY))?);
        Ok(Self { dir: dir.to_path_buf(), genesis, key })
    }

    /// The key that names this node on the network; made on first use.
    pub fn network_key(&self) -> Result<SigningKey, HomeError> {
        let path = self.dir.join(NETWORK_KEY);
        if !path.exists() {
            let key = SigningKey::generate(&mut rand::rngs::OsRng);
            write_private(&path, hex::encode(key.to_bytes()).as_bytes())?;
        }
        Ok(SigningKey::from_bytes(&read_key(&path)?))
    }

    /// Whether the key is one of those that genesis lets vote.
    pub fn is_in_genesis(&self) -> bool {
        let public = hex::encode(self.key.verifying_key().to_bytes());
        self.genesis.validators.iter().any(|v| v.public_key.eq_ignore_ascii_case(&public))
    }

    /// The folder of the engine's log: what a restart must not contradict.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("wal")
    }

    /// The file of the double-sign guard. It belongs to the key, and travels with it.
    pub fn guard_path(&self) -> PathBuf {
        self.dir.join("sign_state.json")
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
