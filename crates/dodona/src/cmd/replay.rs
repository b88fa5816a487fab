//! `dodona replay`: a stored chain executed again, and compared block by block.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use dodona_node::{
    offline,
    replay::{ReplayError, replay},
    snapshot::Shelf,
};
use serde_json::json;

use crate::{
    cli::{Output, ReplayArgs},
    output::print,
};

pub fn run(args: ReplayArgs) -> Result<()> {
    let (genesis, store) = (offline::genesis(&args.home)?, offline::store(&args.home)?);
    let threads = args.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        |threads| threads as usize,
    );
    let mut told = Instant::now();
    let mut progress = |height: u64| {
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            eprintln!("block {height}");
        }
    };
    let mut outcome = replay(&store, &genesis, args.from.as_deref(), threads, &mut progress);
    if let (Err(ReplayError::Pruned { oldest }), false, None) = (&outcome, args.from_genesis, &args.from) {
        // The oldest snapshot after which all blocks are here shows the most.
        let shelf = Shelf::of_home(&args.home);
        let heights = shelf.heights()?;
        let Some(height) = heights.into_iter().find(|height| height + 1 >= *oldest) else {
            bail!("{}, and this home has none", ReplayError::Pruned { oldest: *oldest });
        };
        outcome = replay(&store, &genesis, Some(&shelf.path(height)), threads, &mut progress);
    }
    let done = outcome?;
    let (blocks, rate) = (done.last - done.after, done.blocks_per_second());
    print(&match args.output {
        Output::Json => {
            json!({
                "after": done.after,
                "last": done.last,
                "blocks": blocks,
                "txs": done.txs,
                "threads": threads,
                "seconds": done.took.as_secs_f64(),
                "blocks_per_second": rate,
                "state_root": hex::encode(done.root),
            })
            .to_string()
                + "\n"
        }
        Output::Text => format!(
            "blocks {} to {} give the same roots again: {blocks} blocks, {} transactions, {:.1} s, {rate:.0} blocks/s \
             ({threads} threads)\nstate root  {}\n",
            done.after + 1,
            done.last,
            done.txs,
            done.took.as_secs_f64(),
            hex::encode(done.root)
        ),
    })
}
