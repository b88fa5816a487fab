//! What the network is for: a topic with workers, a forecaster and reputers, and payments, all handed in at whichever
//! node is up. Whoever is refused or forgotten tries again, as people do.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use dodona_chain::{App, Failure, QueryError};
use dodona_client::{Client, ClientError, Transport, Wallet};
use dodona_node::Mempool;
use dodona_participant::{data, series::Series};
use dodona_proto::{
    ALLO,
    cosmos::upgrade::v1beta1::{MsgSoftwareUpgrade, Plan as UpgradePlan},
    topics::{Loss, Role, Rule, TopicSpec},
    tx::{self, TxHash, pack},
    url,
};

use super::program;
use crate::world::{self, Cast, Setup, TOPIC};

/// The series that is forecast: a bit of the bundled one.
static SERIES: LazyLock<Series> = LazyLock::new(|| {
    let mut series = data::bundled("electricity").expect("it is part of this program");
    series.points.truncate(600);
    series
});
/// Workers that take part: quick ones.
const WORKERS: [&str; 4] = ["last-value", "seasonal-naive-day", "ema-fast", "holt-damped"];
/// Blocks between the plan of an upgrade and its height: every node has the new program by then.
const NOTICE: u64 = 20;
/// After so much virtual time somebody whose transaction is in no block hands in another, microseconds.
const PATIENCE_US: u64 = 4_000_000;

/// A node's desk: state to look at, and a mempool to hand transactions to.
pub(super) struct Desk {
    chain: App,
    mempool: Mempool,
    /// What was taken, to be passed on to the other nodes.
    pub taken: RefCell<Vec<(TxHash, Arc<[u8]>)>>,
}

impl Desk {
    pub fn new(chain: App, mempool: Mempool) -> Self {
        Self { chain, mempool, taken: RefCell::default() }
    }
}

impl Transport for Desk {
    fn query(&self, path: &str, request: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.chain.query(path, request).map_err(|e| match e {
            QueryError::NotFound(what) => ClientError::NotFound(what),
            other => ClientError::Node(other.to_string()),
        })
    }

    fn broadcast(&self, bytes: &[u8]) -> Result<TxHash, ClientError> {
        let hash = self.mempool.add(bytes).map_err(|failure| match failure {
            Failure::Refused(r) => {
                ClientError::Refused { codespace: r.codespace.to_string(), code: r.code, log: r.log }
            }
            Failure::Halt(error) => ClientError::Node(error.to_string()),
        })?;
        self.taken.borrow_mut().push((hash, bytes.into()));
        Ok(hash)
    }
}

/// Something that has to be in a block before the topic works.
struct Job {
    what: What,
    hashes: Vec<TxHash>,
    tried_us: u64,
}

#[derive(Copy, Clone)]
enum What {
    Create,
    Worker(usize),
    Forecaster(usize),
    Reputer(usize),
    Stake(usize),
    Fund,
    Upgrade,
}

/// Everybody who uses the network.
pub(super) struct Load {
    setup: Setup,
    cast: Cast,
    payer: Wallet,
    payments: u64,
    /// Done one after the other; within one, in any order.
    stages: Vec<Vec<Job>>,
}

impl Load {
    pub fn new(seed: u64, upgrade: bool) -> Self {
        let setup = Setup { rule: Rule::Power, loss: Loss::Squared, horizon: 1, seed };
        let mut cast = Cast::built_in(&SERIES, &setup);
        cast.workers.retain(|worker| WORKERS.contains(&worker.seat.name.as_str()));
        cast.forecasters.truncate(1);
        let job = |what| Job { what, hashes: Vec::new(), tried_us: 0 };
        let workers = (0..cast.workers.len()).map(What::Worker);
        let forecasters = (0..cast.forecasters.len()).map(What::Forecaster);
        let reputers = 0..cast.reputers.len();
        let register = workers.chain(forecasters).chain(reputers.clone().map(What::Reputer));
        let mut stages = vec![
            vec![job(What::Create)],
            register.map(job).collect(),
            reputers.map(What::Stake).chain([What::Fund]).map(job).collect(),
        ];
        if upgrade {
            stages.push(vec![job(What::Upgrade)]);
        }
        let payer = Wallet::new(world::key(seed, world::FAUCET));
        Self { setup, cast, payer, payments: 0, stages }
    }

    /// Who needs an account at genesis.
    pub fn names(&self) -> Vec<String> {
        self.cast.names()
    }

    /// Lets everybody act once, at one node.
    pub fn act(&mut self, desk: &Desk, included: &BTreeMap<TxHash, (u64, u32)>, now_us: u64) {
        let client = Client::new(desk);
        self.payments += 1;
        let to = world::key(self.setup.seed, &format!("payee-{}", self.payments % 50)).address();
        let payment = tx::send(self.payer.address(), to, ALLO + u128::from(self.payments));
        // Refused where somebody else's view is older or newer: there is a next time.
        let _ = self.payer.send(&client, vec![payment], 100_000);
        let Some(stage) = self.stages.first_mut() else {
            let Ok(seen) = client.windows(TOPIC) else { return };
            for worker in &mut self.cast.workers {
                let _ = worker.act(&client, &seen, &SERIES);
            }
            for forecaster in &mut self.cast.forecasters {
                let _ = forecaster.act(&client, &seen);
            }
            for reputer in &mut self.cast.reputers {
                let _ = reputer.act(&client, &seen, &SERIES);
            }
            return;
        };
        stage.retain(|job| !job.hashes.iter().any(|hash| included.contains_key(hash)));
        for job in &mut *stage {
            if !job.hashes.is_empty() && now_us < job.tried_us + PATIENCE_US {
                continue;
            }
            let before = desk.taken.borrow().len();
            let _ = self.cast.attempt(job.what, &client, &self.setup);
            let taken = desk.taken.borrow();
            if let Some((hash, _)) = taken.get(before..).and_then(|new| new.last()) {
                job.hashes.push(*hash);
                job.tried_us = now_us;
            }
        }
        if stage.is_empty() {
            self.stages.remove(0);
        }
    }
}

impl Cast {
    fn attempt(&mut self, what: What, client: &Client<&Desk>, setup: &Setup) -> Result<(), ClientError> {
        match what {
            What::Create => {
                // Windows wide enough for a network that is not always quick.
                let spec = TopicSpec {
                    epoch_length: 3,
                    worker_window: 2,
                    truth_lag: 3,
                    truth_window: 2,
                    ..world::topic_spec(setup, "demand", &SERIES.unit)
                };
                self.create_topic(client, spec)
            }
            What::Worker(n) => self.workers[n].seat.register(client, Role::Worker).map(drop),
            What::Forecaster(n) => self.forecasters[n].seat.register(client, Role::Worker).map(drop),
            What::Reputer(n) => self.reputers[n].seat.register(client, Role::Reputer).map(drop),
            What::Stake(n) => self.reputers[n].seat.stake(client, 100 * ALLO).map(drop),
            What::Fund => self.consumer.fund(client, 1_000 * ALLO).map(drop),
            What::Upgrade => {
                let authority = self.consumer.address().to_string();
                let height = (client.status()?.height + NOTICE) as i64;
                let plan = Some(UpgradePlan { name: program::NAME.into(), height, ..UpgradePlan::default() });
                let message = pack(url::PLAN_UPGRADE, &MsgSoftwareUpgrade { authority, plan });
                self.consumer.wallet.send(client, vec![message], 150_000).map(drop)
            }
        }
    }
}
