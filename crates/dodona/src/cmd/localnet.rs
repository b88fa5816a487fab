//! `dodona localnet`: a whole network on this machine, each validator a process of its own with its own folder, keys and
//! ports. Ends cleanly with Ctrl-C; with `--home` the next start continues the same chain.

use std::{
    io::IsTerminal,
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use dodona_node::keys::OPERATOR_KEY;
use dodona_sim::{
    processes::member::{self, Member, Plan, Tenancy, Turn},
    world,
};
use serde_json::json;

use super::run::{Ends, tell};
use crate::{
    cli::{LocalnetArgs, Output},
    output::print,
};

/// How long the first block may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(args: LocalnetArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before the first folder exists: whatever ends the program from here on, children and folders go too.
    let ends = runtime.block_on(async { Ends::watch() })?;
    let temporary;
    let dir = match &args.home {
        Some(dir) => dir.as_path(),
        None => {
            temporary = tempfile::Builder::new().prefix("dodona-localnet-").tempdir()?;
            temporary.path()
        }
    };
    let plan = Plan {
        index: true,
        params: world::dev_params(),
        validators: args.validators.unwrap_or(4),
        seed: args.seed,
        block_time: args.block_time.into(),
        accounts: Vec::new(),
    };
    let _tenancy = Tenancy::take(dir)?;
    let turn = Turn::take();
    let mut members = member::existing(dir)?;
    if members.is_empty() {
        members = member::create(dir, &plan, &mut |_, _, address| address)?;
    } else if args.validators.is_some_and(|n| usize::from(n) != members.len()) {
        let (dir, count) = (dir.display(), members.len());
        bail!("{dir} holds a network of {count}: leave --validators out, or choose an empty folder");
    } else if member::find_ports(&mut members)? {
        tell("some ports of this network are taken by now: its nodes listen at others");
    }
    let outcome = runtime.block_on(serve(&args, &mut members, turn, ends));
    for name in member::end(&mut members) {
        tell(&format!("{name} did not end by itself: killed"));
    }
    outcome
}

async fn serve(args: &LocalnetArgs, members: &mut [Member], turn: Turn, mut ends: Ends) -> Result<()> {
    let program = std::env::current_exe().context("where this program is")?;
    let purse = ["--faucet-key".to_string(), format!("demo:{}:{}", world::FAUCET, args.seed)];
    for (n, member) in members.iter_mut().enumerate() {
        // Two nodes with one purse would count its transactions apart.
        member.start(&program, if n == 0 { &purse } else { &[] })?;
    }
    let started = Instant::now();
    while members.iter().any(|m| m.height().is_none_or(|h| h == 0)) {
        for member in members.iter_mut() {
            if let Some(status) = member.ended() {
                bail!("{} ended before its first block ({status}){}", member.name, why(member, status));
            }
        }
        if started.elapsed() > PATIENCE {
            bail!("no block within {} s: see node.log in the nodes' folders", PATIENCE.as_secs());
        }
        tokio::select! {
            () = ends.any() => return Ok(()),
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
    // All listen: other networks may choose their ports.
    drop(turn);
    greet(args, members)?;
    let live = std::io::stderr().is_terminal();
    let mut tick = tokio::time::interval(Duration::from_secs(if live { 1 } else { 10 }));
    loop {
        tokio::select! {
            () = ends.any() => break,
            _ = tick.tick() => {}
        }
        for member in members.iter_mut() {
            if let Some(status) = member.ended() {
                tell(&format!(
                    "{} has ended ({status}){}; a chain needs more than two thirds of the power to go on: \
                     `dodona start --home {}` brings it back",
                    member.name,
                    why(member, status),
                    member.home.display()
                ));
            }
        }
        if members.iter().all(|m| m.pid().is_none()) {
            bail!("every node has ended");
        }
        let shown = |m: &Member| m.height().map_or("-".into(), |height| height.to_string());
        let line = format!("block {}", members.iter().map(shown).collect::<Vec<_>>().join(" "));
        if live { eprint!("\r{line}  ") } else { tell(&line) }
    }
    if live {
        eprintln!();
    }
    Ok(())
}

/// What a node said when it ended by itself; one that was killed had no time to say why.
fn why(member: &Member, status: ExitStatus) -> String {
    if status.signal().is_some() { String::new() } else { format!(": {}", member.last_words()) }
}

fn greet(args: &LocalnetArgs, members: &[Member]) -> Result<()> {
    let shown = |door: Option<SocketAddr>| door.map_or(String::new(), |a| a.to_string());
    if args.output == Output::Json {
        let nodes: Vec<_> = members
            .iter()
            .map(|m| {
                let doors = &m.file.doors;
                json!({
                    "name": m.name, "home": m.home.display().to_string(), "pid": m.pid(),
                    "rest": shown(doors.rest), "grpc": shown(doors.grpc), "rpc": shown(doors.rpc),
                    "dashboard": shown(doors.dashboard),
                    "metrics": shown(doors.metrics),
                })
            })
            .collect();
        return print(&format!("{}\n", json!({ "chain_id": "localnet", "nodes": nodes })));
    }
    let mut out = format!("{:<8}{:<24}{:<20}{:<20}{:<24}home\n", "node", "REST", "gRPC", "RPC", "dashboard");
    for m in members {
        let doors = &m.file.doors;
        out.push_str(&format!(
            "{:<8}http://{:<17}{:<20}{:<20}http://{:<17}{}\n",
            m.name,
            shown(doors.rest),
            shown(doors.grpc),
            shown(doors.rpc),
            shown(doors.dashboard),
            m.home.display()
        ));
    }
    out.push_str(&format!(
        "keys: --key demo:consumer, demo:alice, demo:bob, or a node's {OPERATOR_KEY}; logs: node.log in each home\n\
         Ctrl-C ends all of them\n"
    ));
    print(&out)
}
