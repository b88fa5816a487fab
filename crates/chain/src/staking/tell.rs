//! What staking tells: events under the names and attributes that wallets and explorers of the Cosmos family read.
//! Amounts carry their token, times are RFC 3339.

use dodona_mechanism::supply::Fixed;
use dodona_proto::{Address, DENOM, Prefix};

use super::{error::Operator, state::Key};
use crate::event::Event;

fn coin(amount: u128) -> String {
    format!("{amount}{DENOM}")
}

/// Unix milliseconds as a time of day, to the second. Civil days by the rule of March years.
pub(crate) fn rfc3339(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // 719 468 days lie between the first of March of year 0 and the first day of unix time.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

pub(super) fn created(operator: Key, amount: u128) -> Event {
    Event::new("create_validator").with("validator", Operator(operator)).with("amount", coin(amount))
}

pub(super) fn edited(operator: Key, rate: Fixed, min_self: u128) -> Event {
    Event::new("edit_validator")
        .with("validator", Operator(operator))
        .with("commission_rate", rate.to_padded())
        .with("min_self_delegation", min_self)
}

pub(super) fn delegated(from: Address, operator: Key, amount: u128, shares: u128) -> Event {
    Event::new("delegate")
        .with("validator", Operator(operator))
        .with("delegator", from)
        .with("amount", coin(amount))
        .with("new_shares", format!("{shares}.000000000000000000"))
}

pub(super) fn undelegated(from: Address, operator: Key, amount: u128, until: u64) -> Event {
    Event::new("unbond")
        .with("validator", Operator(operator))
        .with("delegator", from)
        .with("amount", coin(amount))
        .with("completion_time", rfc3339(until))
}

pub(super) fn cancelled(from: Address, operator: Key, amount: u128, created: u64) -> Event {
    Event::new("cancel_unbonding_delegation")
        .with("validator", Operator(operator))
        .with("delegator", from)
        .with("amount", coin(amount))
        .with("creation_height", created)
}

pub(super) fn redelegated(source: Key, destination: Key, amount: u128, until: u64) -> Event {
    Event::new("redelegate")
        .with("source_validator", Operator(source))
        .with("destination_validator", Operator(destination))
        .with("amount", coin(amount))
        .with("completion_time", rfc3339(until))
}

pub(super) fn unbonded(delegator: Key, operator: Key, amount: u128) -> Event {
    Event::new("complete_unbonding")
        .with("amount", coin(amount))
        .with("validator", Operator(operator))
        .with("delegator", Address(delegator))
}

pub(super) fn redelegation_over(delegator: Key, source: Key, destination: Key, amount: u128) -> Event {
    Event::new("complete_redelegation")
        .with("amount", coin(amount))
        .with("delegator", Address(delegator))
        .with("source_validator", Operator(source))
        .with("destination_validator", Operator(destination))
}

pub(super) fn collected(delegator: Key, operator: Key, amount: u128) -> Event {
    Event::new("withdraw_rewards")
        .with("amount", coin(amount))
        .with("validator", Operator(operator))
        .with("delegator", Address(delegator))
}

pub(super) fn commission_collected(amount: u128) -> Event {
    Event::new("withdraw_commission").with("amount", coin(amount))
}

pub(super) fn withdraw_address(to: Address) -> Event {
    Event::new("set_withdraw_address").with("withdraw_address", to)
}

pub(super) fn missed(address: Address, missed: u32, height: u64) -> Event {
    Event::new("liveness")
        .with("address", address.written(Prefix::Consensus))
        .with("missed_blocks", missed)
        .with("height", height)
}

pub(super) fn slashed(address: Address, power: u128, reason: &str, taken: u128) -> Event {
    let address = address.written(Prefix::Consensus);
    Event::new("slash")
        .with("address", &address)
        .with("power", power)
        .with("reason", reason)
        .with("jailed", &address)
        .with("burned_coins", coin(taken))
}

pub(super) fn jailed(address: Address) -> Event {
    Event::new("jail").with("address", address.written(Prefix::Consensus))
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_210_096_789, "2024-02-29T12:34:56Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(super::rfc3339(ms), text);
        }
    }
}
