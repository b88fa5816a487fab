//! Joining a chain without living through it: a node without a chain asks its peers for their snapshots, before it
//! starts. What it does not have yet, it needs for that only as an outsider: the genesis document that names the chain.

use std::{path::Path, sync::Arc, time::Duration};

use dodona_chain::{App, Genesis, Signatures};
use dodona_store::{Config, Store};
use tokio::{runtime::Handle, sync::watch, time::Instant};

use super::{Anchor, Remote, Restored, Shelf, SnapshotError, SnapshotSource, fetch, restore};
use crate::{
    Head, Mempool,
    mempool::Limits,
    peer::{ByteService, PeerConfig, Peers},
};

/// Under which number peers are asked for snapshots.
pub const REQUEST_KIND: u8 = 1;
/// Longest time for one answer of at most 1 MiB.
const ANSWER: Duration = Duration::from_secs(30);
/// Time for more peers to be found after the first one.
const OTHERS: Duration = Duration::from_secs(1);

impl ByteService for Shelf {
    fn serve(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.answer(key)
    }
}

/// Gives a home without a chain the newest snapshot of its peers that follows from the anchor. Waits for the first peer
/// at most as long as `patience`. The next start of the node goes on with the block after.
///
/// # Errors
/// [`SnapshotError::Occupied`], [`SnapshotError::NoSource`], [`SnapshotError::Silent`], and those of [`restore`].
pub async fn join(
    home: &Path,
    genesis: &Genesis,
    peering: PeerConfig,
    anchor: Anchor,
    now_ms: u64,
    patience: Duration,
) -> Result<Restored, SnapshotError> {
    let occupied = home.join("chain.redb");
    if occupied.exists() {
        return Err(SnapshotError::Occupied(occupied));
    }
    // Peers speak with a node at genesis, which takes no part in anything.
    let app = App::open(Store::memory(Config::default()), genesis, Signatures::Check)?;
    let mempool = Mempool::new(app, Limits::default())?;
    let (_heads, heads) = watch::channel(Head::default());
    let started = Peers::start(peering, genesis, mempool, heads).await;
    let peers = started.map_err(|error| SnapshotError::Silent(error.to_string()))?;
    let until = Instant::now() + patience;
    while peers.list().is_empty() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(OTHERS.min(patience)).await;
    let mut sources: Vec<Box<dyn SnapshotSource>> = Vec::new();
    for peer in peers.list() {
        let (peers, runtime) = (peers.clone(), Handle::current());
        let ask = move |key: &[u8]| {
            let answer = peers.request(peer.id, REQUEST_KIND, key, ANSWER);
            runtime.block_on(answer).map_err(|error| error.to_string())
        };
        sources.push(Box::new(Remote::new(format!("{:?}", peer.id), ask)));
    }
    let (home, genesis) = (home.to_path_buf(), Arc::new(genesis.clone()));
    let work = tokio::task::spawn_blocking(move || {
        let sources: Vec<&dyn SnapshotSource> = sources.iter().map(|source| &**source).collect();
        let (path, bad) = fetch(&sources, &anchor, &Shelf::of_home(&home), now_ms)?;
        for (place, error) in bad {
            tracing::warn!(peer = sources[place].name(), %error, "a peer's snapshot is not used");
        }
        restore(&home, &genesis, &path, &anchor, now_ms)
    });
    let done = work.await;
    peers.stop().await;
    done.map_err(|panic| SnapshotError::Silent(panic.to_string()))?
}
