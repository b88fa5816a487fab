//! Who fails how and when: drawn from a seed, written in one line, made smaller by leaving things out.

use std::{fmt, str::FromStr};

use crate::random::Random;

/// Everything a run depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Decides keys, delays, losses, and who talks to whom.
    pub seed: u64,
    /// Voting powers, one for each node; 1 to 16 nodes.
    pub powers: Vec<u64>,
    /// When the last fault is over, virtual milliseconds. After that everything has to work again.
    pub horizon_ms: u64,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Blocks of a set epoch in which one of as many newcomers takes the place of one of the first validators, until all
    /// have been replaced; 0: the first ones stay. Every node has a newcomer then, after the first ones in number.
    pub rotate: u64,
    /// Whether every node gets a new program, one after the other, that changes the form of the state at a height.
    pub upgrade: bool,
    /// What is broken on purpose.
    pub canary: Option<Canary>,
}

/// A promise that is broken on purpose, so that the checks can show that they notice.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Canary {
    /// Cores decide with more than a third of the power instead of two thirds.
    Quorum,
    /// Keys sign whatever they are asked to.
    Guard,
    /// The upgrade makes tokens of nothing.
    Supply,
    /// The upgrade gives another state to whoever executes it later.
    Replay,
    /// The upgrade forgets when epochs are due.
    Stuck,
    /// A transaction is shown that is in no block.
    Lost,
}

const CANARIES: [(Canary, &str); 6] = [
    (Canary::Quorum, "quorum"),
    (Canary::Guard, "guard"),
    (Canary::Supply, "supply"),
    (Canary::Replay, "replay"),
    (Canary::Stuck, "stuck"),
    (Canary::Lost, "lost"),
];

/// Something that goes wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// Since when, virtual milliseconds.
    pub from_ms: u64,
    /// Until when.
    pub until_ms: u64,
}

/// What goes wrong. Nodes count from 0; sets of nodes are bits, the first node the lowest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// So many of a hundred messages are lost.
    Loss(u8),
    /// Messages take so many milliseconds, from and to.
    Delay(u64, u64),
    /// So many of a hundred messages arrive twice.
    Twice(u8),
    /// Nodes of the set and the others do not hear one another.
    Split(u64),
    /// What the first set says does not reach the second.
    OneWay(u64, u64),
    /// A node is down, and begins again with what is on its disk.
    Crash(usize),
    /// A node is down, and begins again without the log of its votes and the blocks it had kept: what it signed is known
    /// to its guard alone.
    Forget(usize),
    /// All nodes are down.
    Outage,
    /// A node's clock is off by so many milliseconds.
    Skew(usize, i64),
    /// A node hears but says nothing.
    Silent(usize),
    /// What a node says takes so many milliseconds longer.
    Slow(usize, u64),
    /// A node votes and proposes twice, and tells some this and some that.
    Equivocate(usize),
    /// A node proposes blocks that nobody may accept.
    Bad(usize, Bad),
}

/// What is wrong with a block.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Another state root.
    Root,
    /// A transaction that is none.
    Tx,
    /// More bytes than a block may have.
    Size,
    /// A time that is far ahead.
    Time,
}

const BAD: [(Bad, &str); 4] =
    [(Bad::Root, "root"), (Bad::Tx, "tx"), (Bad::Size, "size"), (Bad::Time, "time")];

/// Why a text is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no part of a plan such as `seed=7 powers=10,10,10,10 horizon=9000 crash:2@1000-4000`")]
pub struct PlanError(String);

