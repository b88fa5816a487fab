//! What a block costs on a chain full of subnets: 128 of them with 256 members each, 64 of those validators who weigh
//! all the others, one epoch in every block. A report, not a criterion bench: what counts is the slowest block of a
//! hundred. `-- 16` makes so many subnets only.
#![allow(clippy::unwrap_used)] // a bench that cannot go on should stop
#![allow(clippy::disallowed_types)] // it measures time

use std::time::{Duration, Instant};

use dodona_chain::{App, BlockInput, Genesis, GenesisAccount, GenesisValidator, Params, Signatures};
use dodona_proto::{
    ALLO, path,
    sign::AccountKey,
    subnets::{
        MsgCreateSubnet, MsgRegisterNeuron, MsgSetHyperparameters, MsgSetSubnetRules, MsgSetWeights,
        MsgStake, MsgStartSubnet, QuerySubnetRequest, Setting, Subnet,
    },
    tx::{Sender, pack},
    url,
};
use dodona_store::{Config, Read, Store};
use prost::Message;
use prost_types::Any;

const MEMBERS: usize = 256;
const VALIDATORS: usize = 64;
/// Of one message; half a million of them fit into the gas of a block.
const GAS: u64 = 200_000;
/// Messages of one block.
const FULL: usize = 4_000;

struct Network {
    app: App,
    keys: Vec<AccountKey>,
    names: Vec<String>,
    sequences: Vec<u64>,
    height: u64,
}

impl Network {
    /// Account 0 owns everything and is an admin; the others are hotkeys.
    fn new() -> Self {
        let keys: Vec<AccountKey> = (0..=MEMBERS).map(|i| AccountKey::from_seed(i as u64, "bench")).collect();
        let names: Vec<String> = keys.iter().map(|key| key.address().to_string()).collect();
        let account = |address: &String| {
            let balance = if *address == names[0] { 50_000_000 * ALLO } else { 100 * ALLO };
            GenesisAccount { address: address.clone(), balance }
        };
        let genesis = Genesis {
            chain_id: "bench-1".into(),
            time_ms: 1,
            params: Params { fixed_emission: 5 * ALLO, ..Params::default() },
            accounts: names.iter().map(account).collect(),
            validators: vec![GenesisValidator {
                public_key: hex::encode([1; 32]),
                power: 1,
                operator: names[0].clone(),
                ..GenesisValidator::default()
            }],
            admins: vec![names[0].clone()],
        };
        let store = Store::memory(Config { keep_versions: 1, ..Config::default() });
        let app = App::open(store, &genesis, Signatures::Trust).unwrap();
        Self { app, sequences: vec![0; keys.len()], keys, names, height: 0 }
    }

    /// Blocks of these messages, as many as it takes; how long each took.
    fn run(&mut self, messages: Vec<(usize, Any)>) -> Vec<Duration> {
        let mut took = Vec::new();
        let mut left = messages.into_iter().peekable();
        loop {
            let txs: Vec<Vec<u8>> = left
                .by_ref()
                .take(FULL)
                .map(|(i, message)| {
                    let (key, sequence) = (&self.keys[i], self.sequences[i]);
                    self.sequences[i] += 1;
                    let fee = u128::from(GAS) * 100;
                    Sender { public_key: key.public(), sequence, fee, gas_limit: GAS }.unsigned(vec![message])
                })
                .collect();
            self.height += 1;
            let input = BlockInput::of(self.height, 1 + self.height, &txs);
            let start = Instant::now();
            let executed = self.app.execute(&input).unwrap().unwrap();
            took.push(start.elapsed());
            let refused = executed.receipts.iter().find(|r| r.code != 0);
            assert!(refused.is_none(), "{refused:?}");
            let failed = executed.events.iter().find(|e| e.kind.contains("failed"));
            assert!(failed.is_none(), "{failed:?}");
            self.app.commit(executed, Vec::new()).unwrap();
            if left.peek().is_none() {
                return took;
            }
        }
    }

