//! The form of a snapshot file, which is also how it travels: whoever holds one serves ranges of its bytes.
//!
//! ```text
//! magic (8) │ chunks of the state │ beside: block and receipts │ head │ lengths of beside and head (4+4, BE) │ magic (8)
//! ```
//! The head is last, because chunks are written before their list is known, and is read first.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::{fs::File, path::Path};

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_chain::{Receipt, receipts_hash};
use dodona_consensus::{Block, Certificate, Header, ValidatorSet};
use dodona_store::{MAX_ENTRY_BYTES, Manifest};

use super::{Anchor, SnapshotError, failed};

/// First and last bytes of a file; the digit is the number of the form.
pub(super) const MAGIC: &[u8; 8] = b"DODSNAP1";
/// Bytes after the head.
pub(super) const TAIL: u64 = 16;
/// Largest head.
const MAX_HEAD: u32 = 8 << 20;
/// Largest block with receipts.
const MAX_BESIDE: u32 = 16 << 20;
/// Most bytes asked for at once.
pub const RANGE_BYTES: usize = 1 << 20;

/// What proves the state, and how it is cut.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Head {
    /// Of the block whose state it is.
    pub header: Header,
    /// The decision about it.
    pub certificate: Certificate,
    /// Who decided.
    pub validators: ValidatorSet,
    /// The chunks, which lead to the header's state root.
    pub manifest: Manifest,
}

/// What a node that goes on after the block needs besides the state. What a certificate does not speak of is
/// left out of receipts: texts, events, and gas limits, which are in the transactions.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Beside {
    /// The encoded block.
    pub block: Vec<u8>,
    /// One per transaction, without log, events and gas limit.
    pub receipts: Vec<Receipt>,
}

impl Head {
    /// Where each chunk begins, and where the last one ends.
    pub(super) fn offsets(&self) -> Vec<u64> {
        let mut at = MAGIC.len() as u64;
        let mut offsets = vec![at];
        for piece in &self.manifest.pieces {
            at += u64::from(piece.bytes);
            offsets.push(at);
        }
        offsets
    }
}

/// Reads a snapshot of so many bytes, wherever they are, and checks what it reads.
pub struct Reader<'a> {
    bytes: u64,
    read: Box<dyn FnMut(u64, usize) -> Result<Vec<u8>, SnapshotError> + 'a>,
}

