//! Sealed answers: a digest first, the word behind it in the last blocks of the window; what is refused when, and what
//! silence after a seal costs under each rule.

use dodona_chain::topics::{
    handle::relay_bytes,
    state::{SEALS, UNOPENED},
};
use dodona_proto::{
    commit, path,
    topics::{
        ExplainedPart, MsgOpenPayload, MsgRelay, MsgSealPayload, MsgSubmitPayload, QueryExplainRequest,
        QueryExplainResponse, QueryInputsRequest, QueryInputsResponse, Rule, TopicSpec,
    },
    tx::pack,
    url,
};
use prost::Message;

use crate::kit::*;

const WORKERS: [&str; 4] = ["w1", "w2", "w3", "w4"];
const REPUTERS: [&str; 2] = ["r1", "r2"];

/// Asks every 6 blocks; seals in the first 3 blocks of the window, opened in the last 2.
fn sealed(rule: Rule) -> TopicSpec {
    TopicSpec { reveal_window: 2, rule: rule.into(), ..spec(6, 5, 6, 3) }
}

fn word(from: &str, topic_id: u64, nonce: u64, inference: &str) -> Vec<u8> {
    let (sender, inference) = (text(from), inference.to_string());
    MsgSubmitPayload { sender, topic_id, nonce, inference, ..Default::default() }.encode_to_vec()
}

fn salt(from: &str) -> [u8; 32] {
    let mut salt = [7; 32];
    salt[..from.len()].copy_from_slice(from.as_bytes());
    salt
}

/// The seal of an answer, under a salt that everybody knows.
pub fn seal(from: &str, topic_id: u64, nonce: u64, inference: &str) -> Tx {
    let seal = commit::seal(CHAIN, &salt(from), &word(from, topic_id, nonce, inference)).to_vec();
    seal_bytes(from, topic_id, nonce, seal)
}

fn seal_bytes(from: &str, topic_id: u64, nonce: u64, seal: Vec<u8>) -> Tx {
    Tx::new(from, vec![pack(url::SEAL, &MsgSealPayload { sender: text(from), topic_id, nonce, seal })])
}

/// What is behind it.
pub fn open(from: &str, topic_id: u64, nonce: u64, inference: &str) -> Tx {
    open_bytes(from, word(from, topic_id, nonce, inference), salt(from).to_vec())
}

fn open_bytes(from: &str, payload: Vec<u8>, salt: Vec<u8>) -> Tx {
    Tx::new(from, vec![pack(url::OPEN, &MsgOpenPayload { sender: text(from), payload, salt })])
}

fn inputs(net: &Net, topic_id: u64, nonce: u64) -> QueryInputsResponse {
    net.query(path::INPUTS, &QueryInputsRequest { topic_id, nonce, address: String::new() }).unwrap()
}

/// One whole epoch of a sealed topic: who seals what, and who opens it.
fn epoch(
    net: &mut Net,
    id: u64,
    answers: &[(&str, &str)],
    opens: impl Fn(&str) -> bool,
    happened: &str,
) -> u64 {
    let topic = net.topic(id);
    net.wait_until(topic.next_epoch_block.max(net.height));
    let nonce = net.windows(id).windows.last().unwrap().nonce;
    net.done(&answers.iter().map(|(who, value)| seal(who, id, nonce, value)).collect::<Vec<_>>());
    net.wait_until(nonce + 3);
    let opened = answers.iter().filter(|(who, _)| opens(who));
    net.done(&opened.map(|(who, value)| open(who, id, nonce, value)).collect::<Vec<_>>());
    net.wait_until(nonce + 6);
    net.done(&REPUTERS.map(|who| truth(who, id, nonce, happened)));
    nonce
}

