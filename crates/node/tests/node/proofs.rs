//! What a live node proves verifies with nothing but a trust, and what it cannot prove it refuses in words.

use dodona_chain::{Genesis, GenesisAccount, GenesisValidator, Params};
use dodona_client::{Client, ClientError, Http};
use dodona_consensus::SigningKey;
use dodona_light::{Claim, Policy, Report, verify};
use dodona_node::{Clock, Gate, Height, Home, Node, NodeConfig, Pace, genesis_trust};
use dodona_proto::{ALLO, sign::AccountKey};

fn validator_key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn genesis() -> Genesis {
    let alice = AccountKey::from_seed(1, "alice").address().to_string();
    Genesis {
        chain_id: "localnet".into(),
        time_ms: 1_000,
        params: Params::default(),
        admins: Vec::new(),
        accounts: vec![GenesisAccount { address: alice.clone(), balance: 1_000 * ALLO }],
        validators: vec![GenesisValidator {
            public_key: hex::encode(validator_key().verifying_key().to_bytes()),
            power: 10,
            operator: alice,
            moniker: String::new(),
            commission: None,
        }],
    }
}

fn check(document: &str, trust: &str) -> Report {
    verify(document.as_bytes(), trust.as_bytes(), Policy { now_ms: Some(400_000), max_age_ms: None })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_nodes_proof_verifies_with_nothing_but_the_trust() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let node = Node::start(NodeConfig {
        rest: Some(dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap()),
        ..NodeConfig::quiet(
            Home::open(dir.path(), genesis(), validator_key()).unwrap(),
            Clock::Steps(1_000),
            Pace::OnDemand(gate.clone()),
        )
    })
    .await
    .unwrap();
    let address = node.rest_address().unwrap();
    let http = move || Client::new(Http::new(&format!("http://{address}")));
    let early = tokio::task::spawn_blocking(move || (http().proof(1, 0, 0, None), http().trust(0)));
    let (proof, trust) = early.await.unwrap();
    assert!(matches!(proof.unwrap_err(), ClientError::NotFound(text) if text.contains("none yet")));
    assert!(matches!(trust.unwrap_err(), ClientError::NotFound(text) if text.contains("none yet")));
    // More blocks than are kept provable.
    gate.open_until(Height(140));
    node.handle().reached(140).await;

    let asked = tokio::task::spawn_blocking(move || {
        let client = http();
        let from_genesis = genesis_trust(&genesis()).unwrap().to_json();
        let mut trusts = vec![from_genesis];
        for height in [0, 1, 30, 139, 140] {
            trusts.push(client.trust(height).unwrap());
        }
        for (height, trusted) in [(0, None), (140, Some(0)), (139, Some(30)), (50, Some(140)), (20, None)] {
            let document = client.proof(9, 0, height, trusted).unwrap();
            for trust in &trusts {
                let report = check(&document, trust);
                assert!(report.verified, "{:#?}", report.steps);
                assert_eq!(report.claim, Some(Claim::NoTopic { topic: 9 }));
                assert_eq!(report.height, Some(if height == 0 { 140 } else { height }));
            }
        }
        // The page gives the very bytes.
        let page = format!("http://{address}/dodona/v1/topics/9/inference/proof?height=140&trusted_height=0");
        let (status, body) = get(&page);
        assert_eq!((status, body.as_str()), (200, client.proof(9, 0, 140, Some(0)).unwrap().as_str()));
        assert_eq!(get(&format!("http://{address}/trust?height=30")), (200, client.trust(30).unwrap()));
        for (page, code, words) in [
            ("topics/9/inference/proof?height=141", 400, "in the future"),
            ("topics/9/inference/proof?height=5", 400, "not kept: the oldest kept is 13"),
            ("topics/9/inference/proof?height=-1", 400, ""),
            ("topics/9/inference/proof?hight=1", 400, "hight"),
            ("topics/9/inference/proof?height=18446744073709551615", 400, "in the future"),
            ("topics/x/inference/proof", 400, "whole number"),
            ("trust?height=141", 400, "in the future"),
            ("trust?height=x", 400, ""),
        ] {
            let (status, body) = get(&format!("http://{address}/dodona/v1/{page}"));
            assert!(status == code && body.contains(words), "{page}: {status} {body}");
        }
        // A trusted height beyond the block's needs no links, and one beyond the chain neither.
        assert!(client.proof(9, 0, 0, Some(u64::MAX)).is_ok());
        let other = Genesis { chain_id: "other".into(), ..genesis() };
        let document = client.proof(9, 0, 0, None).unwrap();
        let report = check(&document, &genesis_trust(&other).unwrap().to_json());
        assert!(!report.verified && report.steps.last().unwrap().name == "chain");
    });
    asked.await.unwrap();
    node.stop().await.unwrap();
}

/// One page: status and body.
fn get(url: &str) -> (u16, String) {
    use std::io::{Read, Write};
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut socket = std::net::TcpStream::connect(host).unwrap();
    write!(socket, "GET /{path} HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_string())
}
