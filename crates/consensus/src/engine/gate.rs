//! A gate in front of heights: nothing starts before it is told to.
//! Tests and the compressed clock of the demo drive a chain block by block with it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::types::Height;

/// Lets heights start up to a mark that only rises. Clones share the mark.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<Height>>);

impl Gate {
    /// A closed gate: not even height 1 may start.
    pub fn new() -> Self {
        Gate(Arc::new(watch::Sender::new(Height(0))))
    }

    /// Allows all heights up to and including this one. Never takes a permission back.
    pub fn open_until(&self, height: Height) {
        self.0.send_if_modified(|mark| {
            let rises = height > *mark;
            if rises {
                *mark = height;
            }
            rises
        });
    }

    /// The last height that may start.
    pub fn mark(&self) -> Height {
        *self.0.borrow()
    }

    /// Waits until a height may start.
    pub(super) async fn pass(&self, height: Height) {
        // The sender lives in `self`, so the channel cannot close while we wait.
        let _ = self.0.subscribe().wait_for(|mark| *mark >= height).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
