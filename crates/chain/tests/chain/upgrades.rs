//! Upgrades: planned by an admin, made at their height by programs that know them, and by nobody else.

use dodona_chain::{
    App, AppError, BlockInput, Params, Signatures,
    upgrade::{self, KNOWN, Upgrade},
};
use dodona_proto::{
    cosmos::upgrade::v1beta1::{MsgCancelUpgrade, MsgSoftwareUpgrade, Plan},
    tx::pack,
    url,
};
use dodona_store::{Config, Item, Map, Read, Store};

use crate::kit::*;

/// What the test's upgrade makes of the state: a count of all accounts, under a name of its own.
const COUNTED: Item<u64> = Item::new(*b"~1");
/// The accounts, as the migration finds them.
const ACCOUNTS: Map<[u8; 20], (u64, u64)> = Map::new(*b"aa");

/// Forms of the chain before, after, and after that.
const FORMS: [u32; 3] = [FORM, FORM + 1, FORM + 2];
/// The form in which these tests' chains begin.
const FORM: u32 = KNOWN[0].from;

/// A program that knows two steps beyond its own form.
const NEWER: &[Upgrade] = &[
    KNOWN[0],
    Upgrade {
        name: "count-accounts",
        from: FORMS[0],
        to: FORMS[1],
        migrate: |state| {
            let count = ACCOUNTS.scan(&*state, usize::MAX)?.len() as u64;
            COUNTED.put(state, &count);
            Ok(())
        },
    },
    Upgrade {
        name: "forget-count",
        from: FORMS[1],
        to: FORMS[2],
        migrate: |state| {
            COUNTED.delete(state);
            Ok(())
        },
    },
];

fn plan_tx(from: &str, name: &str, height: i64) -> Tx {
    let plan =
        Some(Plan { name: name.into(), height, info: "see the release notes".into(), ..Plan::default() });
    let message = MsgSoftwareUpgrade { authority: text(from), plan };
    Tx::new(from, vec![pack(url::PLAN_UPGRADE, &message)])
}

fn cancel_tx(from: &str) -> Tx {
    Tx::new(from, vec![pack(url::CANCEL_UPGRADE, &MsgCancelUpgrade { authority: text(from) })])
}

fn net_with(upgrades: &'static [Upgrade]) -> Net {
    let store = Store::memory(Config::default());
    let genesis = genesis(Params::default());
    let app = App::open_with(store, &genesis, Signatures::Check, upgrades).unwrap();
    Net { app, height: 0, told: Vec::new(), trails: Vec::new() }
}

fn next(net: &Net) -> Result<[u8; 32], AppError> {
    let height = net.height + 1;
    let input = BlockInput::of(height, 1_000 + height * 1_000, &[]);
    net.app.execute(&input).map(|executed| executed.unwrap().root)
}

#[test]
fn a_plan_changes_form_and_state_at_its_height_on_every_program_that_knows_it_and_stops_the_others() {
    let (mut newer, mut other) = (net_with(NEWER), net_with(NEWER));
    let mut older = net_with(KNOWN);
    let plan = plan_tx("carol", "count-accounts", 5);
    for net in [&mut newer, &mut other, &mut older] {
        net.done(std::slice::from_ref(&plan));
        net.wait_until(4);
        let state = net.app.store().snapshot().unwrap();
        assert_eq!(upgrade::plan(&state).unwrap().unwrap().height, 5);
        assert_eq!(upgrade::form(&state).unwrap(), FORMS[0]);
    }
    // Up to the height all have the same state, and the next block only comes from those who know.
    assert_eq!((newer.app.root(), other.app.root()), (older.app.root(), older.app.root()));
    let stopped = next(&older).unwrap_err();
    assert!(
        matches!(&stopped, AppError::UnknownUpgrade { name, height: 5, .. } if name == "count-accounts"),
        "{stopped}"
    );
    assert!(stopped.to_string().contains("see the release notes"), "{stopped}");
    assert!(older.app.propose(&BlockInput::of(5, 9_000, &[])).is_err());
    let executed = newer.execute(&[]).unwrap();
    assert_eq!(executed.events[0].kind, "upgraded");
    newer.commit(executed);
    other.done(&[]);
    assert_eq!(newer.app.root(), other.app.root());
    let state = newer.app.store().snapshot().unwrap();
    let accounts = ACCOUNTS.scan(&state, usize::MAX).unwrap().len() as u64;
    assert_eq!(COUNTED.get(&state).unwrap(), Some(accounts));
    assert_eq!((upgrade::form(&state).unwrap(), upgrade::plan(&state).unwrap()), (FORMS[1], None));
    assert_eq!(upgrade::done(&state, "count-accounts").unwrap(), Some(5));
    // The program that stopped is replaced on the same store, and the chain has one history again.
    let replaced =
        App::open_with(older.app.store().clone(), &genesis(Params::default()), Signatures::Check, NEWER);
    older.app = replaced.unwrap();
    older.done(&[]);
    assert_eq!(older.app.root(), newer.app.root());
    // One that does not know the form does not open the state.
    let refused = App::open(older.app.store().clone(), &genesis(Params::default()), Signatures::Check);
    assert!(matches!(refused, Err(AppError::OtherForm { found, .. }) if found == FORMS[1]));

    newer.done(&[plan_tx("carol", "forget-count", 8)]);
    newer.wait_until(8);
    let state = newer.app.store().snapshot().unwrap();
    assert_eq!((COUNTED.get(&state).unwrap(), upgrade::form(&state).unwrap()), (None, FORMS[2]));
    assert!(state.get(b"~1").unwrap().is_none());
}

