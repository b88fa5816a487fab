//! What anybody can ask of subnets: read models, made on request from the tables.

use std::net::Ipv6Addr;

use dodona_mechanism::{
    MathError, Real,
    amount::mul_div_floor,
    subnet::{
        batch::{self, Offer, PRICE_MAX, PRICE_MIN},
        clock::mechanism_index,
        lock as formulas,
        sparse::StoredRow,
    },
    supply::Fixed,
};
use dodona_proto::{
    Address,
    subnets::{
        Child, Commitment as WireCommitment, Endpoint as WireEndpoint, Entry, Holding,
        Identity as WireIdentity, Neuron, OpenCommit, QueryColdkeySwapRequest, QueryColdkeySwapResponse,
        QueryHoldingsRequest, QueryHoldingsResponse, QueryLocksRequest, QueryLocksResponse,
        QueryMetagraphRequest, QueryMetagraphResponse, QueryNeuronRequest, QueryQuoteRequest,
        QueryQuoteResponse, QueryRulesResponse, QuerySubnetsRequest, QuerySubnetsResponse, Setting,
        StakeLock, Standing, Subnet as WireSubnet,
    },
};
use dodona_store::{Read, StoreError};

use super::{
    book, claim,
    clear::MIN_RESERVE,
    epoch,
    handle::{Room, again, cost, due, prunable, room},
    lock,
    rules::Rules,
    state::{
        AXONS, BONDS, CHILD_TAKES, CHILDREN, COMMITMENTS, COMMITS, Endpoint, HOLDERS, HOLDINGS, IDENTITIES,
        Identity, Index, Key, LOCKS, MARKETS, MEMBERS, Market, Member, Netuid, PARENTS, PENDING_CHILDREN,
        PROMETHEUS, ROOT, RootClaim, SCORES, SUBNET_IDENTITIES, SUBNETS, SWAPS, Scores, Subnet, UIDS, UNIT,
        UPDATED, WEIGHTS, network, rules,
    },
};
use crate::{error::Failure, text::parse_amount, topics::query::ViewError};

/// Hotkeys with root stake of a holder that are asked for dividends in all subnets.
const ROOT_HOTKEYS: usize = 32;
/// Most rows of a page.
const PAGE: usize = 200;

fn bad(text: impl Into<String>) -> ViewError {
    ViewError::Bad(text.into())
}

fn settings(list: Vec<(String, String)>) -> Vec<Setting> {
    list.into_iter().map(|(name, value)| Setting { name, value }).collect()
}

fn page(limit: u32) -> usize {
    if limit == 0 { PAGE } else { (limit as usize).min(PAGE) }
}

fn key(field: &str, text: &str) -> Result<Key, ViewError> {
    text.parse::<Address>().map(|address| address.0).map_err(|e| bad(format!("{field}: {e}")))
}

fn netuid(asked: u32) -> Option<Netuid> {
    Netuid::try_from(asked).ok()
}

/// All subnets, and what a new one costs in the block after `height`.
pub fn subnets(
    read: &impl Read,
    q: &QuerySubnetsRequest,
    height: u64,
) -> Result<QuerySubnetsResponse, ViewError> {
    let (network, rules) = (network(read)?, rules(read)?);
    let after = network.netuids.iter().filter(|netuid| u32::from(**netuid) > q.after);
    let mut subnets = Vec::new();
    for netuid in after.take(page(q.limit)) {
        subnets.extend(subnet(read, u32::from(*netuid), height)?);
    }
    let next = height + 1;
    let full = network.netuids.len() >= usize::from(rules.subnet_limit);
    let (order, listed) = prunable(read, &network, &rules, next)?;
    let mut from = next;
    if network.last_lock_block > 0 {
        from = from.max(network.last_lock_block.saturating_add(rules.network_rate_limit));
    }
    if full && order.is_empty() {
        let oldest = listed.iter().map(|l| l.registered).min().unwrap_or(u64::MAX);
        from = from.max(oldest.saturating_add(rules.network_immunity));
    }
    Ok(QuerySubnetsResponse {
        subnets,
        height,
        create_cost: (u128::from(cost(read, &network, &rules, next)?) * UNIT).to_string(),
        create_from_block: from,
        replaces: order.first().filter(|_| full).map_or(0, |netuid| u32::from(*netuid)),
        limit: rules.subnet_limit.into(),
    })
}

