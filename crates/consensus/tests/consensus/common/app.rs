//! The toy state machine as an application: its "disk" is shared memory that outlives engines,
//! plus a file that is flushed where a store would flush, when durations matter.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dodona_consensus::engine::*;
use dodona_consensus::*;
use tokio::sync::watch;

use super::State;

pub struct Inner {
    pub state: State,
    pub undecided: BTreeMap<Height, Vec<Undecided>>,
    pub decided: Vec<Decided>,
    pub proposals: Vec<Height>,
    pub evidence: Vec<Evidence>,
    pub tx_bytes: usize,
    /// Fails the commit of this height, once.
    pub fail_at: Option<Height>,
    /// Panics when asked for this height.
    pub panic_at: Option<Height>,
    /// What a store would flush to.
    pub file: Option<File>,
    pub flushing: Duration,
}

#[derive(Clone)]
pub struct Disk {
    pub inner: Arc<Mutex<Inner>>,
    pub height: Arc<watch::Sender<Height>>,
    pub gate: Option<Gate>,
}

impl Disk {
    pub fn new(state: State) -> Self {
        let inner = Inner {
            state,
            undecided: BTreeMap::new(),
            decided: Vec::new(),
            proposals: Vec::new(),
            evidence: Vec::new(),
            tx_bytes: 100,
            fail_at: None,
            panic_at: None,
            file: None,
            flushing: Duration::ZERO,
        };
        Disk {
            inner: Arc::new(Mutex::new(inner)),
            height: Arc::new(watch::Sender::new(Height(0))),
            gate: None,
        }
    }

    pub fn get(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn app(&self) -> Box<dyn Application> {
        Box::new(Toy { disk: self.clone(), outcomes: HashMap::new() })
    }

    /// Waits for a commit; the limit only ends a test that would never end.
    pub async fn reaches(&self, height: u64) {
        let mut rx = self.height.subscribe();
        let waited =
            tokio::time::timeout(Duration::from_secs(60), rx.wait_for(|h| *h >= Height(height))).await;
        assert!(waited.is_ok(), "height {height} was not reached in a minute");
    }

    pub fn header(&self, height: u64) -> Header {
        Block::decode(&self.get().decided[height as usize - 1].0).unwrap().header
    }

    pub fn certificate(&self, height: u64) -> Certificate {
        Certificate::decode(&self.get().decided[height as usize - 1].1).unwrap()
    }
}

struct Toy {
    disk: Disk,
    outcomes: HashMap<BlockId, State>,
}

impl Inner {
    fn flush(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file {
            let start = Instant::now();
            file.write_all(bytes).unwrap();
            file.sync_data().unwrap();
            self.flushing += start.elapsed();
        }
    }
}

impl Application for Toy {
    fn chain_id(&self) -> String {
        self.disk.get().state.chain_id.clone()
    }

    fn last_height(&self) -> Height {
        self.disk.get().state.height
    }

    fn validators(&self) -> ValidatorSet {
        self.disk.get().state.validators.clone()
    }

    fn propose(&mut self, height: Height, _: u32, proposer: Address) -> Result<Block, Fatal> {
        if let Some(gate) = &self.disk.gate {
            assert!(gate.mark() >= height, "height {height} started before the gate was open");
        }
        let mut inner = self.disk.get();
        inner.proposals.push(height);
        if inner.panic_at == Some(height) {
            drop(inner);
            panic!("a bug in the application, part of the test");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let evidence = std::mem::take(&mut inner.evidence);
        let body = Body { txs: vec![vec![height.0 as u8; inner.tx_bytes]], evidence, last_commit: None };
        let block = inner.state.propose(proposer, now, body);
        let outcome = inner.state.apply(&block).map_err(Fatal::new)?;
        self.outcomes.insert(block.id(), outcome);
        Ok(block)
    }

    fn validate(&mut self, block: &Block) -> Result<bool, Fatal> {
        match self.disk.get().state.apply(block) {
            Ok(outcome) => {
                self.outcomes.insert(block.id(), outcome);
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    fn commit(&mut self, id: BlockId, block: &[u8], certificate: &Certificate) -> Result<(), Fatal> {
        let mut inner = self.disk.get();
        if inner.fail_at == Some(certificate.height) {
            inner.fail_at = None;
            return Err(Fatal::new("the disk is full"));
        }
        inner.state = self.outcomes.remove(&id).ok_or_else(|| Fatal::new("no outcome"))?;
        inner.decided.push((block.to_vec(), certificate.encode()));
        inner.undecided.retain(|h, _| *h > certificate.height);
        inner.flush(block);
        drop(inner);
        self.outcomes.clear();
        self.disk.height.send_replace(certificate.height);
        Ok(())
    }

    fn finalize(&mut self, certificate: &Certificate) -> Result<(), Fatal> {
        let mut inner = self.disk.get();
        inner.decided.last_mut().unwrap().1 = certificate.encode();
        Ok(())
    }

    fn misbehaviour(&mut self, evidence: Vec<Evidence>) -> Result<(), Fatal> {
        self.disk.get().evidence.extend(evidence);
        Ok(())
    }

    fn put_undecided(&mut self, height: Height, block: &Undecided) -> Result<(), Fatal> {
        let mut inner = self.disk.get();
        inner.undecided.entry(height).or_default().push(block.clone());
        inner.flush(&block.bytes);
        Ok(())
    }

    fn undecided(&self, height: Height) -> Result<Vec<Undecided>, Fatal> {
        Ok(self.disk.get().undecided.get(&height).cloned().unwrap_or_default())
    }

    fn decided(&self, height: Height) -> Result<Option<Decided>, Fatal> {
        Ok(self.disk.get().decided.get(height.0 as usize - 1).cloned())
    }
}
