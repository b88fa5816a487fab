//! Makes a snapshot of a chain: from a node that is stopped, or in a running one, whose blocks go on meanwhile.

use std::io::{self, BufWriter, Write as _};
use std::{fs, path::Path};

use borsh::BorshSerialize;
use dodona_chain::App;
use dodona_consensus::{Block, Certificate, PublicKey, Validator, ValidatorSet};

use super::{Beside, Head, SnapshotError, failed, file::MAGIC};
use crate::records::{self, BLOCKS, CERTIFICATES, height_key, oldest_block};

/// Writes the state after block `height` to a file, complete or not at all; one that is there is replaced.
///
/// # Errors
/// [`SnapshotError::Genesis`], [`SnapshotError::NoBlock`], [`SnapshotError::Io`], and those of the store: the state
/// after the block must still be kept.
pub fn create(app: &App, height: u64, path: &Path) -> Result<Head, SnapshotError> {
    let store = app.store();
    let latest = app.tip()?.height;
    if latest == 0 {
        return Err(SnapshotError::Genesis);
    }
    let oldest = oldest_block(store)?;
    let missing = || SnapshotError::NoBlock { height, oldest, latest };
    let export = store.export(height)?;
    let key = height_key(height);
    let block = store.record(BLOCKS, &key)?.ok_or_else(missing)?;
    let certificate = store.record(CERTIFICATES, &key)?.ok_or_else(missing)?;
    let mut receipts = records::results(store, height)?.ok_or_else(missing)?.receipts;
    for receipt in &mut receipts {
        receipt.log.clear();
        receipt.events.clear();
        receipt.gas_wanted = 0;
    }
    let (header, certificate) = (Block::decode(&block)?.header, Certificate::decode(&certificate)?);
    let decided_by = app.validators_of(height)?.ok_or_else(missing)?;
    let keys = decided_by.iter().map(|v| Ok((PublicKey::from_bytes(&v.public_key)?, v.power)));
    let members = keys.collect::<Result<Vec<_>, dodona_consensus::KeyError>>();
    let lie = |_| SnapshotError::Lie("its validators are none");
    let members = members.map_err(|_| SnapshotError::Lie("its validators are none"))?;
    let members = members.into_iter().map(|(key, power)| Validator::new(key, power)).collect();
    let validators = ValidatorSet::new(members).map_err(lie)?;
    if header.validators_hash != validators.hash() || header.app_hash != export.root() {
        return Err(SnapshotError::Lie("state and block of this home do not belong together"));
    }

    let part = path.with_extension("part");
    let to = |cause| failed("cannot write", &part)(cause);
    let mut file = BufWriter::new(fs::File::create(&part).map_err(to)?);
    file.write_all(MAGIC).map_err(to)?;
    let manifest = export.write(&mut |chunk| file.write_all(chunk))?;
    let head = Head { header, certificate, validators, manifest };
    let beside = write_part(&mut file, &Beside { block, receipts }).map_err(to)?;
    let length = write_part(&mut file, &head).map_err(to)?;
    let mut end = || {
        file.write_all(&beside.to_be_bytes())?;
        file.write_all(&length.to_be_bytes())?;
        file.write_all(MAGIC)?;
        file.flush()?;
        file.get_ref().sync_all()
    };
    end().map_err(to)?;
    drop(file);
    put_in_place(&part, path)?;
    Ok(head)
}

/// Writes a value; its length.
fn write_part(file: &mut impl io::Write, part: &impl BorshSerialize) -> io::Result<u32> {
    let bytes = borsh::to_vec(part)?;
    file.write_all(&bytes)?;
    u32::try_from(bytes.len()).map_err(io::Error::other)
}

/// Gives a complete file its name, so that a power cut leaves all of it or nothing.
pub(super) fn put_in_place(part: &Path, path: &Path) -> Result<(), SnapshotError> {
    fs::rename(part, path).map_err(failed("cannot name", path))?;
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("cannot write", folder))
}
