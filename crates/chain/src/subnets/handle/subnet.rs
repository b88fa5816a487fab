//! A subnet's own life: created, started, set, dissolved.

use dodona_mechanism::{
    subnet::{
        admission::{self, Listed},
        clock::mechanism_index,
        emission::{self, SUPPLY_CAP},
    },
    supply::Fixed,
};
use dodona_proto::{
    Address,
    subnets::{
        MsgCreateSubnet, MsgDissolveSubnet, MsgSetHyperparameters, MsgSetSubnetRules, MsgStartSubnet,
        MsgTriggerEpoch, Setting,
    },
};
use dodona_store::{Read, StoreError};

use super::{
    admins_only, affordable, key, load, own_or_free,
    publish::{NAME_MAX, free_symbol, words},
    uallo, value,
};
use crate::{
    ctx::Ctx,
    error::Failure,
    event::Event,
    gas, mint, params,
    subnets::{
        book::{self, math, pay_in},
        dissolve as ending, epoch,
        error::SubnetError,
        rules::{Hyper, Rules},
        state::{
            BONDS, CHANGED, COMMITS, MARKETS, MEMBERS, Market, Member, NETWORK, Netuid, Network, RULES,
            SCORES, SUBNETS, Scores, Subnet, UIDS, UPDATED, WEIGHTS, network, rules,
        },
    },
    text::printable,
    topics::lists::is_admin,
};

/// Price of the first registration of a subnet, base units: one token (S 6.2).
const FIRST_PRICE: u64 = 1_000_000_000;
/// Blocks between two changes of the clock by the owner (S 10.5).
const TEMPO_WAIT: u64 = 360;
/// Settings in one message.
const SETTINGS_MAX: usize = 64;
/// A new pool holds at most half of what will ever be issued.
const ALPHA_MAX: u64 = SUPPLY_CAP / 2;

/// What a new subnet costs in a block, base units (S 5.2). The time in which the price falls back is halved whenever half
/// of what was left to mint has been minted.
pub(in crate::subnets) fn cost(
    read: &impl Read,
    network: &Network,
    rules: &Rules,
    height: u64,
) -> Result<u64, StoreError> {
    let minted = mint::minted(read)?;
    let left = mint::remaining(read, &params::get(read)?, minted)?;
    let halvings = emission::halvings(minted, minted.saturating_add(left));
    let interval = rules.lock_reduction_interval.checked_shr(halvings).unwrap_or(0).max(1);
    let (last, block) = (network.last_lock, network.last_lock_block);
    Ok(admission::lock_cost(last, block, height, rules.network_min_lock, interval))
}

/// Subnets that could be dissolved for a newcomer, the next one first (S 5.5); and all there are.
pub(in crate::subnets) fn prunable(
    read: &impl Read,
    network: &Network,
    rules: &Rules,
    height: u64,
) -> Result<(Vec<Netuid>, Vec<Listed>), StoreError> {
    let mut listed = Vec::with_capacity(network.netuids.len());
    for &netuid in &network.netuids {
        let (Some(subnet), Some(market)) = (SUBNETS.get(read, &netuid)?, MARKETS.get(read, &netuid)?) else {
            continue;
        };
        listed.push(Listed { netuid, registered: subnet.registered, price: market.average });
    }
    Ok((admission::pruning_order(&listed, height, rules.network_immunity), listed))
}

