//! `dodona subnet simulate`: what adversaries gain under which rules, as a table, JSON, or a page with charts. The work is
//! done by `dodona_sim::subnet`.

use std::fs;

use anyhow::{Context, Result, bail};
use dodona_sim::subnet::{self, Adversary, MAX_MEMBERS, Outcome, Rules, Setup};
use serde_json::json;

use crate::{
    cli::{Output, SimulateArgs, Switch},
    cmd::run::tell,
    output::print,
};

/// Most runs of a sweep.
const MAX_RUNS: usize = 10_000;

impl Switch {
    fn values(self) -> &'static [bool] {
        match self {
            Self::On => &[true],
            Self::Off => &[false],
            Self::Both => &[false, true],
        }
    }
}

pub fn run(args: &SimulateArgs) -> Result<()> {
    let named = [
        ("--kappa", args.kappa.as_slice()),
        ("--bonds-moving-average", &args.bonds_moving_average),
        ("--drift", &[args.drift]),
        ("--error", &[args.error]),
    ];
    for (name, values) in named {
        if let Some(wrong) = values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            bail!("{name} is {wrong}: 0 to 1");
        }
    }
    if args.validators + args.miners > MAX_MEMBERS {
        bail!("{} validators and {} miners: at most {MAX_MEMBERS} together", args.validators, args.miners);
    }
    let setup = Setup {
        seed: args.seed,
        epochs: args.epochs,
        validators: args.validators,
        miners: args.miners,
        drift: args.drift,
        error: args.error,
    };
    let adversaries: Vec<Adversary> = match args.adversary.is_empty() {
        true => Adversary::ALL.to_vec(),
        false => {
            let known = |name: &String| Adversary::ALL.into_iter().find(|who| who.name() == name);
            let names = || Adversary::ALL.map(Adversary::name).join(", ");
            let each = args.adversary.iter().map(|name| {
                known(name).with_context(|| format!("`{name}` is no adversary; there are: {}", names()))
            });
            each.collect::<Result<_>>()?
        }
    };
    let mut rules = Vec::new();
    for &kappa in &args.kappa {
        for &bonds_moving_average in &args.bonds_moving_average {
            for &liquid_alpha in args.liquid_alpha.values() {
                for &commit_reveal in args.commit_reveal.values() {
                    rules.push(Rules { kappa, bonds_moving_average, liquid_alpha, commit_reveal });
                }
            }
        }
    }
    let runs = adversaries.len() * rules.len();
    if runs > MAX_RUNS {
        bail!("{runs} runs: at most {MAX_RUNS}, so name fewer values");
    }
    tell(&format!("{runs} runs of {} epochs", setup.epochs));
    let outcomes = subnet::sweep(setup, &adversaries, &rules)?;
    if let Some(file) = &args.html {
        fs::write(file, subnet::page(setup, &outcomes))
            .with_context(|| format!("cannot write {}", file.display()))?;
        tell(&format!("the page is {}", file.display()));
    }
    print(&match args.output {
        Output::Json => json!({ "setup": setup, "outcomes": outcomes }).to_string() + "\n",
        Output::Text => table(&outcomes),
    })
}

fn table(outcomes: &[Outcome]) -> String {
    let mut out = format!(
        "{:<9} {:>6} {:>7} {:>7} {:>7} {:>8} {:>10} {:>8} {:>8} {:>6} {:>9}\n",
        "adversary",
        "kappa",
        "bonds",
        "liquid",
        "sealed",
        "stake",
        "dividends",
        "miners",
        "fair",
        "gain",
        "fidelity"
    );
    let yes = |value: bool| if value { "yes" } else { "no" };
    for o in outcomes {
        let part = |value: f64| format!("{:.1} %", value * 100.0);
        out.push_str(&format!(
            "{:<9} {:>6} {:>7} {:>7} {:>7} {:>8} {:>10} {:>8} {:>8} {:>6.2} {:>9.3}\n",
            o.adversary.name(),
            o.rules.kappa,
            o.rules.bonds_moving_average,
            yes(o.rules.liquid_alpha),
            yes(o.rules.commit_reveal),
            part(o.stake),
            part(o.dividends),
            part(o.incentive),
            part(o.fair),
            o.gain,
            o.fidelity
        ));
    }
    out
}
