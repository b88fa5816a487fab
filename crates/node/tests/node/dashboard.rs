//! The dashboard's door of a running node: the page and its files under a strict policy, the node's own pages on the
//! same origin, and nothing else, however a path is written.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use dodona_chain::{Genesis, GenesisValidator, Params};
use dodona_consensus::SigningKey;
use dodona_node::{Clock, Gate, Height, Home, Node, NodeConfig, Pace};
use dodona_proto::sign::AccountKey;

async fn start(dir: &Path) -> Node {
    let key = SigningKey::from_bytes(&[3; 32]);
    let genesis = Genesis {
        chain_id: "localnet".into(),
        time_ms: 1_767_225_600_000,
        params: Params::default(),
        admins: Vec::new(),
        accounts: Vec::new(),
        validators: vec![GenesisValidator {
            public_key: hex::encode(key.verifying_key().to_bytes()),
            power: 10,
            operator: AccountKey::from_seed(1, "alice").address().to_string(),
            ..GenesisValidator::default()
        }],
    };
    let gate = Gate::new();
    let node = Node::start(NodeConfig {
        dashboard: Some(dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap()),
        ..NodeConfig::quiet(
            Home::open(dir, genesis, key).unwrap(),
            Clock::Steps(1_000),
            Pace::OnDemand(gate.clone()),
        )
    })
    .await
    .unwrap();
    gate.open_until(Height(1));
    node.handle().reached(1).await;
    node
}

/// Status, head in small letters, and body of an answer.
fn get(address: SocketAddr, path: &str, heads: &str) -> (u16, String, Vec<u8>) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let ask = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{heads}\r\n");
    socket.write_all(ask.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_its_files_and_the_pages_it_reads_are_served_under_a_strict_policy() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await;
    let at = node.dashboard_address().unwrap();
    let asked = tokio::task::spawn_blocking(move || {
        let kinds = [
            ("/", "text/html"),
            ("/assets/app.js", "text/javascript"),
            ("/assets/app.css", "text/css"),
            ("/assets/wallet.js", "text/javascript"),
            ("/assets/verify.wasm", "application/wasm"),
            ("/dodona/v1/status", "application/json"),
            ("/dodona/v1/subnets/rules", "application/json"),
            ("/.well-known/dodona/chain.json", "application/json"),
            ("/.well-known/keplr/chain.json", "application/json"),
            ("/cosmos/staking/v1beta1/validators", "application/json"),
        ];
        for (path, kind) in kinds {
            let (status, head, body) = get(at, path, "");
            assert_eq!(status, 200, "{path}: {head}");
            assert!(head.contains(&format!("content-type: {kind}")), "{path}: {head}");
            assert!(head.contains("content-security-policy: default-src 'none'"), "{path}: {head}");
            assert!(head.contains("x-content-type-options: nosniff"), "{path}: {head}");
            assert!(body.len() > 100, "{path} has {} bytes", body.len());
        }
        // The page asks for what is there, and for nothing of another host.
        let (_, _, page) = get(at, "/", "");
        let page = String::from_utf8(page).unwrap();
        assert!(
            page.contains("src=\"/assets/app.js\"") && page.contains("href=\"/assets/app.css\""),
            "{page}"
        );
        assert!(!page.contains("://"), "{page}");
        let (_, _, wasm) = get(at, "/assets/verify.wasm", "");
        assert!(wasm.starts_with(b"\0asm"));
        // What has not changed is not sent again.
        let (_, head, _) = get(at, "/assets/app.js", "");
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let (status, _, body) = get(at, "/assets/app.js", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((status, body.len()), (304, 0));
    });
    asked.await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_of_the_page_is_not_found_however_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await;
    let at = node.dashboard_address().unwrap();
    let asked = tokio::task::spawn_blocking(move || {
        let paths = [
            "/assets/",
            "/assets/nothing.js",
            "/assets/../index.html",
            "/assets/..%2f..%2fCargo.toml",
            "/assets/%2e%2e/%2e%2e/etc/passwd",
            "/../../../../etc/passwd",
            "//etc/passwd",
            "/index.php",
            "/assets/app.js%00",
        ];
        for path in paths {
            let (status, head, body) = get(at, path, "");
            assert!([400, 404, 501].contains(&status), "{path}: {head}");
            assert!(head.contains("content-security-policy: default-src 'none'"), "{path}: {head}");
            assert!(!String::from_utf8_lossy(&body).contains("root:"), "{path}");
        }
    });
    asked.await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_about_subnets_and_histories_is_said_with_its_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path()).await;
    let at = node.dashboard_address().unwrap();
    let asked = tokio::task::spawn_blocking(move || {
        let refused = [
            ("/subnets/0", 400, "netuid `0`: send a whole number from 1 to 65535"),
            ("/subnets/70000/history", 400, "netuid `70000`"),
            ("/subnets/1/history?points=1", 400, "send 2 to 500"),
            ("/subnets/1/history", 404, "not found"),
            ("/subnets/1/metagraph", 404, "not found"),
            ("/topics/1/otherwise?rule=mean", 400, "send power or regret"),
            ("/topics/1/otherwise?rule=power", 404, "not found"),
            ("/topics/1/chart?members=somebody", 400, "member `somebody`"),
            ("/topics/1/chart", 404, "not found"),
        ];
        for (path, expected, said) in refused {
            let (status, _, body) = get(at, &format!("/dodona/v1{path}"), "");
            let body = String::from_utf8(body).unwrap();
            assert_eq!(status, expected, "{path}: {body}");
            assert!(body.contains(said), "{path}: {body}");
        }
        let many = vec!["allo1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqnrql8a"; 41].join(",");
        let (status, _, body) = get(at, &format!("/dodona/v1/topics/1/chart?members={many}"), "");
        assert_eq!(status, 400, "{}", String::from_utf8_lossy(&body));
    });
    asked.await.unwrap();
    node.stop().await.unwrap();
}
