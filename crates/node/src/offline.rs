//! A home whose node is stopped: for commands that look at its chain, copy it or check it.

use std::{fs, io::ErrorKind, path::Path};

use dodona_chain::{App, Genesis, Signatures};
use dodona_store::{Config, Store};

use crate::{CACHE_BYTES, HomeError, KEEP_VERSIONS, NodeError};

/// The genesis of a home.
///
/// # Errors
/// [`HomeError::NoGenesis`], [`HomeError::Io`], [`HomeError::Genesis`].
pub fn genesis(home: &Path) -> Result<Genesis, HomeError> {
    let path = home.join("genesis.json");
    let io = |cause: std::io::Error| match cause.kind() {
        ErrorKind::NotFound => HomeError::NoGenesis(home.to_path_buf()),
        _ => HomeError::Io { what: "cannot read", path: path.clone(), cause },
    };
    let bytes = fs::read(&path).map_err(io)?;
    Genesis::from_json(&bytes).map_err(|cause| HomeError::Genesis { path: path.clone(), cause })
}

/// The store of a home that has a chain; nothing is made.
///
/// # Errors
/// [`HomeError::Io`] if there is none, and those of the store: one in use by a node is locked.
pub fn store(home: &Path) -> Result<Store, NodeError> {
    let path = home.join("chain.redb");
    fs::metadata(&path).map_err(|cause| HomeError::Io { what: "cannot open", path: path.clone(), cause })?;
    Ok(Store::open(&path, Config { cache_bytes: CACHE_BYTES, keep_versions: KEEP_VERSIONS })?)
}

/// The chain of a home.
///
/// # Errors
/// Those of [`genesis`] and [`store`], and what keeps this program from going on with the chain.
pub fn app(home: &Path) -> Result<App, NodeError> {
    let genesis = genesis(home)?;
    Ok(App::open(store(home)?, &genesis, Signatures::Check)?)
}
