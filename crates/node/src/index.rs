//! The index: in which blocks and transactions something happened. A file of its own beside the store, so that writing
//! it never delays a block and deleting it does no harm: it is made again from blocks and results.
//!
//! ```text
//! head moves ─► catch_up: blocks not indexed yet ─► entries and progress in one write ─► searches
//! entry: bucket of blocks ++ class ++ key ++ value ++ height ─► indices in the block, ascending
//! ```
//! Entries lie in buckets of blocks, so that forgetting old blocks is the removal of one range. One entry for all
//! transactions of a block that say the same: most of what they say, many of them say.

use std::{
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_proto::tx::hash;
use dodona_store::{Config, KeyCode, RecordChange, RecordTable, Store, StoreError};
use tokio::sync::{Notify, SemaphorePermit, watch};

use crate::{
    NodeHandle,
    api::{
        Status,
        rpc::query::{Condition, Number, Operand, Operator, Query},
        told,
    },
    doors, records,
};

/// Entries.
const ENTRIES: RecordTable = RecordTable::new("entries");
/// One record, [`Progress`], under the empty key.
const PROGRESS: RecordTable = RecordTable::new("progress");
/// Number of the form of the entries and of the events in them. Another number: the index is made again.
const FORM: u32 = 3;
/// Blocks of a bucket.
const BUCKET: u64 = 1_024;
/// Longest value that is kept whole, bytes; of a longer one the beginning and its hash are kept.
const MAX_VALUE: usize = 256;
/// What is kept of the beginning of a longer value, bytes.
const BEGINNING: usize = 128;
/// Blocks and entries of one write, at most, while catching up.
const BATCH: (u64, usize) = (256, 50_000);
/// Places that one search may visit.
const MAX_VISITED: usize = 500_000;
/// Entries read at once by a search; each has a block's transactions at most.
const READ: usize = 4_096;
/// How long a search waits for its turn, and for the blocks that came just before it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Memory that the index may use to cache its file, bytes.
const CACHE_BYTES: usize = 8 << 20;
/// Most results on a page.
pub(crate) const MAX_PAGE: u64 = 100;

/// Where a transaction is: height and index in the block. Blocks have index 0.
pub(crate) type Spot = (u64, u32);

/// What a search looks for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Txs,
    Blocks,
}

/// Which part of the results is wanted.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Paging {
    /// From 1.
    pub page: u64,
    /// 1 to [`MAX_PAGE`].
    pub per_page: u64,
    pub newest_first: bool,
}

/// A page of results, and how many there are on all pages.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found<T> {
    pub items: Vec<T>,
    pub total: u64,
}

/// How far the index has come.
#[derive(Clone, Debug, Default, BorshSerialize, BorshDeserialize)]
struct Progress {
    form: u32,
    /// First block that is not indexed yet.
    next: u64,
    /// The block before it: an index of another history is made again.
    last_id: [u8; 32],
}

/// The index of a node.
pub(crate) struct Index {
    path: PathBuf,
    /// Newest blocks it covers; 0 is all. None: there is no index.
    keep: Option<u64>,
    store: OnceLock<Store>,
    /// First block that searches do not see yet.
    next: watch::Sender<u64>,
    /// Buckets before this one have no entries any more.
    forgotten: AtomicU64,
    stopping: AtomicBool,
    stop: Notify,
}

impl Index {
    /// An index that lies at `path`; nothing is opened before it is followed.
    pub(crate) fn new(path: &Path, keep: Option<u64>) -> Self {
        Self {
            path: path.to_path_buf(),
            keep,
            store: OnceLock::new(),
            next: watch::Sender::new(0),
            forgotten: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
        }
    }

