//! Whole networks of validators in one thread under one seed: the consensus core, the node's application and mempool
//! and the real chain, with a clock, a network and disks of our own. A run repeats to the bit, so whatever goes wrong
//! once goes wrong again, in a smaller plan if there is one.
//!
//! ```text
//! seed ─► Plan (who fails how and when) ─► Cluster: events by virtual time ─► checks ─► Report
//!                                             │  ▲                               └────► Broken ─► smaller plans
//!                                             ▼  │ votes, blocks, transactions: late, lost, twice, in any order
//!                                            Node: core ◄► application ◄► chain, mempool
//! ```
//! What is not simulated: the engine's actors and its wire (`crates/node` tests those over sockets), and torn writes
//! (`crates/store` does). A crash may come between any two effects of the core; what was written stays.

mod check;
mod cluster;
mod load;
mod node;
mod plan;
mod program;
mod rotation;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

pub use plan::{Bad, Canary, Fault, Kind, Plan, PlanError};

/// What a run came to. Two runs of one plan give the same report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Hash over every input of every node, and over the last state.
    pub trace: String,
    /// Last height that every node has.
    pub height: u64,
    /// Virtual time, milliseconds.
    pub time_ms: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// Transactions in blocks.
    pub txs: u64,
    /// Epochs of the topic that were scored.
    pub scored: u64,
    /// Highest round in which a block was decided.
    pub max_round: u32,
    /// How often a node began again.
    pub restarts: u64,
    /// How often a node stopped by itself, because two thirds had decided on what it held for invalid.
    pub stopped: u64,
    /// Proofs of misbehaviour in blocks; whom they name was found punished.
    pub evidence: u64,
    /// Signatures that guards refused.
    pub refused: u64,
    /// Sets that decided blocks, one after the other.
    pub sets: u64,
    /// Blocks between which and a trust in genesis a verifier needed others.
    pub links: u64,
    /// First block decided without any of the first validators.
    pub rotated: Option<u64>,
    /// First block under the new rules.
    pub upgraded: Option<u64>,
    /// Longest time from one block to the next, anywhere, milliseconds.
    pub longest_ms: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} blocks in {} s, round {}, {} messages, {} transactions, {} epochs, {} restarts, {} stops, \
             {} proofs, {} refusals, {} sets, longest wait {} ms, {}",
            self.height,
            self.time_ms / 1_000,
            self.max_round,
            self.messages,
            self.txs,
            self.scored,
            self.restarts,
            self.stopped,
            self.evidence,
            self.refused,
            self.sets,
            self.longest_ms,
            self.trace,
        )
    }
}

/// A plan under which something went wrong that must not.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}\nagain: dodona-sim run '{plan}'")]
pub struct Broken {
    /// What went wrong.
    pub what: String,
    /// Under which plan.
    pub plan: Plan,
}

/// Runs a plan to its end and checks what came of it.
///
/// # Errors
/// [`Broken`] when a promise was not kept; a panic counts as one.
pub fn run(plan: &Plan) -> Result<Report, Broken> {
    let broken = |what| Broken { what, plan: plan.clone() };
    let outcome = catch_unwind(AssertUnwindSafe(|| cluster::Cluster::new(plan)?.run()));
    match outcome {
        Ok(outcome) => outcome.map_err(broken),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words");
            Err(broken(format!("a panic: {text}")))
        }
    }
}

/// The smallest broken plan that is found by leaving things out of one that is broken, in at most so many runs.
pub fn shrink(broken: Broken, runs: usize) -> Broken {
    shrink_by(broken, runs, run)
}

fn shrink_by(mut broken: Broken, mut runs: usize, run: impl Fn(&Plan) -> Result<Report, Broken>) -> Broken {
    'smaller: loop {
        for plan in broken.plan.smaller() {
            if runs == 0 {
                return broken;
            }
            runs -= 1;
            if let Err(smaller) = run(&plan) {
                broken = smaller;
                continue 'smaller;
            }
        }
        return broken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_plan_shrinks_to_what_breaks_it() {
        let plan: Plan = "seed=9 horizon=9000 loss:9@0-9000 crash:2@1000-8000 split:1@0-500 skew:1:-5@3-9000"
            .parse()
            .unwrap();
        // Broken is whatever has node 2 down at 5000.
        let down =
            |fault: &Fault| fault.kind == Kind::Crash(2) && (fault.from_ms..fault.until_ms).contains(&5_000);
        let run = |plan: &Plan| match plan.faults.iter().any(down) {
            true => Err(Broken { what: "down".into(), plan: plan.clone() }),
            false => Ok(well()),
        };
        let broken = run(&plan).unwrap_err();
        let small = shrink_by(broken, 60, run).plan;
        assert_eq!(small.faults.len(), 1, "{small}");
        assert!(
            down(&small.faults[0]) && small.faults[0].until_ms - small.faults[0].from_ms < 500,
            "{small}"
        );
        assert!(small.horizon_ms < 6_000, "{small}");
    }

    fn well() -> Report {
        Report { height: 1, time_ms: 1, ..Report::default() }
    }
}