/// `MsgCreateSubnet`: what it costs stays in the new pool.
pub(crate) fn create(ctx: &mut Ctx, from: Address, m: &MsgCreateSubnet) -> Result<(), Failure> {
    ctx.gas.charge(gas::CREATE_SUBNET, "create subnet")?;
    let height = ctx.height;
    let (mut network, rules) = (network(ctx.state)?, rules(ctx.state)?);
    let hotkey = key("hotkey", &m.hotkey)?;
    let name = words("name", &m.name, NAME_MAX)?;
    if name.is_empty() {
        return Err(value("name", format!("needs 1 to {NAME_MAX} bytes of printable text")).into());
    }
    own_or_free(ctx, hotkey, from)?;
    let next = network.last_lock_block.saturating_add(rules.network_rate_limit);
    if network.last_lock_block > 0 && height < next {
        return Err(SubnetError::TooManySubnets { next, height }.into());
    }
    let full = network.netuids.len() >= usize::from(rules.subnet_limit);
    let (order, listed) = prunable(ctx.state, &network, &rules, height)?;
    let replaced = order.first().copied().filter(|_| full);
    if full && replaced.is_none() {
        let oldest = listed.iter().map(|l| l.registered).min().unwrap_or(u64::MAX);
        let next = oldest.saturating_add(rules.network_immunity);
        return Err(SubnetError::Full { limit: rules.subnet_limit, next }.into());
    }
    let cost = cost(ctx.state, &network, &rules, height)?;
    affordable(ctx, from, cost, &m.max_cost)?;
    // Nothing below can fail.
    if let Some(netuid) = replaced {
        ending::dissolve(ctx, netuid)?;
        network = crate::subnets::state::network(ctx.state)?;
    }
    let free = (1..Netuid::MAX).find(|netuid| network.netuids.binary_search(netuid).is_err());
    let netuid = replaced.or(free).unwrap_or(Netuid::MAX);
    let mut prices = Vec::with_capacity(network.netuids.len());
    for other in &network.netuids {
        prices.extend(MARKETS.get(ctx.state, other)?.map(|market| market.spot()));
    }
    let price = admission::median_price(&prices);
    pay_in(ctx.state, from, cost)?;
    (network.last_lock, network.last_lock_block) = (cost, height);
    let place = network.netuids.partition_point(|other| *other < netuid);
    network.netuids.insert(place, netuid);
    NETWORK.put(ctx.state, &network);
    book::own(ctx.state, hotkey, from.0)?;
    let hyper = Hyper::default();
    let alpha = math(Fixed::from_raw(u128::from(cost) * Fixed::ONE.raw()).over(price))
        .map_or(ALPHA_MAX, |alpha| {
            u64::try_from(alpha.raw() / Fixed::ONE.raw()).unwrap_or(ALPHA_MAX).clamp(1, ALPHA_MAX)
        });
    MARKETS.put(ctx.state, &netuid, &market(alpha, cost, &hyper, netuid, height));
    let subnet = Subnet {
        owner: from.0,
        owner_hotkey: hotkey,
        name,
        symbol: free_symbol(ctx.state, netuid)?,
        registered: height,
        started: None,
        lock: cost,
        registrations: 1,
        hyper,
    };
    SUBNETS.put(ctx.state, &netuid, &subnet);
    MEMBERS.put(ctx.state, &netuid, &vec![Member { hotkey, registered: height }]);
    SCORES.put(ctx.state, &netuid, &vec![Scores::default()]);
    UIDS.put(ctx.state, &(netuid, hotkey), &0);
    ctx.emit(
        Event::new("subnet_created")
            .with("netuid", netuid)
            .with("owner", from)
            .with("hotkey", Address(hotkey))
            .with("cost", uallo(cost)),
    );
    Ok(())
}

fn market(alpha: u64, tao: u64, hyper: &Hyper, netuid: Netuid, height: u64) -> Market {
    Market {
        alpha,
        tao,
        tao_weight: Fixed::from_raw(Fixed::ONE.raw() / 2),
        alpha_out: 0,
        protocol: 0,
        burned: 0,
        claimable: 0,
        server: 0,
        validator: 0,
        root: 0,
        owner: 0,
        average: Fixed::ZERO,
        withheld: Fixed::ZERO,
        price: FIRST_PRICE.max(hyper.min_burn).min(hyper.max_burn),
        decay: admission::decay_factor(hyper.burn_half_life),
        // Subnets of the same age have their epochs in different blocks.
        last: height.saturating_sub(u64::from(netuid) % hyper.tempo.max(1)),
        pending: 0,
        stepped: height,
        last_step: 0,
        epochs: 0,
        newest: (0, 0),
        orders: 0,
    }
}