    /// Ends [`follow`] after the write it is at.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.stop.notify_one();
    }

    /// Where a query's conditions hold, by place in the chain. Whoever calls this has a [`Index::turn`].
    pub(crate) fn search(
        &self,
        node: &NodeHandle,
        class: Class,
        query: &str,
        paging: Paging,
    ) -> Result<Found<Spot>, Status> {
        let query = Query::parse(query).map_err(Status::invalid)?;
        if paging.page == 0 || paging.per_page == 0 || paging.per_page > MAX_PAGE {
            return Err(Status::invalid(format!("page counts from 1, per_page is 1 to {MAX_PAGE}")));
        }
        let head = node.head().height;
        let Some(wanted) = Wanted::of(node, class, &query, head)? else {
            return paged(Spots::List(Vec::new()), paging);
        };
        if let Some(spot) = wanted.one
            && wanted.conditions.is_empty()
        {
            return paged(Spots::List(vec![spot]), paging);
        }
        if self.keep.is_none() {
            let cause = "this node keeps no index of events ([store] index = false): ask another one";
            return Err(Status::unavailable(cause));
        }
        let store =
            self.store.get().ok_or_else(|| Status::unavailable("the index of events is not open yet"))?;
        paged(self.spots(store, class, wanted)?, paging)
    }

    /// A turn to search; it ends when this is dropped. Waits for the newest blocks, if they are not far, and for the
    /// searches before this one, without holding a thread.
    pub(crate) async fn turn(&self, head: u64) -> Result<SemaphorePermit<'static>, Status> {
        let end = tokio::time::Instant::now() + PATIENCE;
        let mut seen = self.next.subscribe();
        let settled = |next: &u64| {
            let behind = (head + 1).saturating_sub(*next);
            self.keep.is_none() || behind == 0 || behind > BATCH.0
        };
        // What is not indexed by then is not found: the index may lag.
        let _ = tokio::time::timeout_at(end, seen.wait_for(settled)).await;
        let turn = doors::search_turn(end).await;
        turn.ok_or_else(|| Status::unavailable("other searches are at work: try again in a moment"))
    }

    fn spots(&self, store: &Store, class: Class, wanted: Wanted) -> Result<Spots, Status> {
        let Wanted { one, mut low, mut high, mut conditions } = wanted;
        let mut budget = MAX_VISITED;
        let mut spots = one.map(|spot| vec![spot]);
        if conditions.is_empty() && class == Class::Blocks {
            return Ok(Spots::Range(low, high));
        }
        if conditions.is_empty() {
            return Ok(Spots::List(visit(store, class, &every_tx(), low, high, &mut budget)?));
        }
        // What is looked up exactly comes first: it leaves less for the others to look at.
        conditions.sort_by_key(|condition| condition.exact().is_none());
        for condition in &conditions {
            if let Some(known) = &spots {
                let (Some(first), Some(last)) = (known.first(), known.last()) else { break };
                (low, high) = (low.max(first.0), high.min(last.0));
            }
            let hit = visit(store, class, condition, low, high, &mut budget)?;
            spots = Some(match spots {
                None => hit,
                Some(known) => known.into_iter().filter(|spot| hit.binary_search(spot).is_ok()).collect(),
            });
        }
        Ok(Spots::List(spots.unwrap_or_default()))
    }

    /// Indexes all blocks up to `head` that are not yet; opens the file before the first.
    fn catch_up(&self, node: &NodeHandle, head: u64) -> Result<(), StoreError> {
        let store = match self.store.get() {
            Some(store) => store,
            None => {
                let (store, next) = self.open(node)?;
                self.next.send_replace(next);
                self.store.get_or_init(|| store)
            }
        };
        let began = Instant::now();
        let mut told = began;
        let oldest = self.most().map_or(1, |most| (head + 1).saturating_sub(most).max(1));
        // Of blocks that are no longer kept nothing can be indexed.
        let pruned = node.oldest_block()?;
        let oldest = oldest.max(pruned);
        let mut next = (*self.next.borrow()).max(oldest);
        let first = next;
        while next <= head && !self.stopping.load(Ordering::Relaxed) {
            let mut changes = Vec::new();
            let mut last_id = [0; 32];
            let until = head.min(next + BATCH.0 - 1);
            while next <= until && changes.len() < BATCH.1 {
                last_id = entries(node, next, &mut changes)?.unwrap_or(last_id);
                next += 1;
            }
            // A whole bucket is forgotten when its last block is older than what is kept, here or at all.
            let forgotten = self.first_bucket(next).max(pruned / BUCKET);
            if forgotten > self.forgotten.load(Ordering::Relaxed) {
                changes.push(RecordChange::delete_below(ENTRIES, bucket_key(forgotten)));
                self.forgotten.store(forgotten, Ordering::Relaxed);
            }
            let progress = Progress { form: FORM, next, last_id };
            let progress = borsh::to_vec(&progress).map_err(StoreError::Io)?;
            changes.push(RecordChange::put(PROGRESS, Vec::new(), progress));
            store.put_records(changes)?;
            self.next.send_replace(next);
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                tracing::info!(next, head, "indexing blocks");
            }
        }
        if next - first > BATCH.0 {
            tracing::info!(blocks = next - first, seconds = began.elapsed().as_secs(), "index is complete");
        }
        Ok(())
    }

    /// First bucket that is kept when `next` is the first block to come.
    fn first_bucket(&self, next: u64) -> u64 {
        self.most().map_or(0, |most| next.saturating_sub(most) / BUCKET)
    }

    /// How many blocks it covers, if that is bounded.
    fn most(&self) -> Option<u64> {
        self.keep.filter(|most| *most > 0)
    }

    /// Opens the file, and begins a new one if it is damaged, of another form or of another history.
    fn open(&self, node: &NodeHandle) -> Result<(Store, u64), StoreError> {
        let open = || Store::open(&self.path, Config { cache_bytes: CACHE_BYTES, keep_versions: 1 });
        let cause = match open() {
            Ok(store) => {
                let record = store.record(PROGRESS, &[])?;
                let progress: Option<Progress> = record.and_then(|bytes| borsh::from_slice(&bytes).ok());
                match progress {
                    None if store.last_record(ENTRIES)?.is_none() => return Ok((store, 1)),
                    Some(p) if p.form == FORM && follows(node, &p)? => return Ok((store, p.next)),
                    _ => "it is of another form or another history".to_string(),
                }
            }
            Err(error @ (StoreError::Damaged { .. } | StoreError::NotAStore { .. })) => error.to_string(),
            Err(error) => return Err(error),
        };
        tracing::warn!(cause, "the index of events is made again");
        std::fs::remove_file(&self.path)?;
        Ok((open()?, 1))
    }
}

