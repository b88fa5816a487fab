//! Words for tests of subnets: messages, questions, and a network in which they can be short.

use dodona_proto::{
    ALLO,
    commit::{self, digest},
    path,
    subnets::{
        Child, Holding, Identity, MsgAnnounceColdkeySwap, MsgClaimRoot, MsgCommitWeights, MsgCreateSubnet,
        MsgDisputeColdkeySwap, MsgDissolveSubnet, MsgLockStake, MsgMoveLock, MsgMoveStake, MsgRegisterNeuron,
        MsgResetColdkeySwap, MsgRevealWeights, MsgServe, MsgSetAutoStake, MsgSetChildkeyTake, MsgSetChildren,
        MsgSetCommitment, MsgSetHotkeyIdentity, MsgSetHyperparameters, MsgSetRootClaim, MsgSetSubnetIdentity,
        MsgSetSubnetRules, MsgSetTake, MsgSetWeights, MsgStake, MsgStartSubnet, MsgSwapColdkey,
        MsgSwapHotkey, MsgTriggerEpoch, MsgTrimSubnet, MsgUnstake, MsgUnstakeAll, QueryColdkeySwapRequest,
        QueryColdkeySwapResponse, QueryHoldingsRequest, QueryHoldingsResponse, QueryLocksRequest,
        QueryLocksResponse, QueryMetagraphRequest, QueryMetagraphResponse, QuerySubnetRequest,
        QuerySubnetsRequest, QuerySubnetsResponse, Setting, Subnet,
    },
    tx::pack,
    url,
};

use super::kit::*;

/// Base units of the chain in one of the subnets'.
pub const UNIT: u128 = 1_000_000_000;

pub fn create_subnet(from: &str, hotkey: &str) -> Tx {
    let message = MsgCreateSubnet {
        sender: text(from),
        hotkey: text(hotkey),
        name: from.into(),
        max_cost: String::new(),
    };
    Tx::new(from, vec![pack(url::CREATE_SUBNET, &message)])
}

pub fn start(from: &str, netuid: u32) -> Tx {
    Tx::new(from, vec![pack(url::START_SUBNET, &MsgStartSubnet { sender: text(from), netuid })])
}

pub fn neuron(from: &str, netuid: u32, hotkey: &str) -> Tx {
    let message =
        MsgRegisterNeuron { sender: text(from), netuid, hotkey: text(hotkey), max_cost: String::new() };
    Tx::new(from, vec![pack(url::REGISTER_NEURON, &message)])
}

pub fn buy(from: &str, netuid: u32, hotkey: &str, amount: u128, limit: &str) -> Tx {
    let message = MsgStake {
        sender: text(from),
        hotkey: text(hotkey),
        netuid,
        amount: amount.to_string(),
        limit_price: limit.into(),
    };
    Tx::new(from, vec![pack(url::STAKE, &message)])
}

/// An empty amount means everything.
pub fn sell(from: &str, netuid: u32, hotkey: &str, amount: &str, limit: &str) -> Tx {
    let message = MsgUnstake {
        sender: text(from),
        hotkey: text(hotkey),
        netuid,
        amount: amount.into(),
        limit_price: limit.into(),
    };
    Tx::new(from, vec![pack(url::UNSTAKE, &message)])
}

pub fn move_stake(from: &str, (netuid, hotkey): (u32, &str), amount: &str, to: (u32, &str, &str)) -> Tx {
    let message = MsgMoveStake {
        sender: text(from),
        hotkey: text(hotkey),
        netuid,
        amount: amount.into(),
        to_hotkey: text(to.1),
        to_netuid: to.0,
        to_coldkey: if to.2.is_empty() { String::new() } else { text(to.2) },
        limit_price: String::new(),
        to_limit_price: String::new(),
    };
    Tx::new(from, vec![pack(url::MOVE_STAKE, &message)])
}

pub fn weights(hotkey: &str, netuid: u32, row: &[(u32, u32)]) -> Tx {
    let message = MsgSetWeights {
        sender: text(hotkey),
        netuid,
        uids: row.iter().map(|w| w.0).collect(),
        values: row.iter().map(|w| w.1).collect(),
        ..Default::default()
    };
    Tx::new(hotkey, vec![pack(url::SET_WEIGHTS, &message)])
}

const SALT: &[u8] = b"pinch of salt";

