//! Who was away, and what that costs: the service slashing.

use dodona_chain::staking::view::{self, SigningRow};
use dodona_proto::{Address, Prefix, cosmos::slashing::v1beta1 as slashing};
use prost::Message;

use super::{blocks::time, of, page::Page, validators::period};
use crate::{NodeHandle, api::Status};

/// Last second of the year 9999, the last that clients can write: never.
const NEVER_MS: u64 = 253_402_300_799_000;

/// Answers a method of the service.
pub(super) fn answer(node: &NodeHandle, method: &str, request: &[u8], at: u64) -> Result<Vec<u8>, Status> {
    let read = node.state(at)?;
    Ok(match method.rsplit('/').next().unwrap_or_default() {
        "Params" => {
            let rules = view::rules(&read)?;
            let part = |fraction: dodona_mechanism::supply::Fixed| fraction.raw().to_string().into_bytes();
            let params = slashing::Params {
                signed_blocks_window: rules.window as i64,
                min_signed_per_window: part(rules.min_signed),
                downtime_jail_duration: Some(period(rules.jail_ms)),
                slash_fraction_double_sign: part(rules.slash_double_sign),
                slash_fraction_downtime: part(rules.slash_downtime),
            };
            slashing::QueryParamsResponse { params: Some(params) }.encode_to_vec()
        }
        "SigningInfo" => {
            let q: slashing::QuerySigningInfoRequest = of(request)?;
            let address = Address::read(&q.cons_address, Prefix::Consensus)
                .map_err(|e| Status::invalid(format!("consensus address: {e}")))?;
            let row = view::signing(&read, address)?.ok_or_else(|| {
                let what = format!("SigningInfo not found for validator {}: key not found", q.cons_address);
                Status::not_found(what)
            })?;
            slashing::QuerySigningInfoResponse { val_signing_info: Some(shown(row)) }.encode_to_vec()
        }
        "SigningInfos" => {
            let q: slashing::QuerySigningInfosRequest = of(request)?;
            let page = Page::of(q.pagination)?;
            let rows = |start, limit| Ok(view::signings(&read, Address(start), limit)?);
            let total = page.total(|most| rows([0; 20], most).map(|rows| rows.len()))?;
            let (rows, pagination) = page.scan(rows, |row| row.operator.0, total)?;
            let info = rows.into_iter().map(shown).collect();
            slashing::QuerySigningInfosResponse { info, pagination }.encode_to_vec()
        }
        _ => return Err(Status::unimplemented(method)),
    })
}

fn shown(row: SigningRow) -> slashing::ValidatorSigningInfo {
    slashing::ValidatorSigningInfo {
        address: row.address.written(Prefix::Consensus),
        start_height: row.start_height as i64,
        index_offset: row.counted as i64,
        jailed_until: Some(time(row.jailed_until.min(NEVER_MS))),
        tombstoned: row.tombstoned,
        missed_blocks_counter: row.missed.into(),
    }
}
