//! Two subnets beside the topics of a world. In one, miners pack texts that validators drew, and what does not come back
//! to the last byte is worth nothing. In the other they forecast what a topic asks for: its validators judge them by the
//! truth that the topic's reputers brought, and its owner sells the best miner's answer to the topic, as one member more.
//! Everybody's part is a function of the seed, the series and the chain, so that a world can be continued anywhere.

mod press;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use dodona_client::{Client, ClientError, Transport, Wallet};
use dodona_participant::{
    model::{self, Model},
    role::{Seat, Timeline, WorkerRole},
    series::{Point, Series},
};
use dodona_proto::{
    ALLO, path,
    subnets::{
        MsgCreateSubnet, MsgRegisterNeuron, MsgSetHyperparameters, MsgSetSubnetRules, MsgSetWeights,
        MsgStake, MsgStartSubnet, QueryHoldingsRequest, QueryHoldingsResponse, QueryMetagraphRequest,
        QueryMetagraphResponse, Setting,
    },
    topics::{QueryEpochResponse, Role},
    tx::pack as packed,
    url,
};
use serde::Serialize;

use crate::{
    random::Random,
    world::{Setup, TOPIC, key, timeline},
};

/// The subnet of texts.
pub const TEXTS: u32 = 1;
/// The subnet of forecasts.
pub const FORECASTS: u32 = 2;
/// Name of the member that sells the second one's answers.
pub const SELLER: &str = "forecast-subnet";
/// Owns both, and their first validators.
const OWNER: &str = "subnet-owner";
/// Owns the miners: what those of a subnet's owner earn would be withheld.
const COLDKEY: &str = "subnet-miners";
/// Blocks from judgement to judgement, half an epoch.
const ROUND: u64 = 10;
/// Bytes of a text.
const TEXT: usize = 6_000;
/// Scored epochs of the topic that a forecaster is judged by, and fewest.
const LOOKS_BACK: usize = 24;
const LEAST: usize = 4;
/// Gas of many messages at once.
const GAS: u64 = 2_000_000;

/// Miners of texts: what each looks back on.
const PACKERS: [(&str, &[usize]); 5] = [
    ("order-0", &[0]),
    ("order-1", &[1]),
    ("order-2", &[2]),
    ("mixed", &[1, 2, 3]),
    // Sends half of what it should: smaller than all, and worth nothing.
    ("cheat", &[1, 2, 3]),
];
/// Miners of forecasts: quick models of different minds.
const MODELS: [&str; 5] =
    ["last-value", "seasonal-naive-day", "holt-winters", "ar-24-slow", "ridge-calendar"];

/// A hotkey that validates.
struct Judge {
    name: String,
    wallet: Wallet,
    netuid: u32,
}

/// What every miner of forecasts has said, by epoch, and whose word is sold.
#[derive(Default)]
struct Board {
    said: Vec<Vec<Option<f64>>>,
    best: usize,
}

/// A miner of forecasts.
struct Forecaster {
    model: Box<dyn Model>,
    observed: usize,
}

/// The member of the topic that the owner sells: it says what the best miner said.
struct Resold {
    board: Arc<Mutex<Board>>,
    first_row: usize,
    rows: usize,
}

impl Model for Resold {
    fn name(&self) -> &'static str {
        SELLER
    }

    fn about(&self) -> &'static str {
        "what the miner said that the subnet values most"
    }

    fn observe(&mut self, _: Point) {
        self.rows += 1;
    }

    fn predict(&mut self, _: usize) -> Option<f64> {
        let epoch = self.rows.checked_sub(self.first_row + 1)?;
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.said.get(board.best)?.get(epoch).copied().flatten()
    }
}

/// Everybody who takes part in the two subnets.
pub struct Market {
    seed: u64,
    timeline: Timeline,
    owner: Wallet,
    miners: Wallet,
    judges: Vec<Judge>,
    forecasters: Vec<Forecaster>,
    board: Arc<Mutex<Board>>,
    seller: WorkerRole,
}