pub fn commit(hotkey: &str, netuid: u32, row: &[(u32, u32)]) -> Tx {
    let (uids, values): (Vec<u32>, Vec<u32>) = row.iter().copied().unzip();
    let digest = digest(address(hotkey), (netuid, 0), &uids, &values, SALT, 0).to_vec();
    let message = MsgCommitWeights { sender: text(hotkey), netuid, mechanism: 0, digest };
    Tx::new(hotkey, vec![pack(url::COMMIT_WEIGHTS, &message)])
}

pub fn reveal(hotkey: &str, netuid: u32, row: &[(u32, u32)]) -> Tx {
    let (uids, values) = row.iter().copied().unzip();
    let message = MsgRevealWeights {
        sender: text(hotkey),
        netuid,
        uids,
        values,
        salt: SALT.to_vec(),
        ..Default::default()
    };
    Tx::new(hotkey, vec![pack(url::REVEAL_WEIGHTS, &message)])
}

fn list(set: &[(&str, &str)]) -> Vec<Setting> {
    set.iter().map(|(name, value)| Setting { name: name.to_string(), value: value.to_string() }).collect()
}

pub fn hyper(from: &str, netuid: u32, set: &[(&str, &str)]) -> Tx {
    let message = MsgSetHyperparameters { sender: text(from), netuid, set: list(set) };
    Tx::new(from, vec![pack(url::SET_HYPERPARAMETERS, &message)])
}

pub fn rules(from: &str, set: &[(&str, &str)]) -> Tx {
    Tx::new(
        from,
        vec![pack(url::SET_SUBNET_RULES, &MsgSetSubnetRules { sender: text(from), set: list(set) })],
    )
}

pub fn take(from: &str, hotkey: &str, take: u32) -> Tx {
    Tx::new(from, vec![pack(url::SET_TAKE, &MsgSetTake { sender: text(from), hotkey: text(hotkey), take })])
}

pub fn auto_stake(from: &str, netuid: u32, hotkey: &str) -> Tx {
    let message = MsgSetAutoStake { sender: text(from), netuid, hotkey: text(hotkey) };
    Tx::new(from, vec![pack(url::SET_AUTO_STAKE, &message)])
}

pub fn claim_root(from: &str, hotkey: &str) -> Tx {
    claim_in(from, hotkey, &[])
}

pub fn claim_in(from: &str, hotkey: &str, netuids: &[u32]) -> Tx {
    let message = MsgClaimRoot { sender: text(from), hotkey: text(hotkey), netuids: netuids.to_vec() };
    Tx::new(from, vec![pack(url::CLAIM_ROOT, &message)])
}

pub fn root_claim(from: &str, kind: &str, keep_in: &[u32]) -> Tx {
    let message = MsgSetRootClaim { sender: text(from), kind: kind.into(), keep_in: keep_in.to_vec() };
    Tx::new(from, vec![pack(url::SET_ROOT_CLAIM, &message)])
}

/// An amount of nothing changes only how it lasts.
pub fn lock(from: &str, netuid: u32, hotkey: &str, amount: u64, perpetual: bool) -> Tx {
    let amount = if amount == 0 { String::new() } else { amount.to_string() };
    let message = MsgLockStake { sender: text(from), netuid, hotkey: text(hotkey), amount, perpetual };
    Tx::new(from, vec![pack(url::LOCK_STAKE, &message)])
}

pub fn move_lock(from: &str, netuid: u32, hotkey: &str) -> Tx {
    let message = MsgMoveLock { sender: text(from), netuid, hotkey: text(hotkey) };
    Tx::new(from, vec![pack(url::MOVE_LOCK, &message)])
}

pub fn publish(hotkey: &str, netuid: u32, fields: &[&[u8]], reset_bonds: bool) -> Tx {
    let fields = fields.iter().map(|field| field.to_vec()).collect();
    let message = MsgSetCommitment { sender: text(hotkey), netuid, fields, reset_bonds };
    Tx::new(hotkey, vec![pack(url::SET_COMMITMENT, &message)])
}

pub fn subnet_identity(from: &str, netuid: u32, symbol: &str, identity: Identity) -> Tx {
    let identity = Some(identity);
    let message = MsgSetSubnetIdentity { sender: text(from), netuid, identity, symbol: symbol.into() };
    Tx::new(from, vec![pack(url::SET_SUBNET_IDENTITY, &message)])
}

