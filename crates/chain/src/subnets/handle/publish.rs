//! What neurons publish, and what subnets and hotkeys say of themselves: bytes and words that the chain keeps within
//! limits and does not understand.

use dodona_mechanism::subnet::clock::mechanism_index;
use dodona_proto::{
    Address,
    subnets::{Identity as Said, MsgSetCommitment, MsgSetHotkeyIdentity, MsgSetSubnetIdentity},
};
use dodona_store::{Read, StoreError};

use super::{family::own_hotkey, load, subnet::owner_only, value};
use crate::{
    ctx::Ctx,
    error::Failure,
    event::Event,
    gas,
    state::State,
    subnets::{
        epoch,
        error::SubnetError,
        state::{
            BONDS, COMMITMENTS, Commitment, FIELD_BYTES, FIELDS_MAX, IDENTITIES, Identity, Netuid,
            SUBNET_IDENTITIES, SUBNETS, Subnet, UIDS, rules,
        },
    },
};

/// Bytes that a commitment counts beyond its fields, so that empty ones count too.
const COMMITMENT: u64 = 32;
/// Longest name, bytes,
pub(super) const NAME_MAX: usize = 32;
/// description,
const DESCRIPTION_MAX: usize = 1_024;
/// anything else.
const WORDS_MAX: usize = 256;
/// Longest symbol, bytes.
const SYMBOL_MAX: usize = 8;
/// The letters of symbols that nobody has chosen.
const LETTERS: [char; 24] = [
    'α', 'β', 'γ', 'δ', 'ε', 'ζ', 'η', 'θ', 'ι', 'κ', 'λ', 'μ', 'ν', 'ξ', 'ο', 'π', 'ρ', 'σ', 'τ', 'υ', 'φ',
    'χ', 'ψ', 'ω',
];

/// `MsgSetCommitment` (S 21.2): in place of what the neuron had published; so many bytes in an epoch of the subnet.
pub(crate) fn set_commitment(ctx: &mut Ctx, from: Address, m: &MsgSetCommitment) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "set commitment")?;
    let (netuid, subnet, market) = load(ctx.state, m.netuid)?;
    let uid = UIDS.get(ctx.state, &(netuid, from.0))?;
    let uid = uid.ok_or(SubnetError::NotRegistered { hotkey: from, netuid })?;
    if m.fields.len() > FIELDS_MAX || m.fields.iter().any(|field| field.len() > FIELD_BYTES) {
        let cause = format!("at most {FIELDS_MAX} of at most {FIELD_BYTES} bytes");
        return Err(value("fields", cause).into());
    }
    if m.reset_bonds && !subnet.hyper.bonds_reset {
        return Err(value("reset_bonds", "the subnet's owner has not turned bonds_reset on").into());
    }
    let before = COMMITMENTS.get(ctx.state, &(netuid, from.0))?.unwrap_or_default();
    let used = if before.epoch == market.epochs { before.used } else { 0 };
    let needs = COMMITMENT + m.fields.iter().map(|field| field.len() as u64).sum::<u64>();
    let most = rules(ctx.state)?.commitment_bytes;
    if used + needs > most {
        let next = epoch::next(&market, subnet.hyper.tempo, ctx.height);
        return Err(SubnetError::Published { used, needs, most, next }.into());
    }
    if m.reset_bonds {
        let rows = u64::from(subnet.hyper.mechanisms) * u64::from(subnet.hyper.max_uids);
        ctx.gas.charge(gas::LOOK * rows, "reset bonds")?;
    }
    // Nothing below can fail.
    let commitment =
        Commitment { block: ctx.height, fields: m.fields.clone(), epoch: market.epochs, used: used + needs };
    COMMITMENTS.put(ctx.state, &(netuid, from.0), &commitment);
    if m.reset_bonds {
        reset_bonds(ctx.state, netuid, &subnet, uid)?;
    }
    let bytes = needs - COMMITMENT;
    let event = Event::new("commitment_set").with("netuid", netuid).with("hotkey", from);
    ctx.emit(event.with("bytes", bytes).with("reset_bonds", m.reset_bonds));
    Ok(())
}

/// Nobody has a bond towards this neuron any more (S 9.17).
fn reset_bonds(state: &mut State, netuid: Netuid, subnet: &Subnet, uid: u16) -> Result<(), StoreError> {
    for index in (0..subnet.hyper.mechanisms).filter_map(|mechanism| mechanism_index(netuid, mechanism)) {
        for (key, mut row) in BONDS.scan_prefix(state, &index, usize::MAX)? {
            let before = row.len();
            row.retain(|(about, _)| *about != uid);
            match (row.len() == before, row.is_empty()) {
                (true, _) => {}
                (false, true) => BONDS.delete(state, &key),
                (false, false) => BONDS.put(state, &key, &row),
            }
        }
    }
    Ok(())
}

