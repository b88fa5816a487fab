//! What has to hold at the end of every run: one chain, proven by its certificates, that gives the same state to whoever
//! executes it again; nothing lost, nothing made of nothing, nobody stuck.

use std::collections::BTreeMap;

use dodona_chain::{
    QueryError,
    staking::state::VALIDATORS,
    upgrade::{self, KNOWN},
};
use dodona_client::Client;
use dodona_consensus::{
    Address, Block, Certificate, Height, LightBlock, LightClient, PublicKey, Validator, ValidatorSet,
};
use dodona_light::{Claim, LightBlock as Link, Policy, Proof, Trust};
use dodona_proto::tx::{self, TxHash};
use dodona_store::{Config, Store};

use super::{
    cluster::Cluster,
    load::Desk,
    node::{Life, application},
    program,
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
    pub sets: u64,
    pub links: u64,
    pub rotated: Option<u64>,
    pub upgraded: Option<u64>,
}

/// The set may take so many of its epochs to be another one.
const ROTATION_EPOCHS: u64 = 20;

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
    punished(cluster, lives[0])?;
    let (sets, rotated) = sets(cluster, lives[0])?;
    let upgraded = upgraded(cluster, &lives)?;
    let links = proven(cluster, lives[0])?;
    let root = again(cluster, height, lives[0])?;
    let epochs = epochs(cluster);
    if !epochs.goes_on(before) {
        return Err(format!("the topic is stuck: {before:?} when all was well again, {epochs:?} at the end"));
    }
    Ok(Seen { height, root, epochs, evidence, sets, links, rotated, upgraded })
}

/// Whether all that the plan changes for good has been changed.
pub(super) fn changed(cluster: &Cluster) -> bool {
    let lives = cluster.nodes.iter().filter_map(|node| node.life.as_ref());
    let plan = cluster.plan();
    lives.into_iter().all(|life| {
        let state = life.chain.store().snapshot();
        let done = state.is_ok_and(|state| upgrade::done(&state, program::NAME).is_ok_and(|at| at.is_some()));
        (!plan.upgrade || done)
            && (plan.rotate == 0 || strangers(cluster, life, life.app.last_height().0).unwrap_or(false))
    })
}

/// Whether a height is decided by nobody who was there at genesis.
fn strangers(cluster: &Cluster, life: &Life, height: u64) -> Result<bool, String> {
    let first: Vec<Address> =
        cluster.nodes.iter().take(cluster.plan().powers.len()).map(|node| node.address).collect();
    let set = deciders(life, height)?;
    Ok(set.validators().iter().all(|v| !first.contains(&v.address)))
}

/// Nobody is accused who did not lie, and whoever is proven to have lied has lost stake and seat for good.
fn punished(cluster: &Cluster, life: &Life) -> Result<(), String> {
    let last = life.app.last_height().0;
    let state = life.chain.store().snapshot().map_err(text)?;
    let known = VALIDATORS.scan(&state, usize::MAX).map_err(text)?;
    for h in 1..=last {
        let (bytes, _) = life.app.decided(Height(h)).map_err(text)?.ok_or("a block is gone")?;
        for proof in &Block::decode(&bytes).map_err(text)?.body.evidence {
            let who = proof.offender();
            if !cluster.is_liar(who) {
                return Err(format!("block {h} accuses {who}, who did not lie"));
            }
            let its = known.iter().find(|(_, v)| {
                PublicKey::from_bytes(&v.public_key).is_ok_and(|key| Address::of(&key) == who)
            });
            // One that has left altogether is forgotten.
            let punished =
                its.is_none_or(|(_, v)| v.jailed && v.tombstoned && v.tokens <= v.shares / 20 * 19);
            let sits = deciders(life, last + 1)?.validators().iter().any(|v| v.address == who);
            if !punished || sits {
                return Err(format!("block {h} proves that {who} lied, and nothing came of it"));
            }
        }
    }
    Ok(())
}

