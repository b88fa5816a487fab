//! A validator's weights on their way to the chain: at once, or sealed until the one epoch in which they may be shown.
//! What is due is found out from the chain, not remembered: after a kill at any moment the next call goes on.

use std::{
    collections::BTreeSet,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use dodona_client::{Client, ClientError, Transport, Wallet};
use dodona_proto::{
    Address,
    chain::TxReceipt,
    commit, path,
    subnets::{
        MsgCommitWeights, MsgRevealWeights, MsgSetWeights, Neuron, QueryNeuronRequest, QuerySubnetRequest,
        Subnet,
    },
    tx::{TxHash, pack},
    url,
};
use prost_types::Any;
use rand::RngCore;
use serde::Serialize;

use super::vault::{Fate, Sealed, Vault, VaultError};

/// Gas of a subnet's messages, with room for weights of everybody.
pub const GAS: u64 = 500_000;
/// Bytes of a salt.
const SALT: usize = 32;
/// Longest wait for a transaction's block.
const PATIENCE: Duration = Duration::from_secs(30);
const PERIOD: Duration = Duration::from_millis(200);
/// Blocks after which a commit that is in none counts as lost.
const LOST_AFTER: u64 = 100;

/// What a validator thinks of a subnet's miners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Subnet.
    pub netuid: u32,
    /// Incentive mechanism.
    pub mechanism: u32,
    /// Whom it is about.
    pub uids: Vec<u32>,
    /// What each is worth, 0 to 65535.
    pub values: Vec<u32>,
    /// Version of the validator's software.
    pub version: u64,
}

/// How a row got to the chain.
#[derive(Clone, Debug, PartialEq)]
pub enum Brought {
    /// As it is.
    Set(TxReceipt),
    /// As a digest, which is to be revealed.
    Committed {
        /// Hex.
        digest: String,
        /// Block of the commit.
        block: u64,
        /// Epoch of the subnet in which it can be revealed.
        reveal_epoch: u64,
        /// First block of that epoch, as far as it is known now; 0 when it is not.
        from_block: u64,
        /// First block after it, likewise.
        until_block: u64,
    },
}

/// What is known of a row that was open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Subnet.
    pub netuid: u32,
    /// Incentive mechanism.
    pub mechanism: u32,
    /// Hex.
    pub digest: String,
    /// State.
    #[serde(flatten)]
    pub now: Now,
}

/// Where an open row stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Now {
    /// The commit is in no block yet.
    Pending,
    /// It is to be revealed later.
    Waits {
        /// Epoch of the subnet,
        reveal_epoch: u64,
        /// and its first block, as far as it is known now; 0 when it is not.
        from_block: u64,
    },
    /// Just now, or in an earlier life.
    Revealed {
        /// Known since this block.
        block: u64,
    },
    /// A newer commit was revealed and used it up.
    Superseded,
    /// The chain refuses it now; tried again while the epoch lasts.
    Refused {
        /// The chain's words.
        why: String,
    },
    /// It can never be revealed.
    Missed {
        /// For people.
        why: String,
    },
}

impl Now {
    /// Whether nothing is left to be done.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Revealed { .. } | Self::Superseded | Self::Missed { .. })
    }
}

/// Why weights did not get on their way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says it; the fields are the words of the message")]
pub enum WeightsError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("{log} ({codespace} {code}); transaction {hash}")]
    Failed { log: String, codespace: String, code: u32, hash: String },
    #[error("transaction {hash} is in no block after {} s; it may still get into one", PATIENCE.as_secs())]
    NoBlock { hash: String },
    #[error("the chain would refuse these weights when they are revealed: {0}")]
    Row(String),
    #[error("hotkey {hotkey} is not registered in subnet {netuid}: register it first")]
    NotRegistered { hotkey: Address, netuid: u32 },
    #[error("the node tells no {0} of the subnet: is it of another version?")]
    Setting(&'static str),
}

/// A setting of a subnet.
pub fn setting<'a>(subnet: &'a Subnet, name: &'static str) -> Result<&'a str, WeightsError> {
    let found = subnet.hyperparameters.iter().find(|setting| setting.name == name);
    found.map(|setting| setting.value.as_str()).ok_or(WeightsError::Setting(name))
}

fn number(subnet: &Subnet, name: &'static str) -> Result<u64, WeightsError> {
    setting(subnet, name)?.parse().map_err(|_| WeightsError::Setting(name))
}

