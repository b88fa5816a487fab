//! One epoch of a subnet: its state becomes the input of the formulas (S 9), their result becomes scores, bonds and pay
//! (S 16). What was accrued is paid to the last unit, or waits for the next epoch where nobody has a claim on it.

use std::collections::BTreeMap;

use dodona_mechanism::{
    MathError,
    amount::split_by,
    subnet::{
        clock::{activity_cutoff, mechanism_index},
        epoch::{self, EpochInput, EpochOutput},
        fixed::Q32,
        payout::{self, FamilyRules, Pots},
        sparse::StoredRow,
    },
    supply::Fixed,
};

use super::{
    book::{self, math},
    lock,
    rules::Rules,
    state::{
        AUTO_STAKE, BONDS, CHILD_TAKES, CHILDREN, COMMITS, HOTKEYS, Index, Key, MARKETS, MEMBERS, Market,
        Member, Netuid, PARENTS, SCORES, Scores, Subnet, UIDS, UPDATED, WEIGHTS,
    },
};
use crate::{ctx::Ctx, error::Failure, event::Event, state::State};

/// Runs the epoch that is due in this block.
pub(super) fn run(ctx: &mut Ctx, rules: &Rules, netuid: Netuid, subnet: &Subnet) -> Result<(), Failure> {
    let members = MEMBERS.get(ctx.state, &netuid)?.unwrap_or_default();
    let Some(mut market) = MARKETS.get(ctx.state, &netuid)? else { return Ok(()) };
    let hyper = &subnet.hyper;
    let mut weights = Vec::with_capacity(members.len());
    let mut behind = Vec::with_capacity(members.len());
    for member in &members {
        behind.push(book::stake_of(ctx.state, netuid, member.hotkey)?);
        weights.push(book::weight_of(ctx.state, rules, netuid, member.hotkey)?);
    }
    let before = SCORES.get(ctx.state, &netuid)?.unwrap_or_default();
    let permit: Vec<bool> = (0..members.len()).map(|uid| before.get(uid).is_some_and(|s| s.permit)).collect();
    let registered: Vec<u64> = members.iter().map(|member| member.registered).collect();
    let owner = UIDS.get(ctx.state, &(netuid, subnet.owner_hotkey))?;
    let cutoff = activity_cutoff(hyper.activity_cutoff_factor, hyper.tempo);
    let params = hyper.epoch(rules.stake_threshold, owner, cutoff);
    let emission = market.server + market.validator + market.root;
    let split = (!hyper.mechanism_split.is_empty()).then_some(hyper.mechanism_split.as_slice());
    let parts = math(payout::by_mechanism(emission, hyper.mechanisms.into(), split))?;
    let mut outputs = Vec::with_capacity(parts.len());
    for (mechanism, &part) in (0..).zip(&parts) {
        let Some(index) = mechanism_index(netuid, mechanism) else { continue };
        let rows = Rows::load(ctx.state, index, &members, market.epochs, hyper.reveal_period)?;
        let input = EpochInput {
            params: &params,
            block: ctx.height,
            last_step: market.last_step,
            emission: part,
            stake: &weights,
            permit: &permit,
            last_update: &rows.updated,
            registered: &registered,
            weights: &rows.weights,
            bonds: &rows.bonds,
            commits: hyper.commit_reveal.then_some(rows.commits.as_slice()),
        };
        let output = math(epoch::run(&input))?;
        for (uid, (old, new)) in (0..).zip(rows.bonds.iter().zip(&output.bonds)) {
            match new.is_empty() {
                true if old.is_empty() => {}
                true => BONDS.delete(ctx.state, &(index, uid)),
                false => BONDS.put(ctx.state, &(index, uid), new),
            }
        }
        outputs.push(output);
    }
    let scores = scores(members.len(), emission, &parts, &outputs);
    let height = ctx.height;
    let pay = Pay { rules, netuid, subnet, height, members: &members, behind: &behind, outputs: &outputs };
    let paid = pay.out(ctx.state, &mut market)?;
    market.last_step = ctx.height;
    MARKETS.put(ctx.state, &netuid, &market);
    SCORES.put(ctx.state, &netuid, &scores);
    ctx.emit(
        Event::new("subnet_epoch")
            .with("netuid", netuid)
            .with("epoch", market.epochs)
            .with("miners", paid.miners)
            .with("validators", paid.alpha)
            .with("root", paid.root)
            .with("owner", paid.owner)
            .with("withheld", paid.withheld),
    );
    Ok(())
}

