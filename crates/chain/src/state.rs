//! What everything in this crate reads and writes.

use dodona_store::{Overlay, Snapshot};

/// The state a block works on: committed values below, its own writes on top.
pub type State = Overlay<Snapshot>;