/// Waits until a transaction is in a block.
///
/// # Errors
/// [`WeightsError`]: it failed there, or is in none yet.
pub fn confirm<T: Transport>(client: &Client<T>, hash: TxHash) -> Result<TxReceipt, WeightsError> {
    let shown = hex::encode_upper(hash);
    let until = Instant::now() + PATIENCE;
    loop {
        match client.tx(hash) {
            Ok(receipt) if receipt.code == 0 => return Ok(receipt),
            Ok(TxReceipt { log, codespace, code, .. }) => {
                return Err(WeightsError::Failed { log, codespace, code, hash: shown });
            }
            Err(ClientError::NotFound(_)) if Instant::now() < until => sleep(PERIOD),
            Err(ClientError::NotFound(_)) => return Err(WeightsError::NoBlock { hash: shown }),
            Err(error) => return Err(error.into()),
        }
    }
}

fn send<T: Transport>(
    client: &Client<T>,
    wallet: &mut Wallet,
    message: Any,
) -> Result<TxReceipt, WeightsError> {
    let hash = wallet.send(client, vec![message], GAS)?;
    confirm(client, hash)
}

/// Whether the chain itself said no: then it has nothing of it.
fn refused(error: &WeightsError) -> bool {
    matches!(error, WeightsError::Failed { .. } | WeightsError::Client(ClientError::Refused { .. }))
}

