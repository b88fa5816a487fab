//! Misbehaviour between the moment it is seen and the block that proves it. The engine forgets it at once, so it is on
//! disk from the first moment; what is in a block is judged here too, by every validator in the same way.

use dodona_chain::{App, AppError, Fault};
use dodona_consensus::{Address, Domain, Evidence, PublicKey, block::MAX_EVIDENCE};
use dodona_store::{RecordChange, RecordTable};

/// Height (big-endian) and public key of a fault → the evidence, borsh. What waits for a block.
const WAITING: RecordTable = RecordTable::new("evidence");
/// Most faults that wait. One offender and height makes one, so this is more than any set can do in a day.
const MAX_WAITING: usize = 1_000;
/// Old entries looked at per block.
const LOOK_AT: usize = 16;

fn key(fault: &Fault) -> Vec<u8> {
    [&fault.height.to_be_bytes()[..], &fault.public_key[..]].concat()
}

/// Whom a block of the next height may punish for this: the misbehaviour is genuine, before that block, by a member of
/// the set of its time, and recent enough for that set to be known. None: it proves nothing. Whether it can still be
/// punished is the chain's business.
pub(crate) fn judge(app: &App, evidence: &Evidence) -> Result<Option<Fault>, AppError> {
    let height = evidence.height().0;
    if height == 0 || height > app.tip()?.height {
        return Ok(None);
    }
    let Some(set) = app.validators_of(height)? else { return Ok(None) };
    let domain = Domain::new(app.chain_id());
    let offender = evidence.offender();
    let guilty = set.iter().find_map(|v| {
        let public = PublicKey::from_bytes(&v.public_key).ok()?;
        (Address::of(&public) == offender && evidence.is_valid(&domain, &public)).then_some(v.public_key)
    });
    Ok(guilty.map(|public_key| Fault { height, public_key }))
}

/// What all pieces of a block's evidence prove, in order; none if one of them proves nothing, or nothing new: one
/// piece for each offender and height, ascending.
pub(crate) fn judge_all(app: &App, pieces: &[Evidence]) -> Result<Option<Vec<Fault>>, AppError> {
    let mut faults: Vec<Fault> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match judge(app, piece)? {
            Some(fault) if faults.last().is_none_or(|last| *last < fault) => faults.push(fault),
            _ => return Ok(None),
        }
    }
    Ok(Some(faults))
}

/// Keeps what the engine has caught, durably.
pub(crate) fn keep(app: &App, caught: &[Evidence]) -> Result<(), AppError> {
    let store = app.store();
    let mut changes = Vec::new();
    let mut room = MAX_WAITING.saturating_sub(store.records(WAITING, &[], None, MAX_WAITING)?.len());
    for piece in caught {
        let Some(fault) = judge(app, piece)? else { continue };
        let key = key(&fault);
        if room == 0 || store.record(WAITING, &key)?.is_some() || !app.punishable(&fault)? {
            continue;
        }
        room -= 1;
        tracing::warn!(height = fault.height, offender = %piece.offender(), "a validator contradicts itself");
        changes.push(RecordChange::put(WAITING, key, encode(piece)));
    }
    if changes.is_empty() { Ok(()) } else { Ok(store.put_records(changes)?) }
}

/// What the next block can prove, in its order.
pub(crate) fn candidates(app: &App) -> Result<Vec<(Evidence, Fault)>, AppError> {
    // Keys are in the order of faults.
    let found = app.store().records(WAITING, &[], None, MAX_EVIDENCE)?;
    let mut candidates = Vec::with_capacity(found.len());
    for (_, bytes) in found {
        let Ok(piece) = borsh::from_slice::<Evidence>(&bytes) else { continue };
        if let Some(fault) = judge(app, &piece)? {
            candidates.push((piece, fault));
        }
    }
    Ok(candidates)
}

/// What a block that proves these changes here: they wait no longer, and what nobody can punish any more goes.
pub(crate) fn committed(app: &App, faults: &[Fault]) -> Result<Vec<RecordChange>, AppError> {
    let mut gone: Vec<Vec<u8>> = faults.iter().map(key).collect();
    for (key, bytes) in app.store().records(WAITING, &[], None, LOOK_AT)? {
        let fault = match borsh::from_slice::<Evidence>(&bytes) {
            Ok(piece) => judge(app, &piece)?,
            Err(_) => None,
        };
        let hopeless = match fault {
            Some(fault) => !app.punishable(&fault)?,
            None => true,
        };
        if hopeless {
            gone.push(key);
        }
    }
    Ok(gone.into_iter().map(|key| RecordChange::delete(WAITING, key)).collect())
}

fn encode(piece: &Evidence) -> Vec<u8> {
    borsh::to_vec(piece).expect("writing to memory does not fail")
}