/// `MsgStartSubnet`: trade and emission from the next block on.
pub(crate) fn start(ctx: &mut Ctx, from: Address, m: &MsgStartSubnet) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "start subnet")?;
    let (netuid, mut subnet, _) = load(ctx.state, m.netuid)?;
    let rules = rules(ctx.state)?;
    owner_only(&subnet, from, "start a subnet")?;
    if let Some(at) = subnet.started {
        return Err(SubnetError::Started { netuid, at }.into());
    }
    let next = subnet.registered.saturating_add(rules.start_call_delay);
    if ctx.height < next {
        return Err(SubnetError::TooSoon { what: "the start".into(), next, height: ctx.height }.into());
    }
    // Nothing below can fail.
    subnet.started = Some(ctx.height + 1);
    SUBNETS.put(ctx.state, &netuid, &subnet);
    ctx.emit(Event::new("subnet_started").with("netuid", netuid).with("from", ctx.height + 1));
    Ok(())
}

pub(super) fn owner_only(subnet: &Subnet, who: Address, what: &'static str) -> Result<(), SubnetError> {
    if subnet.owner == who.0 {
        return Ok(());
    }
    Err(SubnetError::NotPermitted { who, what, hint: format!("its owner is {}", Address(subnet.owner)) })
}

/// Refuses owners shortly before an epoch (S 10.7).
pub(super) fn not_frozen(
    rules: &Rules,
    subnet: &Subnet,
    market: &Market,
    height: u64,
) -> Result<(), SubnetError> {
    let (epoch, window) = (epoch::next(market, subnet.hyper.tempo, height), rules.admin_freeze_window);
    if epoch > 0 && epoch - height <= window && subnet.hyper.tempo > window {
        return Err(SubnetError::Frozen(epoch));
    }
    Ok(())
}

/// `MsgDissolveSubnet`.
pub(crate) fn dissolve(ctx: &mut Ctx, from: Address, m: &MsgDissolveSubnet) -> Result<(), Failure> {
    ctx.gas.charge(gas::CREATE_SUBNET, "dissolve subnet")?;
    let (netuid, ..) = load(ctx.state, m.netuid)?;
    admins_only(ctx, from, "dissolve a subnet")?;
    // Nothing below can fail.
    ending::dissolve(ctx, netuid)
}

fn settings(set: &[Setting]) -> Result<Vec<(String, String)>, SubnetError> {
    if set.is_empty() || set.len() > SETTINGS_MAX {
        return Err(value("set", format!("needs 1 to {SETTINGS_MAX} settings")));
    }
    Ok(set.iter().map(|setting| (setting.name.clone(), setting.value.clone())).collect())
}

/// `MsgSetHyperparameters`: by the owner now and then (S 10.7, 24), by admins whenever they want.
pub(crate) fn set_hyperparameters(
    ctx: &mut Ctx,
    from: Address,
    m: &MsgSetHyperparameters,
) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE + gas::LIST_ENTRY * m.set.len() as u64, "set hyperparameters")?;
    let (netuid, mut subnet, mut market) = load(ctx.state, m.netuid)?;
    let (rules, height) = (rules(ctx.state)?, ctx.height);
    let changes = settings(&m.set)?;
    let admin = is_admin(ctx.state, from)?;
    if !admin {
        owner_only(&subnet, from, "set hyperparameters")?;
        if let Some(name) = Hyper::for_admins(changes.iter().map(|change| change.0.as_str())) {
            let hint = format!("{} is set by admins of the chain", printable(name));
            return Err(SubnetError::NotPermitted { who: from, what: "set this hyperparameter", hint }.into());
        }
        not_frozen(&rules, &subnet, &market, height)?;
        for (name, _) in &changes {
            let Some(last) = CHANGED.get(ctx.state, &(netuid, name.clone()))? else { continue };
            let wait = match name.as_str() {
                "tempo" => TEMPO_WAIT,
                "weights_version" => subnet.hyper.tempo.saturating_mul(5),
                _ => subnet.hyper.tempo.saturating_mul(rules.owner_hparam_rate_limit),
            };
            let next = last.saturating_add(wait);
            if height < next {
                return Err(SubnetError::TooSoon { what: name.clone(), next, height }.into());
            }
        }
    }
    let members = MEMBERS.get(ctx.state, &netuid)?.map_or(0, |members| members.len());
    let members = u16::try_from(members).unwrap_or(u16::MAX);
    let new = subnet.hyper.with(&changes, !admin, members).map_err(|cause| value("set", cause))?;
    // Nothing below can fail.
    if new.tempo != subnet.hyper.tempo {
        market.last = height;
    }
    market.decay = admission::decay_factor(new.burn_half_life);
    MARKETS.put(ctx.state, &netuid, &market);
    for mechanism in new.mechanisms..subnet.hyper.mechanisms {
        drop_mechanism(ctx, netuid, mechanism)?;
    }
    subnet.hyper = new;
    SUBNETS.put(ctx.state, &netuid, &subnet);
    for (name, text) in &changes {
        if !admin {
            CHANGED.put(ctx.state, &(netuid, name.clone()), &height);
        }
        let event = Event::new("subnet_hyperparameter").with("netuid", netuid);
        ctx.emit(event.with("name", name).with("value", printable(text)));
    }
    Ok(())
}