pub fn hotkey_identity(from: &str, hotkey: &str, identity: Identity) -> Tx {
    let message = MsgSetHotkeyIdentity { sender: text(from), hotkey: text(hotkey), identity: Some(identity) };
    Tx::new(from, vec![pack(url::SET_HOTKEY_IDENTITY, &message)])
}

pub fn serve(hotkey: &str, netuid: u32, ip: &str, port: u32) -> Tx {
    let message = MsgServe { sender: text(hotkey), netuid, ip: ip.into(), port, ..Default::default() };
    Tx::new(hotkey, vec![pack(url::SERVE, &message)])
}

/// Fractions in 1/(2^64 - 1).
pub fn children(from: &str, netuid: u32, hotkey: &str, children: &[(u64, &str)]) -> Tx {
    let child = |(fraction, hotkey): &(u64, &str)| Child { hotkey: text(hotkey), fraction: *fraction };
    let message = MsgSetChildren {
        sender: text(from),
        netuid,
        hotkey: text(hotkey),
        children: children.iter().map(child).collect(),
    };
    Tx::new(from, vec![pack(url::SET_CHILDREN, &message)])
}

pub fn child_take(from: &str, netuid: u32, hotkey: &str, take: u32) -> Tx {
    let message = MsgSetChildkeyTake { sender: text(from), netuid, hotkey: text(hotkey), take };
    Tx::new(from, vec![pack(url::SET_CHILDKEY_TAKE, &message)])
}

pub fn trigger(from: &str, netuid: u32) -> Tx {
    Tx::new(from, vec![pack(url::TRIGGER_EPOCH, &MsgTriggerEpoch { sender: text(from), netuid })])
}

pub fn dissolve(from: &str, netuid: u32) -> Tx {
    Tx::new(from, vec![pack(url::DISSOLVE_SUBNET, &MsgDissolveSubnet { sender: text(from), netuid })])
}

/// Everything upon a hotkey.
pub fn sell_all(from: &str, hotkey: &str, to_root: bool) -> Tx {
    let message = MsgUnstakeAll { sender: text(from), hotkey: text(hotkey), to_root };
    Tx::new(from, vec![pack(url::UNSTAKE_ALL, &message)])
}

pub fn trim(from: &str, netuid: u32, max_uids: u32) -> Tx {
    Tx::new(from, vec![pack(url::TRIM_SUBNET, &MsgTrimSubnet { sender: text(from), netuid, max_uids })])
}

/// In subnet 0: everywhere.
pub fn swap_hotkey(from: &str, netuid: u32, hotkey: &str, new: &str) -> Tx {
    let (hotkey, new_hotkey) = (text(hotkey), text(new));
    let message = MsgSwapHotkey { sender: text(from), hotkey, new_hotkey, netuid };
    Tx::new(from, vec![pack(url::SWAP_HOTKEY, &message)])
}

pub fn announce(from: &str, new: &str) -> Tx {
    let digest = commit::coldkey(address(from), address(new)).to_vec();
    let message = MsgAnnounceColdkeySwap { sender: text(from), digest };
    Tx::new(from, vec![pack(url::ANNOUNCE_COLDKEY_SWAP, &message)])
}

pub fn swap_coldkey(from: &str, new: &str) -> Tx {
    let message = MsgSwapColdkey { sender: text(from), new_coldkey: text(new) };
    Tx::new(from, vec![pack(url::SWAP_COLDKEY, &message)])
}

pub fn dispute(from: &str) -> Tx {
    Tx::new(from, vec![pack(url::DISPUTE_COLDKEY_SWAP, &MsgDisputeColdkeySwap { sender: text(from) })])
}

pub fn reset(from: &str, coldkey: &str) -> Tx {
    let message = MsgResetColdkeySwap { sender: text(from), coldkey: text(coldkey) };
    Tx::new(from, vec![pack(url::RESET_COLDKEY_SWAP, &message)])
}

/// Three miners, two validators beside the owner; bob's miners are w1 to w3, the validators r2 (r2's own) and r3.
pub fn market() -> Net {
    let mut net = Net::with_subnet();
    net.done(&[neuron("bob", 1, "w1"), neuron("bob", 1, "w2"), neuron("bob", 1, "w3")]);
    net.done(&[neuron("r2", 1, "r2"), neuron("r3", 1, "r3")]);
    net.done(&[
        buy("r2", 1, "r2", 300 * ALLO, ""),
        buy("r3", 1, "r3", 200 * ALLO, ""),
        buy("r7", 0, "r3", 400 * ALLO, ""),
    ]);
    net
}