/// How many sets decided, and the first block that none of the first validators had a part in.
fn sets(cluster: &Cluster, life: &Life) -> Result<(u64, Option<u64>), String> {
    let (mut count, mut before, mut rotated) = (0, None, None);
    for h in 1..=life.app.last_height().0 {
        let set = deciders(life, h)?;
        if before.as_ref() != Some(&set.hash()) {
            count += 1;
            before = Some(set.hash());
        }
        if rotated.is_none() && strangers(cluster, life, h)? {
            rotated = Some(h);
        }
    }
    let rotate = cluster.plan().rotate;
    match rotated {
        None if rotate > 0 => Err("the first validators still decide".into()),
        Some(h) if h > rotate * ROTATION_EPOCHS => Err(format!("the set was rotated at block {h} only")),
        _ => Ok((count, rotated)),
    }
}

/// The block of the upgrade, the same for everybody, if there was one.
fn upgraded(cluster: &Cluster, lives: &[&Life]) -> Result<Option<u64>, String> {
    let mut heights = Vec::new();
    for life in lives {
        let state = life.chain.store().snapshot().map_err(text)?;
        let form = upgrade::form(&state).map_err(text)?;
        let done = upgrade::done(&state, program::NAME).map_err(text)?;
        if done.is_some() != cluster.plan().upgrade || done.is_some() != (form != KNOWN[0].from) {
            return Err(format!("upgraded at {done:?}, the form of the state is {form}"));
        }
        heights.push(done);
    }
    heights.dedup();
    match heights[..] {
        [one] => Ok(one),
        _ => Err(format!("upgraded at different heights: {heights:?}")),
    }
}

/// A stranger who trusts genesis believes an answer of the last block, after as many blocks between as it takes.
fn proven(cluster: &Cluster, life: &Life) -> Result<u64, String> {
    let genesis = &cluster.genesis;
    let trust = Trust::genesis(
        genesis.chain_id.clone(),
        genesis.time_ms,
        genesis.params.unbonding_time_ms,
        deciders(life, 1)?,
    );
    let fetch = |height: u64| -> Result<Link, QueryError> {
        let internal = |error: String| QueryError::Internal(error);
        let decided = life.app.decided(Height(height)).map_err(|e| internal(text(e)))?;
        let (bytes, certificate) = decided.ok_or_else(|| internal(format!("block {height} is gone")))?;
        Ok(Link {
            header: Block::decode(&bytes).map_err(|e| internal(text(e)))?.header,
            certificate: Certificate::decode(&certificate).map_err(|e| internal(text(e)))?,
            validators: deciders(life, height).map_err(internal)?,
        })
    };
    let last = life.app.last_height().0;
    let claim = Claim::NewestInference { topic: TOPIC };
    let state = life.chain.store().prove(last, &claim.key()).map_err(text)?;
    let (links, block) = dodona_node::lead(&trust, fetch(last).map_err(text)?, fetch).map_err(text)?;
    let count = links.len() as u64;
    let proof = Proof { claim, links, block, value: state.value, path: state.proof };
    let believed = |proof: &Proof| {
        dodona_light::verify(proof.to_json().as_bytes(), trust.to_json().as_bytes(), Policy::default())
    };
    let report = believed(&proof);
    if !report.verified {
        return Err(format!("a stranger does not believe block {last}: {:?}", report.steps.last()));
    }
    // Nobody of genesis is left to vouch for the last block: it is not to be believed by itself.
    if strangers(cluster, life, last)? && believed(&Proof { links: Vec::new(), ..proof }).verified {
        return Err(format!("block {last} is believed on nobody's word"));
    }
    Ok(count)
}

/// A newcomer with an empty disk executes the whole chain and comes to the same state.
fn again(cluster: &Cluster, height: u64, from: &Life) -> Result<[u8; 32], String> {
    let (mut app, chain, _) =
        application(Store::memory(Config::default()), &cluster.genesis, cluster.nodes[0].program)?;
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
