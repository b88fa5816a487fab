//! What a run ends with: one JSON object, or the same as a table.

use std::io::{ErrorKind, Write};

use dodona_sim::report::{Earning, Loss, Losses, percent_below};
use serde::Serialize;

/// Everything a run amounts to.
#[derive(Serialize)]
pub struct Summary {
    /// What was predicted.
    pub series: String,
    /// How answers were combined.
    pub rule: String,
    /// What a wrong answer cost.
    pub loss: String,
    /// Rows from question to answer.
    pub horizon: u64,
    /// Maker of keys.
    pub seed: u64,
    /// Over all scored epochs.
    pub losses: Losses,
    /// Who earned what.
    pub rewards: Vec<Earning>,
    /// uallo in existence.
    pub supply: String,
    /// Root of the last state.
    pub state_root: String,
    /// Committed blocks.
    pub blocks: u64,
    /// Executed transactions.
    pub txs: u64,
    /// How long it took, with everything.
    pub wall_seconds: f64,
    /// Scored epochs per second of that.
    pub epochs_per_second: f64,
    /// Whether account signatures were made and checked.
    pub signatures_checked: bool,
}

impl Summary {
    /// Prints it the way that was asked for. A reader who has gone away is no error.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        let text = if json { serde_json::to_string(self)? + "\n" } else { self.text() };
        match std::io::stdout().lock().write_all(text.as_bytes()) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }

    fn text(&self) -> String {
        let l = &self.losses;
        let mut out = format!(
            "\n{}, rule {}, {} scored epochs (loss: {}, horizon {})\n\n{:<28}{:>16}{:>16}\n",
            self.series, self.rule, l.epochs, self.loss, self.horizon, "", "mean squared", "mean absolute"
        );
        let mut row = |name: &str, loss: Loss| {
            out.push_str(&format!("{name:<28}{:>16.6}{:>16.6}\n", loss.squared, loss.absolute));
        };
        row("network", l.network);
        row("  without forecasters", l.naive);
        row("mean of members", l.mean);
        row("median of members", l.median);
        if let Some(best) = &l.best_member {
            row(&format!("best member ({})", best.name), best.loss);
        }
        out.push('\n');
        out.push_str(&verdict(l));
        out.push_str(&format!(
            "\n{:<24}{:<12}{:>8}{:>8}{:>9}{:>14}\n",
            "member", "role", "heard", "missed", "weight", "earned ALLO"
        ));
        let mut rewards: Vec<&Earning> = self.rewards.iter().collect();
        rewards.sort_by(|a, b| b.earned.total_cmp(&a.earned));
        for r in rewards.iter().take(30) {
            let weight =
                if r.role == "reputer" { String::new() } else { format!("{:.1}%", 100.0 * r.weight) };
            out.push_str(&format!(
                "{:<24}{:<12}{:>8}{:>8}{weight:>9}{:>14.3}\n",
                r.name, r.role, r.submitted, r.missed, r.earned
            ));
        }
        if rewards.len() > 30 {
            out.push_str(&format!("… and {} more\n", rewards.len() - 30));
        }
        out.push_str(&format!(
            "\n{} blocks, {} transactions, {:.1} s ({:.0} epochs/s){}\nstate root {}\n",
            self.blocks,
            self.txs,
            self.wall_seconds,
            self.epochs_per_second,
            if self.signatures_checked { "" } else { ", signatures not checked" },
            self.state_root
        ));
        out
    }
}

/// One honest sentence, favourable or not.
pub fn verdict(l: &Losses) -> String {
    let against = |other: Loss| {
        let p = percent_below(l.network.squared, other.squared);
        match p {
            _ if p >= 0.0 => format!("{p:.1} % below"),
            _ if p.is_finite() => format!("{:.1} % ABOVE", -p),
            _ => "ABOVE the zero error of".to_string(),
        }
    };
    let best = l.best_member.as_ref().map_or(String::new(), |b| {
        format!(", {} the best member, which nobody knew in advance", against(b.loss))
    });
    format!(
        "the network's squared error is {} the plain mean, {} the median{best}\n",
        against(l.mean),
        against(l.median)
    )
}
