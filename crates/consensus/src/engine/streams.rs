//! Puts blocks together again from their parts, in whatever order they come, and however
//! hard somebody tries to fill our memory: streams, parts and bytes are bounded per publisher
//! and in all.

use std::collections::{BTreeMap, HashMap};

use arc_malachitebft_app_channel::app::types::PeerId;
use arc_malachitebft_app_channel::app::types::streaming::{StreamId, StreamMessage};
use arc_malachitebft_engine::util::streaming::StreamContent;

use crate::block::MAX_BLOCK_BYTES;
use crate::types::{Height, Part, PartInit};

/// Bytes of a block in one part.
pub(super) const PART_BYTES: usize = 128 * 1024;
/// Sequence numbers of a stream: the opening, the data, the end.
const MAX_SEQUENCE: u64 = (MAX_BLOCK_BYTES / PART_BYTES) as u64 + 1;
/// Open streams of one publisher. An honest one has one per round it proposes in.
const STREAMS_PER_PUBLISHER: usize = 4;
/// Open streams in all.
const MAX_STREAMS: usize = 256;
/// Bytes of all open streams.
const MAX_BYTES: usize = 16 * MAX_BLOCK_BYTES;
/// A stream that has not ended after so many commits never will.
const MAX_AGE: u64 = 4;

#[derive(Default)]
struct Stream {
    init: Option<PartInit>,
    data: BTreeMap<u64, Vec<u8>>,
    end: Option<u64>,
    bytes: usize,
    opened: u64,
    commit: u64,
}

/// All streams under way.
#[derive(Default)]
pub(super) struct Streams {
    open: HashMap<(PeerId, StreamId), Stream>,
    bytes: usize,
    opened: u64,
    commits: u64,
}

impl Streams {
    /// Takes a part; returns the opening and the bytes when it was the last one missing.
    /// `wanted` judges the opening of a stream; what it refuses is dropped with all its parts.
    pub(super) fn receive(
        &mut self,
        publisher: PeerId,
        message: StreamMessage<Part>,
        wanted: impl FnOnce(&PartInit) -> bool,
    ) -> Option<(PartInit, Vec<u8>)> {
        let key = (publisher, message.stream_id);
        if !self.open.contains_key(&key) {
            self.opened += 1;
            let stream = Stream { opened: self.opened, commit: self.commits, ..Stream::default() };
            self.open.insert(key.clone(), stream);
        }
        let stream = self.open.get_mut(&key)?;
        let before = stream.bytes;
        let sound = stream.take(message.sequence, message.content, wanted);
        let (added, complete) = (stream.bytes - before, stream.is_complete());
        self.bytes += added;
        if !sound {
            self.drop_stream(&key);
            return None;
        }
        if complete {
            let stream = self.drop_stream(&key)?;
            let bytes: Vec<u8> = stream.data.into_values().flatten().collect();
            return Some((stream.init?, bytes));
        }
        self.shrink(publisher);
        None
    }

    /// A height is committed: what belongs to it, or has been open for too long, goes.
    pub(super) fn committed(&mut self, height: Height) {
        self.commits += 1;
        let commits = self.commits;
        self.open.retain(|_, s| {
            let stale = s.init.as_ref().is_some_and(|i| i.height <= height);
            !stale && commits - s.commit < MAX_AGE
        });
        self.bytes = self.open.values().map(|s| s.bytes).sum();
    }

    fn drop_stream(&mut self, key: &(PeerId, StreamId)) -> Option<Stream> {
        let stream = self.open.remove(key)?;
        self.bytes -= stream.bytes;
        Some(stream)
    }

    fn shrink(&mut self, publisher: PeerId) {
        let of = self.open.keys().filter(|(p, _)| *p == publisher).count();
        if of > STREAMS_PER_PUBLISHER {
            self.drop_oldest_of(publisher);
        }
        while self.bytes > MAX_BYTES || self.open.len() > MAX_STREAMS {
            // Whoever holds most pays, so that a flood does not push out the others.
            let mut held: HashMap<PeerId, (usize, usize)> = HashMap::new();
            for ((p, _), s) in &self.open {
                let h = held.entry(*p).or_default();
                *h = (h.0 + s.bytes, h.1 + 1);
            }
            let Some((greedy, _)) = held.into_iter().max_by_key(|(p, h)| (*h, p.to_bytes())) else { return };
            self.drop_oldest_of(greedy);
        }
    }

    fn drop_oldest_of(&mut self, publisher: PeerId) {
        let oldest = self
            .open
            .iter()
            .filter(|((p, _), _)| *p == publisher)
            .min_by_key(|(_, s)| s.opened)
            .map(|(k, _)| k);
        if let Some(key) = oldest.cloned() {
            self.drop_stream(&key);
        }
    }
}

impl Stream {
    /// False when no honest proposer could have sent this.
    fn take(
        &mut self,
        sequence: u64,
        content: StreamContent<Part>,
        wanted: impl FnOnce(&PartInit) -> bool,
    ) -> bool {
        if sequence > MAX_SEQUENCE {
            return false;
        }
        match content {
            StreamContent::Data(Part::Init(init)) => {
                if sequence != 0 || init.total_len as usize > MAX_BLOCK_BYTES {
                    return false;
                }
                match &self.init {
                    Some(known) => return *known == init,
                    None if !wanted(&init) => return false,
                    None => self.init = Some(init),
                }
            }
            StreamContent::Data(Part::Data(data)) => {
                if sequence == 0 || data.is_empty() || data.len() > PART_BYTES {
                    return false;
                }
                if !self.data.contains_key(&sequence) {
                    self.bytes += data.len();
                    self.data.insert(sequence, data);
                }
            }
            StreamContent::Fin => self.end = Some(sequence),
        }
        let limit = self.init.as_ref().map_or(MAX_BLOCK_BYTES, |i| i.total_len as usize);
        self.bytes <= limit
    }

