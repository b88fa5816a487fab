//! `dodona backtest MODEL`: one's own model among the built-in ones, or among the members of a real topic, and what the
//! chain would have made of it: on the screen, as JSON, as a page.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use dodona_client::{Client, Http};
use dodona_participant::{
    adapter::{self, Adapter, Limits},
    series::PredictionMatrix,
};
use dodona_proto::{
    ALLO,
    topics::{QueryEpochResponse, TopicSpec, TruthMode},
};
use dodona_sim::{
    candidate::{self, Ground, Plan, Report, State},
    world::Setup,
};

use super::{backtest::progress_bar, candidate_page, load_series, net, run::tell};
use crate::{
    cli::{BacktestArgs, Output},
    output::print,
};

/// Most epochs of a topic that are fetched.
const MAX_FETCHED: u64 = 50_000;

/// Most questions of one run: both runs remember every epoch, about 10 KiB each.
const MAX_QUESTIONS: usize = 100_000;

/// Members that are not the candidate, with one answer or none per question.
type Rivals = Vec<(String, Vec<Option<f64>>)>;

/// What a model is tried on, by whom it is surrounded, and how.
struct Scene {
    ground: Ground,
    rivals: Rivals,
    /// Answers that are there already.
    own: Option<candidate::Asked>,
    setup: Setup,
    spec: Option<TopicSpec>,
    pays: Option<f64>,
    season: usize,
    seasons: (usize, usize),
}

