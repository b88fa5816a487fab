//! Whole-network stories on a chain without consensus: everybody acts by signed transactions, and every promise of the
//! state is checked after every block.

use dodona_chain::Signatures;
use dodona_client::Client;
use dodona_participant::{
    data,
    model::Model,
    role::{ReputerRole, Seat, WorkerRole},
    series::{Point, Series},
};
use dodona_proto::topics::{Loss, QueryEpochResponse, Rule};
use dodona_sim::{
    LocalChain,
    report::Tally,
    world::{self, Cast, Setup, TOPIC},
};

struct Story {
    chain: LocalChain,
    cast: Cast,
    series: Series,
}

impl Story {
    /// A world whose cast `change` may rewrite before it begins.
    fn new(setup: &Setup, change: impl FnOnce(&mut Cast, &Series)) -> Self {
        let series = data::bundled("electricity").unwrap();
        let mut cast = Cast::built_in(&series, setup);
        change(&mut cast, &series);
        let genesis = world::genesis(setup.seed, [1; 32], &cast.names());
        let chain = LocalChain::new(&genesis, Signatures::Check).unwrap();
        let mut story = Self { chain, cast, series };
        story.cast.create_topic(&Client::new(&story.chain), world::topic_spec(setup, "story", "MW")).unwrap();
        story.block();
        story.cast.register(&Client::new(&story.chain)).unwrap();
        story.block();
        story.cast.stake_and_fund(&Client::new(&story.chain)).unwrap();
        story.block();
        story
    }

    fn block(&mut self) {
        for receipt in self.chain.block(Vec::new()).unwrap() {
            assert_eq!(receipt.code, 0, "{}", receipt.log);
        }
        self.chain.app().check_invariants().unwrap();
    }

    fn epochs(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.cast.act(&Client::new(&self.chain), &self.series).unwrap();
            self.block();
        }
    }

    fn scored(&self, from: u64) -> Vec<QueryEpochResponse> {
        let page = Client::new(&self.chain).epochs(TOPIC, from, 0).unwrap().epochs;
        page.into_iter().filter(|e| e.state == "scored").collect()
    }
}

fn setup(rule: Rule) -> Setup {
    Setup { rule, loss: Loss::Squared, horizon: 1, seed: 5 }
}

#[test]
fn the_network_learns_whom_to_trust_and_pays_them() {
    let mut story = Story::new(&setup(Rule::Power), |_, _| {});
    story.epochs(151);
    let mut tally = Tally::default();
    story.scored(0).iter().for_each(|e| tally.add(e));
    let losses = tally.losses();
    assert_eq!(losses.epochs, 150);
    assert!(losses.network.squared < losses.mean.squared / 2.0, "{losses:?}");
    let board = Client::new(&story.chain).leaderboard(TOPIC).unwrap().rows;
    let earned = |row: &dodona_proto::topics::LeaderboardRow| row.earned.parse::<u128>().unwrap();
    let inferers = || board.iter().filter(|r| r.role == "inferer");
    let richest = inferers().max_by_key(|r| earned(r)).unwrap();
    let median_loss = {
        let mut losses: Vec<f64> = inferers().map(|r| r.mean_loss).collect();
        losses.sort_by(f64::total_cmp);
        losses[losses.len() / 2]
    };
    assert!(richest.mean_loss < median_loss, "who earns most is better than most: {richest:?}");
    assert!(board.iter().all(|r| r.missed == 0 || r.role == "forecaster"), "{board:?}");
}

/// Somebody else's model, honest but for one epoch.
struct Liar {
    honest: Box<dyn Model>,
    observed: usize,
    lies_after: usize,
    lie: f64,
}

impl Model for Liar {
    fn name(&self) -> &'static str {
        self.honest.name()
    }
    fn about(&self) -> &'static str {
        "honest until it matters"
    }
    fn observe(&mut self, point: Point) {
        self.observed += 1;
        self.honest.observe(point);
    }
    fn predict(&mut self, ahead: usize) -> Option<f64> {
        let honest = self.honest.predict(ahead)?;
        Some(if self.observed == self.lies_after { honest + self.lie } else { honest })
    }
}

