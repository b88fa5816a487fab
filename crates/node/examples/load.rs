//! Load and abuse for a running node, phase by phase, with what its blocks, answers and memory did meanwhile.
//!
//! `cargo run --release -p dodona-node --example load -- REST GRPC RPC PID [SECONDS]`, addresses as `127.0.0.1:1317`.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a tool: it stops where it fails")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{body::Bytes, http::Request};
use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};
use tokio_tungstenite::tungstenite::Message as Word;

#[derive(Clone, Copy)]
struct Node {
    rest: SocketAddr,
    grpc: SocketAddr,
    rpc: SocketAddr,
    pid: u32,
    time: Duration,
}

#[derive(Default)]
struct Seen {
    good: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    events: AtomicU64,
    micros: Mutex<Vec<u64>>,
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let address = |n: usize| args[n].parse().unwrap();
    let time = Duration::from_secs(args.get(4).map_or(15, |s| s.parse().unwrap()));
    let node =
        Node { rest: address(0), grpc: address(1), rpc: address(2), pid: args[3].parse().unwrap(), time };
    println!(
        "| phase | blocks/s | heard/s | queries good/refused/failed | p50 ms | p99 ms | events | RSS MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    phase(node, "rest", |_, _| {}).await;
    phase(node, "500 subscribers, 200 queries a second", |seen, work| {
        for _ in 0..500 {
            work.spawn(subscribe(node, seen.clone(), 1));
        }
        work.spawn(queries(node, seen.clone(), 200));
    })
    .await;
    phase(node, "20 connections asking as fast as they can", |seen, work| {
        for _ in 0..20 {
            work.spawn(greedy(node, seen.clone()));
        }
    })
    .await;
    phase(node, "subscription flood: 100 times 1 000", |seen, work| {
        for _ in 0..100 {
            work.spawn(subscribe(node, seen.clone(), 1_000));
        }
        work.spawn(queries(node, seen.clone(), 20));
    })
    .await;
    phase(node, "2 000 heads that never end", |seen, work| {
        for _ in 0..2_000 {
            work.spawn(hold(node.rest, b"GET /status HTTP/1.1\r\nHost:", seen.clone()));
        }
        work.spawn(queries(node, seen.clone(), 20));
    })
    .await;
    phase(node, "10 000 silent connections", |seen, work| {
        for n in 0..10_000 {
            let door = [node.rest, node.grpc, node.rpc][n % 3];
            work.spawn(hold(door, b"", seen.clone()));
        }
    })
    .await;
    phase(node, "oversized bodies, frames and paths, garbage", |seen, work| {
        for n in 0..40 {
            work.spawn(nonsense(node, n, seen.clone()));
        }
        work.spawn(queries(node, seen.clone(), 20));
    })
    .await;
    phase(node, "rest again", |_, _| {}).await;
}

async fn phase(node: Node, name: &str, begin: impl FnOnce(&Arc<Seen>, &mut JoinSet<()>)) {
    let (seen, mut work) = (Arc::new(Seen::default()), JoinSet::new());
    let before = height(node).await;
    begin(&seen, &mut work);
    let mut head = events_of_heads(node).await;
    let (mut blocks, mut most, begun) = (0u64, 0, Instant::now());
    while let Some(left) = node.time.checked_sub(begun.elapsed()) {
        if let Some(heads) = &mut head {
            match tokio::time::timeout(left.min(Duration::from_millis(200)), heads.next()).await {
                Ok(Some(Ok(_))) => blocks += 1,
                Ok(_) => head = None,
                Err(_) => {}
            }
        } else {
            sleep(Duration::from_millis(200)).await;
        }
        most = most.max(memory(node.pid));
    }
    let time = begun.elapsed();
    work.shutdown().await;
    let made = height(node).await - before;
    let whole = begun.elapsed();
    let mut micros = std::mem::take(&mut *seen.micros.lock().unwrap());
    micros.sort_unstable();
    let part = |p: usize| micros.get(micros.len() * p / 100).map_or(0.0, |m| *m as f64 / 1_000.0);
    println!(
        "| {name} | {:.2} | {:.2}{} | {}/{}/{} | {:.1} | {:.1} | {} | {most} |",
        made as f64 / whole.as_secs_f64(),
        blocks as f64 / time.as_secs_f64(),
        if head.is_none() { " (watcher lost)" } else { "" },
        seen.good.load(Relaxed),
        seen.refused.load(Relaxed),
        seen.failed.load(Relaxed),
        part(50),
        part(99),
        seen.events.load(Relaxed),
    );
    sleep(Duration::from_secs(2)).await;
}

/// The node's height, asked until it answers: a flooded node may refuse for a while.
async fn height(node: Node) -> u64 {
    loop {
        let asked = async {
            let mut socket = TcpStream::connect(node.rest).await.ok()?;
            socket.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.ok()?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.ok()?;
            let (_, rest) = answer.split_once("\"height\":")?;
            rest.split(',').next()?.parse().ok()
        };
        if let Some(height) = asked.await {
            return height;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<TcpStream>>;

/// Blocks are counted as a client hears of them, on a connection that was there first.
async fn events_of_heads(node: Node) -> Option<Socket> {
    for _ in 0..50 {
        if let Ok((mut socket, _)) =
            tokio_tungstenite::connect_async(format!("ws://{}/websocket", node.rpc)).await
        {
            socket.send(subscription(0)).await.ok()?;
            socket.next().await?.ok()?;
            return Some(socket);
        }
        sleep(Duration::from_millis(200)).await;
    }
    None
}

fn subscription(id: usize) -> Word {
    let query = "tm.event='NewBlockEvents'";
    Word::text(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"subscribe","params":{{"query":"{query}"}}}}"#
    ))
}

async fn subscribe(node: Node, seen: Arc<Seen>, times: usize) {
    let Ok((mut socket, _)) = tokio_tungstenite::connect_async(format!("ws://{}/websocket", node.rpc)).await
    else {
        seen.failed.fetch_add(1, Relaxed);
        return;
    };
    for id in 0..times {
        if socket.send(subscription(id)).await.is_err() {
            return;
        }
    }
    while let Some(Ok(word)) = socket.next().await {
        let text = word.to_text().unwrap_or_default();
        if text.contains("NewBlockEvents") {
            seen.events.fetch_add(1, Relaxed);
        } else if text.contains("error") {
            seen.refused.fetch_add(1, Relaxed);
        }
    }
}

async fn get(rest: SocketAddr, path: &str) -> std::io::Result<u16> {
    let mut socket = TcpStream::connect(rest).await?;
    let ask = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(ask.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    let status = answer.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
    status.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

fn note(seen: &Seen, begun: Instant, status: std::io::Result<u16>) {
    match status {
        Ok(200) => {
            seen.good.fetch_add(1, Relaxed);
            seen.micros.lock().unwrap().push(begun.elapsed().as_micros() as u64);
        }
        Ok(400..=599) => drop(seen.refused.fetch_add(1, Relaxed)),
        _ => drop(seen.failed.fetch_add(1, Relaxed)),
    }
}

const PATHS: [&str; 5] = ["/status", "/topics/1", "/topics/1/inference", "/topics/1/leaderboard", "/topics"];

/// A connection for each query, as short-lived clients do.
async fn queries(node: Node, seen: Arc<Seen>, a_second: u32) {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / a_second);
    let mut asked = JoinSet::new();
    for n in 0.. {
        tick.tick().await;
        while asked.try_join_next().is_some() {}
        let seen = seen.clone();
        asked.spawn(async move {
            let begun = Instant::now();
            note(&seen, begun, get(node.rest, PATHS[n % PATHS.len()]).await);
        });
    }
}

async fn greedy(node: Node, seen: Arc<Seen>) {
    for n in 0.. {
        let begun = Instant::now();
        note(&seen, begun, get(node.rest, PATHS[n % PATHS.len()]).await);
    }
}

/// Opens a connection, says so much and nothing more; again when it is closed.
async fn hold(door: SocketAddr, words: &'static [u8], seen: Arc<Seen>) {
    loop {
        if let Ok(mut socket) = TcpStream::connect(door).await {
            let _ = socket.write_all(words).await;
            let _ = socket.read_to_end(&mut Vec::new()).await;
            seen.refused.fetch_add(1, Relaxed);
        } else {
            seen.failed.fetch_add(1, Relaxed);
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn nonsense(node: Node, n: usize, seen: Arc<Seen>) {
    let big = vec![b'['; 8 << 20];
    loop {
        match n % 4 {
            0 | 1 => {
                let (door, path) = if n.is_multiple_of(4) { (node.rest, "/txs") } else { (node.rpc, "/") };
                let Ok(mut socket) = TcpStream::connect(door).await else { return };
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    big.len()
                );
                let _ = socket.write_all(head.as_bytes()).await;
                let _ = socket.write_all(&big).await;
                let _ = socket.read_to_end(&mut Vec::new()).await;
            }
            2 => drop(get(node.rest, &format!("/{}", "a".repeat(1 << 20))).await),
            _ => drop(oversized_message(node).await),
        }
        seen.refused.fetch_add(1, Relaxed);
    }
}

async fn oversized_message(node: Node) -> Option<()> {
    let socket = TcpStream::connect(node.grpc).await.ok()?;
    let (mut send, connection) = h2::client::handshake(socket).await.ok()?;
    let driver = tokio::spawn(connection);
    for body in [vec![0; 4 << 20], vec![0xff; 1 << 10], [&[0, 0, 0, 4, 0][..], &[0xff; 1 << 10]].concat()] {
        let request = Request::post("http://node/emissions.v10.QueryService/GetTopic")
            .header("content-type", "application/grpc");
        let (answer, mut stream) = send.send_request(request.body(()).ok()?, false).ok()?;
        let _ = stream.send_data(Bytes::from(body), true);
        let _ = answer.await;
    }
    driver.abort();
    Some(())
}

/// Resident memory of the node, MiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kb| kb >> 10)
}