/// Words of at most so many bytes, without control characters.
pub(super) fn words(field: &'static str, text: &str, most: usize) -> Result<String, SubnetError> {
    let text = text.trim();
    if text.len() > most || text.chars().any(char::is_control) {
        return Err(value(field, format!("at most {most} bytes of printable text")));
    }
    Ok(text.into())
}

/// The address of a page; others, which a browser might run, are refused.
fn page(field: &'static str, text: &str) -> Result<String, SubnetError> {
    let text = words(field, text, WORDS_MAX)?;
    let web = text.starts_with("https://") || text.starts_with("http://");
    if text.is_empty() || (web && !text.contains(char::is_whitespace)) {
        return Ok(text);
    }
    Err(value(field, "send an address that begins with https:// or http://, or nothing"))
}

fn identity(said: &Said) -> Result<Identity, SubnetError> {
    Ok(Identity {
        name: words("name", &said.name, NAME_MAX)?,
        description: words("description", &said.description, DESCRIPTION_MAX)?,
        url: page("url", &said.url)?,
        repository: page("repository", &said.repository)?,
        image: page("image", &said.image)?,
        contact: words("contact", &said.contact, WORDS_MAX)?,
    })
}

/// A symbol that no subnet has: letters by netuid, or the next ones that are free (S 5.1).
pub(super) fn free_symbol(read: &impl Read, netuid: Netuid) -> Result<String, StoreError> {
    let taken: Vec<String> =
        SUBNETS.scan(read, usize::MAX)?.into_iter().map(|(_, subnet)| subnet.symbol).collect();
    let letters = |number: usize| {
        let (mut rest, mut text) = (number, Vec::new());
        while rest > 0 {
            text.push(LETTERS[(rest - 1) % LETTERS.len()]);
            rest = (rest - 1) / LETTERS.len();
        }
        text.into_iter().rev().collect::<String>()
    };
    // One of them is free: there are more than subnets.
    let first = usize::from(netuid);
    let free = (first..=first + taken.len()).map(letters).find(|symbol| !taken.contains(symbol));
    Ok(free.unwrap_or_default())
}

/// `MsgSetSubnetIdentity`: in place of what there was; an empty name or symbol stays as it is.
pub(crate) fn set_subnet_identity(
    ctx: &mut Ctx,
    from: Address,
    m: &MsgSetSubnetIdentity,
) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "set subnet identity")?;
    let (netuid, mut subnet, _) = load(ctx.state, m.netuid)?;
    owner_only(&subnet, from, "say what it is")?;
    let mut said = identity(m.identity.as_ref().unwrap_or(&Said::default()))?;
    let name = std::mem::take(&mut said.name);
    let symbol = words("symbol", &m.symbol, SYMBOL_MAX)?;
    if symbol.contains(char::is_whitespace) {
        return Err(value("symbol", "it has no spaces").into());
    }
    if !symbol.is_empty() {
        let others = SUBNETS.scan(ctx.state, usize::MAX)?;
        ctx.gas.charge(gas::LOOK * others.len() as u64, "set subnet identity")?;
        if let Some((other, _)) = others.iter().find(|(id, other)| *id != netuid && other.symbol == symbol) {
            return Err(value("symbol", format!("it is that of subnet {other}")).into());
        }
    }
    // Nothing below can fail.
    if !name.is_empty() {
        subnet.name = name;
    }
    if !symbol.is_empty() {
        subnet.symbol = symbol;
    }
    SUBNETS.put(ctx.state, &netuid, &subnet);
    match said == Identity::default() {
        true => SUBNET_IDENTITIES.delete(ctx.state, &netuid),
        false => SUBNET_IDENTITIES.put(ctx.state, &netuid, &said),
    }
    let event = Event::new("subnet_identity_set").with("netuid", netuid);
    ctx.emit(event.with("name", &subnet.name).with("symbol", &subnet.symbol));
    Ok(())
}

/// `MsgSetHotkeyIdentity`: in place of what there was; nothing of it forgets it.
pub(crate) fn set_hotkey_identity(
    ctx: &mut Ctx,
    from: Address,
    m: &MsgSetHotkeyIdentity,
) -> Result<(), Failure> {
    ctx.gas.charge(gas::SUBNET_WRITE, "set hotkey identity")?;
    let hotkey = own_hotkey(ctx, from, &m.hotkey)?;
    let said = identity(m.identity.as_ref().unwrap_or(&Said::default()))?;
    // Nothing below can fail.
    match said == Identity::default() {
        true => IDENTITIES.delete(ctx.state, &hotkey),
        false => IDENTITIES.put(ctx.state, &hotkey, &said),
    }
    ctx.emit(Event::new("hotkey_identity_set").with("hotkey", Address(hotkey)).with("name", &said.name));
    Ok(())
}