/// One subnet.
pub fn subnet(read: &impl Read, asked: u32, height: u64) -> Result<Option<WireSubnet>, ViewError> {
    let Some(netuid) = netuid(asked) else { return Ok(None) };
    let (Some(subnet), Some(market)) = (SUBNETS.get(read, &netuid)?, MARKETS.get(read, &netuid)?) else {
        return Ok(None);
    };
    let (network, rules) = (network(read)?, rules(read)?);
    let (order, _) = prunable(read, &network, &rules, height + 1)?;
    let rank = order.iter().position(|other| *other == netuid).map_or(0, |place| place + 1);
    let neurons = MEMBERS.get(read, &netuid)?.map_or(0, |members| members.len());
    let hyper = &subnet.hyper;
    let state = match (subnet.started, hyper.emission_enabled) {
        (None, _) => "registered",
        (Some(_), false) => "started",
        (Some(_), true) => "emitting",
    };
    Ok(Some(WireSubnet {
        netuid: asked,
        name: subnet.name.clone(),
        owner: Address(subnet.owner).to_string(),
        owner_hotkey: Address(subnet.owner_hotkey).to_string(),
        registered: subnet.registered,
        started: subnet.started.unwrap_or(0),
        state: state.into(),
        neurons: neurons as u32,
        registrations: subnet.registrations,
        price: market.spot().to_string(),
        average_price: market.average.to_string(),
        pool_tao: market.tao.to_string(),
        pool_alpha: market.alpha.to_string(),
        pool_weight: market.tao_weight.to_string(),
        alpha_out: market.alpha_out.to_string(),
        alpha_protocol: market.protocol.to_string(),
        alpha_burned: market.burned.to_string(),
        alpha_pending: (market.server + market.validator + market.root + market.owner).to_string(),
        alpha_claimable: market.claimable.to_string(),
        tao_per_block: market.newest.0.to_string(),
        alpha_per_block: market.newest.1.to_string(),
        epochs: market.epochs,
        last_epoch: market.last_step,
        next_epoch: epoch::next(&market, hyper.tempo, height),
        registration_cost: (u128::from(next_price(&subnet, &market)) * UNIT).to_string(),
        withheld: market.withheld.to_string(),
        deregistration_rank: rank as u32,
        deregistration_of: order.len() as u32,
        prunable_from: subnet.registered.saturating_add(rules.network_immunity),
        hyperparameters: settings(hyper.to_list()),
        symbol: subnet.symbol.clone(),
        identity: SUBNET_IDENTITIES.get(read, &netuid)?.map(said),
    }))
}

fn said(identity: Identity) -> WireIdentity {
    let Identity { name, description, url, repository, image, contact } = identity;
    WireIdentity { name, description, url, repository, image, contact }
}

/// Price of registration in the next block, before anybody registers in it.
fn next_price(subnet: &Subnet, market: &Market) -> u64 {
    let hyper = &subnet.hyper;
    let factor = (hyper.burn_half_life > 0).then_some(market.decay);
    dodona_mechanism::subnet::admission::decayed(market.price, factor, hyper.min_burn, hyper.max_burn)
}

fn entries(row: StoredRow) -> Vec<Entry> {
    row.into_iter().map(|(uid, value)| Entry { uid: uid.into(), value: value.into() }).collect()
}

fn relatives(list: Vec<(u64, Key)>) -> Vec<Child> {
    list.into_iter().map(|(fraction, key)| Child { hotkey: Address(key).to_string(), fraction }).collect()
}