#[test]
fn answers_are_sealed_then_opened_then_combined_and_scored() {
    let mut net = Net::new();
    let id = net.market(sealed(Rule::Power), &WORKERS, &REPUTERS);
    let nonce = net.height;
    let window = net.windows(id).windows[0].clone();
    assert_eq!(
        (window.worker_first, window.seal_last, window.worker_last),
        (nonce + 1, nonce + 3, nonce + 5)
    );
    let (before, fee) = (net.balance("w1"), u128::from(GAS) * 10);
    net.done(&[seal("w1", id, nonce, "20.5"), seal("w2", id, nonce, "22")]);
    let cost = before - net.balance("w1");
    assert!(cost > fee, "a seal pays the fee of a word: {cost}");
    let known = inputs(&net, id, nonce);
    assert_eq!((known.seals.len(), known.inferences.len()), (2, 0), "nobody can read it");
    net.wait_until(nonce + 3);
    let before = net.balance("w1");
    net.done(&[open("w1", id, nonce, "20.5"), open("w2", id, nonce, "22")]);
    assert_eq!(before - net.balance("w1"), fee, "opening pays no fee of its own");
    let known = inputs(&net, id, nonce);
    assert_eq!((known.seals.len(), known.inferences.len()), (0, 2));
    net.wait_until(nonce + 6);
    net.done(&REPUTERS.map(|who| truth(who, id, nonce, "21")));
    net.wait_until(nonce + 9);
    let epoch = net.epoch(id, nonce).unwrap();
    assert_eq!((epoch.state.as_str(), epoch.parts.len(), epoch.truth), ("scored", 2, Some(21.0)));
}

#[test]
fn every_wrong_step_is_refused_and_says_when_it_would_not_be() {
    let mut net = Net::new();
    let id = net.market(sealed(Rule::Power), &WORKERS, &REPUTERS);
    let plain = net.market(spec(6, 5, 6, 3), &WORKERS, &REPUTERS);
    // The second market was made in later blocks of the first one's window: the next window is whole.
    net.wait_until(net.topic(id).next_epoch_block);
    let nonce = net.height;
    let other = net.windows(plain).windows[0].nonce;

    // While seals are accepted.
    let no = net.refused(&submit("w1", id, nonce, "1"));
    assert_eq!(no.id(), ("emissions", 56));
    assert!(no.log.contains(&format!("MsgSealPayload until block {}", nonce + 3)), "{}", no.log);
    assert_eq!(net.refused(&seal("w1", plain, other, "1")).id(), ("emissions", 56), "an open topic");
    assert_eq!(net.refused(&open("w1", plain, other, "1")).id(), ("emissions", 56));
    assert_eq!(
        net.refused(&seal_bytes("w1", id, nonce, vec![1; 31])).id(),
        ("emissions", 42),
        "a short seal"
    );
    assert_eq!(net.refused(&seal("bob", id, nonce, "1")).id(), ("emissions", 13), "not registered");
    assert_eq!(net.refused(&seal("w1", id, nonce + 1, "1")).id(), ("emissions", 75), "no such epoch");
    assert_eq!(net.refused(&seal("w1", 9, nonce, "1")).id(), ("emissions", 23), "no such topic");
    let no = net.refused(&open("w1", id, nonce, "1"));
    assert_eq!(no.id(), ("emissions", 67), "too early");
    assert!(no.log.contains(&format!("opened in blocks {} to {}", nonce + 4, nonce + 5)), "{}", no.log);
    net.done(&[
        seal("w1", id, nonce, "1"),
        seal("w2", id, nonce, "not a number"),
        seal_bytes("w3", id, nonce, commit::seal(CHAIN, &salt("w1"), &word("w1", id, nonce, "1")).to_vec()),
    ]);
    assert_eq!(net.refused(&seal("w1", id, nonce, "2")).id(), ("emissions", 78), "one seal per epoch");

    // While they are opened.
    net.wait_until(nonce + 3);
    let no = net.refused(&seal("w4", id, nonce, "1"));
    assert_eq!(no.id(), ("emissions", 67), "too late");
    assert!(
        no.log.contains(&format!("accepts seals in blocks {} to {}", nonce + 1, nonce + 3)),
        "{}",
        no.log
    );
    assert_eq!(net.refused(&open("w1", id, nonce, "2")).id(), ("emissions", 42), "another answer");
    assert_eq!(
        net.refused(&open_bytes("w1", word("w1", id, nonce, "1"), vec![0; 32])).id(),
        ("emissions", 42)
    );
    assert_eq!(
        net.refused(&open_bytes("w1", word("w1", id, nonce, "1"), vec![0; 31])).id(),
        ("emissions", 42)
    );
    assert_eq!(net.refused(&open_bytes("w1", vec![255; 9], salt("w1").to_vec())).id(), ("emissions", 42));
    let no = net.refused(&open("w4", id, nonce, "1"));
    assert_eq!(no.id(), ("emissions", 57), "nothing sealed");
    assert_eq!(
        net.refused(&open("w2", id, nonce, "not a number")).id(),
        ("emissions", 41),
        "sealed nonsense"
    );
    // Who copied a seal cannot open it: the word behind it names its author.
    let stolen = open_bytes("w3", word("w1", id, nonce, "1"), salt("w1").to_vec());
    assert_eq!(net.refused(&stolen).id(), ("emissions", 42));
    let own = open_bytes("w3", word("w3", id, nonce, "1"), salt("w1").to_vec());
    assert_eq!(net.refused(&own).id(), ("emissions", 42));
    net.done(&[open("w1", id, nonce, "1")]);
    assert_eq!(net.refused(&open("w1", id, nonce, "1")).id(), ("emissions", 78), "opened once");
    net.wait_until(nonce + 5);
    assert_eq!(net.refused(&open("w2", id, nonce, "1")).id(), ("emissions", 67), "over");
    let read = net.app.store().snapshot().unwrap();
    assert!(SEALS.scan(&read, usize::MAX).unwrap().is_empty(), "seals go with their window");
}

