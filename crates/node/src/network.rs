//! A node among others: how it reaches them, whom it sees, and how it notices that it has fallen behind for good.

use std::{net::SocketAddr, time::Duration};

use dodona_consensus::engine::{Hub, PeerAddress, PeerList, Peers, Timeouts};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, MissedTickBehavior, interval},
};

use crate::Head;

/// How often peers are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A node's place in a network of validators.
#[derive(Clone, Debug)]
pub struct Networking {
    /// The way to the others.
    pub way: Way,
    /// What the node calls itself in the lists of its peers; proves nothing.
    pub moniker: String,
    /// How often peers tell each other their height, 1 to 5 seconds.
    pub status_interval: Duration,
    /// Patience of a round.
    pub timeouts: Timeouts,
    /// A node that makes no block for so long while others do, or while enough validators are connected to make
    /// one, ends with [`Stalled`]; zero: never.
    pub stalled_after: Duration,
}

/// The way to the others.
#[derive(Clone, Debug)]
pub enum Way {
    /// Sockets.
    Tcp {
        /// Where others reach this node; port 0 takes a free one.
        listen: SocketAddr,
        /// Peers to be connected with at all times.
        persistent: Vec<PeerAddress>,
        /// Nobody but those: for a validator behind nodes of its own.
        only_persistent: bool,
        /// Ask peers for their peers, and dial those too.
        discovery: bool,
    },
    /// Nodes of one process, for tests.
    Hub(Hub),
}

impl Networking {
    /// Sockets, with everything else as it should be if nobody says otherwise.
    pub fn tcp(listen: SocketAddr, persistent: Vec<PeerAddress>) -> Self {
        Self::new(Way::Tcp { listen, persistent, only_persistent: false, discovery: false })
    }

    /// Nodes of one process.
    pub fn hub(hub: Hub) -> Self {
        Self::new(Way::Hub(hub))
    }

    fn new(way: Way) -> Self {
        Self {
            way,
            moniker: "dodona".into(),
            status_interval: Duration::from_secs(1),
            timeouts: Timeouts::default(),
            stalled_after: Duration::from_secs(60),
        }
    }
}

/// The node makes no blocks although it could. Ending the process and starting it again is the remedy for all causes
/// known; its supervisor does that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stalled {
    /// Others have gone on.
    #[error(
        "no block for {seconds} s at height {height}, while a peer is at {best}: block sync is stuck; the node ends to be started again"
    )]
    Behind {
        /// Our height.
        height: u64,
        /// The greatest a peer has told.
        best: u64,
        /// How long.
        seconds: u64,
    },
    /// Nobody goes on.
    #[error(
        "no block for {seconds} s at height {height}, although validators with {power} of {total} power are connected: the node ends to be started again"
    )]
    Stuck {
        /// Our height.
        height: u64,
        /// Power of the connected validators and our own.
        power: u64,
        /// Of the whole set.
        total: u64,
        /// How long.
        seconds: u64,
    },
}

/// Looks at the peers once a second, passes on what it sees, and reports a node that has come to a standstill.
/// Ends with the reason, or when nobody listens any more.
pub(crate) async fn watch_over(
    peers: Peers,
    mut heads: watch::Receiver<Head>,
    seen: watch::Sender<PeerList>,
    patience: Duration,
    alarm: oneshot::Sender<Stalled>,
) {
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut since, mut looked) = (Instant::now(), Instant::now());
    while !alarm.is_closed() {
        tick.tick().await;
        let list = peers.list().await;
        // A machine that slept, or had no time for us, is no sign of a network at a standstill.
        let held_up = looked.elapsed() > LOOK * 10;
        looked = Instant::now();
        if heads.has_changed().unwrap_or(false) || held_up {
            since = Instant::now();
        }
        let height = heads.borrow_and_update().height;
        let stalled = judge(height, &list, since.elapsed(), patience);
        seen.send_replace(list);
        if let Some(stalled) = stalled {
            let _ = alarm.send(stalled);
            return;
        }
    }
}

/// Whether a node that has stood at this height for so long should go on waiting.
fn judge(height: u64, list: &PeerList, stood: Duration, patience: Duration) -> Option<Stalled> {
    if patience.is_zero() || stood < patience {
        return None;
    }
    let (best, seconds) = (list.best_height(), stood.as_secs());
    if best > height {
        return Some(Stalled::Behind { height, best, seconds });
    }
    // Without enough validators there is nothing to be done but wait for them.
    let quorum = list.has_quorum() && !list.peers.is_empty();
    quorum.then_some(Stalled::Stuck { height, power: list.power, total: list.total_power, seconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dodona_consensus::engine::Peer;

    fn list(height: Option<u64>, power: u64) -> PeerList {
        let peer = Peer {
            id: "a".into(),
            address: String::new(),
            moniker: String::new(),
            outbound: true,
            persistent: true,
            validator: None,
            power: 10,
            height,
        };
        PeerList { peers: vec![peer], power, total_power: 40 }
    }

    #[test]
    fn a_node_gives_up_only_when_others_go_on_or_could() {
        let minute = Duration::from_secs(60);
        assert_eq!(judge(5, &list(Some(9), 40), minute / 2, minute), None, "patience");
        assert!(matches!(
            judge(5, &list(Some(9), 20), minute, minute),
            Some(Stalled::Behind { best: 9, .. })
        ));
        assert!(matches!(
            judge(5, &list(Some(5), 30), minute, minute),
            Some(Stalled::Stuck { power: 30, .. })
        ));
        assert_eq!(judge(5, &list(Some(5), 20), minute * 9, minute), None, "half of the power is no quorum");
        assert_eq!(judge(5, &list(None, 20), minute * 9, minute), None);
        assert_eq!(judge(5, &PeerList::default(), minute * 9, minute), None, "nobody is connected");
        let alone = PeerList { peers: Vec::new(), power: 40, total_power: 40 };
        assert_eq!(judge(5, &alone, minute * 9, minute), None);
        assert_eq!(judge(5, &list(Some(9), 40), minute * 9, Duration::ZERO), None, "switched off");
    }
}