fn endpoint(endpoint: Endpoint) -> WireEndpoint {
    let ip = Ipv6Addr::from(endpoint.ip);
    WireEndpoint {
        block: endpoint.block,
        version: endpoint.version,
        ip: ip.to_ipv4_mapped().map_or_else(|| ip.to_string(), |v4| v4.to_string()),
        port: endpoint.port.into(),
        protocol: endpoint.protocol.into(),
    }
}

/// Everything a neuron's view is made of, but the neuron.
struct Frame {
    netuid: Netuid,
    index: Index,
    mechanism: usize,
    subnet: Subnet,
    members: Vec<Member>,
    scores: Vec<Scores>,
    room: Room,
    rules: Rules,
    rows: bool,
}

impl Frame {
    fn load(
        read: &impl Read,
        asked: u32,
        mechanism: u32,
        rows: bool,
        height: u64,
    ) -> Result<Option<Self>, ViewError> {
        let Some(netuid) = netuid(asked) else { return Ok(None) };
        let Some(subnet) = SUBNETS.get(read, &netuid)? else { return Ok(None) };
        let exists = u16::try_from(mechanism).ok().filter(|m| *m < subnet.hyper.mechanisms);
        let index = exists.and_then(|mechanism| mechanism_index(netuid, mechanism));
        let index = index.ok_or_else(|| bad(format!("the subnet has no mechanism {mechanism}")))?;
        let members = MEMBERS.get(read, &netuid)?.unwrap_or_default();
        let scores = SCORES.get(read, &netuid)?.unwrap_or_default();
        let room = room(read, &subnet, &members, &scores, height + 1)?;
        let rules = rules(read)?;
        let mechanism = usize::from(index / dodona_mechanism::subnet::clock::SUBNETS);
        Ok(Some(Self { netuid, index, mechanism, subnet, members, scores, room, rules, rows }))
    }

    fn neuron(&self, read: &impl Read, uid: usize) -> Result<Neuron, StoreError> {
        let member = self.members[uid];
        let place = uid as u16;
        let scores = self.scores.get(uid).cloned().unwrap_or_default();
        let stake = book::stake_of(read, self.netuid, member.hotkey)?;
        let coldkey = book::owner_of(read, member.hotkey)?.unwrap_or(member.hotkey);
        let rank = self.room.order[..self.room.count].iter().position(|other| *other == uid);
        let row =
            |on: bool, row: Option<StoredRow>| if on { entries(row.unwrap_or_default()) } else { Vec::new() };
        let (children_pending_from, waiting) =
            PENDING_CHILDREN.get(read, &(self.netuid, member.hotkey))?.unwrap_or_default();
        let mut commits = COMMITS.get(read, &(self.index, member.hotkey))?.unwrap_or_default();
        commits.retain(|c| c.registered == member.registered);
        Ok(Neuron {
            uid: place.into(),
            hotkey: Address(member.hotkey).to_string(),
            coldkey: Address(coldkey).to_string(),
            registered: member.registered,
            active: scores.active,
            permit: scores.permit,
            last_update: UPDATED.get(read, &(self.index, place))?.unwrap_or(0),
            alpha_stake: stake.alpha.to_string(),
            root_stake: stake.root.to_string(),
            stake_weight: book::weight_of(read, &self.rules, self.netuid, member.hotkey)?.to_string(),
            stake: scores.stake.into(),
            consensus: scores.consensus.into(),
            trust: scores.trust.into(),
            dividends: scores.dividends.into(),
            incentive: scores.incentive.get(self.mechanism).copied().unwrap_or(0).into(),
            emission: scores.emission.to_string(),
            axon: AXONS.get(read, &(self.netuid, member.hotkey))?.map(endpoint),
            prometheus: PROMETHEUS.get(read, &(self.netuid, member.hotkey))?.map(endpoint),
            weights: row(self.rows, WEIGHTS.get(read, &(self.index, place))?),
            bonds: row(self.rows, BONDS.get(read, &(self.index, place))?),
            eviction_rank: rank.map_or(0, |place| place as u32 + 1),
            eviction_of: self.room.count as u32,
            immune_until: member.registered.saturating_add(self.subnet.hyper.immunity_period),
            protected: self.room.protected.contains(&uid),
            children: relatives(CHILDREN.get(read, &(self.netuid, member.hotkey))?.unwrap_or_default()),
            parents: relatives(PARENTS.get(read, &(self.netuid, member.hotkey))?.unwrap_or_default()),
            children_pending: relatives(waiting),
            children_pending_from,
            childkey_take: CHILD_TAKES
                .get(read, &(self.netuid, member.hotkey))?
                .map_or(0, |take| take.0)
                .max(self.subnet.hyper.min_childkey_take)
                .into(),
            commitment: COMMITMENTS
                .get(read, &(self.netuid, member.hotkey))?
                .map(|c| WireCommitment { block: c.block, fields: c.fields }),
            identity: IDENTITIES.get(read, &member.hotkey)?.map(said),
            open_commits: commits.len() as u32,
            commits: commits
                .into_iter()
                .map(|c| OpenCommit {
                    digest: c.digest.to_vec(),
                    epoch: c.epoch,
                    reveal_epoch: c.epoch.saturating_add(self.subnet.hyper.reveal_period),
                    block: c.block,
                })
                .collect(),
        })
    }
}