#[test]
fn seals_and_their_words_can_be_carried_by_whoever_pays() {
    let mut net = Net::new();
    let id = net.market(sealed(Rule::Power), &WORKERS, &REPUTERS);
    let nonce = net.height;
    let carried = |type_url: &str, tx: Tx| {
        let message = tx.messages[0].value.clone();
        let signature = key("w1").sign(&relay_bytes(CHAIN, type_url, &message)).to_vec();
        let public_key = key("w1").public().to_vec();
        let sender = text("bob");
        let m = MsgRelay { sender, type_url: type_url.into(), message, public_key, signature };
        Tx::new("bob", vec![pack(url::RELAY, &m)])
    };
    let purse = net.balance("w1");
    net.done(&[carried(url::SEAL, seal("w1", id, nonce, "3"))]);
    net.wait_until(nonce + 3);
    net.done(&[carried(url::OPEN, open("w1", id, nonce, "3"))]);
    assert_eq!(net.balance("w1"), purse, "the author pays nothing");
    assert_eq!(inputs(&net, id, nonce).inferences[0].address, text("w1"));
}

/// What a worker explains to itself.
fn explained(net: &Net, topic_id: u64, nonce: u64, who: &str) -> ExplainedPart {
    let request = QueryExplainRequest { topic_id, nonce, address: text(who) };
    net.query::<QueryExplainResponse>(path::EXPLAIN, &request).unwrap().parts[0].clone()
}

