//! `dodona backtest`: a history through the real state machine, at full speed.

use std::{fs::File, io::IsTerminal, time::Instant};

use anyhow::{Context, Result, bail};
use dodona_participant::series::PredictionMatrix;
use dodona_sim::{
    backtest::{self, Source},
    world::Setup,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    cli::{BacktestArgs, Output, choice_name},
    cmd::{candidate, load_series},
    output::Summary,
};

pub fn run(args: BacktestArgs) -> Result<()> {
    if args.model.is_some() || args.candidate.is_some() {
        return candidate::run(&args);
    }
    if args.report.is_some() || args.save.is_some() || args.last.is_some() {
        bail!("--report, --save and --last are about a model: name one, or a column with --candidate");
    }
    let (name, source) = match (&args.predictions, &args.data) {
        (Some(path), _) => {
            let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            let matrix =
                PredictionMatrix::from_csv(file).with_context(|| format!("cannot use {}", path.display()))?;
            (path.display().to_string(), Source::Matrix(matrix))
        }
        (None, Some(data)) => {
            let series = load_series(data)?;
            (series.name.clone(), Source::Series(series))
        }
        (None, None) => bail!("name a history with --data or --predictions"),
    };
    let setup = Setup {
        rule: args.rule.into(),
        loss: args.loss.into(),
        horizon: args.horizon as usize,
        seed: args.seed,
    };
    let bar = progress_bar("epochs");
    let started = Instant::now();
    let outcome = backtest::run(source, &setup, |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let wall_seconds = started.elapsed().as_secs_f64();
    let summary = Summary {
        subnets: None,
        series: name,
        rule: choice_name(args.rule),
        loss: choice_name(args.loss),
        horizon: args.horizon,
        seed: setup.seed,
        epochs_per_second: outcome.losses.epochs as f64 / wall_seconds,
        losses: outcome.losses,
        rewards: outcome.rewards,
        classes: None,
        supply: outcome.supply,
        state_root: outcome.state_root,
        blocks: outcome.blocks,
        txs: outcome.txs,
        wall_seconds,
        signatures_checked: false,
    };
    summary.print(args.output == Output::Json)
}

/// A bar on standard error, or nothing where nobody looks.
pub fn progress_bar(unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let template = format!("{{bar:40}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}