impl Plan {
    /// A network of four in which nothing goes wrong.
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            powers: vec![10; 4],
            horizon_ms: 4_000,
            faults: Vec::new(),
            rotate: 0,
            upgrade: false,
            canary: None,
        }
    }

    /// The plan that a seed stands for.
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x506c_616e);
        let powers = match random.below(10) {
            0 => vec![30, 25, 20, 15, 10],
            1 => vec![60, 50, 10, 10],
            _ => vec![10; 4],
        };
        let rotate = if random.below(8) == 0 { random.within(2, 6) } else { 0 };
        let upgrade = random.below(8) == 0;
        let nodes = if rotate > 0 { 2 * powers.len() } else { powers.len() };
        let horizon_ms = 12_000;
        // The one who lies or loses its log, if anybody does. A third of the power is never in such hands: nodes that may
        // not repeat their votes of a round are silent there, and a third of silence is no network any more.
        let weak = nodes - 1;
        let mut faults = Vec::new();
        for _ in 0..=random.below(5) {
            let from_ms = random.within(0, horizon_ms - 2_000);
            let until_ms = random.within(from_ms + 500, horizon_ms);
            let node = random.below(nodes);
            let kind = match random.below(17) {
                0 => Kind::Loss(random.within(2, 40) as u8),
                1 => Kind::Delay(random.within(0, 200), random.within(200, 1_500)),
                2 => Kind::Twice(random.within(5, 60) as u8),
                3 | 4 => Kind::Split(random.within(1, (1 << nodes) - 2)),
                5 => Kind::OneWay(random.within(1, (1 << nodes) - 1), random.within(1, (1 << nodes) - 1)),
                6..=8 => Kind::Crash(node),
                9 => Kind::Outage,
                10 => Kind::Skew(node, random.within(0, 40_000) as i64 - 20_000),
                11 => Kind::Silent(node),
                12 => Kind::Slow(node, random.within(100, 3_000)),
                13 => Kind::Equivocate(weak),
                14 => Kind::Forget(weak),
                _ => Kind::Bad(weak, BAD[random.below(BAD.len())].0),
            };
            faults.push(Fault { kind, from_ms, until_ms });
        }
        Self { seed, powers, horizon_ms, faults, rotate, upgrade, canary: None }
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        if self.rotate > 0 { 2 * self.powers.len() } else { self.powers.len() }
    }

    /// Plans with a little less in them, the boldest first.
    pub fn smaller(&self) -> Vec<Plan> {
        let mut plans = Vec::new();
        for index in 0..self.faults.len() {
            let mut plan = self.clone();
            plan.faults.remove(index);
            plans.push(plan);
        }
        if self.upgrade {
            plans.push(Plan { upgrade: false, ..self.clone() });
        }
        if self.rotate > 0 {
            // Nodes that are no more cannot fail.
            let mut plan = Plan { rotate: 0, ..self.clone() };
            plan.faults.retain(|fault| fault.kind.node().is_none_or(|node| node < plan.powers.len()));
            plans.push(plan);
        }
        let last = self.faults.iter().map(|f| f.until_ms).max().unwrap_or(0);
        if last + 500 < self.horizon_ms {
            plans.push(Plan { horizon_ms: last, ..self.clone() });
        }
        for (index, fault) in self.faults.iter().enumerate() {
            let middle = fault.from_ms.midpoint(fault.until_ms);
            if fault.until_ms - fault.from_ms < 500 {
                continue;
            }
            for (from_ms, until_ms) in [(fault.from_ms, middle), (middle, fault.until_ms)] {
                let mut plan = self.clone();
                plan.faults[index] = Fault { kind: fault.kind.clone(), from_ms, until_ms };
                plans.push(plan);
            }
        }
        plans
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let powers: Vec<String> = self.powers.iter().map(u64::to_string).collect();
        write!(f, "seed={} powers={} horizon={}", self.seed, powers.join(","), self.horizon_ms)?;
        if self.rotate > 0 {
            write!(f, " rotate={}", self.rotate)?;
        }
        if self.upgrade {
            write!(f, " upgrade=yes")?;
        }
        if let Some((_, name)) = CANARIES.iter().find(|(canary, _)| Some(*canary) == self.canary) {
            write!(f, " canary={name}")?;
        }
        for fault in &self.faults {
            match &fault.kind {
                Kind::Loss(percent) => write!(f, " loss:{percent}")?,
                Kind::Delay(min, max) => write!(f, " delay:{min}:{max}")?,
                Kind::Twice(percent) => write!(f, " twice:{percent}")?,
                Kind::Split(set) => write!(f, " split:{set}")?,
                Kind::OneWay(from, to) => write!(f, " oneway:{from}:{to}")?,
                Kind::Crash(node) => write!(f, " crash:{node}")?,
                Kind::Forget(node) => write!(f, " forget:{node}")?,
                Kind::Outage => write!(f, " outage")?,
                Kind::Skew(node, ms) => write!(f, " skew:{node}:{ms}")?,
                Kind::Silent(node) => write!(f, " silent:{node}")?,
                Kind::Slow(node, ms) => write!(f, " slow:{node}:{ms}")?,
                Kind::Equivocate(node) => write!(f, " equivocate:{node}")?,
                Kind::Bad(node, bad) => {
                    let name = BAD.iter().find(|(b, _)| b == bad).map_or("", |(_, name)| name);
                    write!(f, " bad:{node}:{name}")?;
                }
            }
            write!(f, "@{}-{}", fault.from_ms, fault.until_ms)?;
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut plan = Plan::calm(0);
        for word in text.split_whitespace() {
            let wrong = || PlanError(word.to_string());
            match word.split_once('=') {
                Some(("seed", number)) => plan.seed = number.parse().map_err(|_| wrong())?,
                Some(("horizon", number)) => plan.horizon_ms = number.parse().map_err(|_| wrong())?,
                Some(("rotate", number)) => {
                    plan.rotate = number.parse().ok().filter(|n| *n <= 100).ok_or_else(wrong)?;
                }
                Some(("upgrade", "yes")) => plan.upgrade = true,
                Some(("canary", name)) => {
                    let known = CANARIES.iter().find(|(_, known)| *known == name);
                    plan.canary = Some(known.ok_or_else(wrong)?.0);
                }
                Some(("powers", list)) => {
                    let powers: Result<Vec<u64>, _> = list.split(',').map(str::parse).collect();
                    plan.powers = powers.map_err(|_| wrong())?;
                    let fit = |power: &u64| (1..=1_000_000).contains(power);
                    if plan.powers.len() > 16 || !plan.powers.iter().all(fit) {
                        return Err(wrong());
                    }
                }
                _ => plan.faults.push(fault(word).ok_or_else(wrong)?),
            }
        }
        let known = |fault: &Fault| fault.kind.node().is_none_or(|node| node < plan.nodes());
        // What newcomers bring must be in their purses.
        if plan.rotate > 0 && plan.powers.iter().any(|power| *power > 900) {
            return Err(PlanError(text.to_string()));
        }
        if !plan.faults.iter().all(known) {
            return Err(PlanError(text.to_string()));
        }
        Ok(plan)
    }
}