/// A validator's own place in a subnet.
fn own<T: Transport>(
    client: &Client<T>,
    netuid: u32,
    mechanism: u32,
    hotkey: Address,
) -> Result<Option<Neuron>, ClientError> {
    let request = QueryNeuronRequest { netuid, hotkey: hotkey.to_string(), mechanism };
    match client.ask(path::NEURON, &request) {
        Ok(neuron) => Ok(Some(neuron)),
        Err(ClientError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a reveal would be refused for whatever happens until then, found before anything is committed.
fn check(row: &Row, subnet: &Subnet, own: &Neuron) -> Result<(), WeightsError> {
    let wrong = |why: String| Err(WeightsError::Row(why));
    let (n, named) = (subnet.neurons, row.uids.len());
    let distinct: BTreeSet<u32> = row.uids.iter().copied().collect();
    if distinct.len() != named || row.values.len() != named {
        return wrong("a uid is named twice".into());
    }
    if let Some(uid) = row.uids.iter().find(|uid| **uid >= n) {
        return wrong(format!("uid {uid}: the subnet has {n} neurons, from 0 on"));
    }
    if row.values.iter().any(|value| *value > u32::from(u16::MAX)) {
        return wrong("a weight is above 65535".into());
    }
    let least = number(subnet, "min_allowed_weights")?.min(n.into());
    if (named as u64) < least && row.uids != [own.uid] {
        return wrong(format!("{named} uids are named, at least {least} are needed"));
    }
    let version = number(subnet, "weights_version")?;
    if row.version != 0 && row.version < version {
        return wrong(format!("version {} is older than the subnet's {version}", row.version));
    }
    Ok(())
}

/// First block of an epoch of a subnet that has not come, as far as it is known; 0 when it is not.
fn first_block(subnet: &Subnet, epoch: u64) -> u64 {
    match (subnet.next_epoch, number(subnet, "tempo")) {
        (0, _) | (_, Err(_)) => 0,
        (next, Ok(tempo)) => {
            next.saturating_add(epoch.saturating_sub(subnet.epochs + 1).saturating_mul(tempo))
        }
    }
}

/// Brings a row to the chain in the way its subnet wants: at once, or sealed in the vault in `dir` and committed. What
/// people should know is handed to `tell`.
///
/// # Errors
/// [`WeightsError`]. When the node was not there the row stays in the vault: [`settle`] finds out whether the commit got
/// into a block.
pub fn bring<T: Transport>(
    client: &Client<T>,
    wallet: &mut Wallet,
    dir: &Path,
    row: &Row,
    mut tell: impl FnMut(&str),
) -> Result<Brought, WeightsError> {
    let (netuid, mechanism, hotkey) = (row.netuid, row.mechanism, wallet.address());
    let sender = hotkey.to_string();
    let subnet: Subnet = client.ask(path::SUBNET, &QuerySubnetRequest { netuid })?;
    if setting(&subnet, "commit_reveal")? != "true" {
        let (uids, values) = (row.uids.clone(), row.values.clone());
        let message = MsgSetWeights { sender, netuid, mechanism, uids, values, version_key: row.version };
        return Ok(Brought::Set(send(client, wallet, pack(url::SET_WEIGHTS, &message))?));
    }
    let me = own(client, netuid, mechanism, hotkey)?;
    let me = me.ok_or(WeightsError::NotRegistered { hotkey, netuid })?;
    check(row, &subnet, &me)?;
    if !me.permit && subnet.owner_hotkey != sender && row.uids != [me.uid] {
        let next = subnet.next_epoch;
        tell(&format!(
            "uid {} has no permit: unless the epoch in block {next} gives it one (to the largest stakes), the reveal will be refused",
            me.uid
        ));
    }
    let status = client.status()?;
    let mut salt = [0; SALT];
    rand::rngs::OsRng.fill_bytes(&mut salt);
    let digest = commit::digest(hotkey, (netuid, mechanism), &row.uids, &row.values, &salt, row.version);
    let shown = hex::encode(digest);
    let mut vault = Vault::open(dir, &status.chain_id, hotkey)?;
    vault.put(Sealed {
        netuid,
        mechanism,
        uids: row.uids.clone(),
        values: row.values.clone(),
        version: row.version,
        salt: hex::encode(salt),
        digest: shown.clone(),
        height: status.height,
        fate: Fate::Written,
    })?;
    let message = MsgCommitWeights { sender, netuid, mechanism, digest: digest.to_vec() };
    let receipt = match send(client, wallet, pack(url::COMMIT_WEIGHTS, &message)) {
        Ok(receipt) => receipt,
        Err(error) if refused(&error) => {
            vault.forget(&shown)?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let subnet: Subnet = client.ask(path::SUBNET, &QuerySubnetRequest { netuid })?;
    let me = own(client, netuid, mechanism, hotkey)?.unwrap_or_default();
    let found = me.commits.iter().find(|open| open.digest == digest);
    let block = receipt.height;
    let reveal_epoch = match found {
        Some(open) => open.reveal_epoch,
        None => subnet.epochs.saturating_add(number(&subnet, "reveal_period")?),
    };
    vault.note(&shown, Fate::Committed { block, reveal_epoch })?;
    let (from_block, until_block) =
        (first_block(&subnet, reveal_epoch), first_block(&subnet, reveal_epoch + 1));
    Ok(Brought::Committed { digest: shown, block, reveal_epoch, from_block, until_block })
}

/// Looks at every open row of this hotkey once: reveals what is due, of several the newest, and says where each stands.
///
/// # Errors
/// [`WeightsError`]: calling again goes on.
pub fn settle<T: Transport>(
    client: &Client<T>,
    wallet: &mut Wallet,
    dir: &Path,
) -> Result<Vec<Told>, WeightsError> {
    let chain = client.status()?.chain_id;
    let mut vault = Vault::open(dir, &chain, wallet.address())?;
    let open: Vec<Sealed> = vault.rows().iter().filter(|row| row.fate.is_open()).cloned().collect();
    let places: BTreeSet<(u32, u32)> = open.iter().map(|row| (row.netuid, row.mechanism)).collect();
    let mut all = Vec::new();
    for (netuid, mechanism) in places {
        let mine: Vec<&Sealed> =
            open.iter().filter(|row| (row.netuid, row.mechanism) == (netuid, mechanism)).collect();
        let told = |digest: &str, now: Now| Told { netuid, mechanism, digest: digest.into(), now };
        for (digest, now) in place(client, wallet, &mut vault, (netuid, mechanism), &mine)? {
            let fate = match &now {
                Now::Revealed { block } => Some(Fate::Revealed { block: *block }),
                Now::Superseded => Some(Fate::Superseded),
                Now::Missed { why } => Some(Fate::Missed { why: why.clone() }),
                Now::Pending | Now::Waits { .. } | Now::Refused { .. } => None,
            };
            if let Some(fate) = fate {
                vault.note(&digest, fate)?;
            }
            all.push(told(&digest, now));
        }
    }
    Ok(all)
}

/// The open rows of one mechanism of a subnet, oldest first.
fn place<T: Transport>(
    client: &Client<T>,
    wallet: &mut Wallet,
    vault: &mut Vault,
    (netuid, mechanism): (u32, u32),
    rows: &[&Sealed],
) -> Result<Vec<(String, Now)>, WeightsError> {
    let hotkey = wallet.address();
    let missed = |why: &str| Now::Missed { why: why.into() };
    let every = |now: Now| rows.iter().map(|row| (row.digest.clone(), now.clone())).collect();
    let subnet: Subnet = match client.ask(path::SUBNET, &QuerySubnetRequest { netuid }) {
        Err(ClientError::NotFound(_)) => return Ok(every(missed("the subnet does not exist any more"))),
        known => known?,
    };
    let Some(me) = own(client, netuid, mechanism, hotkey)? else {
        return Ok(every(missed("the hotkey is not registered in the subnet any more")));
    };
    let height = client.status()?.height;
    let mut out: Vec<(String, Now)> = Vec::new();
    let mut due = Vec::new();
    for row in rows {
        let open = me.commits.iter().find(|open| hex::encode(&open.digest) == row.digest);
        if let (Some(open), Fate::Written) = (open, &row.fate) {
            // Before it is revealed: once it is gone from the chain, what was only written counts as never heard.
            let (block, reveal_epoch) = (open.block, open.reveal_epoch);
            vault.note(&row.digest, Fate::Committed { block, reveal_epoch })?;
        }
        let now = match (open, &row.fate) {
            (Some(open), _) if subnet.epochs < open.reveal_epoch => Now::Waits {
                reveal_epoch: open.reveal_epoch,
                from_block: first_block(&subnet, open.reveal_epoch),
            },
            (Some(open), _) if subnet.epochs > open.reveal_epoch => late(open.reveal_epoch, &subnet),
            (Some(_), _) => {
                due.push(*row);
                continue;
            }
            (None, Fate::Committed { block, .. }) if *block > height => {
                missed("the chain is younger than its commit: it was begun anew")
            }
            (None, Fate::Committed { block, .. }) if me.registered > *block => {
                missed("the hotkey lost its uid and was registered anew: commits end with a registration")
            }
            // It is gone: in an earlier life, or nobody came in time.
            (None, Fate::Committed { reveal_epoch, .. }) => match says(&me, row) {
                true => Now::Revealed { block: height },
                false => late(*reveal_epoch, &subnet),
            },
            (None, _) if height > row.height.saturating_add(LOST_AFTER) => {
                missed("its commit got into no block, or its epoch passed")
            }
            (None, _) => Now::Pending,
        };
        out.push((row.digest.clone(), now));
    }
    if let Some((newest, older)) = due.split_last() {
        let now = match reveal(client, wallet, newest) {
            Ok(receipt) => Now::Revealed { block: receipt.height },
            Err(error) if refused(&error) => Now::Refused { why: error.to_string() },
            Err(error) => return Err(error),
        };
        for row in older {
            let after = match &now {
                Now::Revealed { .. } => Now::Superseded,
                _ => Now::Waits { reveal_epoch: subnet.epochs, from_block: height },
            };
            out.push((row.digest.clone(), after));
        }
        out.push((newest.digest.clone(), now));
    }
    Ok(out)
}

fn late(reveal_epoch: u64, subnet: &Subnet) -> Now {
    let now = subnet.epochs;
    Now::Missed {
        why: format!(
            "it could be revealed in epoch {reveal_epoch} of the subnet only, now is epoch {now}: \
             keep `dodona subnet weights --wait` running, or run `dodona subnet reveal` in time"
        ),
    }
}

/// Whether the chain holds exactly these weights as this neuron's: in parts of the largest, as it stores them.
fn says(me: &Neuron, row: &Sealed) -> bool {
    let largest = row.values.iter().copied().max().unwrap_or(0).max(1);
    let mut wanted: Vec<(u32, f64)> = row
        .uids
        .iter()
        .zip(&row.values)
        .map(|(uid, value)| (*uid, f64::from(*value) / f64::from(largest) * f64::from(u16::MAX)))
        .collect();
    wanted.sort_unstable_by_key(|(uid, _)| *uid);
    wanted.len() == me.weights.len()
        && wanted
            .iter()
            .zip(&me.weights)
            .all(|((uid, value), entry)| *uid == entry.uid && (value - f64::from(entry.value)).abs() <= 1.0)
}

fn reveal<T: Transport>(
    client: &Client<T>,
    wallet: &mut Wallet,
    row: &Sealed,
) -> Result<TxReceipt, WeightsError> {
    let message = MsgRevealWeights {
        sender: wallet.address().to_string(),
        netuid: row.netuid,
        mechanism: row.mechanism,
        uids: row.uids.clone(),
        values: row.values.clone(),
        salt: hex::decode(&row.salt).unwrap_or_default(), // damage is refused by the chain
        version_key: row.version,
    };
    send(client, wallet, pack(url::REVEAL_WEIGHTS, &message))
}