#[test]
fn an_upgrade_from_another_form_is_not_made() {
    let mut net = net_with(NEWER);
    net.done(&[plan_tx("carol", "forget-count", 2)]);
    assert!(matches!(next(&net), Err(AppError::UnknownUpgrade { form, .. }) if form == FORMS[0]));
}

#[test]
fn a_rehearsal_changes_nothing_but_its_own_mark() {
    let mut net = Net::new();
    for height in [3, 5] {
        net.done(&[plan_tx("carol", "rehearsal", height)]);
        net.wait_until(height as u64);
        let state = net.app.store().snapshot().unwrap();
        assert_eq!(upgrade::done(&state, "rehearsal").unwrap(), Some(height as u64));
        assert_eq!((upgrade::form(&state).unwrap(), upgrade::plan(&state).unwrap()), (FORM, None));
    }
}

#[test]
fn plans_are_made_replaced_and_taken_back_by_admins_alone() {
    let mut net = Net::new();
    assert_eq!(net.refused(&plan_tx("alice", "rehearsal", 9)).id(), ("sdk", 4));
    assert_eq!(net.refused(&cancel_tx("alice")).id(), ("sdk", 4));
    assert_eq!(net.refused(&cancel_tx("carol")).id(), ("sdk", 18));
    net.done(&[plan_tx("carol", "unheard-of", 6)]);
    net.done(&[plan_tx("carol", "rehearsal", 7)]);
    let planned = |net: &Net| upgrade::plan(&net.app.store().snapshot().unwrap()).unwrap();
    assert_eq!(planned(&net).map(|plan| (plan.name, plan.height)), Some(("rehearsal".into(), 7)));
    net.done(&[cancel_tx("carol")]);
    assert_eq!(planned(&net), None);
    net.wait_until(9);
    assert_eq!(upgrade::done(&net.app.store().snapshot().unwrap(), "rehearsal").unwrap(), None);
}

#[test]
fn plans_that_are_none_are_refused() {
    let net = Net::new();
    let long = "x".repeat(65);
    for (name, height) in [("", 9), (&*long, 9), ("two words", 9), ("ü", 9), ("x", 0), ("x", -5), ("x", 1)] {
        assert_eq!(net.refused(&plan_tx("carol", name, height)).id(), ("sdk", 18), "{name} {height}");
    }
    let of = |plan| {
        let message = MsgSoftwareUpgrade { authority: text("carol"), plan };
        Tx::new("carol", vec![pack(url::PLAN_UPGRADE, &message)])
    };
    let sound = Plan { name: "x".into(), height: 9, ..Plan::default() };
    let timed = Plan { time: Some(Default::default()), ..sound.clone() };
    let chatty = Plan { info: "y".repeat(1_025), ..sound.clone() };
    for plan in [None, Some(timed), Some(chatty), Some(Plan { info: "a\nb".into(), ..sound })] {
        assert_eq!(net.refused(&of(plan)).id(), ("sdk", 18));
    }
}
