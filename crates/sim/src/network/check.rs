//! What has to hold at the end of every run: one chain, proven by its certificates, that gives the same state to whoever
//! executes it again; nothing lost, nothing made of nothing, nobody stuck.

use std::collections::BTreeMap;

use dodona_client::Client;
use dodona_consensus::{
    Block, Certificate, Height, LightBlock, LightClient, PublicKey, Validator, ValidatorSet,
};
use dodona_proto::tx::{self, TxHash};
use dodona_store::{Config, Store};

use super::{
    cluster::Cluster,
    load::Desk,
    node::{Life, application},
};
use crate::world::TOPIC;

/// How far the topic has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Epochs {
    pub opened: u64,
    pub scored: u64,
    pub void: u64,
}

impl Epochs {
    /// Whether epochs have begun and ended since.
    pub fn goes_on(&self, before: &Self) -> bool {
        self.opened > before.opened && self.scored + self.void > before.scored + before.void
    }
}

/// What was seen on the way.
pub(super) struct Seen {
    /// Height that all nodes have.
    pub height: u64,
    /// Root of the state after it.
    pub root: [u8; 32],
    pub epochs: Epochs,
    pub evidence: u64,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// How far the topic has come where most blocks are.
pub(super) fn epochs(cluster: &Cluster) -> Epochs {
    let lives = cluster.nodes.iter().filter_map(|node| node.life.as_ref());
    let Some(life) = lives.max_by_key(|life| life.height) else { return Epochs::default() };
    let desk = Desk::new(life.chain.clone(), life.mempool.clone());
    // Before the topic is there, nothing has been asked.
    Client::new(&desk).topic(TOPIC).map_or_else(
        |_| Epochs::default(),
        |t| Epochs { opened: t.epochs_opened, scored: t.epochs_scored, void: t.epochs_void },
    )
}

fn set_of(listed: &[dodona_chain::Validator]) -> Result<ValidatorSet, String> {
    let known = listed.iter().map(|v| Ok(Validator::new(PublicKey::from_bytes(&v.public_key)?, v.power)));
    let known = known.collect::<Result<Vec<_>, dodona_consensus::KeyError>>().map_err(text)?;
    ValidatorSet::new(known).map_err(text)
}

/// Who decided, or will decide, a height.
fn deciders(life: &Life, height: u64) -> Result<ValidatorSet, String> {
    let kept = life.chain.validators_of(height).map_err(text)?;
    match kept {
        Some(listed) => set_of(&listed),
        None => set_of(&life.chain.validators().map_err(text)?),
    }
}

/// Checks everything.
pub(super) fn all(cluster: &Cluster, before: &Epochs) -> Result<Seen, String> {
    let mut lives = Vec::new();
    for node in &cluster.nodes {
        lives.push(node.life.as_ref().ok_or("a node is down at the end")?);
    }
    let height = lives.iter().map(|life| life.app.last_height().0).min().unwrap_or(0);
    let mut first: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut evidence = 0;
    for (i, life) in lives.iter().enumerate() {
        let at = |what: String| format!("node {i}: {what}");
        let mut light = LightClient::new(&cluster.genesis.chain_id, deciders(life, 1).map_err(at)?);
        let mut places: BTreeMap<TxHash, (u64, u32)> = BTreeMap::new();
        for h in 1..=life.app.last_height().0 {
            let decided = life.app.decided(Height(h)).map_err(text)?;
            let (bytes, certificate) = decided.ok_or_else(|| at(format!("block {h} is gone")))?;
            let block = Block::decode(&bytes).map_err(text)?;
            if first.entry(h).or_insert_with(|| bytes.clone()) != &bytes {
                return Err(at(format!("another block at height {h}")));
            }
            for (index, tx) in block.body.txs.iter().enumerate() {
                places.insert(tx::hash(tx), (h, index as u32));
            }
            if i == 0 {
                evidence += block.body.evidence.len() as u64;
            }
            let step = LightBlock {
                header: block.header,
                certificate: Certificate::decode(&certificate).map_err(text)?,
                next_validators: deciders(life, h + 1)?,
            };
            light.advance(&step).map_err(|e| at(format!("block {h}: {e}")))?;
        }
        if light.app_hash() != Some(life.chain.root()) {
            return Err(at("its state is not the one its last block names".into()));
        }
        life.chain.check_invariants().map_err(|e| at(format!("{e:?}")))?;
        let last = life.app.last_height().0;
        for (hash, place) in cluster.included.iter().filter(|(_, place)| place.0 <= last) {
            if places.get(hash) != Some(place) {
                return Err(at(format!(
                    "transaction {} was in block {}, and is not",
                    hex::encode(hash),
                    place.0
                )));
            }
        }
    }
    let root = again(cluster, height, lives[0])?;
    let epochs = epochs(cluster);
    if !epochs.goes_on(before) {
        return Err(format!("the topic is stuck: {before:?} when all was well again, {epochs:?} at the end"));
    }
    Ok(Seen { height, root, epochs, evidence })
}

/// A newcomer with an empty disk executes the whole chain and comes to the same state.
fn again(cluster: &Cluster, height: u64, from: &Life) -> Result<[u8; 32], String> {
    let (mut app, chain, _) = application(Store::memory(Config::default()), &cluster.genesis)?;
    let mut root = chain.root();
    for h in 1..=height {
        let (bytes, certificate) = from.app.decided(Height(h)).map_err(text)?.ok_or("a block is gone")?;
        let block = Block::decode(&bytes).map_err(text)?;
        if !app.validate(&block).map_err(text)? {
            return Err(format!("a newcomer refuses block {h}"));
        }
        let certificate = Certificate::decode(&certificate).map_err(text)?;
        app.commit(block.id(), &bytes, &certificate).map_err(text)?;
        root = chain.root();
        if root != block.header.app_hash {
            return Err(format!("a newcomer comes to another state at block {h}"));
        }
    }
    Ok(root)
}
