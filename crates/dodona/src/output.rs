//! What a run ends with: one JSON object, or the same as a table.

use std::io::{ErrorKind, Write};

use dodona_sim::market::{Pay, SubnetReport};
use dodona_sim::report::{ClassReport, Earning, Loss, Losses, percent_below};
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
    /// The topic of classes beside it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Classes>,
    /// The subnets beside them, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnets: Option<Vec<SubnetReport>>,
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

/// What came of the topic of classes.
#[derive(Serialize)]
pub struct Classes {
    /// Losses and hits.
    #[serde(flatten)]
    pub report: ClassReport,
    /// Who earned what.
    pub rewards: Vec<Earning>,
}

impl Classes {
    fn text(&self) -> String {
        let r = &self.report;
        let mut out = format!(
            "\nwhich way it goes (down, flat, up), {} scored epochs (loss: cross-entropy)\n\n",
            r.epochs
        );
        out.push_str(&format!(
            "{:<28}{:>16.6}\n{:<28}{:>16.6}\n",
            "network", r.network, "mean of members", r.mean
        ));
        if let Some((name, loss)) = r.members.first() {
            out.push_str(&format!("{:<28}{loss:>16.6}\n", format!("best member ({name})")));
        }
        out.push_str(&format!("\n{}\n", class_verdict(r)));
        out.push_str(&earnings(&self.rewards));
        out
    }
}

/// One honest sentence about classes.
pub fn class_verdict(r: &ClassReport) -> String {
    let against = |other: f64| {
        let p = percent_below(r.network, other);
        if p >= 0.0 { format!("{p:.1} % below") } else { format!("{:.1} % ABOVE", -p) }
    };
    let best = r
        .members
        .first()
        .map_or(String::new(), |(_, loss)| format!(" and {} the best member", against(*loss)));
    format!(
        "the network's log-loss is {} the plain mean{best}; its likeliest class came true in {:.1} %",
        against(r.mean),
        100.0 * r.hits
    )
}

/// A table of who earned what.
fn earnings(rewards: &[Earning]) -> String {
    let mut out = format!(
        "\n{:<32}{:<12}{:>8}{:>8}{:>9}{:>14}\n",
        "member", "role", "heard", "missed", "weight", "earned ALLO"
    );
    let mut rewards: Vec<&Earning> = rewards.iter().collect();
    rewards.sort_by(|a, b| b.earned.total_cmp(&a.earned));
    for r in rewards.iter().take(30) {
        let weight = if r.role == "reputer" { String::new() } else { format!("{:.1}%", 100.0 * r.weight) };
        out.push_str(&format!(
            "{:<32}{:<12}{:>8}{:>8}{weight:>9}{:>14.3}\n",
            r.name, r.role, r.submitted, r.missed, r.earned
        ));
    }
    if rewards.len() > 30 {
        out.push_str(&format!("… and {} more\n", rewards.len() - 30));
    }
    out
}

impl Summary {
    /// Prints it the way that was asked for. A reader who has gone away is no error.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        print(&if json { serde_json::to_string(self)? + "\n" } else { self.text() })
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
        out.push_str(&earnings(&self.rewards));
        if let Some(classes) = &self.classes {
            out.push_str(&classes.text());
        }
        for subnet in self.subnets.iter().flatten() {
            out.push_str(&subnet_text(subnet));
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

/// What came of a subnet.
fn subnet_text(subnet: &SubnetReport) -> String {
    let mut out = format!(
        "\nsubnet {}, {}: {} epochs, a pool of {:.3} ALLO, {:.6} ALLO for a token\n\n{:<32}{:<12}{:>9}{:>14}{:>14}\n",
        subnet.netuid,
        subnet.name,
        subnet.epochs,
        subnet.pool,
        subnet.price,
        "hotkey",
        "role",
        "share",
        "staked",
        "worth ALLO"
    );
    let mut rows = |role: &str, list: &[Pay]| {
        for pay in list {
            out.push_str(&format!(
                "{:<32}{role:<12}{:>8.1}%{:>14.3}{:>14.3}\n",
                pay.name,
                100.0 * pay.share,
                pay.staked,
                pay.worth
            ));
        }
    };
    rows("miner", &subnet.miners);
    rows("validator", &subnet.validators);
    if let Some(best) = &subnet.sells {
        out.push_str(&format!("its owner sells the word of {best} to the topic\n"));
    }
    out
}

/// Writes to standard output. A reader who has gone away is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
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
