//! `dodona demo`: a real chain with one validator, real models on a real series, every step a transaction.
//!
//! Each block is made in two steps: everybody looks at the committed state and hands in what they have to say; then
//! the gate opens for one height. So the same arguments give the same blocks, however fast they are made. The replay
//! opens the gate at once, the live part once a second.

use std::{
    collections::VecDeque,
    fs,
    io::IsTerminal,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use dodona_client::{Client, ClientError};
use dodona_consensus::SigningKey;
use dodona_node::{Clock, Gate, Height, Home, Node, NodeConfig, NodeHandle};
use dodona_participant::{role::Timeline, series::Series};
use dodona_proto::topics::{Loss, QueryEpochResponse};
use dodona_sim::{
    market::{self, Market},
    report::{ClassTally, Earning, Tally},
    world::{self, CLASS_TOPIC, Cast, ClassCast, Setup, TOPIC},
};
use sha2::{Digest, Sha256};
use tokio::time::{Interval, MissedTickBehavior};

use super::screen::{Screen, View};
use crate::{
    cli::{DemoArgs, Output, choice_name},
    cmd::{
        backtest::progress_bar,
        load_series,
        run::{Ends, tell},
    },
    output::{Classes, Summary, class_verdict, verdict},
};

/// Epochs the running line looks back on.
pub const WINDOW: usize = 200;
/// Block time of the compressed clock.
const STEP_MS: u64 = 1_000;
/// Pace of the live part.
const LIVE: Duration = Duration::from_secs(1);
/// Epochs of a headless run when no number is given.
const HEADLESS_EPOCHS: u64 = 1_000;

pub fn run(args: DemoArgs) -> Result<()> {
    let series = load_series(&args.series)?;
    let horizon = args.horizon as usize;
    let available = world::timeline(&series, horizon).epochs(series.points.len());
    if available == 0 {
        bail!("{} rows are too few for a horizon of {horizon}", series.points.len());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // Before the folder exists: whatever ends the program from here on, it goes too.
    let ends = runtime.block_on(async { Ends::watch() })?;
    let temporary;
    let dir = match &args.home {
        Some(dir) => dir.as_path(),
        None => {
            let mut made = tempfile::Builder::new().prefix("dodona-demo-").tempdir()?;
            made.disable_cleanup(args.keep);
            temporary = made;
            temporary.path()
        }
    };
    let outcome = runtime.block_on(Demo::play(&args, series, dir, ends));
    if args.keep {
        tell(&format!("the chain is kept in {}", dir.display()));
    }
    outcome
}

struct Demo<'a> {
    args: &'a DemoArgs,
    series: Series,
    timeline: Timeline,
    setup: Setup,
    cast: Cast,
    class_cast: ClassCast,
    market: Option<Market>,
    client: Client<NodeHandle>,
    gate: Gate,
    tally: Tally,
    class_tally: ClassTally,
    recent: VecDeque<QueryEpochResponse>,
    recent_classes: VecDeque<QueryEpochResponse>,
    /// First epoch not tallied yet.
    next: u64,
    /// The same in the topic of classes.
    next_class: u64,
    height: u64,
}

impl<'a> Demo<'a> {
    async fn play(args: &'a DemoArgs, series: Series, dir: &Path, mut ends: Ends) -> Result<()> {
        let started = Instant::now();
        let horizon = args.horizon as usize;
        let setup = Setup { rule: args.rule.into(), loss: Loss::Squared, horizon, seed: args.seed };
        let timeline = world::timeline(&series, horizon);
        let cast = Cast::built_in(&series, &setup);
        let class_cast = ClassCast::built_in(&series, &setup);
        let market = args.subnets.then(|| Market::new(&series, &setup));
        let more = market.as_ref().map_or_else(Vec::new, Market::names);
        let names = [cast.names(), class_cast.names(), more].concat();
        let key = SigningKey::from_bytes(&seed_bytes(args.seed));
        let mut genesis = world::genesis(args.seed, key.verifying_key().to_bytes(), &names);
        // The summary looks at every epoch of the run.
        genesis.params.epoch_retention = u32::try_from(series.points.len()).unwrap_or(u32::MAX);
        let home = Home::open(dir, genesis, key)?;
        same_demo(dir, &identity(args, &series))?;

        let rest = dodona_node::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), args.rest_port))?;
        let local = |port: u16| dodona_node::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
        let (grpc, rpc) = (local(args.grpc_port)?, local(args.rpc_port)?);
        let (dashboard, metrics) = (local(args.dashboard_port)?, local(args.metrics_port)?);
        let gate = Gate::new();
        let mut node = Node::start(NodeConfig {
            // A headless run is only itself: what others ask must not change its state.
            faucet: (!args.headless).then(|| world::key(args.seed, world::FAUCET)),
            rest: Some(rest),
            grpc: Some(grpc),
            rpc: Some(rpc),
            dashboard: Some(dashboard),
            metrics: Some(metrics),
            watched: names.iter().map(|name| world::key(args.seed, name).address()).collect(),
            ..NodeConfig::quiet(home, Clock::Steps(STEP_MS), dodona_node::Pace::OnDemand(gate.clone()))
        })
        .await?;
        let handle = node.handle().clone();
        let client = Client::new(handle.clone());
        let height = handle.head().height;
        let mut demo = Demo {
            args,
            series,
            timeline,
            setup,
            cast,
            class_cast,
            market,
            client,
            gate,
            tally: Tally::default(),
            class_tally: ClassTally::default(),
            recent: VecDeque::new(),
            recent_classes: VecDeque::new(),
            next: 0,
            next_class: 0,
            height,
        };
        demo.greet(&node, height);
        // Whatever ends it, the node is stopped in order and the summary is told.
        let outcome = tokio::select! {
            outcome = demo.run(&handle) => outcome,
            reason = node.failed() => Err(reason.into()),
            () = ends.any() => Ok(()),
        };
        node.stop().await?;
        outcome?;
        // A block may have been on its way when the run was interrupted.
        demo.height = handle.head().height;
        demo.learn()?;
        demo.summary(&handle, started.elapsed())?.print(args.output == Output::Json)
    }

    fn greet(&self, node: &Node, height: u64) {
        let busy = |wanted: u16, got: Option<SocketAddr>| {
            let taken = wanted != 0 && got.is_some_and(|a| a.port() != wanted);
            if taken { format!(" (port {wanted} is taken)") } else { String::new() }
        };
        let page = |address: Option<SocketAddr>| address.map_or(String::new(), |a| format!("http://{a}"));
        let note = busy(self.args.dashboard_port, node.dashboard_address());
        tell(&format!("dashboard {}/{note}", page(node.dashboard_address())));
        tell(&format!(
            "dodona demo: {} models, {} forecasters and {} reputers say where `{}` goes ({} rows); {} models say which way",
            self.cast.workers.len(),
            self.cast.forecasters.len(),
            self.cast.reputers.len(),
            self.series.name,
            self.series.points.len(),
            self.class_cast.workers.len(),
        ));
        let note = busy(self.args.rest_port, node.rest_address());
        tell(&format!("REST {}/topics/1/inference{note}", page(node.rest_address())));
        let shown = |address: Option<SocketAddr>| address.map_or(String::new(), |a| a.to_string());
        tell(&format!(
            "gRPC {}, RPC and websocket {}",
            shown(node.grpc_address()),
            shown(node.rpc_address())
        ));
        let note = busy(self.args.metrics_port, node.metrics_address());
        tell(&format!("metrics {}/metrics{note}", page(node.metrics_address())));
        if self.market.is_some() {
            tell(&format!(
                "two subnets beside the topics: {} is the member that sells the second one's best forecast",
                market::SELLER
            ));
        }
        if height > 0 {
            tell(&format!("continuing at block {height}"));
        }
    }

    async fn run(&mut self, node: &NodeHandle) -> Result<()> {
        let available = self.timeline.epochs(self.series.points.len());
        let wanted = match (self.args.epochs, self.args.headless) {
            (Some(epochs), _) => epochs,
            (None, true) => HEADLESS_EPOCHS,
            (None, false) => available,
        };
        let total = wanted.min(available);
        if self.args.epochs.is_some_and(|e| e > available) {
            tell(&format!("the series answers {available} epochs only"));
        }
        self.learn()?;
        let replayed = if self.args.headless { total } else { self.args.replay.min(total) };
        if !self.args.headless && self.next < replayed {
            tell(&format!(
                "replays {} epochs at full speed, then one a second: from there on a model of yours can keep up",
                replayed - self.next
            ));
        }
        self.replay(node, replayed).await?;
        if self.next >= total {
            return Ok(()); // nothing left to live through: the terminal stays as it is
        }
        if std::io::stdout().is_terminal() {
            self.live_screen(node, total).await
        } else {
            self.live_lines(node, total).await
        }
    }

    /// Makes blocks as fast as the chain can until so many epochs are scored.
    async fn replay(&mut self, node: &NodeHandle, epochs: u64) -> Result<()> {
        let bar = progress_bar("epochs");
        bar.set_length(epochs);
        while self.next < epochs {
            self.block(node).await?;
            bar.set_position(self.next);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// One epoch a second, a line each: for pipes and logs.
    async fn live_lines(&mut self, node: &NodeHandle, epochs: u64) -> Result<()> {
        let mut tick = steady(LIVE);
        while self.next < epochs {
            tick.tick().await;
            self.block(node).await?;
            if let Some(e) = self.recent.back() {
                // Standard output belongs to the summary.
                tell(&format!(
                    "epoch {} truth {} network {:.4} | {}",
                    e.epoch,
                    e.truth.unwrap_or_default(),
                    e.combined,
                    self.running_line()
                ));
            }
        }
        Ok(())
    }

    /// One epoch a second on a terminal screen, until somebody leaves it.
    async fn live_screen(&mut self, node: &NodeHandle, epochs: u64) -> Result<()> {
        let mut screen = Screen::open()?;
        let mut tick = steady(LIVE);
        let mut frame = steady(Duration::from_millis(50));
        while self.next < epochs {
            tokio::select! {
                _ = tick.tick() => self.block(node).await?,
                _ = frame.tick() => {
                    if screen.left()? {
                        return Ok(());
                    }
                    continue;
                }
            }
            let status = self.client.status()?;
            let open = match self.client.epoch(TOPIC, 0) {
                Err(ClientError::NotFound(_)) => continue, // nothing was answered yet
                open => open?,
            };
            let members = self.client.leaderboard(TOPIC)?.rows;
            let class_members = self.client.leaderboard(CLASS_TOPIC)?.rows;
            let newest_class = self.client.epoch(CLASS_TOPIC, 0).unwrap_or_default();
            screen.draw(&View {
                series: &self.series.name,
                unit: &self.series.unit,
                rule: &choice_name(self.args.rule),
                status: &status,
                epochs: &self.recent,
                newest: &open,
                members: &members,
                classes: &self.recent_classes,
                newest_class: &newest_class,
                class_members: &class_members,
                line: &format!(
                    "{}\n{}{}",
                    self.running_line(),
                    self.class_line(),
                    self.subnet_lines().map(|line| format!("\n{line}")).unwrap_or_default()
                ),
            })?;
        }
        Ok(())
    }

    /// One block: everybody acts, then the height may start.
    async fn block(&mut self, node: &NodeHandle) -> Result<()> {
        match self.height {
            0 => {
                let spec = world::topic_spec(&self.setup, &self.series.name, &self.series.unit);
                self.cast.create_topic(&self.client, spec)?;
                let spec = self.class_cast.spec(&self.setup, &self.series.name, &self.series.unit);
                self.cast.create_topic(&self.client, spec)?;
            }
            1 => {
                self.cast.register(&self.client)?;
                self.class_cast.register(&self.client)?;
            }
            2 => {
                self.cast.stake_and_fund(&self.client)?;
                self.class_cast.stake_and_fund(&self.client, &mut self.cast.consumer)?;
            }
            _ => {
                self.cast.act(&self.client, &self.series)?;
                self.class_cast.act(&self.client, &self.series)?;
            }
        }
        if let Some(market) = &mut self.market {
            market.act(&self.client, &mut self.cast.consumer, &self.series, self.height, &self.recent)?;
        }
        let next = self.height + 1;
        self.gate.open_until(Height(next));
        node.reached(next).await;
        self.height = next;
        self.learn()
    }

    /// Takes in every epoch scored since the last time.
    fn learn(&mut self) -> Result<()> {
        if self.height < 3 {
            return Ok(());
        }
        for epoch in scored_since(&self.client, TOPIC, &mut self.next)? {
            self.tally.add(&epoch);
            remember(&mut self.recent, epoch);
        }
        for epoch in scored_since(&self.client, CLASS_TOPIC, &mut self.next_class)? {
            self.class_tally.add(&epoch);
            remember(&mut self.recent_classes, epoch);
        }
        Ok(())
    }

    /// The one sentence that matters, about the last epochs, favourable or not.
    fn running_line(&self) -> String {
        let mut tally = Tally::default();
        self.recent.iter().for_each(|e| tally.add(e));
        format!("last {} epochs: {}", tally.epochs(), verdict(&tally.losses()).trim_end())
    }

    /// The same about the topic of classes.
    fn class_line(&self) -> String {
        let mut tally = ClassTally::default();
        self.recent_classes.iter().for_each(|e| tally.add(e));
        format!("which way, last {} epochs: {}", tally.report().epochs, class_verdict(&tally.report()))
    }

    /// Who leads in the subnets, where there are any.
    fn subnet_lines(&self) -> Option<String> {
        let reports = self.market.as_ref()?.report(&self.client).ok()?;
        let lines = reports.iter().map(|subnet| {
            let best = subnet.miners.iter().max_by(|a, b| a.share.total_cmp(&b.share));
            let best =
                best.map_or(String::new(), |m| format!(", {} leads with {:.0} %", m.name, 100.0 * m.share));
            format!("subnet {} ({}): epoch {}{best}", subnet.netuid, subnet.name, subnet.epochs)
        });
        Some(lines.collect::<Vec<_>>().join("; "))
    }

    fn summary(&self, node: &NodeHandle, wall: Duration) -> Result<Summary> {
        let status = self.client.status()?;
        let earned = |topic: u64| -> Vec<Earning> {
            match self.client.leaderboard(topic) {
                Ok(board) => board.rows.iter().map(Earning::from).collect(),
                Err(_) => Vec::new(), // interrupted before there was a topic
            }
        };
        let wall_seconds = wall.as_secs_f64();
        let losses = self.tally.losses();
        Ok(Summary {
            series: self.series.name.clone(),
            rule: choice_name(self.args.rule),
            loss: "squared".into(),
            horizon: self.args.horizon,
            seed: self.args.seed,
            epochs_per_second: losses.epochs as f64 / wall_seconds,
            losses,
            rewards: earned(TOPIC),
            classes: Some(Classes { report: self.class_tally.report(), rewards: earned(CLASS_TOPIC) }),
            subnets: match &self.market {
                Some(market) => Some(market.report(&self.client)?),
                None => None,
            },
            supply: status.supply,
            state_root: hex::encode(node.app().root()),
            blocks: status.height,
            txs: status.txs,
            wall_seconds,
            signatures_checked: true,
        })
    }
}

/// Epochs of a topic that ended since the last time, in order; `next` is the first not seen.
fn scored_since(client: &Client<NodeHandle>, topic: u64, next: &mut u64) -> Result<Vec<QueryEpochResponse>> {
    let mut ended = Vec::new();
    loop {
        let before = *next;
        for epoch in client.epochs(topic, *next, 0)?.epochs {
            if epoch.state != "scored" && epoch.state != "void" {
                break;
            }
            *next = epoch.epoch + 1;
            ended.push(epoch);
        }
        if *next == before {
            return Ok(ended);
        }
    }
}

/// The newest scored epochs, for what looks back.
fn remember(recent: &mut VecDeque<QueryEpochResponse>, epoch: QueryEpochResponse) {
    if epoch.state == "scored" {
        recent.push_back(epoch);
    }
    if recent.len() > WINDOW {
        recent.pop_front();
    }
}

/// Ticks that are late do not hurry: after a pause the demo goes on at its pace.
fn steady(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn seed_bytes(seed: u64) -> [u8; 32] {
    Sha256::digest([b"dodona demo validator".as_slice(), &seed.to_be_bytes()].concat()).into()
}

/// What makes a demo this demo: a home can only be continued with the same.
fn identity(args: &DemoArgs, series: &Series) -> String {
    let mut hash = Sha256::new();
    for point in &series.points {
        hash.update(point.time.to_be_bytes());
        hash.update(point.value.to_bits().to_be_bytes());
    }
    let (rule, seed, horizon) = (choice_name(args.rule), args.seed, args.horizon);
    let data = hex::encode(&hash.finalize()[..8]);
    let subnets = if args.subnets { ", subnets" } else { "" };
    format!("series {} ({data}), rule {rule}, horizon {horizon}, seed {seed}{subnets}\n", series.name)
}

fn same_demo(dir: &Path, wanted: &str) -> Result<()> {
    let path = dir.join("demo.txt");
    match fs::read_to_string(&path) {
        Ok(found) if found == wanted => Ok(()),
        // A first start that was cut off here.
        Ok(found) if wanted.starts_with(&found) => {
            fs::write(&path, wanted).with_context(|| format!("cannot write {}", path.display()))
        }
        Ok(found) => bail!(
            "{} holds another demo: {}; these arguments mean: {}. Use the same arguments or an empty folder",
            dir.display(),
            found.trim_end(),
            wanted.trim_end()
        ),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            fs::write(&path, wanted).with_context(|| format!("cannot write {}", path.display()))
        }
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}
