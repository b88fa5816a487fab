//! A network inside one process, in place of sockets: for a validator that is alone, and for
//! several whole engines in one test. Messages keep their order; a delay can be set, and
//! nodes can be cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use app_channel::app::types::PeerId;
use arc_malachitebft_app_channel as app_channel;
use arc_malachitebft_core_consensus::{LivenessMsg, SignedConsensusMsg};
use arc_malachitebft_engine as malachite;
use arc_malachitebft_sync::{InboundRequestId, OutboundRequestId};
use malachite::network::{Multiaddr, NetworkEvent, NetworkMsg, NetworkRef, Subscriber};
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr, async_trait};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::guard::Guarded;
use crate::signing::Signature;
use crate::types::Ctx;

type Inbox = mpsc::UnboundedSender<(Instant, NetworkEvent<Ctx>)>;

#[derive(Default)]
struct Inner {
    inboxes: BTreeMap<PeerId, Vec<Inbox>>,
    cut: BTreeSet<PeerId>,
    requests: u64,
    pending: BTreeMap<String, (PeerId, OutboundRequestId)>,
}

/// Where the engines of one process meet. Clones are the same place.
#[derive(Clone, Default)]
pub struct Hub {
    inner: Arc<Mutex<Inner>>,
    delay: Duration,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub({} nodes)", self.lock().inboxes.len())
    }
}

impl Hub {
    /// A hub that delivers at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// A hub where every message takes this long.
    pub fn with_delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    // A panic elsewhere leaves the maps whole: they are never half changed.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts a node off, or lets it back. What is under way still arrives.
    pub(super) fn set_cut(&self, peer: PeerId, cut: bool) {
        let mut inner = self.lock();
        if cut {
            inner.cut.insert(peer);
        } else {
            inner.cut.remove(&peer);
        }
    }

    pub(super) fn leave(&self, peer: PeerId) {
        let mut inner = self.lock();
        if inner.inboxes.remove(&peer).is_some() {
            for inbox in inner.inboxes.values().flatten() {
                let _ = inbox.send((Instant::now(), NetworkEvent::PeerDisconnected(peer)));
            }
        }
    }

    pub(super) async fn join(
        &self,
        me: PeerId,
        voice: Guarded,
    ) -> Result<(NetworkRef<Ctx>, mpsc::Sender<app_channel::NetworkMsg<Ctx>>), SpawnErr> {
        let (actor, _) = Actor::spawn(None, Net { me, hub: self.clone(), voice }, ()).await?;
        let (tx, mut rx) = mpsc::channel::<app_channel::NetworkMsg<Ctx>>(64);
        let target = actor.clone();
        tokio::spawn(async move {
            while let Some(message) = rx.recv().await {
                if target.cast(message.into()).is_err() {
                    break;
                }
            }
        });
        Ok((actor, tx))
    }

    fn send(&self, from: PeerId, to: Option<PeerId>, event: NetworkEvent<Ctx>) {
        let inner = self.lock();
        if inner.cut.contains(&from) {
            return;
        }
        let due = Instant::now() + self.delay;
        for (peer, inboxes) in &inner.inboxes {
            if *peer == from || inner.cut.contains(peer) || to.is_some_and(|t| t != *peer) {
                continue;
            }
            for inbox in inboxes {
                let _ = inbox.send((due, event.clone()));
            }
        }
    }
}

/// One task per receiver keeps the order.
fn inbox(subscriber: Box<dyn Subscriber<NetworkEvent<Ctx>>>) -> Inbox {
    let (tx, mut rx) = mpsc::unbounded_channel::<(Instant, NetworkEvent<Ctx>)>();
    tokio::spawn(async move {
        while let Some((due, event)) = rx.recv().await {
            if due > Instant::now() {
                sleep_until(due).await;
            }
            subscriber.send(event);
        }
    });
    tx
}

/// The network actor of one node.
struct Net {
    me: PeerId,
    hub: Hub,
    voice: Guarded,
}

#[async_trait]
impl Actor for Net {
    type Msg = NetworkMsg<Ctx>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let (me, hub) = (self.me, &self.hub);
        match message {
            NetworkMsg::Subscribe(subscriber) => {
                let tx = inbox(subscriber);
                let now = Instant::now();
                let mut inner = hub.lock();
                let _ = tx.send((now, NetworkEvent::Listening(Multiaddr::empty())));
                for (peer, others) in inner.inboxes.iter().filter(|(p, _)| **p != me) {
                    let _ = tx.send((now, NetworkEvent::PeerConnected(*peer)));
                    for other in others {
                        let _ = other.send((now, NetworkEvent::PeerConnected(me)));
                    }
                }
                inner.inboxes.entry(me).or_default().push(tx);
            }
            NetworkMsg::PublishConsensusMsg(SignedConsensusMsg::Vote(v))
            | NetworkMsg::PublishLivenessMsg(LivenessMsg::Vote(v)) => {
                if let Some(v) = self.voice.spoken(v) {
                    hub.send(me, None, NetworkEvent::Vote(me, v));
                }
            }
            NetworkMsg::PublishConsensusMsg(SignedConsensusMsg::Proposal(p))
                if p.signature == Signature::NONE => {}
            NetworkMsg::PublishConsensusMsg(SignedConsensusMsg::Proposal(p)) => {
                hub.send(me, None, NetworkEvent::Proposal(me, p));
            }
            NetworkMsg::PublishLivenessMsg(LivenessMsg::PolkaCertificate(c)) => {
                hub.send(me, None, NetworkEvent::PolkaCertificate(me, c));
            }
            NetworkMsg::PublishLivenessMsg(LivenessMsg::SkipRoundCertificate(c)) => {
                hub.send(me, None, NetworkEvent::RoundCertificate(me, c));
            }
            NetworkMsg::PublishProposalPart(p) => {
                hub.send(me, None, NetworkEvent::ProposalPart(me, Some(me), p));
            }
            NetworkMsg::BroadcastStatus(s) => hub.send(me, None, NetworkEvent::Status(me, s)),
            NetworkMsg::OutgoingRequest(to, request, reply) => {
                let number = {
                    let mut inner = hub.lock();
                    inner.requests += 1;
                    let number = inner.requests;
                    let from = (me, OutboundRequestId::new(number));
                    inner.pending.insert(InboundRequestId::new(number).to_string(), from);
                    number
                };
                let _ = reply.send(OutboundRequestId::new(number));
                let event = NetworkEvent::SyncRequest(InboundRequestId::new(number), me, request);
                hub.send(me, Some(to), event);
            }
            NetworkMsg::OutgoingResponse(id, response) => {
                let asked = hub.lock().pending.remove(&id.to_string());
                if let Some((to, number)) = asked {
                    hub.send(me, Some(to), NetworkEvent::SyncResponse(number, me, Some(response)));
                }
            }
            NetworkMsg::DumpState(reply) => {
                let _ = reply.send(None);
            }
            NetworkMsg::UpdatePersistentPeers(_, reply) => {
                let _ = reply.send(Ok(()));
            }
            _ => {}
        }
        Ok(())
    }
}