fn hotkey(netuid: u32, name: &str) -> String {
    format!("{}-{name}", if netuid == TEXTS { "texts" } else { "forecasts" })
}

/// Names of a subnet's miners.
fn miners(netuid: u32) -> Vec<&'static str> {
    if netuid == TEXTS { PACKERS.iter().map(|packer| packer.0).collect() } else { MODELS.to_vec() }
}

impl Market {
    /// Two subnets about a series that a world's topic asks for.
    pub fn new(series: &Series, setup: &Setup) -> Self {
        let timeline = timeline(series, setup.horizon);
        let line_up = model::built_in(series.season_day, series.season_week).into_iter();
        let mut models: Vec<Box<dyn Model>> =
            line_up.filter(|model| MODELS.contains(&model.name())).collect();
        models.sort_by_key(|model| MODELS.iter().position(|name| *name == model.name()));
        let board = Arc::new(Mutex::new(Board { said: vec![Vec::new(); models.len()], best: 0 }));
        let resold = Resold { board: board.clone(), first_row: timeline.first_row, rows: 0 };
        let wallet = |name: &str| Wallet::new(key(setup.seed, name));
        let judges = [TEXTS, FORECASTS]
            .into_iter()
            .flat_map(|netuid| ["judge", "validator"].map(|name| (netuid, hotkey(netuid, name))))
            .map(|(netuid, name)| Judge { wallet: wallet(&name), name, netuid })
            .collect();
        Self {
            seed: setup.seed,
            timeline,
            owner: wallet(OWNER),
            miners: wallet(COLDKEY),
            judges,
            forecasters: models.into_iter().map(|model| Forecaster { model, observed: 0 }).collect(),
            board,
            seller: WorkerRole::new(
                Seat::new(key(setup.seed, OWNER), TOPIC, SELLER),
                Box::new(resold),
                timeline,
            ),
        }
    }

    /// Names, as genesis wants them. Miners need no tokens: they sign nothing here.
    pub fn names(&self) -> Vec<String> {
        let judges = self.judges.iter().map(|judge| judge.name.clone());
        [OWNER.to_string(), COLDKEY.to_string()].into_iter().chain(judges).collect()
    }