    fn subnet(&self, netuid: u32) -> Subnet {
        let request = QuerySubnetRequest { netuid }.encode_to_vec();
        Subnet::decode(self.app.query(path::SUBNET, &request).unwrap().as_slice()).unwrap()
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn main() {
    let wanted = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let subnets: u32 = wanted.unwrap_or(128);
    let mut network = Network::new();
    let names = network.names.clone();
    let list = |set: &[(&str, &str)]| -> Vec<Setting> {
        set.iter().map(|(name, value)| Setting { name: (*name).into(), value: (*value).into() }).collect()
    };
    let owner = || names[0].clone();
    let set = list(&[
        ("network_rate_limit", "0"),
        ("network_min_lock", "100000000000"),
        ("lock_reduction_interval", "1"),
    ]);
    network.run(vec![(0, pack(url::SET_SUBNET_RULES, &MsgSetSubnetRules { sender: owner(), set }))]);
    for netuid in 1..=subnets {
        let (sender, name) = (owner(), format!("subnet {netuid}"));
        let message = MsgCreateSubnet { sender, hotkey: names[1].clone(), name, max_cost: String::new() };
        network.run(vec![(0, pack(url::CREATE_SUBNET, &message))]);
    }
    let tempo = subnets.to_string();
    let set = list(&[
        ("tempo", &tempo),
        ("commit_reveal", "false"),
        ("weights_rate_limit", "0"),
        ("activity_cutoff_factor", "50000"),
        ("burn_increase_mult", "1"),
        ("emission_enabled", "true"),
    ]);
    // A new tempo begins at once: so the epochs of no two subnets fall into the same block.
    for netuid in 1..=subnets {
        let (sender, set) = (owner(), set.clone());
        let message = MsgSetHyperparameters { sender, netuid, set };
        network.run(vec![(0, pack(url::SET_HYPERPARAMETERS, &message))]);
    }
    let mut messages = Vec::new();
    for netuid in 1..=subnets {
        messages.push((0, pack(url::START_SUBNET, &MsgStartSubnet { sender: owner(), netuid })));
        for hotkey in &names[2..=MEMBERS] {
            let (sender, hotkey) = (owner(), hotkey.clone());
            let message = MsgRegisterNeuron { sender, netuid, hotkey, max_cost: String::new() };
            messages.push((0, pack(url::REGISTER_NEURON, &message)));
        }
    }
    network.run(messages);
    let mut messages = Vec::new();
    for netuid in 1..=subnets {
        for (i, hotkey) in names.iter().enumerate().skip(1).take(VALIDATORS) {
            let message = MsgStake {
                sender: owner(),
                hotkey: hotkey.clone(),
                netuid,
                amount: ((1 + i as u128) * ALLO).to_string(),
                limit_price: String::new(),
            };
            messages.push((0, pack(url::STAKE, &message)));
        }
    }
    network.run(messages);
    for _ in 0..2 * subnets {
        network.run(Vec::new()); // permits come with an epoch
    }
    let miners: Vec<u32> = (VALIDATORS as u32..MEMBERS as u32).collect();
    let mut messages = Vec::new();
    for netuid in 1..=subnets {
        for (i, sender) in names.iter().enumerate().skip(1).take(VALIDATORS) {
            let values = miners.iter().map(|uid| 1 + (uid * 7_919 + i as u32 * 104_729 + netuid) % 65_535);
            let message = MsgSetWeights {
                sender: sender.clone(),
                netuid,
                uids: miners.clone(),
                values: values.collect(),
                ..MsgSetWeights::default()
            };
            messages.push((i, pack(url::SET_WEIGHTS, &message)));
        }
    }
    network.run(messages);
    let epochs = |network: &Network| (1..=subnets).map(|netuid| network.subnet(netuid).epochs).sum::<u64>();
    // Bonds fill in the first round; the second is looked at.
    for _ in 0..subnets {
        network.run(Vec::new());
    }
    let before = epochs(&network);
    let mut took: Vec<Duration> = (0..2 * subnets).flat_map(|_| network.run(Vec::new())).collect();
    let ran = epochs(&network) - before;
    took.sort_unstable();
    let at = |part: usize| millis(took[(took.len() * part / 100).min(took.len() - 1)]);
    println!(
        "{subnets} subnets of {MEMBERS} members, {VALIDATORS} validators: {} blocks with {ran} epochs",
        took.len()
    );
    println!(
        "  a block, root included: median {:.1} ms, 99th of 100 {:.1} ms, most {:.1} ms",
        at(50),
        at(99),
        at(100)
    );
    let (mut keys, mut bytes) = (0u64, 0usize);
    let start = Instant::now();
    let snapshot = network.app.store().snapshot().unwrap();
    snapshot
        .scan(&[], &mut |key, value| {
            keys += 1;
            bytes += key.len() + value.len();
            true
        })
        .unwrap();
    println!(
        "  state: {keys} entries, {bytes} bytes; read as a whole, as for a snapshot, in {:.0} ms",
        millis(start.elapsed())
    );
}