    fn is_complete(&self) -> bool {
        let parts = self.data.len() as u64 + 1;
        match &self.init {
            // As many parts as numbers below the end, so none is missing.
            Some(init) => self.end == Some(parts) && self.bytes == init.total_len as usize,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::Signature;
    use crate::types::{Address, BlockId};
    use arc_malachitebft_app_channel::app::types::Keypair;

    fn peer(n: u8) -> PeerId {
        let key = Keypair::ed25519_from_bytes([n; 32]).unwrap();
        PeerId::from_bytes(&key.public().to_peer_id().to_bytes()).unwrap()
    }

    fn init(height: u64, total_len: usize) -> Part {
        Part::Init(PartInit {
            height: Height(height),
            round: 0,
            proposer: Address([1; 20]),
            id: BlockId([2; 32]),
            total_len: total_len as u32,
            signature: Signature([3; 64]),
        })
    }

    fn messages(id: u8, height: u64, bytes: &[u8]) -> Vec<StreamMessage<Part>> {
        let data = bytes.chunks(PART_BYTES).map(|c| Part::Data(c.to_vec()));
        let parts = std::iter::once(init(height, bytes.len())).chain(data).map(StreamContent::Data);
        let id = StreamId::new(vec![id].into());
        let all = parts.chain([StreamContent::Fin]).enumerate();
        all.map(|(n, c)| StreamMessage::new(id.clone(), n as u64, c)).collect()
    }

    #[test]
    fn parts_in_any_order_make_the_block() {
        let bytes: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        for rotation in 0..5 {
            let mut streams = Streams::default();
            let mut parts = messages(1, 1, &bytes);
            assert_eq!(parts.len(), 5);
            parts.rotate_left(rotation);
            let mut done: Vec<_> =
                parts.into_iter().filter_map(|m| streams.receive(peer(1), m, |_| true)).collect();
            assert_eq!(done.len(), 1);
            assert_eq!(done.remove(0).1, bytes);
            assert_eq!((streams.open.len(), streams.bytes), (0, 0));
        }
    }

    #[test]
    fn an_unwanted_opening_drops_the_stream() {
        let mut streams = Streams::default();
        let m = messages(1, 1, &[7; 10]);
        assert!(streams.receive(peer(1), m[1].clone(), |_| true).is_none());
        assert!(streams.receive(peer(1), m[0].clone(), |_| false).is_none());
        assert!(streams.open.is_empty() && streams.bytes == 0);
    }

    #[test]
    fn a_flood_keeps_its_publisher_within_bounds_and_spares_the_others() {
        let mut streams = Streams::default();
        let honest = messages(1, 1, &[5; 200_000]);
        streams.receive(peer(200), honest[0].clone(), |_| true);
        streams.receive(peer(200), honest[1].clone(), |_| true);
        for p in 0..30 {
            for s in 0..6u8 {
                for sequence in 1..=32 {
                    let content = StreamContent::Data(Part::Data(vec![0; PART_BYTES]));
                    let m = StreamMessage::new(StreamId::new(vec![s].into()), sequence, content);
                    assert!(streams.receive(peer(p), m, |_| true).is_none());
                }
            }
        }
        assert!(streams.bytes <= MAX_BYTES && streams.open.len() <= MAX_STREAMS);
        for p in 0..30 {
            assert!(streams.open.keys().filter(|(q, _)| *q == peer(p)).count() <= STREAMS_PER_PUBLISHER);
        }
        streams.receive(peer(200), honest[2].clone(), |_| true);
        assert!(streams.receive(peer(200), honest[3].clone(), |_| true).is_some());
    }

    #[test]
    fn more_bytes_than_announced_drop_the_stream() {
        let mut streams = Streams::default();
        let id = StreamId::new(vec![1].into());
        streams
            .receive(peer(1), StreamMessage::new(id.clone(), 0, StreamContent::Data(init(1, 5))), |_| true);
        let data = StreamContent::Data(Part::Data(vec![0; 6]));
        assert!(streams.receive(peer(1), StreamMessage::new(id.clone(), 1, data), |_| true).is_none());
        assert!(streams.open.is_empty());
        let far = StreamContent::Data(Part::Data(vec![0; 6]));
        assert!(streams.receive(peer(1), StreamMessage::new(id, 1000, far), |_| true).is_none());
        assert!(streams.open.is_empty());
    }

    #[test]
    fn commits_clear_what_is_late() {
        let mut streams = Streams::default();
        streams.receive(peer(1), messages(1, 7, &[1; 9])[0].clone(), |_| true);
        streams.receive(peer(2), messages(1, 8, &[1; 9])[0].clone(), |_| true);
        streams.receive(peer(3), messages(1, 8, &[1; 9])[1].clone(), |_| true);
        streams.committed(Height(7));
        assert_eq!((streams.open.len(), streams.bytes), (2, 9));
        for _ in 0..MAX_AGE {
            streams.committed(Height(7));
        }
        assert_eq!((streams.open.len(), streams.bytes), (0, 0));
    }
}
