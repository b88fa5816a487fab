//! What a process with roles tells a monitor: what became of its epochs, what it has left, and whether its node answers.
//! docs/operate/metrics.md lists it, and a test compares the list with the page.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use dodona_client::{Client, Http};
use dodona_node::MetricsDoor;
use dodona_participant::run::Lane;
use dodona_proto::{ALLO, Address};
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::run::tell;

/// How often the balance is asked for, and the totals are added up.
const PERIOD: Duration = Duration::from_secs(5);

type Labels = Vec<(&'static str, String)>;

/// The numbers of one process. What a lane is worth is copied here by whoever works, and read by the door.
pub struct RoleMetrics {
    registry: Arc<Registry>,
    runtime: tokio::runtime::Runtime,
    door: Option<MetricsDoor>,
    address: Address,
    looked: Option<Instant>,
    contact: Arc<Mutex<Instant>>,
    balance: Gauge<f64, AtomicU64>,
    submitted: Family<Labels, Counter>,
    counted: Family<Labels, Counter>,
    void: Family<Labels, Counter>,
    missed: Family<Labels, Counter>,
    waiting: Family<Labels, Gauge>,
    earned: Family<Labels, Gauge<f64, AtomicU64>>,
}

impl RoleMetrics {
    /// Opens the page at an address of this machine.
    pub fn open(at: SocketAddr, address: Address) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let registry = Registry::with_prefix("dodona_role");
        let mut metrics = Self {
            registry: Arc::default(),
            runtime,
            door: None,
            address,
            looked: None,
            contact: Arc::new(Mutex::new(Instant::now())),
            balance: Gauge::default(),
            submitted: Family::default(),
            counted: Family::default(),
            void: Family::default(),
            missed: Family::default(),
            waiting: Family::default(),
            earned: Family::default(),
        };
        metrics.registry = Arc::new(metrics.registered(registry));
        let silence: Gauge<f64, AtomicU64> = Gauge::default();
        let mut registry = Registry::with_prefix("dodona_role");
        registry.register(
            "since_contact_seconds",
            "Since the node answered everything that was asked",
            silence.clone(),
        );
        let (registry, contact) = (Arc::new(registry), metrics.contact.clone());
        let listener = TcpListener::bind(at)
            .with_context(|| format!("cannot listen at {at}: choose another address with --metrics"))?;
        let numbers = metrics.registry.clone();
        let page = move || {
            silence.set(contact.lock().unwrap_or_else(PoisonError::into_inner).elapsed().as_secs_f64());
            let mut out = String::new();
            // Writing to a text does not fail.
            let _ = text::encode_registry(&mut out, &numbers);
            let _ = text::encode(&mut out, &registry);
            out
        };
        let door = metrics.runtime.block_on(async { MetricsDoor::open(listener, page) })?;
        tell(&format!("metrics http://{}/metrics", door.address()));
        metrics.door = Some(door);
        Ok(metrics)
    }

    fn registered(&self, mut registry: Registry) -> Registry {
        let r = &mut registry;
        r.register("balance_allo", "What the account that signs can spend", self.balance.clone());
        r.register("submitted", "Epochs in which something was handed in", self.submitted.clone());
        r.register("counted", "Of these, heard and scored", self.counted.clone());
        r.register("void", "Of these, ended without a score", self.void.clone());
        r.register("missed", "Epochs that were missed, whatever the cause", self.missed.clone());
        r.register("waiting", "Epochs handed in that have not ended", self.waiting.clone());
        r.register("earned_allo", "Earned since the process began", self.earned.clone());
        registry
    }

    /// Takes over what the lanes know; `answered` says whether the node did.
    pub fn look(&mut self, client: &Client<Http>, lanes: &[Lane], answered: bool) {
        if answered {
            *self.contact.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        if self.looked.is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        self.looked = Some(Instant::now());
        for lane in lanes {
            let labels = vec![("topic", lane.topic().to_string()), ("part", lane.part().name().to_string())];
            let totals = lane.totals();
            for (counts, count) in [
                (&self.submitted, totals.submitted),
                (&self.counted, totals.counted),
                (&self.void, totals.void),
                (&self.missed, totals.missed.values().sum()),
            ] {
                counts.get_or_create(&labels).inner().store(count, Ordering::Relaxed);
            }
            self.waiting.get_or_create(&labels).set(i64::try_from(totals.waiting).unwrap_or(i64::MAX));
            self.earned.get_or_create(&labels).set(totals.earned as f64 / ALLO as f64);
        }
        // A node that does not answer is told by the other number.
        if answered && let Ok(account) = client.account(self.address.to_string()) {
            self.balance.set(account.balance.parse().unwrap_or(0.0) / ALLO as f64); // amounts are digits
        }
    }
}