/// All neurons of a subnet (S 22).
pub fn metagraph(
    read: &impl Read,
    q: &QueryMetagraphRequest,
    height: u64,
) -> Result<Option<QueryMetagraphResponse>, ViewError> {
    let Some(frame) = Frame::load(read, q.netuid, q.mechanism, q.weights, height)? else { return Ok(None) };
    let neurons = (0..frame.members.len()).map(|uid| frame.neuron(read, uid)).collect::<Result<_, _>>()?;
    Ok(Some(QueryMetagraphResponse { subnet: subnet(read, q.netuid, height)?, neurons, height }))
}

/// One neuron, with its rows.
pub fn neuron(read: &impl Read, q: &QueryNeuronRequest, height: u64) -> Result<Option<Neuron>, ViewError> {
    let Some(frame) = Frame::load(read, q.netuid, q.mechanism, true, height)? else { return Ok(None) };
    let hotkey = key("hotkey", &q.hotkey)?;
    match UIDS.get(read, &(frame.netuid, hotkey))?.map(usize::from).filter(|uid| *uid < frame.members.len()) {
        None => Ok(None),
        Some(uid) => Ok(Some(frame.neuron(read, uid)?)),
    }
}

/// Stake by holder, or by hotkey and subnet.
pub fn holdings(read: &impl Read, q: &QueryHoldingsRequest) -> Result<QueryHoldingsResponse, ViewError> {
    let mut keys: Vec<(Netuid, Key, Key)> = Vec::new();
    if !q.coldkey.is_empty() {
        let coldkey = key("coldkey", &q.coldkey)?;
        let hotkey = if q.hotkey.is_empty() { None } else { Some(key("hotkey", &q.hotkey)?) };
        let rows = HOLDERS.scan_prefix(read, &coldkey, page(q.limit))?;
        keys.extend(rows.into_iter().map(|((_, netuid, hotkey), ())| (netuid, hotkey, coldkey)));
        keys.retain(|(_, upon, _)| hotkey.is_none_or(|hotkey| hotkey == *upon));
        // Also where there is nothing yet but what root stake has earned.
        let at_root = keys.iter().filter(|key| key.0 == ROOT).map(|key| key.1);
        let at_root: Vec<Key> = at_root.take(ROOT_HOTKEYS).collect();
        let netuids = network(read)?.netuids;
        for hotkey in at_root {
            for &netuid in &netuids {
                let row = (netuid, hotkey, coldkey);
                let room = keys.len() < page(q.limit) && !keys.contains(&row);
                if room && book::owed(read, netuid, hotkey, coldkey)? > 0 {
                    keys.push(row);
                }
            }
        }
    } else if !q.hotkey.is_empty() {
        let hotkey = key("hotkey", &q.hotkey)?;
        let netuid = netuid(q.netuid).ok_or_else(|| bad("netuid: there is no such subnet"))?;
        let rows = HOLDINGS.scan_prefix(read, &(netuid, hotkey), page(q.limit))?;
        keys.extend(rows.into_iter().map(|(key, _)| key));
    } else {
        return Err(bad("name a coldkey, or a hotkey and a netuid"));
    }
    let mut holdings = Vec::with_capacity(keys.len());
    for (netuid, hotkey, coldkey) in keys {
        let amount = book::held(read, netuid, hotkey, coldkey)?;
        let price = match netuid {
            ROOT => Fixed::ONE,
            _ => MARKETS.get(read, &netuid)?.map_or(Fixed::ZERO, |market| market.spot()),
        };
        holdings.push(Holding {
            netuid: netuid.into(),
            hotkey: Address(hotkey).to_string(),
            coldkey: Address(coldkey).to_string(),
            amount: amount.to_string(),
            worth: price.of(amount.into()).unwrap_or(u128::MAX).to_string(),
            claimable: book::owed(read, netuid, hotkey, coldkey)?.to_string(),
        });
    }
    let (root_claim, root_keep_in) = match q.coldkey.as_str() {
        "" => (String::new(), Vec::new()),
        coldkey => match claim::choice(read, key("coldkey", coldkey)?)? {
            RootClaim::Sell => ("sell".into(), Vec::new()),
            RootClaim::Keep => ("keep".into(), Vec::new()),
            RootClaim::KeepIn(kept) => {
                let mut netuids = Vec::new();
                for (netuid, registered) in kept {
                    if SUBNETS.get(read, &netuid)?.is_some_and(|subnet| subnet.registered == registered) {
                        netuids.push(netuid.into());
                    }
                }
                ("sell".into(), netuids)
            }
        },
    };
    Ok(QueryHoldingsResponse { holdings, root_claim, root_keep_in })
}