fn drop_mechanism(ctx: &mut Ctx, netuid: Netuid, mechanism: u16) -> Result<(), Failure> {
    let Some(index) = mechanism_index(netuid, mechanism) else { return Ok(()) };
    for uid in 0..u16::MAX {
        if usize::from(uid) >= MEMBERS.get(ctx.state, &netuid)?.map_or(0, |members| members.len()) {
            break;
        }
        UPDATED.delete(ctx.state, &(index, uid));
        WEIGHTS.delete(ctx.state, &(index, uid));
        BONDS.delete(ctx.state, &(index, uid));
    }
    for (key, _) in COMMITS.scan_prefix(ctx.state, &index, usize::MAX)? {
        COMMITS.delete(ctx.state, &key);
    }
    Ok(())
}

/// `MsgTriggerEpoch` (S 10.5): after the freeze window, so that nobody is surprised.
pub(crate) fn trigger_epoch(ctx: &mut Ctx, from: Address, m: &MsgTriggerEpoch) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "trigger epoch")?;
    let (netuid, subnet, mut market) = load(ctx.state, m.netuid)?;
    let (rules, height) = (rules(ctx.state)?, ctx.height);
    owner_only(&subnet, from, "ask for an epoch")?;
    if subnet.hyper.commit_reveal {
        return Err(value("netuid", "while weights are committed, epochs keep their time").into());
    }
    let asked = "epoch before its time".to_string();
    let last = CHANGED.get(ctx.state, &(netuid, asked.clone()))?;
    let next = last.map_or(0, |last| last.saturating_add(TEMPO_WAIT));
    if height < next {
        return Err(SubnetError::TooSoon { what: asked, next, height }.into());
    }
    // Nothing below can fail.
    market.pending = height.saturating_add(rules.admin_freeze_window).max(height + 1);
    MARKETS.put(ctx.state, &netuid, &market);
    CHANGED.put(ctx.state, &(netuid, asked), &height);
    ctx.emit(Event::new("subnet_epoch_asked").with("netuid", netuid).with("block", market.pending));
    Ok(())
}

/// `MsgSetSubnetRules`: in force from the next message on.
pub(crate) fn set_rules(ctx: &mut Ctx, from: Address, m: &MsgSetSubnetRules) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE + gas::LIST_ENTRY * m.set.len() as u64, "set subnet rules")?;
    admins_only(ctx, from, "set the rules of subnets")?;
    let changes = settings(&m.set)?;
    let new = rules(ctx.state)?.with(&changes).map_err(|cause| value("set", cause))?;
    // Nothing below can fail.
    RULES.put(ctx.state, &new);
    for (name, text) in &changes {
        ctx.emit(Event::new("subnet_rule").with("name", name).with("value", printable(text)));
    }
    Ok(())
}