impl<'a> Reader<'a> {
    /// `read` gives as many bytes as it is asked for, at most 1 MiB, from an offset on.
    pub fn new(
        bytes: u64,
        read: impl FnMut(u64, usize) -> Result<Vec<u8>, SnapshotError> + 'a,
    ) -> Reader<'a> {
        Reader { bytes, read: Box::new(read) }
    }

    /// A file.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub fn open(path: &Path) -> Result<Reader<'static>, SnapshotError> {
        let mut file = File::open(path).map_err(failed("cannot open", path))?;
        let bytes = file.metadata().map_err(failed("cannot read", path))?.len();
        let path = path.to_path_buf();
        Ok(Reader::new(bytes, move |offset, length| {
            read_range(&mut file, offset, length).map_err(failed("cannot read", &path))
        }))
    }

    /// Length of the whole.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// So many bytes from there on.
    fn range(&mut self, mut offset: u64, mut length: usize) -> Result<Vec<u8>, SnapshotError> {
        let mut all = Vec::new();
        while length > 0 {
            let part = length.min(RANGE_BYTES);
            let found = (self.read)(offset, part)?;
            if found.len() != part {
                return Err(SnapshotError::Form("a part of it has another length than asked for"));
            }
            all.extend_from_slice(&found);
            (offset, length) = (offset + part as u64, length - part);
        }
        Ok(all)
    }

    /// The head, well-formed and of one piece with the file, but not believed yet; and the length of what is beside.
    ///
    /// # Errors
    /// [`SnapshotError::Form`], [`SnapshotError::Import`] and those of reading.
    pub fn head(&mut self) -> Result<Head, SnapshotError> {
        let (head, _) = self.whole()?;
        Ok(head)
    }

    fn whole(&mut self) -> Result<(Head, u32), SnapshotError> {
        let form = SnapshotError::Form;
        let least = MAGIC.len() as u64 + TAIL;
        if self.bytes < least || self.range(0, MAGIC.len())? != MAGIC {
            return Err(form("it does not begin like one"));
        }
        let tail = self.range(self.bytes - TAIL, TAIL as usize)?;
        if &tail[8..] != MAGIC {
            return Err(form("it does not end like one"));
        }
        let number = |at: usize| u32::from_be_bytes([tail[at], tail[at + 1], tail[at + 2], tail[at + 3]]);
        let (beside, length) = (number(0), number(4));
        if length > MAX_HEAD || beside > MAX_BESIDE {
            return Err(form("its head is too large"));
        }
        let Some(at) = (self.bytes - TAIL).checked_sub(u64::from(length)) else {
            return Err(form("its head is longer than all of it"));
        };
        let bytes = self.range(at, length as usize)?;
        let head: Head = borsh::from_slice(&bytes).map_err(|_| form("its head does not decode"))?;
        if head.manifest.pieces.iter().any(|piece| piece.bytes as usize > MAX_ENTRY_BYTES) {
            return Err(form("a chunk is too large"));
        }
        let chunks_end = MAGIC.len() as u64 + head.manifest.bytes();
        if chunks_end + u64::from(beside) != at {
            return Err(form("its parts do not fill it"));
        }
        Ok((head, beside))
    }

    /// The head, proven by its certificate and the anchor.
    ///
    /// # Errors
    /// [`SnapshotError::Anchor`], [`SnapshotError::Import`], and those of [`Reader::head`].
    pub fn trusted_head(&mut self, anchor: &Anchor, now_ms: u64) -> Result<Head, SnapshotError> {
        let head = self.head()?;
        anchor.follow(&head.header, &head.certificate, &head.validators, now_ms)?;
        head.manifest.check(&head.header.app_hash)?;
        Ok(head)
    }

    /// What is beside the state, as the believed head says it must be.
    ///
    /// # Errors
    /// [`SnapshotError::Lie`], [`SnapshotError::Block`], [`SnapshotError::Form`] and those of reading.
    pub fn beside(&mut self, head: &Head) -> Result<Beside, SnapshotError> {
        let (again, length) = self.whole()?;
        if again != *head {
            return Err(SnapshotError::Lie("its head is another one than before"));
        }
        let at = MAGIC.len() as u64 + head.manifest.bytes();
        let bytes = self.range(at, length as usize)?;
        let beside: Beside = borsh::from_slice(&bytes)
            .map_err(|_| SnapshotError::Form("what is beside the state does not decode"))?;
        let block = Block::decode(&beside.block)?;
        if block.header != head.header || block.body.root() != head.header.body_root {
            return Err(SnapshotError::Lie("its block is not the decided one"));
        }
        if receipts_hash(&beside.receipts) != head.header.receipts_hash {
            return Err(SnapshotError::Lie("its receipts are not those of the block"));
        }
        let says = |r: &Receipt| !r.log.is_empty() || !r.events.is_empty() || r.gas_wanted != 0;
        if beside.receipts.iter().any(says) {
            return Err(SnapshotError::Lie("its receipts say what nobody signed"));
        }
        Ok(beside)
    }

    /// A chunk, as the head's list says it must be.
    ///
    /// # Errors
    /// [`SnapshotError::Import`] and those of reading.
    pub fn chunk(&mut self, head: &Head, index: usize) -> Result<Vec<u8>, SnapshotError> {
        let place = head.offsets().get(index).copied().zip(head.manifest.pieces.get(index));
        let (offset, piece) = place.ok_or(SnapshotError::Form("there is no such chunk"))?;
        let bytes = self.range(offset, piece.bytes as usize)?;
        head.manifest.check_chunk(index, &bytes)?;
        Ok(bytes)
    }
}

/// So many bytes of a file from there on.
pub(super) fn read_range(file: &mut File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