/// What a trade would give if it were the only one of its block.
pub fn quote(read: &impl Read, q: &QueryQuoteRequest) -> Result<Option<QueryQuoteResponse>, ViewError> {
    let Some(netuid) = netuid(q.netuid) else { return Ok(None) };
    let (Some(subnet), Some(market)) = (SUBNETS.get(read, &netuid)?, MARKETS.get(read, &netuid)?) else {
        return Ok(None);
    };
    let amount = parse_amount(&q.amount).and_then(|amount| u64::try_from(amount).ok());
    let amount = amount.ok_or_else(|| bad("amount: send base units, 10^-9 of a token"))?;
    let limit = match q.limit_price.as_str() {
        "" if q.sell => PRICE_MIN,
        "" => PRICE_MAX,
        text => text.parse().map_err(|_| bad("limit_price: send a decimal number"))?,
    };
    let rate = u128::from(subnet.hyper.swap_fee);
    let fee_of = |amount: u64| (u128::from(amount) * rate / u128::from(u16::MAX)) as u64;
    let first = if q.sell { 0 } else { fee_of(amount) };
    let offer = [Offer { amount: amount - first, limit }];
    let (buys, sells): (&[Offer], &[Offer]) = if q.sell { (&[], &offer) } else { (&offer, &[]) };
    let cleared = batch::clear(market.pool(), buys, sells, MIN_RESERVE).map_err(|e| bad(e.to_string()))?;
    let fill = cleared.buys.iter().chain(&cleared.sells).next().copied().unwrap_or_default();
    let fee = match q.sell {
        true => fee_of(fill.output),
        false => mul_div_floor(first.into(), fill.taken.into(), u128::from(offer[0].amount).max(1))
            .unwrap_or(0) as u64,
    };
    let (taken, output) =
        if q.sell { (fill.taken, fill.output - fee) } else { (fill.taken + fee, fill.output) };
    Ok(Some(QueryQuoteResponse {
        price: market.spot().to_string(),
        taken: taken.to_string(),
        output: output.to_string(),
        fee: fee.to_string(),
        returned: (amount - taken).to_string(),
        price_after: cleared.pool.price().unwrap_or(Fixed::ZERO).to_string(),
    }))
}