pub fn run(args: &BacktestArgs) -> Result<()> {
    let scene = scene(args)?;
    let ground = &scene.ground;
    if ground.rows.len() > MAX_QUESTIONS {
        bail!("{} epochs are more than {MAX_QUESTIONS}: take the newest with --last", ground.rows.len());
    }
    let (asked, checks) = match (&scene.own, &args.model) {
        (Some(own), _) => (own.clone(), candidate::check(ground, own, None)),
        (None, Some(model)) => {
            let mut adapter = open(model, args, scene.seasons)?;
            let bar = progress_bar("questions");
            let asked = candidate::ask(adapter.as_mut(), ground, |done, of| {
                bar.set_length(of);
                bar.set_position(done);
            })?;
            bar.finish_and_clear();
            let checks = candidate::check(ground, &asked, Some(adapter.as_mut()));
            (asked, checks)
        }
        (None, None) => bail!("name a model, or with --predictions a column with --candidate"),
    };
    if let Some(path) = &args.save {
        save(path, ground, &asked, &scene.rivals)
            .with_context(|| format!("cannot write {}", path.display()))?;
        tell(&format!("answers kept in {}", path.display()));
    }
    let bad: Vec<String> = checks
        .iter()
        .filter(|check| check.state == State::Bad)
        .map(|check| format!("{}: {}; {}", check.name, check.found, check.remedy))
        .collect();
    if !bad.is_empty() && !args.no_preflight {
        bail!("{}. --no-preflight goes on all the same", bad.join(". "));
    }
    let plan = Plan { setup: &scene.setup, spec: scene.spec.clone(), pays: scene.pays, season: scene.season };
    let bar = progress_bar("epochs");
    let report = candidate::compare(ground, &asked, &scene.rivals, checks, &plan, |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    if let Some(path) = &args.report {
        fs::write(path, candidate_page::page(&report))
            .with_context(|| format!("cannot write {}", path.display()))?;
        tell(&format!("the report is in {}: open it in a browser", path.display()));
    }
    print(&match args.output {
        Output::Json => serde_json::to_string(&report)? + "\n",
        Output::Text => text(&report),
    })
}

fn open(model: &str, args: &BacktestArgs, seasons: (usize, usize)) -> Result<Box<dyn Adapter>> {
    let limits = Limits {
        timeout: *args.timeout,
        memory: args.memory << 20,
        log: Arc::new(|line: &str| tell(&format!("model: {line}"))),
        ..Limits::default()
    };
    Ok(adapter::open(model, &args.python, seasons, limits)?)
}

fn scene(args: &BacktestArgs) -> Result<Scene> {
    let horizon = args.horizon as usize;
    let setup = Setup { rule: args.rule.into(), loss: args.loss.into(), horizon, seed: args.seed };
    let last = args.last.map(|last| last as usize);
    if let Some(topic) = args.topic {
        return of_topic(args, topic, last.unwrap_or(500), setup);
    }
    if let Some(data) = &args.data {
        let series = load_series(data)?;
        let ground = Ground::of_series(&series, horizon, last)?;
        let seasons = (series.season_day, series.season_week);
        let rivals = candidate::rivals(&ground, seasons);
        let season = series.season_day;
        return Ok(Scene { ground, rivals, own: None, setup, spec: None, pays: None, season, seasons });
    }
    let (Some(path), Some(column)) = (&args.predictions, &args.candidate) else {
        bail!("name what to try the model on: --data FILE.csv, --topic N, or --predictions with --candidate");
    };
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let matrix =
        PredictionMatrix::from_csv(file).with_context(|| format!("cannot use {}", path.display()))?;
    let at = matrix.members.iter().position(|name| name == column).with_context(|| {
        format!("no column is called `{column}`; there are: {}", matrix.members.join(", "))
    })?;
    let name = path.file_stem().map_or_else(|| "predictions".into(), |name| name.to_string_lossy());
    let ground = Ground::of_matrix(&name, &matrix, horizon);
    let said = |member: usize| (0..matrix.rows()).map(|row| matrix.report(row, member)).collect::<Vec<_>>();
    let own = candidate::Asked::known(column, said(at));
    let others = (0..matrix.members.len()).filter(|member| *member != at);
    let rivals = others.map(|member| (matrix.members[member].clone(), said(member))).collect();
    Ok(Scene { ground, rivals, own: Some(own), setup, spec: None, pays: None, season: 0, seasons: (1, 1) })
}

/// The newest epochs of a topic of a node, with everybody who spoke in them.
fn of_topic(args: &BacktestArgs, topic: u64, last: usize, setup: Setup) -> Result<Scene> {
    let client = net::client(&args.node);
    let told = client.topic(topic)?;
    let spec = told.spec.unwrap_or_default();
    if spec.multi || spec.classification {
        bail!("topic {topic} asks for labels: only topics that ask for one number can be backtested yet");
    }
    if spec.truth_mode() == TruthMode::Losses {
        bail!(
            "reputers of topic {topic} bring losses, not truths: there is nothing to compare an answer with"
        );
    }
    let epochs = epochs(&client, topic)?;
    let target = if spec.target.is_empty() { spec.title.clone() } else { spec.target.clone() };
    let (ground, rivals) = Ground::of_epochs(topic, target, spec.unit.clone(), &epochs, last)?;
    let setup = Setup { rule: spec.rule(), loss: spec.loss(), horizon: ground.horizon(), ..setup };
    let pays = Some(told.reward_per_epoch / ALLO as f64);
    let &[day, week] = args.seasons.as_slice() else {
        bail!("--seasons wants two numbers such as 48,336");
    };
    Ok(Scene { ground, rivals, own: None, setup, spec: Some(spec), pays, season: day, seasons: (day, week) })
}

/// All epochs that a node still has, oldest first.
fn epochs(client: &Client<Http>, topic: u64) -> Result<Vec<QueryEpochResponse>> {
    let (mut all, mut next): (Vec<QueryEpochResponse>, u64) = (Vec::new(), 0);
    loop {
        let page = client.epochs(topic, next, 0)?.epochs;
        let Some(newest) = page.last() else { return Ok(all) };
        next = newest.epoch + 1;
        all.extend(page);
        if all.len() as u64 > MAX_FETCHED {
            bail!("topic {topic} has more than {MAX_FETCHED} epochs: ask a node that keeps fewer");
        }
    }
}

/// Everybody's answers, as `--predictions` reads them.
fn save(path: &Path, ground: &Ground, asked: &candidate::Asked, rivals: &Rivals) -> Result<()> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut out = std::io::BufWriter::new(File::create(path)?);
    write!(out, "timestamp,truth,{}", quoted(&asked.name))?;
    for (name, _) in rivals {
        write!(out, ",{}", quoted(name))?;
    }
    writeln!(out)?;
    for (at, row) in ground.rows.iter().enumerate() {
        write!(out, "{},{}", row.time, row.truth)?;
        for said in [&asked.values].into_iter().chain(rivals.iter().map(|(_, said)| said)) {
            match said[at] {
                Some(value) => write!(out, ",{value}")?,
                None => write!(out, ",")?,
            }
        }
        writeln!(out)?;
    }
    Ok(out.flush()?)
}

/// How one thing is, in five letters.
fn mark(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Warning => "warn",
        State::Bad => "BAD",
    }
}

