//! Upgrades: the form of the state, and the rules that go with it, by height. An admin plans one under a name; the
//! block of that height begins with its migration. A program that does not know the name makes no block from there on.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_proto::{
    Address,
    cosmos::upgrade::v1beta1::{MsgCancelUpgrade, MsgSoftwareUpgrade},
};
use dodona_store::{Item, Map, Read, StoreError, Write};

use crate::{
    AppError, FORM, THIS_FORM,
    ctx::Ctx,
    error::{Coded, Failure},
    event::Event,
    gas,
    state::State,
    topics::lists::is_admin,
};

/// The plan, while there is one. Written by an admin's message, removed at its height or by another message.
const PLAN: Item<Plan> = Item::new(*b"up");
/// Name → height of its last upgrade. Written when a block begins with one.
const DONE: Map<String, u64> = Map::new(*b"ud");

/// Longest name, bytes.
pub const MAX_NAME: usize = 64;
/// Longest remark, bytes.
pub const MAX_INFO: usize = 1_024;

/// What shall happen when.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Plan {
    /// Of one of the upgrades that programs know; 1 to [`MAX_NAME`] printable ASCII characters.
    pub name: String,
    /// The first block under the new rules.
    pub height: u64,
    /// For operators, such as where the program is to be had; at most [`MAX_INFO`] bytes.
    pub info: String,
}

/// A step from one form of the state to another that this program can take. It executes blocks of both forms: what
/// differs asks for [`form`].
#[derive(Copy, Clone, Debug)]
pub struct Upgrade {
    /// Its name in plans.
    pub name: &'static str,
    /// Form before.
    pub from: u32,
    /// Form after.
    pub to: u32,
    /// Turns a state of the one form into one of the other.
    pub migrate: fn(&mut dyn Write) -> Result<(), StoreError>,
}

/// All that this program knows.
pub const KNOWN: &[Upgrade] = &[
    // Changes nothing: so that operators and tests can rehearse the way of an upgrade on a live chain.
    Upgrade { name: "rehearsal", from: THIS_FORM, to: THIS_FORM, migrate: |_| Ok(()) },
];

/// Why a plan is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// Only admins plan.
    #[error("{0} is no admin and may not plan upgrades: unauthorized")]
    NotPermitted(Address),
    /// The plan is none.
    #[error("upgrade plan: {0}: invalid request")]
    Plan(String),
}

impl Coded for UpgradeError {
    const CODESPACE: &'static str = "sdk";
    fn code(&self) -> u32 {
        match self {
            Self::NotPermitted(_) => 4,
            Self::Plan(_) => 18,
        }
    }
}

/// The form of the state.
pub fn form(read: &impl Read) -> Result<u32, StoreError> {
    Ok(FORM.get(read)?.unwrap_or(1))
}

/// The plan, if there is one.
pub fn plan(read: &impl Read) -> Result<Option<Plan>, StoreError> {
    PLAN.get(read)
}

/// The height at which an upgrade was made last, if it was.
pub fn done(read: &impl Read, name: &str) -> Result<Option<u64>, StoreError> {
    DONE.get(read, &name.to_string())
}

/// Whether a program with these upgrades executes blocks on a state of this form.
pub(crate) fn runs(form: u32, upgrades: &[Upgrade]) -> bool {
    form == THIS_FORM || upgrades.iter().any(|u| u.from == form || u.to == form)
}

/// First of all in a block: the upgrade planned for it.
pub(crate) fn begin(state: &mut State, upgrades: &[Upgrade], height: u64) -> Result<Option<Event>, AppError> {
    let Some(plan) = PLAN.get(state)?.filter(|plan| plan.height == height) else { return Ok(None) };
    let before = form(state)?;
    let Some(upgrade) = upgrades.iter().find(|u| u.name == plan.name && u.from == before) else {
        let Plan { name, info, .. } = plan;
        return Err(AppError::UnknownUpgrade { name, height, form: before, info });
    };
    (upgrade.migrate)(state)?;
    FORM.put(state, &upgrade.to);
    PLAN.delete(state);
    DONE.put(state, &plan.name, &height);
    let event = Event::new("upgraded").with("name", plan.name);
    Ok(Some(event.with("form_before", before).with("form", upgrade.to)))
}

/// `MsgSoftwareUpgrade`: plans one, in place of the plan there was.
pub(crate) fn schedule(ctx: &mut Ctx, from: Address, m: &MsgSoftwareUpgrade) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "plan upgrade")?;
    if !is_admin(ctx.state, from)? {
        return Err(UpgradeError::NotPermitted(from).into());
    }
    let wrong = |cause: String| Failure::from(UpgradeError::Plan(cause));
    let plan = m.plan.as_ref().ok_or_else(|| wrong("it is missing".into()))?;
    if plan.time.is_some() || plan.upgraded_client_state.is_some() {
        return Err(wrong("only name, height and info are understood".into()));
    }
    let (name, info) = (plan.name.as_str(), plan.info.as_str());
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wrong(format!("name needs 1 to {MAX_NAME} printable ASCII characters without spaces")));
    }
    if info.len() > MAX_INFO || info.chars().any(char::is_control) {
        return Err(wrong(format!("info needs at most {MAX_INFO} bytes of printable text")));
    }
    let height = u64::try_from(plan.height).unwrap_or(0);
    if height <= ctx.height {
        return Err(wrong(format!("height {} is not after this block, {}", plan.height, ctx.height)));
    }
    // Nothing below can fail.
    PLAN.put(ctx.state, &Plan { name: name.into(), height, info: info.into() });
    ctx.emit(Event::new("upgrade_planned").with("name", name).with("height", height).with("info", info));
    Ok(())
}

/// `MsgCancelUpgrade`: takes the plan back.
pub(crate) fn cancel(ctx: &mut Ctx, from: Address, _: &MsgCancelUpgrade) -> Result<(), Failure> {
    ctx.gas.charge(gas::TOPIC_WRITE, "cancel upgrade")?;
    if !is_admin(ctx.state, from)? {
        return Err(UpgradeError::NotPermitted(from).into());
    }
    let plan = PLAN.get(ctx.state)?.ok_or_else(|| UpgradeError::Plan("there is none".into()))?;
    // Nothing below can fail.
    PLAN.delete(ctx.state);
    ctx.emit(Event::new("upgrade_cancelled").with("name", plan.name).with("height", plan.height));
    Ok(())
}
