//! Snapshots of a running node: at heights that are multiples of a number, so that all nodes have the same ones. Blocks
//! go on meanwhile.

use super::{Shelf, SnapshotError};
use crate::{NodeHandle, follower::Farewell};

/// When a node makes snapshots, and how many it keeps.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Made after every block whose height is a multiple of this; 0: never.
    pub every: u64,
    /// Newest ones kept; 0: all.
    pub keep: usize,
}

impl Default for Schedule {
    /// None at all.
    fn default() -> Self {
        Self { every: 0, keep: 2 }
    }
}

/// Makes snapshots until its farewell; one that is under way is finished. What goes wrong is told and tried
/// again at the next height: the chain does not depend on it.
pub(crate) async fn follow(node: NodeHandle, shelf: Shelf, schedule: Schedule, farewell: Farewell) {
    if schedule.every == 0 {
        return;
    }
    let mut heads = node.heads();
    loop {
        let head = heads.borrow_and_update().height;
        let height = head - head % schedule.every;
        let (app, own) = (node.app().clone(), shelf.clone());
        let made = tokio::task::spawn_blocking(move || {
            if height == 0 || own.heights()?.contains(&height) {
                return Ok(None);
            }
            let began = std::time::Instant::now();
            let head = own.add(&app, height, schedule.keep)?;
            Ok::<_, SnapshotError>(Some((head.manifest.bytes(), began.elapsed())))
        });
        match made.await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some((bytes, took)))) => {
                tracing::info!(height, bytes, milliseconds = took.as_millis() as u64, "snapshot made");
            }
            // A node that was down, or is catching up, meets heights whose state is gone already.
            Ok(Err(SnapshotError::Store(dodona_store::StoreError::UnknownVersion { .. }))) => {}
            Ok(Err(error)) => tracing::error!(height, %error, "no snapshot; trying again at the next height"),
            Err(panic) => tracing::error!(height, %panic, "no snapshot; trying again at the next height"),
        }
        let next = height + schedule.every;
        // The farewell, or the end of the chain.
        let Some(Ok(_)) = farewell.or(heads.wait_for(|head| head.height >= next)).await else { return };
    }
}