/// What is stored by uid.
struct Rows {
    updated: Vec<u64>,
    weights: Vec<StoredRow>,
    bonds: Vec<StoredRow>,
    commits: Vec<Option<u64>>,
}

impl Rows {
    /// Loads the rows of a mechanism, and forgets commits that nobody can reveal any more.
    fn load(
        state: &mut State,
        index: Index,
        members: &[Member],
        epochs: u64,
        period: u64,
    ) -> Result<Self, Failure> {
        let n = members.len();
        let mut rows = Self {
            updated: vec![0; n],
            weights: vec![Vec::new(); n],
            bonds: vec![Vec::new(); n],
            commits: vec![None; n],
        };
        for ((_, uid), at) in UPDATED.scan_prefix(state, &index, n)? {
            if let Some(place) = rows.updated.get_mut(usize::from(uid)) {
                *place = at;
            }
        }
        rows.weights = table(&WEIGHTS.scan_prefix(state, &index, n)?, n);
        rows.bonds = table(&BONDS.scan_prefix(state, &index, n)?, n);
        let uids: BTreeMap<Key, (usize, u64)> = members
            .iter()
            .enumerate()
            .map(|(uid, member)| (member.hotkey, (uid, member.registered)))
            .collect();
        for (key, commits) in COMMITS.scan_prefix(state, &index, usize::MAX)? {
            let place = uids.get(&key.1);
            let counts = |registered| place.is_some_and(|place| place.1 == registered);
            let (open, gone): (Vec<_>, Vec<_>) = commits
                .into_iter()
                .partition(|c| counts(c.registered) && epochs <= c.epoch.saturating_add(period));
            if let (Some(&(uid, _)), Some(first)) = (place, open.first()) {
                rows.commits[uid] = Some(first.block);
            }
            match (open.is_empty(), gone.is_empty()) {
                (_, true) => {}
                (true, _) => COMMITS.delete(state, &key),
                (false, _) => COMMITS.put(state, &key, &open),
            }
        }
        Ok(rows)
    }
}

fn table(rows: &[((Index, u16), StoredRow)], n: usize) -> Vec<StoredRow> {
    let mut table = vec![Vec::new(); n];
    for ((_, uid), row) in rows {
        if let Some(place) = table.get_mut(usize::from(*uid)) {
            place.clone_from(row);
        }
    }
    table
}

/// What is kept of an epoch; numbers of several mechanisms are weighed by what each had to give (S 11.3).
fn scores(n: usize, emission: u64, parts: &[u64], outputs: &[EpochOutput]) -> Vec<Scores> {
    let count = outputs.len() as u64;
    let weighed = |of: &dyn Fn(&EpochOutput) -> u16| -> u16 {
        let part = |(output, &part): (&EpochOutput, &u64)| {
            let value = u128::from(of(output));
            match (count, emission) {
                (1, _) => value,
                (_, 0) => value / u128::from(count),
                _ => value * u128::from(part) / u128::from(emission),
            }
        };
        outputs.iter().zip(parts).map(part).sum::<u128>().min(u16::MAX.into()) as u16
    };
    (0..n)
        .map(|uid| Scores {
            active: outputs.iter().any(|o| o.active[uid]),
            permit: outputs.iter().any(|o| o.permit[uid]),
            stake: outputs.first().map_or(0, |o| o.stake[uid].to_fraction()),
            consensus: weighed(&|o| o.consensus[uid].to_fraction()),
            trust: weighed(&|o| o.trust[uid].to_fraction()),
            dividends: weighed(&|o| o.dividends[uid].to_fraction()),
            incentive: outputs.iter().map(|o| o.incentive[uid].to_fraction()).collect(),
            emission: outputs.iter().map(|o| o.emission[uid]).fold(0, u64::saturating_add),
        })
        .collect()
}