/// Follows the chain until the node stops. Errors are told and tried again: the index may lag, the node goes on.
pub(crate) async fn follow(node: NodeHandle) {
    if node.index().keep.is_none() {
        return;
    }
    let mut heads = node.heads();
    loop {
        let head = heads.borrow_and_update().height;
        let reader = node.clone();
        let work = tokio::task::spawn_blocking(move || reader.index().catch_up(&reader, head)).await;
        let again = match work {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(panic.to_string()),
        };
        if let Some(error) = &again {
            tracing::error!(error, "blocks cannot be indexed; trying again");
        }
        let index = node.index();
        tokio::select! {
            () = index.stop.notified() => return,
            () = tokio::time::sleep(Duration::from_secs(5)), if again.is_some() => {}
            changed = heads.changed(), if again.is_none() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Whether the last block indexed is one of this chain.
fn follows(node: &NodeHandle, progress: &Progress) -> Result<bool, StoreError> {
    let last = progress.next.saturating_sub(1);
    let name = records::block_id(node.app().store(), last)?;
    Ok(name.is_some_and(|name| name == progress.last_id))
}

/// Entries of a block and its transactions; its name, if it is kept.
fn entries(
    node: &NodeHandle,
    height: u64,
    changes: &mut Vec<RecordChange>,
) -> Result<Option<[u8; 32]>, StoreError> {
    let Some(kept) = node.kept_block(height)? else { return Ok(None) };
    // Entry and index of a transaction that says it, which may say it twice.
    let mut said: Vec<(Vec<u8>, u32)> = Vec::new();
    let mut put = |class, key: &[&str], value: &str, index: u32| {
        said.push((entry(class, key, value, height), index));
    };
    put(Class::Blocks, &["block.hash"], &hex::encode_upper(kept.results.block_id), 0);
    for typed in told::of_block(&kept.results) {
        for (key, value) in &typed.attributes {
            put(Class::Blocks, &[&typed.kind, ".", key], value, 0);
        }
    }
    for (index, (bytes, receipt)) in kept.block.body.txs.iter().zip(&kept.results.receipts).enumerate() {
        let index = index as u32;
        put(Class::Txs, &[], "", index);
        for typed in told::of_tx(bytes, receipt) {
            for (key, value) in &typed.attributes {
                put(Class::Txs, &[&typed.kind, ".", key], value, index);
            }
        }
    }
    said.sort_unstable();
    said.dedup();
    for same in said.chunk_by_mut(|one, next| one.0 == next.0) {
        let indices = same.iter().flat_map(|(_, index)| index.to_be_bytes()).collect::<Vec<u8>>();
        changes.push(RecordChange::put(ENTRIES, std::mem::take(&mut same[0].0), indices));
    }
    Ok(Some(kept.results.block_id))
}

/// The condition that every transaction has an entry for.
fn every_tx() -> Condition {
    Condition { key: String::new(), operator: Operator::Exists, operand: Operand::Nothing }
}

fn bucket_key(bucket: u64) -> Vec<u8> {
    (bucket as u32).to_be_bytes().to_vec()
}

fn height_key(height: u64) -> Vec<u8> {
    height.to_be_bytes().to_vec()
}

/// The place of an entry; its key is given in pieces.
fn entry(class: Class, key: &[&str], value: &str, height: u64) -> Vec<u8> {
    [prefix(class, &key.concat(), Some(value), height / BUCKET), height_key(height)].concat()
}

/// What the entries of a key, or of a key and a value, begin with.
fn prefix(class: Class, key: &str, value: Option<&str>, bucket: u64) -> Vec<u8> {
    let mut out = bucket_key(bucket);
    out.push(match class {
        Class::Txs => b't',
        Class::Blocks => b'b',
    });
    shortened(key).encode(&mut out);
    if let Some(value) = value {
        shortened(value).encode(&mut out);
    }
    out
}

/// Keeps entries small: of a long text its beginning and its hash, which still tells it from every other.
fn shortened(text: &str) -> String {
    if text.len() <= MAX_VALUE {
        return text.to_string();
    }
    let end = (0..=BEGINNING).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…{}", &text[..end], hex::encode(hash(text.as_bytes())))
}

/// Places where a condition holds, ascending, between two heights.
fn visit(
    store: &Store,
    class: Class,
    condition: &Condition,
    low: u64,
    high: u64,
    budget: &mut usize,
) -> Result<Vec<Spot>, Status> {
    let mut spots = Vec::new();
    if low > high {
        return Ok(spots);
    }
    for bucket in low / BUCKET..=high / BUCKET {
        let head = prefix(class, &condition.key, condition.exact(), bucket);
        let (mut from, until) = match condition.exact() {
            Some(_) => {
                ([head.clone(), height_key(low)].concat(), [head.clone(), height_key(high), vec![0]].concat())
            }
            // No text begins with this byte.
            None => (head.clone(), [head.clone(), vec![0xff]].concat()),
        };
        loop {
            let found = store.records(ENTRIES, &from, Some(&until), READ)?;
            for (key, indices) in &found {
                let Some((value, height)) = read_entry(&key[head.len()..], condition.exact().is_none())
                else {
                    continue;
                };
                *budget = budget.checked_sub((indices.len() / 4).max(1)).ok_or_else(|| {
                    Status::invalid(format!(
                        "this query visits more than {MAX_VISITED} places of the index: bound it, as with \
                         tx.height > 1000"
                    ))
                })?;
                if (low..=high).contains(&height) && value.is_none_or(|value| condition.accepts(&value)) {
                    let (indices, _) = indices.as_chunks::<4>();
                    spots.extend(indices.iter().map(|index| (height, u32::from_be_bytes(*index))));
                }
            }
            match found.last() {
                Some((last, _)) if found.len() == READ => from = [last.as_slice(), &[0]].concat(),
                _ => break,
            }
        }
    }
    // Entries come by value first.
    spots.sort_unstable();
    spots.dedup();
    Ok(spots)
}

/// Value, if the entry is read from there on, and height.
fn read_entry(mut rest: &[u8], with_value: bool) -> Option<(Option<String>, u64)> {
    let value = if with_value { Some(String::decode(&mut rest)?) } else { None };
    Some((value, u64::decode(&mut rest)?))
}

/// A query, as far as it is answered without entries.
struct Wanted {
    /// The only place in question.
    one: Option<Spot>,
    low: u64,
    high: u64,
    /// Conditions on attributes.
    conditions: Vec<Condition>,
}

impl Wanted {
    /// None when nothing can satisfy the query.
    fn of(node: &NodeHandle, class: Class, query: &Query, head: u64) -> Result<Option<Self>, Status> {
        let (height_key, kinds): (&str, &[&str]) = match class {
            Class::Txs => ("tx.height", &["Tx"]),
            Class::Blocks => ("block.height", &["NewBlock", "NewBlockHeader", "NewBlockEvents"]),
        };
        // Places whose block is gone would be found and could not be shown.
        let low = node.oldest_block()?.max(1);
        let mut wanted = Self { one: None, low, high: head, conditions: Vec::new() };
        for condition in &query.conditions {
            match condition.key.as_str() {
                "tm.event" if !kinds.iter().any(|kind| condition.accepts(kind)) => return Ok(None),
                "tm.event" => {}
                "tx.hash" if class == Class::Txs => {
                    let text =
                        condition.exact().ok_or_else(|| Status::invalid("tx.hash is asked for with ="))?;
                    let spot = records::find_tx(node.app().store(), &crate::api::tx_hash(text)?)?;
                    let Some(spot) = spot.filter(|spot| wanted.one.is_none_or(|one| one == *spot)) else {
                        return Ok(None);
                    };
                    wanted.one = Some(spot);
                }
                key if key == height_key => wanted.bound(condition)?,
                _ => wanted.conditions.push(condition.clone()),
            }
        }
        let inside = wanted.one.is_none_or(|spot| (wanted.low..=wanted.high).contains(&spot.0));
        Ok((inside && wanted.low <= wanted.high).then_some(wanted))
    }

    fn bound(&mut self, condition: &Condition) -> Result<(), Status> {
        let whole = || Status::invalid(format!("{} is compared with whole numbers", condition.key));
        let number = match &condition.operand {
            Operand::Nothing => return Ok(()),
            Operand::Number(Number::Integer(number)) => *number,
            Operand::Number(Number::Float(_)) => return Err(whole()),
            Operand::Text(text) => text.parse().map_err(|_| whole())?,
        };
        // Heights are positive; what is beyond them bounds like the nearest one.
        let clamp = |number: i128| u64::try_from(number.max(0)).unwrap_or(u64::MAX);
        match condition.operator {
            Operator::Equal => {
                self.low = self.low.max(clamp(number));
                self.high = self.high.min(clamp(number));
            }
            Operator::Less => self.high = self.high.min(clamp(number.saturating_sub(1))),
            Operator::AtMost => self.high = self.high.min(clamp(number)),
            Operator::Greater => self.low = self.low.max(clamp(number.saturating_add(1))),
            Operator::AtLeast => self.low = self.low.max(clamp(number)),
            Operator::Contains => return Err(whole()),
            Operator::Exists => {}
        }
        Ok(())
    }
}

/// Results of a search, ascending.
enum Spots {
    List(Vec<Spot>),
    /// All blocks between two heights.
    Range(u64, u64),
}

fn paged(spots: Spots, paging: Paging) -> Result<Found<Spot>, Status> {
    let total = match &spots {
        Spots::List(list) => list.len() as u64,
        Spots::Range(low, high) => high - low + 1,
    };
    let pages = total.div_ceil(paging.per_page).max(1);
    if paging.page > pages {
        return Err(Status::invalid(format!(
            "page should be within [1, {pages}] range, given {}",
            paging.page
        )));
    }
    let from = (paging.page - 1) * paging.per_page;
    let until = total.min(from + paging.per_page);
    let at = |place: u64| {
        let place = if paging.newest_first { total - 1 - place } else { place };
        match &spots {
            Spots::List(list) => list[place as usize],
            Spots::Range(low, _) => (low + place, 0),
        }
    };
    Ok(Found { items: (from..until).map(at).collect(), total })
}