#[test]
fn one_lie_of_the_most_trusted_worker_moves_the_answer_by_a_few_sigmas_at_most() {
    const EPOCH: usize = 120;
    let run = |lie: f64| {
        let mut story = Story::new(&setup(Rule::Power), |cast, series| {
            let timeline = world::timeline(series, 1);
            // The worker with the largest weight at that time on this series.
            let honest = dodona_participant::model::built_in(series.season_day, series.season_week)
                .into_iter()
                .find(|m| m.name() == "ridge-calendar")
                .unwrap();
            let at = cast.workers.iter().position(|w| w.seat.name == "ridge-calendar").unwrap();
            let seat = Seat::new(world::key(5, "ridge-calendar"), TOPIC, "ridge-calendar");
            let lies_after = timeline.known(EPOCH as u64) + 1;
            let liar = Liar { honest, observed: 0, lies_after, lie };
            cast.workers[at] = WorkerRole::new(seat, Box::new(liar), timeline);
            // Forecasters trust without a cap; this story is about the combiner.
            cast.forecasters.clear();
        });
        story.epochs(EPOCH + 2);
        story.scored(EPOCH as u64).remove(0)
    };
    let (honest, lied) = (run(0.0), run(1e9));
    let part = |e: &QueryEpochResponse| e.parts.iter().find(|p| p.name == "ridge-calendar").cloned().unwrap();
    assert!(part(&honest).weight > 0.2, "the liar was trusted: {}", part(&honest).weight);
    assert!(part(&lied).value > 1e8);
    let interval = honest.interval.unwrap();
    let scale = (interval.p84 - interval.p50) / 1.2533;
    let moved = (lied.combined - honest.combined).abs() / scale;
    assert!(moved < 3.2, "moved by {moved} error scales");
}

#[test]
fn a_reputer_who_lies_alone_is_outvoted_and_earns_next_to_nothing() {
    let mut story = Story::new(&setup(Rule::Power), |cast, series| {
        let seat = Seat::new(world::key(5, "reputer-3"), TOPIC, "reputer-3");
        cast.reputers[2] = ReputerRole::new(seat, world::timeline(series, 1));
    });
    let honest = story.series.clone();
    for _ in 0..60 {
        let client = Client::new(&story.chain);
        let seen = client.windows(TOPIC).unwrap();
        let mut shifted = honest.clone();
        shifted.points.iter_mut().for_each(|p| p.value += 1e6);
        for worker in &mut story.cast.workers {
            worker.act(&client, &seen, &honest).unwrap();
        }
        for (i, reputer) in story.cast.reputers.iter_mut().enumerate() {
            reputer.act(&client, &seen, if i == 2 { &shifted } else { &honest }).unwrap();
        }
        story.block();
    }
    let timeline = world::timeline(&honest, 1);
    for epoch in story.scored(0) {
        assert_eq!(epoch.truth.unwrap(), honest.points[timeline.target(epoch.epoch)].value);
    }
    let board = Client::new(&story.chain).leaderboard(TOPIC).unwrap().rows;
    let earned = |name: &str| board.iter().find(|r| r.name == name).unwrap().earned.parse::<u128>().unwrap();
    assert!(
        earned("reputer-3") * 20 < earned("reputer-1"),
        "{} {}",
        earned("reputer-3"),
        earned("reputer-1")
    );
}

#[test]
fn a_pause_of_all_workers_makes_epochs_void_and_the_topic_goes_on() {
    let mut story = Story::new(&setup(Rule::Regret), |_, _| {});
    story.epochs(10);
    for _ in 0..5 {
        story.block();
    }
    let before = Client::new(&story.chain).topic(TOPIC).unwrap();
    assert!(before.epochs_void >= 4, "{before:?}");
    story.epochs(12);
    let after = Client::new(&story.chain).topic(TOPIC).unwrap();
    assert!(after.epochs_scored >= before.epochs_scored + 10, "{after:?}");
}

#[test]
fn the_same_story_twice_has_the_same_root() {
    let root = |rule| {
        let mut story = Story::new(&setup(rule), |_, _| {});
        story.epochs(25);
        story.chain.app().root()
    };
    for rule in [Rule::Power, Rule::Regret, Rule::Median, Rule::Mean] {
        assert_eq!(root(rule), root(rule), "{rule:?}");
    }
}