/// Whether an account has announced that another one takes its place.
pub fn coldkey_swap(
    read: &impl Read,
    q: &QueryColdkeySwapRequest,
) -> Result<QueryColdkeySwapResponse, ViewError> {
    let rules = rules(read)?;
    let found = SWAPS.get(read, &key("coldkey", &q.coldkey)?)?;
    Ok(found.map_or_else(QueryColdkeySwapResponse::default, |swap| QueryColdkeySwapResponse {
        announced: swap.block,
        from_block: due(&rules, &swap),
        digest: swap.digest.to_vec(),
        disputed: swap.disputed,
        again_from: again(&rules, &swap),
    }))
}

/// Locked stake, and for whom it speaks in the block after `height`.
pub fn locks(read: &impl Read, q: &QueryLocksRequest, height: u64) -> Result<QueryLocksResponse, ViewError> {
    let (rules, next) = (rules(read)?, height + 1);
    let seen = |cause: MathError| bad(format!("locks cannot be computed: {cause}"));
    let mut answer = QueryLocksResponse::default();
    if !q.coldkey.is_empty() {
        let coldkey = key("coldkey", &q.coldkey)?;
        for netuid in network(read)?.netuids {
            let asked = q.netuid == 0 || q.netuid == u32::from(netuid);
            let (true, Some(stored)) = (asked, LOCKS.get(read, &(netuid, coldkey))?) else { continue };
            let owner = SUBNETS.get(read, &netuid)?.is_some_and(|subnet| subnet.owner == coldkey);
            let now = lock::aged(&rules, &stored, owner, next).map_err(seen)?;
            let has = lock::all_of(read, netuid, coldkey)?.0;
            answer.locks.push(StakeLock {
                netuid: netuid.into(),
                hotkey: Address(now.hotkey).to_string(),
                mass: now.mass.to_string(),
                conviction: now.conviction.to_string(),
                perpetual: now.perpetual,
                free: has.saturating_sub(now.mass).to_string(),
            });
        }
    }
    let Some(netuid) = netuid(q.netuid).filter(|netuid| *netuid != ROOT) else { return Ok(answer) };
    let (Some(subnet), Some(market)) = (SUBNETS.get(read, &netuid)?, MARKETS.get(read, &netuid)?) else {
        return Err(bad(format!("netuid: subnet {netuid} does not exist")));
    };
    let unknown = |failure| match failure {
        Failure::Refused(why) => bad(why.log),
        Failure::Halt(cause) => ViewError::Store(cause),
    };
    let mut standing = lock::standing(read, &rules, (netuid, &subnet), next).map_err(unknown)?;
    let all = standing.iter().map(|(_, sum)| sum.conviction.get()).sum::<f64>();
    standing.retain(|(_, sum)| sum.mass > 0 || sum.conviction > Real::ZERO);
    // Stable: the owner's stays first among equals.
    standing.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.conviction));
    for (hotkey, sum) in standing {
        answer.standings.push(Standing {
            hotkey: Address(hotkey).to_string(),
            coldkey: Address(book::owner_of(read, hotkey)?.unwrap_or(hotkey)).to_string(),
            mass: sum.mass.to_string(),
            conviction: sum.conviction.to_string(),
        });
    }
    answer.conviction = all.to_string();
    answer.needed = formulas::needed(rules.ownership_part, market.alpha_out).to_string();
    answer.from_block = lock::contested_from(&rules, &subnet);
    Ok(answer)
}

/// Rules of all subnets.
pub fn all_rules(read: &impl Read) -> Result<QueryRulesResponse, StoreError> {
    Ok(QueryRulesResponse { rules: settings(rules(read)?.to_list()) })
}