fn text(report: &Report) -> String {
    let p = &report.protocol;
    let mut out = format!("\n{} on {}, {} scored epochs\n\n", report.candidate, report.target, report.epochs);
    for check in &report.checks {
        out.push_str(&format!("{:<5}{:<12}{}\n", mark(check.state), check.name, check.found));
        if !check.remedy.is_empty() {
            out.push_str(&format!("{:<17}{}\n", "", check.remedy));
        }
    }
    let a = &report.answers;
    if a.mean_ms > 0.0 {
        out.push_str(&format!("{:<17}{:.1} ms an answer, {:.0} ms the longest\n", "", a.mean_ms, a.worst_ms));
    }
    let percent = |band: candidate::Band| {
        format!("{:.2} % (90 %: {:.2} to {:.2})", 100.0 * band.value, 100.0 * band.low, 100.0 * band.high)
    };
    let allo =
        |band: candidate::Band| format!("{:.4} ALLO (90 %: {:.4} to {:.4})", band.value, band.low, band.high);
    out.push_str(&format!("\nin the chain's own words\n  {:<28}{:>16.6}\n", "your mean loss", p.loss));
    out.push_str(&format!("  {:<28}{:>16.6}\n", "network, with you", p.network_with));
    if p.network_without.is_finite() {
        out.push_str(&format!("  {:<28}{:>16.6}\n", "network, without you", p.network_without));
    }
    out.push_str(&format!(
        "  {:<28}{:>16.6}\n  {:<28}{:>16.6}\n",
        "mean of all", p.mean, "median of all", p.median
    ));
    out.push_str(&format!(
        "  rank by loss {} of {}, by reward {}; weight {:.1} % on average, {:.1} % last\n",
        p.rank,
        p.of,
        p.rank_by_reward,
        100.0 * p.mean_weight,
        100.0 * p.last_weight
    ));
    out.push_str(&format!("  your part of what was paid     {}\n", percent(p.reward_share)));
    out.push_str(&format!("  an epoch of this run paid you  {}\n", allo(p.reward_per_epoch)));
    if let Some(expected) = p.expected_allo {
        out.push_str(&format!("  an epoch of the topic would    {}\n", allo(expected)));
    }
    out.push_str(&format!("  {}\n", contribution(report)));
    out.push_str("\nby itself\n");
    for (name, value, wanted) in skill_rows(report) {
        out.push_str(&format!("  {name:<28}{value:>30}   {wanted}\n"));
    }
    out.push_str(&format!(
        "\n{:<32}{:>8}{:>16}{:>9}{:>14}\n",
        "member", "epochs", "mean loss", "weight", "earned ALLO"
    ));
    for member in &report.members {
        let name = match (member.candidate, member.forecaster) {
            (true, _) => format!("* {}", member.name),
            (_, true) => format!("  {} (forecaster)", member.name),
            _ => format!("  {}", member.name),
        };
        out.push_str(&format!(
            "{name:<32}{:>8}{:>16.6}{:>8.1}%{:>14.3}\n",
            member.epochs,
            member.loss,
            100.0 * member.weight,
            member.earned
        ));
    }
    out
}

/// One honest sentence on what the network gained.
pub fn contribution(report: &Report) -> String {
    let band = report.protocol.contribution_percent;
    if report.protocol.network_without.is_nan() {
        return "alone: there is nobody to be better than".into();
    }
    let sure = match (band.low > 0.0, band.high < 0.0) {
        (true, _) => "the network is better with you",
        (_, true) => "the network is WORSE with you",
        _ => "whether the network is better with you cannot be told from these epochs",
    };
    // A fall below zero is a rise; 0 - x and not -x, which would show a zero as -0.
    let (moves, by, low, high) = match band.value < 0.0 {
        true => ("rises", 0.0 - band.value, 0.0 - band.high, 0.0 - band.low),
        false => ("falls", band.value, band.low, band.high),
    };
    format!(
        "{sure}: its loss {moves} by {by:.2} % (90 %: {low:.2} to {high:.2}), and it is better in {:.0} % of the epochs",
        100.0 * report.protocol.better_with
    )
}

/// Skill, line by line: what, how much, and what others ask for.
pub fn skill_rows(report: &Report) -> Vec<(&'static str, String, &'static str)> {
    let s = &report.skill;
    let none = || "-".to_string();
    let estimate = |e: Option<candidate::Estimate>, by: f64, unit: &str| {
        e.map_or_else(none, |e| {
            format!("{:.2}{unit} (95 %: {:.2} to {:.2})", by * e.value, by * e.low, by * e.high)
        })
    };
    let percent = |v: Option<f64>| v.map_or_else(none, |v| format!("{:.1} %", 100.0 * v));
    vec![
        ("effective sample size", format!("{:.0} of {}", s.effective, s.epochs), "20 and more"),
        ("direction right", estimate(s.direction, 100.0, " %"), "lower end above 50 %"),
        ("correlation of changes", estimate(s.pearson, 1.0, ""), "lower end above 0"),
        ("error below the last value's", percent(s.improvement), "above 0"),
        ("the same, large changes first", percent(s.weighted_improvement), "above 0"),
        ("boldness (aspect ratio)", s.aspect.map_or_else(none, |v| format!("{v:.2}")), "near 1"),
        ("participation", percent(Some(s.participation)), "above 90 %"),
    ]
}