impl Kind {
    /// Whom it is about, if about one node.
    fn node(&self) -> Option<usize> {
        match self {
            Kind::Crash(node)
            | Kind::Forget(node)
            | Kind::Skew(node, _)
            | Kind::Silent(node)
            | Kind::Slow(node, _)
            | Kind::Equivocate(node)
            | Kind::Bad(node, _) => Some(*node),
            _ => None,
        }
    }
}

fn fault(word: &str) -> Option<Fault> {
    let (what, when) = word.split_once('@')?;
    let (from, until) = when.split_once('-')?;
    let (from_ms, until_ms) = (from.parse().ok()?, until.parse().ok()?);
    let parts: Vec<&str> = what.split(':').collect();
    let kind = match parts[..] {
        ["loss", p] => Kind::Loss(p.parse().ok()?),
        ["delay", min, max] => Kind::Delay(min.parse().ok()?, max.parse().ok()?),
        ["twice", p] => Kind::Twice(p.parse().ok()?),
        ["split", set] => Kind::Split(set.parse().ok()?),
        ["oneway", from, to] => Kind::OneWay(from.parse().ok()?, to.parse().ok()?),
        ["crash", node] => Kind::Crash(node.parse().ok()?),
        ["forget", node] => Kind::Forget(node.parse().ok()?),
        ["outage"] => Kind::Outage,
        ["skew", node, ms] => Kind::Skew(node.parse().ok()?, ms.parse().ok()?),
        ["silent", node] => Kind::Silent(node.parse().ok()?),
        ["slow", node, ms] => Kind::Slow(node.parse().ok()?, ms.parse().ok()?),
        ["equivocate", node] => Kind::Equivocate(node.parse().ok()?),
        ["bad", node, name] => Kind::Bad(node.parse().ok()?, BAD.iter().find(|(_, known)| *known == name)?.0),
        _ => return None,
    };
    (from_ms < until_ms).then_some(Fault { kind, from_ms, until_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_back_from_its_line_and_smaller_plans_end() {
        for seed in 0..500 {
            let plan = Plan::draw(seed);
            assert_eq!(plan.to_string().parse(), Ok(plan.clone()));
            let mut steps = 0;
            let mut least = plan;
            while let Some(plan) = least.smaller().pop() {
                (least, steps) = (plan, steps + 1);
                assert!(steps < 1_000, "{least}");
            }
        }
        for bad in ["seed=x", "crash:9@1-2", "crash:1@2-1", "loss@1-2", "powers=0", "nonsense"] {
            assert!(bad.parse::<Plan>().is_err(), "{bad}");
        }
    }
}