/// What an epoch paid, base units.
#[derive(Default)]
struct Paid {
    miners: u64,
    alpha: u64,
    root: u64,
    owner: u64,
    withheld: u64,
}

struct Pay<'a> {
    rules: &'a Rules,
    netuid: Netuid,
    subnet: &'a Subnet,
    height: u64,
    members: &'a [Member],
    behind: &'a [payout::Stake],
    outputs: &'a [EpochOutput],
}

impl Pay<'_> {
    /// Pays what was accrued. The market is the caller's copy; nothing here writes another one.
    fn out(&self, state: &mut State, market: &mut Market) -> Result<Paid, Failure> {
        let netuid = self.netuid;
        let mut paid = Paid { owner: market.owner, ..Paid::default() };
        let Subnet { owner, owner_hotkey, .. } = *self.subnet;
        book::credit(state, netuid, owner_hotkey, owner, market.owner)?;
        if self.subnet.hyper.owner_cut_auto_lock && market.owner > 0 {
            let cut = (owner_hotkey, market.owner);
            lock::add(state, self.rules, (netuid, self.subnet), owner, cut, self.height)?;
        }
        market.owner = 0;

        let any = |of: fn(&EpochOutput) -> &Vec<Q32>| {
            self.outputs.iter().any(|output| of(output).iter().any(|&value| value > Q32::ZERO))
        };
        // Without miners everything is the validators', without bonds everything is the miners'.
        let (miners, pots) = match (any(|o| &o.incentive), any(|o| &o.dividends)) {
            (false, _) => (0, Pots { alpha: market.validator + market.server, root: market.root }),
            (true, false) => (market.server + market.validator + market.root, Pots::default()),
            (true, true) => (market.server, Pots { alpha: market.validator, root: market.root }),
        };
        let left = (miners, pots);
        (market.server, market.validator, market.root) = (0, 0, 0);
        self.miners(state, market, miners, &mut paid)?;
        self.validators(state, market, pots, &mut paid)?;
        market.server = left.0 - paid.miners - paid.withheld;
        market.validator = left.1.alpha - paid.alpha;
        market.root = left.1.root - paid.root;
        Ok(paid)
    }

    fn sum(&self, uid: usize, of: fn(&EpochOutput) -> &Vec<u64>) -> u128 {
        self.outputs.iter().map(|output| u128::from(of(output)[uid])).sum()
    }

    fn miners(
        &self,
        state: &mut State,
        market: &mut Market,
        pot: u64,
        paid: &mut Paid,
    ) -> Result<(), Failure> {
        let shares: Vec<u128> = (0..self.members.len()).map(|uid| self.sum(uid, |o| &o.server)).collect();
        for (member, part) in self.members.iter().zip(shared(pot, &shares)?) {
            if part == 0 {
                continue;
            }
            let coldkey = book::owner_of(state, member.hotkey)?.unwrap_or(member.hotkey);
            if coldkey == self.subnet.owner || member.hotkey == self.subnet.owner_hotkey {
                paid.withheld += part;
                continue;
            }
            let upon = AUTO_STAKE.get(state, &(self.netuid, coldkey))?.unwrap_or(member.hotkey);
            book::credit(state, self.netuid, upon, coldkey, part)?;
            paid.miners += part;
        }
        match self.subnet.hyper.recycle {
            true => market.alpha_out = market.alpha_out.saturating_sub(paid.withheld),
            false => market.burned += paid.withheld,
        }
        let all = u128::from(paid.withheld) + u128::from(paid.miners);
        market.withheld = if all == 0 { Fixed::ZERO } else { math(Fixed::ratio(paid.withheld.into(), all))? };
        Ok(())
    }

    /// A validator's dividend, its own part and those of the parents whose stake it used (S 16.3).
    fn family(
        &self,
        state: &State,
        hotkey: Key,
        own: payout::Stake,
        dividend: u64,
    ) -> Result<Vec<(Key, u64)>, Failure> {
        let parents = PARENTS.get(state, &(self.netuid, hotkey))?.unwrap_or_default();
        if dividend == 0 || parents.is_empty() {
            return Ok(vec![(hotkey, dividend)]);
        }
        let holder = book::owner_of(state, hotkey)?;
        let mut relatives = Vec::with_capacity(parents.len());
        for (fraction, parent) in &parents {
            relatives.push(payout::Parent {
                stake: book::stake_of(state, self.netuid, *parent)?,
                fraction: *fraction,
                same_holder: book::owner_of(state, *parent)? == holder,
            });
        }
        let lent = CHILDREN.get(state, &(self.netuid, hotkey))?.unwrap_or_default();
        let kept = lent.iter().fold(u64::MAX, |left, (fraction, _)| left.saturating_sub(*fraction));
        // Takes from before the subnet's least one was raised count as that.
        let take = CHILD_TAKES.get(state, &(self.netuid, hotkey))?.unwrap_or_default().0;
        let take = take.max(self.subnet.hyper.min_childkey_take);
        let rules = FamilyRules {
            root_weight: self.rules.root_weight,
            take: math(Fixed::ratio(take.into(), u16::MAX.into()))?,
            burn: Fixed::ZERO,
        };
        let family = math(payout::to_family(dividend, own, kept, &relatives, &rules))?;
        let parts = parents.into_iter().map(|(_, parent)| parent).zip(family.parents);
        Ok(std::iter::once((hotkey, family.child)).chain(parts).collect())
    }

    fn validators(
        &self,
        state: &mut State,
        market: &mut Market,
        pots: Pots,
        paid: &mut Paid,
    ) -> Result<(), Failure> {
        let mut dividends: BTreeMap<Key, u64> = BTreeMap::new();
        for (uid, member) in self.members.iter().enumerate() {
            let dividend = u64::try_from(self.sum(uid, |o| &o.validator)).unwrap_or(u64::MAX);
            for (hotkey, part) in self.family(state, member.hotkey, self.behind[uid], dividend)? {
                let sum = dividends.entry(hotkey).or_default();
                *sum = sum.saturating_add(part);
            }
        }
        let mut rows = Vec::with_capacity(dividends.len());
        for (hotkey, dividend) in &dividends {
            rows.push((book::stake_of(state, self.netuid, *hotkey)?, *dividend));
        }
        let parts = math(payout::by_kind_of_stake(pots, self.rules.root_weight, &rows))?;
        for (hotkey, part) in dividends.into_keys().zip(parts) {
            if part == Pots::default() {
                continue;
            }
            let take = HOTKEYS.get(state, &hotkey)?.map_or(0, |hotkey| hotkey.take);
            let of = |amount: u64| (u128::from(amount) * u128::from(take) / u128::from(u16::MAX)) as u64;
            let (alpha, root) = (of(part.alpha), of(part.root));
            book::reward(state, self.netuid, hotkey, part.alpha - alpha)?;
            market.claimable += book::root_reward(state, self.netuid, hotkey, part.root - root)?;
            book::to_owner(state, self.netuid, hotkey, alpha + root)?;
            paid.alpha += part.alpha;
            paid.root += part.root;
        }
        Ok(())
    }
}

/// A pot by shares, to the last unit; nothing where nobody has any.
fn shared(pot: u64, shares: &[u128]) -> Result<Vec<u64>, Failure> {
    match split_by(pot.into(), shares) {
        Err(MathError::Empty(_)) => Ok(vec![0; shares.len()]),
        // Parts of a `u64` fit into one.
        parts => Ok(math(parts)?.into_iter().map(|part| part as u64).collect()),
    }
}

/// Block of the next epoch as far as the clock tells; 0 for a stopped clock.
pub(super) fn next(market: &Market, tempo: u64, height: u64) -> u64 {
    match (tempo, market.pending) {
        (0, _) => 0,
        (_, 0) => market.last.saturating_add(tempo).max(height + 1),
        (_, pending) => pending.min(market.last.saturating_add(tempo)).max(height + 1),
    }
}