#[test]
fn a_seal_that_is_never_opened_costs_its_score_under_every_rule() {
    // w4 sees that it would be far off and keeps silent; its twin in the other chain opens the same answer; in a third
    // chain it never sealed at all.
    for rule in [Rule::Power, Rule::Regret, Rule::Mean] {
        let run = |opens: bool, seals: bool| {
            let mut net = Net::new();
            let id = net.market(sealed(rule), &WORKERS, &REPUTERS);
            let all = [("w1", "20"), ("w2", "21"), ("w3", "19.5"), ("w4", "20.25")];
            for _ in 0..3 {
                epoch(&mut net, id, &all, |_| true, "20.25");
            }
            let bad = [("w1", "20"), ("w2", "21"), ("w3", "19.5"), ("w4", "27")];
            let said = if seals { &bad[..] } else { &bad[..3] };
            let nonce = epoch(&mut net, id, said, |who| opens || who != "w4", "20.25");
            let row = net.leaderboard(id)[&("w4".to_string(), "inferer".to_string())].clone();
            net.wait_until(nonce + 9);
            let after = net.leaderboard(id)[&("w4".to_string(), "inferer".to_string())].clone();
            let silent = inputs(&net, id, nonce).unopened;
            (row, after, silent, explained(&net, id, nonce, "w4"))
        };
        let (before, opened, none, _) = run(true, true);
        assert!(none.is_empty());
        let (_, silent, named, told) = run(false, true);
        let (_, absent, none, _) = run(false, false);
        assert!(none.is_empty());
        assert_eq!(named, [text("w4")], "{rule:?}");
        assert!(told.verdict.contains("never opened"), "{}", told.verdict);
        // Under the mean it had the least merit before.
        let worse =
            if rule == Rule::Mean { silent.merit <= absent.merit } else { silent.merit < absent.merit };
        assert!(worse, "{rule:?}: merit {} {}", silent.merit, absent.merit);
        assert!(silent.score <= absent.score, "{rule:?}: {} {}", silent.score, absent.score);
        if rule == Rule::Power {
            assert!(silent.running_loss > absent.running_loss, "as if it had been the worst of those heard");
            assert!(silent.running_loss < opened.running_loss, "an absurd answer costs more than silence");
            assert!(before.running_loss < silent.running_loss);
        }
        assert_eq!(silent.missed, opened.missed + 1, "{rule:?}");
        assert_eq!(silent.earned, before.earned, "{rule:?}: silence earns nothing");
    }
}

#[test]
fn silence_of_a_newcomer_and_of_everybody_leaves_nothing_behind() {
    let mut net = Net::with(|params| params.epoch_retention = 2);
    let id = net.market(sealed(Rule::Power), &WORKERS, &REPUTERS);
    let all = [("w1", "20"), ("w2", "21")];
    epoch(&mut net, id, &all, |_| true, "20");
    // A newcomer's only word stays sealed: it has no record to lose, and none comes into being.
    let nonce = epoch(&mut net, id, &[("w1", "20"), ("w2", "21"), ("w3", "5")], |who| who != "w3", "20");
    assert!(inputs(&net, id, nonce).unopened.is_empty());
    // Nobody opens: the epoch is void and nobody is scored.
    let topic = net.topic(id);
    net.wait_until(topic.next_epoch_block.max(net.height));
    let nonce = net.windows(id).windows.last().unwrap().nonce;
    let merit = net.leaderboard(id)[&("w1".to_string(), "inferer".to_string())].merit;
    net.done(&[seal("w1", id, nonce, "20"), seal("w2", id, nonce, "21")]);
    net.wait_until(nonce + 5);
    assert_eq!(net.epoch(id, nonce).unwrap().state, "void");
    assert_eq!(net.leaderboard(id)[&("w1".to_string(), "inferer".to_string())].merit, merit);
    // What is remembered of silence goes with its epoch.
    let nonce = epoch(&mut net, id, &[("w1", "20"), ("w2", "21")], |who| who != "w2", "20");
    let remembered = |net: &Net| {
        let read = net.app.store().snapshot().unwrap();
        UNOPENED.scan_prefix(&read, &(id, nonce), usize::MAX).unwrap().len()
    };
    assert_eq!(remembered(&net), 1);
    net.wait_until(nonce + 40);
    assert_eq!(remembered(&net), 0);
}

#[test]
fn a_reveal_window_leaves_room_for_seals() {
    let net = Net::new();
    for reveal_window in [5, 6, u64::MAX] {
        let no = net.refused(&create("alice", TopicSpec { reveal_window, ..spec(6, 5, 6, 3) }));
        assert_eq!(no.id(), ("emissions", 2));
        assert!(no.log.contains("reveal_window"), "{}", no.log);
    }
}
