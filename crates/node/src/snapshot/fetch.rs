//! Gets a snapshot from others, of whom some may lie. The head is believed only with an anchor, every chunk only with
//! the head; a source that gives something else is not asked again. What has been got survives an interruption.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use borsh::{BorshDeserialize, BorshSerialize};

use super::{
    Anchor, Head, Reader, Shelf, SnapshotError,
    create::put_in_place,
    failed,
    file::{MAGIC, TAIL, read_range},
};

/// Snapshots of one source that are looked at, newest first.
const MAX_OFFERS: usize = 16;

/// A snapshot that somebody has.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Offer {
    /// Of the block whose state it is.
    pub height: u64,
    /// Length of the file.
    pub bytes: u64,
}

/// Somebody who has snapshots: a folder, a peer, a liar.
pub trait SnapshotSource: Send + Sync {
    /// For messages.
    fn name(&self) -> String;

    /// What it has.
    ///
    /// # Errors
    /// Anything: the source is passed over.
    fn list(&self) -> Result<Vec<Offer>, SnapshotError>;

    /// Exactly `length` (at most 1 MiB) bytes of the snapshot of a height, from `offset` on.
    ///
    /// # Errors
    /// Anything: the source is not asked again.
    fn read(&self, height: u64, offset: u64, length: usize) -> Result<Vec<u8>, SnapshotError>;
}

/// Gets the newest snapshot that follows from the anchor onto the shelf, where it can be restored from and served.
/// Sources are told by their place in the list; those that lied or failed are returned beside the path.
///
/// # Errors
/// [`SnapshotError::NoSource`], with what each source did wrong; [`SnapshotError::Io`] on our own disk.
pub fn fetch(
    sources: &[&dyn SnapshotSource],
    anchor: &Anchor,
    shelf: &Shelf,
    now_ms: u64,
) -> Result<(PathBuf, Vec<(usize, SnapshotError)>), SnapshotError> {
    shelf.make_folder()?;
    let mut bad: Vec<(usize, SnapshotError)> = Vec::new();
    let mut offers: Vec<(Offer, usize)> = Vec::new();
    for (place, source) in sources.iter().enumerate() {
        match source.list() {
            Ok(mut list) => {
                list.sort_unstable_by(|a, b| b.cmp(a));
                offers.extend(list.into_iter().take(MAX_OFFERS).map(|offer| (offer, place)));
            }
            Err(error) => bad.push((place, error)),
        }
    }
    offers.sort_by_key(|(offer, place)| (std::cmp::Reverse(offer.height), *place));
    for (offer, place) in &offers {
        if bad.iter().any(|(other, _)| other == place) {
            continue;
        }
        match get(sources, *place, &offers, *offer, anchor, shelf, now_ms, &mut bad)? {
            Some(path) => return Ok((path, bad)),
            None => continue,
        }
    }
    let mut told: Vec<String> =
        bad.iter().map(|(place, error)| format!("{}: {error}", sources[*place].name())).collect();
    if offers.is_empty() {
        told.push("nobody has one".into());
    }
    Err(SnapshotError::NoSource(told.join("; ")))
}

/// Gets one snapshot, whose head comes from the source at `place`; nothing if that fails.
fn get(
    sources: &[&dyn SnapshotSource],
    place: usize,
    offers: &[(Offer, usize)],
    offer: Offer,
    anchor: &Anchor,
    shelf: &Shelf,
    now_ms: u64,
    bad: &mut Vec<(usize, SnapshotError)>,
) -> Result<Option<PathBuf>, SnapshotError> {
    let Offer { height, bytes } = offer;
    let from = |place: usize| {
        let source: &dyn SnapshotSource = sources[place];
        Reader::new(bytes, move |offset, length| source.read(height, offset, length))
    };
    let mut reader = from(place);
    let opened = reader.trusted_head(anchor, now_ms).and_then(|head| {
        if head.header.height.0 != height {
            return Err(SnapshotError::Lie("it is of another height than offered"));
        }
        Ok((reader.beside(&head)?, head))
    });
    let (beside, head) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            bad.push((place, error));
            return Ok(None);
        }
    };
    let path = shelf.path(height);
    let id = head.header.id();
    let part = shelf.dir().join(format!("{}.part", hex::encode(id.0)));
    let own = |what| failed(what, &part);
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&part)
        .map_err(own("cannot make"))?;
    file.set_len(bytes).map_err(own("cannot write"))?;
    let offsets = head.offsets();
    // The one with the head first; anybody who has the same file can give the rest of it.
    let others = offers.iter().filter(|(other, from)| *other == offer && *from != place);
    let order: Vec<usize> = std::iter::once(place).chain(others.map(|(_, from)| *from)).collect();
    for (index, piece) in head.manifest.pieces.iter().enumerate() {
        let there = read_range(&mut file, offsets[index], piece.bytes as usize);
        if there.is_ok_and(|bytes| head.manifest.check_chunk(index, &bytes).is_ok()) {
            continue;
        }
        let mut found = None;
        for place in order.iter().copied() {
            if bad.iter().any(|(other, _)| *other == place) {
                continue;
            }
            match from(place).chunk(&head, index) {
                Ok(chunk) => {
                    found = Some(chunk);
                    break;
                }
                Err(error) => bad.push((place, error)),
            }
        }
        let Some(chunk) = found else { return Ok(None) };
        let put = file.seek(SeekFrom::Start(offsets[index])).and_then(|_| file.write_all(&chunk));
        put.map_err(own("cannot write"))?;
    }
    let rest = finish(&head, &beside)?;
    let put = file
        .seek(SeekFrom::Start(*offsets.last().unwrap_or(&0)))
        .and_then(|_| file.write_all(&rest))
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| file.write_all(MAGIC))
        .and_then(|()| file.sync_all());
    put.map_err(own("cannot write"))?;
    drop(file);
    put_in_place(&part, &path)?;
    Ok(Some(path))
}

/// What comes after the chunks.
fn finish(head: &Head, beside: &super::Beside) -> Result<Vec<u8>, SnapshotError> {
    let encode = |part: borsh::io::Result<Vec<u8>>| {
        part.map_err(|_| SnapshotError::Form("it cannot be written again"))
    };
    let (beside, head) = (encode(borsh::to_vec(beside))?, encode(borsh::to_vec(head))?);
    let mut rest = Vec::with_capacity(beside.len() + head.len() + TAIL as usize);
    rest.extend_from_slice(&beside);
    rest.extend_from_slice(&head);
    rest.extend_from_slice(&(beside.len() as u32).to_be_bytes());
    rest.extend_from_slice(&(head.len() as u32).to_be_bytes());
    rest.extend_from_slice(MAGIC);
    Ok(rest)
}
