//! Weights: set at once, or committed as a digest and revealed when nobody can copy them any more (S 7, 8).

use dodona_mechanism::subnet::{clock::mechanism_index, sparse::StoredRow, weights as rows};
use dodona_proto::{
    Address,
    commit::digest,
    subnets::{MsgCommitWeights, MsgRevealWeights, MsgSetWeights},
};

use super::{load, value};
use crate::{
    ctx::Ctx,
    error::Failure,
    event::Event,
    gas,
    subnets::{
        book, epoch,
        error::SubnetError,
        state::{
            COMMITS, COMMITS_MAX, Commit, Index, MEMBERS, Market, Member, Netuid, SCORES, Subnet, UIDS,
            UPDATED, WEIGHTS, rules,
        },
    },
};

/// Bytes of a salt.
const SALT: std::ops::RangeInclusive<usize> = 8..=64;

/// A validator's place.
struct Place {
    netuid: Netuid,
    index: Index,
    subnet: Subnet,
    market: Market,
    members: Vec<Member>,
    uid: u16,
}

fn place(ctx: &Ctx, from: Address, netuid: u32, mechanism: u32) -> Result<Place, Failure> {
    let (netuid, subnet, market) = load(ctx.state, netuid)?;
    let exists = u16::try_from(mechanism).ok().filter(|m| *m < subnet.hyper.mechanisms);
    let index = exists.and_then(|mechanism| mechanism_index(netuid, mechanism));
    let index = index.ok_or_else(|| {
        let count = subnet.hyper.mechanisms;
        value("mechanism", format!("this subnet has {count}, numbered from 0"))
    })?;
    let uid = UIDS.get(ctx.state, &(netuid, from.0))?;
    let uid = uid.ok_or(SubnetError::NotRegistered { hotkey: from, netuid })?;
    let members = MEMBERS.get(ctx.state, &netuid)?.unwrap_or_default();
    Ok(Place { netuid, index, subnet, market, members, uid })
}

impl Place {
    fn registered(&self) -> u64 {
        self.members.get(usize::from(self.uid)).map_or(0, |member| member.registered)
    }

    /// Whether enough blocks have passed since the last weights.
    fn in_time(&self, ctx: &Ctx) -> Result<(), Failure> {
        let last = UPDATED.get(ctx.state, &(self.index, self.uid))?.unwrap_or(0);
        let (limit, height) = (self.subnet.hyper.weights_rate_limit, ctx.height);
        if rows::in_time(height, last, limit) {
            return Ok(());
        }
        let next = last.saturating_add(limit);
        Err(SubnetError::TooSoon { what: "weights".into(), next, height }.into())
    }

    /// What must hold of weights, however they come; answers the row to store.
    fn row(
        &self,
        ctx: &Ctx,
        from: Address,
        uids: &[u32],
        values: &[u32],
        version: u64,
    ) -> Result<StoredRow, Failure> {
        let n = self.members.len();
        if uids.len() != values.len() || uids.len() > n {
            let cause = format!("{} uids and {} values, of at most {n} neurons", uids.len(), values.len());
            return Err(value("uids", cause).into());
        }
        let small = |field: &'static str, list: &[u32]| -> Result<Vec<u16>, SubnetError> {
            let items = list.iter().map(|item| u16::try_from(*item));
            items.collect::<Result<_, _>>().map_err(|_| value(field, "allowed are 0 to 65535"))
        };
        let (uids, values) = (small("uids", uids)?, small("values", values)?);
        let owner = from.0 == self.subnet.owner_hotkey;
        let rules = rules(ctx.state)?;
        let has = book::weight_of(ctx.state, &rules, self.netuid, from.0)?;
        if has < rules.stake_threshold && !owner {
            return Err(SubnetError::LowStake { has, needs: rules.stake_threshold }.into());
        }
        let needs = self.subnet.hyper.weights_version;
        if !rows::version_accepted(version, needs) {
            return Err(SubnetError::Version { got: version, needs }.into());
        }
        let scores = SCORES.get(ctx.state, &self.netuid)?.unwrap_or_default();
        let permit = scores.get(usize::from(self.uid)).is_some_and(|scores| scores.permit);
        if !permit && !owner && uids != [self.uid] {
            let next = epoch::next(&self.market, self.subnet.hyper.tempo, ctx.height);
            return Err(SubnetError::NoPermit { uid: self.uid, next }.into());
        }
        let least = usize::from(self.subnet.hyper.min_allowed_weights);
        if !rows::long_enough(self.uid, &uids, n, least) {
            return Err(value("uids", format!("at least {} are needed", least.min(n))).into());
        }
        let row = rows::stored_row(&uids, &values, n);
        row.ok_or_else(|| value("uids", format!("one stands twice, or is not below {n}")).into())
    }
}