    /// One block's part of everybody. `consumer` is an admin of the world; `scored` are the topic's newest epochs.
    pub fn act<T: Transport>(
        &mut self,
        client: &Client<T>,
        consumer: &mut Seat,
        series: &Series,
        height: u64,
        scored: &VecDeque<QueryEpochResponse>,
    ) -> Result<(), ClientError> {
        let address = |name: &str| key(self.seed, name).address().to_string();
        let both = [TEXTS, FORECASTS];
        let settings = |list: &[(&str, &str)]| -> Vec<Setting> {
            list.iter()
                .map(|(name, value)| Setting { name: (*name).into(), value: (*value).into() })
                .collect()
        };
        match height {
            0 => {
                let set = settings(&[("network_rate_limit", "0"), ("network_min_lock", "100000000000")]);
                let sender = consumer.address().to_string();
                let message = packed(url::SET_SUBNET_RULES, &MsgSetSubnetRules { sender, set });
                consumer.wallet.send(client, vec![message], GAS)?;
            }
            1 => {
                let create = |netuid| MsgCreateSubnet {
                    sender: address(OWNER),
                    hotkey: address(&hotkey(netuid, "judge")),
                    name: if netuid == TEXTS { "text compression" } else { "short-horizon forecasts" }.into(),
                    max_cost: String::new(),
                };
                let messages = both.map(|netuid| packed(url::CREATE_SUBNET, &create(netuid))).to_vec();
                self.owner.send(client, messages, GAS)?;
            }
            2 => {
                let set = settings(&[
                    ("tempo", "20"),
                    ("commit_reveal", "false"),
                    ("weights_rate_limit", "0"),
                    ("activity_cutoff_factor", "50000"),
                    ("emission_enabled", "true"),
                ]);
                let hyper = |netuid| MsgSetHyperparameters {
                    sender: consumer.address().to_string(),
                    netuid,
                    set: set.clone(),
                };
                let messages = both.map(|netuid| packed(url::SET_HYPERPARAMETERS, &hyper(netuid))).to_vec();
                consumer.wallet.send(client, messages, GAS)?;
                let start = |netuid| MsgStartSubnet { sender: address(OWNER), netuid };
                let messages = both.map(|netuid| packed(url::START_SUBNET, &start(netuid))).to_vec();
                self.owner.send(client, messages, GAS)?;
            }
            3 => {
                let register = |sender: &str, netuid, name: &str| {
                    let (sender, hotkey) = (address(sender), address(name));
                    let max_cost = String::new();
                    packed(url::REGISTER_NEURON, &MsgRegisterNeuron { sender, netuid, hotkey, max_cost })
                };
                for netuid in both {
                    let all = miners(netuid).into_iter().map(|name| hotkey(netuid, name));
                    let messages = all.map(|name| register(COLDKEY, netuid, &name)).collect();
                    self.miners.send(client, messages, GAS)?;
                }
                for judge in self.judges.iter_mut().filter(|judge| judge.name.ends_with("validator")) {
                    let message = register(&judge.name, judge.netuid, &judge.name);
                    judge.wallet.send(client, vec![message], GAS)?;
                }
                self.seller.seat.register(client, Role::Worker)?;
            }
            4 => {
                for judge in &mut self.judges {
                    let message = MsgStake {
                        sender: judge.wallet.address().to_string(),
                        hotkey: judge.wallet.address().to_string(),
                        netuid: judge.netuid,
                        amount: (20 * ALLO).to_string(),
                        limit_price: String::new(),
                    };
                    judge.wallet.send(client, vec![packed(url::STAKE, &message)], GAS)?;
                }
            }
            _ => {
                self.forecast(series, height);
                self.choose(client)?;
                if height % ROUND == ROUND / 2 {
                    for at in 0..self.judges.len() {
                        self.judge(client, at, height, scored)?;
                    }
                }
                self.seller.act(client, &client.windows(TOPIC)?, series)?;
            }
        }
        Ok(())
    }

    /// Every miner of forecasts says what it can for every epoch that could be asked by now.
    fn forecast(&mut self, series: &Series, height: u64) {
        let known = self.timeline.known(height);
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        for (miner, said) in self.forecasters.iter_mut().zip(&mut board.said) {
            for point in series.points.get(miner.observed..).unwrap_or_default() {
                if miner.observed > known {
                    break;
                }
                miner.model.observe(*point);
                if miner.observed >= self.timeline.first_row {
                    said.push(miner.model.predict(self.timeline.horizon));
                }
                miner.observed += 1;
            }
        }
    }

    /// What the subnet as a whole values most is what its owner sells; the first of the line-up before it values any.
    fn choose<T: Transport>(&self, client: &Client<T>) -> Result<(), ClientError> {
        let graph = metagraph(client, FORECASTS)?;
        let incentive = |name: &str| {
            let hotkey = key(self.seed, &hotkey(FORECASTS, name)).address().to_string();
            graph.neurons.iter().find(|neuron| neuron.hotkey == hotkey).map_or(0, |neuron| neuron.incentive)
        };
        let best = (0..MODELS.len()).rev().max_by_key(|place| incentive(MODELS[*place])).unwrap_or(0);
        self.board.lock().unwrap_or_else(PoisonError::into_inner).best = best;
        Ok(())
    }