/// r7's root stake upon r3 has earned something in subnet 1. Nobody is paid without asking, however little is.
pub fn earning() -> Net {
    let mut net = market();
    let set = [
        ("moving_alpha", "1"),
        ("num_root_claims", "0"),
        ("network_rate_limit", "0"),
        ("network_min_lock", "1000000"),
        ("lock_reduction_interval", "1"),
    ];
    net.done(&[rules("carol", &set), hyper("carol", 1, &[("tempo", "5"), ("root_claim_threshold", "0")])]);
    net.done(&[buy("owner", 1, "r2", 5_000 * ALLO, "")]);
    // Averaged prices rise slowly; of many subnets they are soon above one in sum, and the root earns.
    for netuid in 2..8 {
        let owner = format!("w{}", 10 + netuid);
        net.done(&[create_subnet(&owner, &owner)]);
        net.done(&[start(&owner, netuid)]);
    }
    for _ in 0..1_000 {
        net.done(&[]);
        if net.claimable("r7", 1, "r3") > 0 {
            return net;
        }
    }
    panic!("the root never earned: {:?}", net.subnet(1));
}

impl Net {
    /// What root stake upon a hotkey has earned in a subnet.
    pub fn claimable(&self, coldkey: &str, netuid: u32, hotkey: &str) -> u64 {
        let rows = self.holdings(coldkey);
        let row = rows.iter().find(|row| row.netuid == netuid && row.hotkey == text(hotkey));
        row.map_or(0, |row| row.claimable.parse().unwrap())
    }

    /// Locks of a holder, and for whom locks of a subnet speak.
    pub fn locks(&self, netuid: u32, coldkey: &str) -> QueryLocksResponse {
        let coldkey = if coldkey.is_empty() { String::new() } else { text(coldkey) };
        self.query(path::LOCKS, &QueryLocksRequest { netuid, coldkey }).expect("an answer")
    }

    pub fn coldkey_swap(&self, coldkey: &str) -> QueryColdkeySwapResponse {
        self.query(path::COLDKEY_SWAP, &QueryColdkeySwapRequest { coldkey: text(coldkey) })
            .expect("an answer")
    }

    /// Blocks until a subnet has had its next epoch.
    pub fn next_epoch(&mut self, netuid: u32) {
        let epochs = self.subnet(netuid).epochs;
        while self.subnet(netuid).epochs == epochs {
            self.done(&[]);
        }
    }

    pub fn subnet(&self, netuid: u32) -> Subnet {
        self.query(path::SUBNET, &QuerySubnetRequest { netuid }).expect("the subnet exists")
    }

    pub fn subnets(&self) -> QuerySubnetsResponse {
        self.query(path::SUBNETS, &QuerySubnetsRequest::default()).expect("an answer")
    }

    pub fn metagraph(&self, netuid: u32) -> QueryMetagraphResponse {
        let request = QueryMetagraphRequest { netuid, mechanism: 0, weights: true };
        self.query(path::METAGRAPH, &request).expect("the subnet exists")
    }

    pub fn holdings(&self, coldkey: &str) -> Vec<Holding> {
        let request = QueryHoldingsRequest { coldkey: text(coldkey), ..Default::default() };
        self.query::<QueryHoldingsResponse>(path::HOLDINGS, &request).expect("an answer").holdings
    }

    /// Stake of a holder upon a hotkey.
    pub fn held(&self, coldkey: &str, netuid: u32, hotkey: &str) -> u64 {
        let rows = self.holdings(coldkey);
        let row = rows.iter().find(|row| row.netuid == netuid && row.hotkey == text(hotkey));
        row.map_or(0, |row| row.amount.parse().unwrap())
    }

    /// alice's subnet 1 with r1 as her hotkey, started, emitting, with epochs of ten blocks and weights at once.
    pub fn with_subnet() -> Self {
        let mut net = Self::new();
        net.done(&[create_subnet("alice", "r1"), rules("carol", &[("network_rate_limit", "1")])]);
        let set = [
            ("tempo", "10"),
            ("commit_reveal", "false"),
            ("weights_rate_limit", "0"),
            ("emission_enabled", "true"),
            ("activity_cutoff_factor", "50000"),
        ];
        net.done(&[start("alice", 1), hyper("carol", 1, &set)]);
        net
    }
}

/// Whole tokens in the subnets' base units.
pub fn whole(amount: u128) -> u64 {
    (amount * ALLO / UNIT) as u64
}