/// `MsgSetWeights`.
pub(crate) fn set(ctx: &mut Ctx, from: Address, m: &MsgSetWeights) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WEIGHTS + gas::WEIGHT * m.uids.len() as u64, "set weights")?;
    let place = place(ctx, from, m.netuid, m.mechanism)?;
    if place.subnet.hyper.commit_reveal {
        return Err(SubnetError::CommitFirst(place.netuid).into());
    }
    place.in_time(ctx)?;
    let row = place.row(ctx, from, &m.uids, &m.values, m.version_key)?;
    // Nothing below can fail.
    WEIGHTS.put(ctx.state, &(place.index, place.uid), &row);
    UPDATED.put(ctx.state, &(place.index, place.uid), &ctx.height);
    told(ctx, "weights_set", &place, from);
    Ok(())
}

/// `MsgCommitWeights`: counts as the setting of weights; they are shown later.
pub(crate) fn commit(ctx: &mut Ctx, from: Address, m: &MsgCommitWeights) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WEIGHTS, "commit weights")?;
    let place = place(ctx, from, m.netuid, m.mechanism)?;
    if !place.subnet.hyper.commit_reveal {
        return Err(SubnetError::NoCommits(place.netuid).into());
    }
    let digest: [u8; 32] = m.digest.as_slice().try_into().map_err(|_| value("digest", "needs 32 bytes"))?;
    place.in_time(ctx)?;
    let (epoch, period) = (place.market.epochs, place.subnet.hyper.reveal_period);
    let mut commits = COMMITS.get(ctx.state, &(place.index, from.0))?.unwrap_or_default();
    commits.retain(|c| c.registered == place.registered() && epoch <= c.epoch.saturating_add(period));
    if let (true, Some(oldest)) = (commits.len() >= COMMITS_MAX, commits.first()) {
        let due = format!("epoch {} of the subnet", oldest.epoch.saturating_add(period));
        return Err(SubnetError::Commits(commits.len(), due).into());
    }
    // Nothing below can fail.
    commits.push(Commit { digest, epoch, block: ctx.height, registered: place.registered(), by: from.0 });
    COMMITS.put(ctx.state, &(place.index, from.0), &commits);
    UPDATED.put(ctx.state, &(place.index, place.uid), &ctx.height);
    told(ctx, "weights_committed", &place, from);
    Ok(())
}

/// `MsgRevealWeights`: exactly `reveal_period` epochs after the commit; it uses up that commit and all older ones.
pub(crate) fn reveal(ctx: &mut Ctx, from: Address, m: &MsgRevealWeights) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WEIGHTS + gas::WEIGHT * m.uids.len() as u64, "reveal weights")?;
    let place = place(ctx, from, m.netuid, m.mechanism)?;
    if !SALT.contains(&m.salt.len()) {
        return Err(value("salt", format!("needs {} to {} bytes", SALT.start(), SALT.end())).into());
    }
    let shown = |by| digest(Address(by), (m.netuid, m.mechanism), &m.uids, &m.values, &m.salt, m.version_key);
    let mut commits = COMMITS.get(ctx.state, &(place.index, from.0))?.unwrap_or_default();
    let (now, period) = (place.market.epochs, place.subnet.hyper.reveal_period);
    let fits = |c: &Commit| {
        c.registered == place.registered() && now <= c.epoch.saturating_add(period) && c.digest == shown(c.by)
    };
    let found = commits.iter().position(fits).ok_or(SubnetError::NoCommit)?;
    let due = commits[found].epoch.saturating_add(period);
    if now < due {
        let next = epoch::next(&place.market, place.subnet.hyper.tempo, ctx.height);
        let hint = if due == now + 1 { format!(", the next is in block {next}") } else { String::new() };
        return Err(SubnetError::Early { due, now, hint }.into());
    }
    let row = place.row(ctx, from, &m.uids, &m.values, m.version_key)?;
    // Nothing below can fail.
    commits.drain(..=found);
    match commits.is_empty() {
        true => COMMITS.delete(ctx.state, &(place.index, from.0)),
        false => COMMITS.put(ctx.state, &(place.index, from.0), &commits),
    }
    WEIGHTS.put(ctx.state, &(place.index, place.uid), &row);
    told(ctx, "weights_revealed", &place, from);
    Ok(())
}

fn told(ctx: &mut Ctx, what: &str, place: &Place, hotkey: Address) {
    ctx.emit(Event::new(what).with("netuid", place.netuid).with("uid", place.uid).with("hotkey", hotkey));
}