    /// A validator's round: what each miner is worth, handed in as weights if it may.
    fn judge<T: Transport>(
        &mut self,
        client: &Client<T>,
        at: usize,
        height: u64,
        scored: &VecDeque<QueryEpochResponse>,
    ) -> Result<(), ClientError> {
        let netuid = self.judges[at].netuid;
        let me = self.judges[at].wallet.address().to_string();
        let graph = metagraph(client, netuid)?;
        let owners = self.judges[at].name.ends_with("judge");
        if !graph.neurons.iter().any(|neuron| neuron.hotkey == me && (neuron.permit || owners)) {
            return Ok(());
        }
        let worth = match netuid {
            TEXTS => texts(self.seed, height, at as u64),
            _ => self.forecasts(scored),
        };
        let largest = worth.iter().copied().fold(0.0, f64::max);
        if largest <= 0.0 {
            return Ok(());
        }
        let (mut uids, mut values) = (Vec::new(), Vec::new());
        for (name, worth) in miners(netuid).into_iter().zip(worth) {
            let hotkey = key(self.seed, &hotkey(netuid, name)).address().to_string();
            let Some(neuron) = graph.neurons.iter().find(|neuron| neuron.hotkey == hotkey) else { continue };
            uids.push(neuron.uid);
            values.push((worth / largest * f64::from(u16::MAX)) as u32);
        }
        let message = MsgSetWeights { sender: me, netuid, uids, values, ..MsgSetWeights::default() };
        self.judges[at].wallet.send(client, vec![packed(url::SET_WEIGHTS, &message)], GAS)?;
        Ok(())
    }

    /// What forecasts are worth by the topic's truths: the inverse of the squared error, squared, the best at one.
    fn forecasts(&self, scored: &VecDeque<QueryEpochResponse>) -> Vec<f64> {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let error = |said: &Vec<Option<f64>>| -> Option<f64> {
            let misses: Vec<f64> = scored
                .iter()
                .rev()
                .take(LOOKS_BACK)
                .filter_map(|epoch| {
                    let said = (*said.get(usize::try_from(epoch.epoch).ok()?)?)?;
                    Some((said - epoch.truth?) * (said - epoch.truth?))
                })
                .collect();
            (misses.len() >= LEAST).then(|| misses.iter().sum::<f64>() / misses.len() as f64)
        };
        let errors: Vec<Option<f64>> = board.said.iter().map(error).collect();
        let least = errors.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        // A forecaster that misses nothing is worth as much as one can be.
        let worth = |error: f64| if error > 0.0 { (least / error) * (least / error) } else { 1.0 };
        errors.into_iter().map(|error| error.map_or(0.0, worth)).collect()
    }

    /// What came of it.
    pub fn report<T: Transport>(&self, client: &Client<T>) -> Result<Vec<SubnetReport>, ClientError> {
        let mut reports = Vec::new();
        for netuid in [TEXTS, FORECASTS] {
            let graph = match metagraph(client, netuid) {
                Err(ClientError::NotFound(_)) => continue, // interrupted before there was one
                graph => graph?,
            };
            let subnet = graph.subnet.unwrap_or_default();
            let price: f64 = subnet.price.parse().unwrap_or(0.0);
            let member = |name: &str, share: fn(&dodona_proto::subnets::Neuron) -> u32| {
                let hotkey = key(self.seed, &hotkey(netuid, name)).address().to_string();
                let found = graph.neurons.iter().find(|neuron| neuron.hotkey == hotkey);
                (hotkey.clone(), found.map_or(0.0, |n| f64::from(share(n)) / f64::from(u16::MAX)))
            };
            let holdings = |coldkey: String| -> Result<QueryHoldingsResponse, ClientError> {
                client.ask(path::HOLDINGS, &QueryHoldingsRequest { coldkey, ..Default::default() })
            };
            let paid = holdings(self.miners.address().to_string())?.holdings;
            let mut rows = Vec::new();
            for name in miners(netuid) {
                let (hotkey, share) = member(name, |neuron| neuron.incentive);
                let held = paid.iter().find(|row| row.netuid == netuid && row.hotkey == hotkey);
                let staked = held.map_or(0.0, |row| units(&row.amount));
                rows.push(Pay { name: name.into(), share, staked, worth: staked * price });
            }
            let mut validators = Vec::new();
            for name in ["judge", "validator"] {
                let (hotkey, share) = member(name, |neuron| neuron.dividends);
                let staked = graph.neurons.iter().find(|n| n.hotkey == hotkey);
                let staked = staked.map_or(0.0, |neuron| units(&neuron.alpha_stake));
                validators.push(Pay { name: name.into(), share, staked, worth: staked * price });
            }
            let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
            let sells = (netuid == FORECASTS).then(|| MODELS[board.best.min(MODELS.len() - 1)].to_string());
            reports.push(SubnetReport {
                netuid,
                name: subnet.name,
                epochs: subnet.epochs,
                price,
                pool: units(&subnet.pool_tao),
                miners: rows,
                validators,
                sells,
            });
        }
        Ok(reports)
    }
}

fn metagraph<T: Transport>(client: &Client<T>, netuid: u32) -> Result<QueryMetagraphResponse, ClientError> {
    client.ask(path::METAGRAPH, &QueryMetagraphRequest { netuid, mechanism: 0, weights: false })
}

/// Base units as tokens.
fn units(text: &str) -> f64 {
    text.parse::<u64>().map_or(0.0, |units| units as f64 / 1e9)
}

/// A validator's round of texts: one that nobody knows beforehand, packed by every miner, unpacked again by the
/// validator; by size, if it comes back to the last byte.
fn texts(seed: u64, height: u64, judge: u64) -> Vec<f64> {
    let text = text(&mut Random::new(seed ^ height << 8 ^ judge));
    let sizes: Vec<Option<usize>> = PACKERS
        .iter()
        .map(|(name, orders)| {
            let mut answer = press::pack(orders, &text);
            if *name == "cheat" {
                answer.truncate(answer.len() / 2);
            }
            (press::unpack(orders, &answer, text.len()) == text).then_some(answer.len())
        })
        .collect();
    let least = sizes.iter().flatten().min().copied().unwrap_or(1) as f64;
    let worth = |size: usize| {
        let part = least / size.max(1) as f64;
        part * part * part * part
    };
    sizes.into_iter().map(|size| size.map_or(0.0, worth)).collect()
}

/// Sentences over a vocabulary of their own, common words often and rare ones seldom.
fn text(random: &mut Random) -> Vec<u8> {
    const SYLLABLES: [&str; 16] =
        ["ba", "de", "fi", "go", "lu", "mar", "ne", "pol", "ra", "sen", "ti", "un", "ver", "an", "er", "on"];
    let words: Vec<String> = (0..200)
        .map(|_| (0..random.within(1, 3)).map(|_| SYLLABLES[random.below(SYLLABLES.len())]).collect())
        .collect();
    let mut text = String::new();
    while text.len() < TEXT {
        for _ in 0..random.within(5, 14) {
            // The smaller of two draws: the first words are the common ones.
            let place = random.below(words.len()).min(random.below(words.len()));
            text.push_str(&words[place]);
            text.push(' ');
        }
        text.pop();
        text.push_str(". ");
    }
    text.truncate(TEXT);
    text.into_bytes()
}

/// What came of a subnet.
#[derive(Clone, Debug, Serialize)]
pub struct SubnetReport {
    /// Its number.
    pub netuid: u32,
    /// Its name.
    pub name: String,
    /// Epochs it has had.
    pub epochs: u64,
    /// ALLO for one of its tokens.
    pub price: f64,
    /// ALLO in its pool.
    pub pool: f64,
    /// In the order of their uids.
    pub miners: Vec<Pay>,
    /// The same.
    pub validators: Vec<Pay>,
    /// Whose answer its owner sells to the topic, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sells: Option<String>,
}

/// What somebody has of a subnet.
#[derive(Clone, Debug, Serialize)]
pub struct Pay {
    /// Who.
    pub name: String,
    /// Part of the last epoch: a miner's incentive, a validator's dividends.
    pub share: f64,
    /// Staked, of the subnet's token; a miner's is what it was paid.
    pub staked: f64,
    /// The same in ALLO, at the present price.
    pub worth: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_judged_by_size_and_only_if_it_comes_back() {
        for height in [15, 25, 35] {
            let worth = texts(7, height, 1);
            assert_eq!(worth[4], 0.0, "half an answer is none");
            let best = worth.iter().copied().fold(0.0, f64::max);
            assert!(best == 1.0 && worth[0] < 0.9, "{worth:?}");
        }
        assert_ne!(text(&mut Random::new(1)), text(&mut Random::new(2)));
    }
}
