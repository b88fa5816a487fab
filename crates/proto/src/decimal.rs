//! Which fields are decimals on the wire: integers of eighteen places, written as text. People are shown the decimal, by
//! gateways and by hardware wallets.

use prost_reflect::FieldDescriptor;

/// Places behind the point.
const PLACES: usize = 18;

/// Messages all of whose named fields are such decimals.
const DECIMALS: [(&str, &[&str]); 20] = [
    ("cosmos.base.v1beta1.DecCoin", &["amount"]),
    ("cosmos.base.v1beta1.DecProto", &["dec"]),
    ("cosmos.staking.v1beta1.CommissionRates", &["rate", "max_rate", "max_change_rate"]),
    ("cosmos.staking.v1beta1.Validator", &["delegator_shares"]),
    ("cosmos.staking.v1beta1.Delegation", &["shares"]),
    ("cosmos.staking.v1beta1.RedelegationEntry", &["shares_dst"]),
    ("cosmos.staking.v1beta1.Params", &["min_commission_rate"]),
    ("cosmos.staking.v1beta1.MsgEditValidator", &["commission_rate"]),
    (
        "cosmos.distribution.v1beta1.Params",
        &["community_tax", "base_proposer_reward", "bonus_proposer_reward"],
    ),
    ("cosmos.distribution.v1beta1.ValidatorSlashEvent", &["fraction"]),
    ("cosmos.distribution.v1beta1.DelegatorStartingInfo", &["stake"]),
    (
        "cosmos.slashing.v1beta1.Params",
        &["min_signed_per_window", "slash_fraction_double_sign", "slash_fraction_downtime"],
    ),
    (
        "cosmos.mint.v1beta1.Params",
        &["inflation_rate_change", "inflation_max", "inflation_min", "goal_bonded"],
    ),
    ("cosmos.mint.v1beta1.QueryInflationResponse", &["inflation"]),
    ("cosmos.mint.v1beta1.QueryAnnualProvisionsResponse", &["annual_provisions"]),
    (
        "feemarket.feemarket.v1.Params",
        &["alpha", "beta", "gamma", "delta", "min_base_gas_price", "min_learning_rate", "max_learning_rate"],
    ),
    ("feemarket.feemarket.v1.State", &["base_gas_price", "learning_rate"]),
    (
        "mint.v5.Params",
        &[
            "f_emission",
            "one_month_smoothing_degree",
            "ecosystem_treasury_percent_of_total_supply",
            "foundation_treasury_percent_of_total_supply",
            "participants_percent_of_total_supply",
            "investors_percent_of_total_supply",
            "team_percent_of_total_supply",
            "maximum_monthly_percentage_yield",
            "investors_preseed_percent_of_total_supply",
        ],
    ),
    (
        "mint.v5.QueryServiceEmissionInfoResponse",
        &[
            "target_emission_rate_per_unit_staked_token",
            "reputers_percent",
            "validators_percent",
            "maximum_monthly_emission_per_unit_staked_token",
            "target_reward_emission_per_unit_staked_token",
            "emission_per_unit_staked_token",
            "previous_reward_emission_per_unit_staked_token",
        ],
    ),
    ("mint.v5.QueryServiceInflationResponse", &["inflation"]),
];

/// Whether a field is a decimal.
pub fn is_decimal(field: &FieldDescriptor) -> bool {
    let message = field.parent_message();
    DECIMALS.iter().any(|(name, fields)| *name == message.full_name() && fields.contains(&field.name()))
}

/// An integer of eighteen places as decimal text, nothing as 0. What is no such integer stays as it is.
pub fn text(wire: &str) -> String {
    let (sign, digits) = wire.strip_prefix('-').map_or(("", wire), |rest| ("-", rest));
    if digits.is_empty() {
        return format!("0.{:0<PLACES$}", "");
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return wire.into();
    }
    let padded = format!("{digits:0>width$}", width = PLACES + 1);
    let (whole, part) = padded.split_at(padded.len() - PLACES);
    let whole = whole.trim_start_matches('0');
    format!("{sign}{}.{part}", if whole.is_empty() { "0" } else { whole })
}

/// Whether no other text on the wire is shown as the same decimal.
pub(crate) fn is_canonical(wire: &str) -> bool {
    let digits = !wire.is_empty() && wire.bytes().all(|b| b.is_ascii_digit());
    digits && (wire == "0" || !wire.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn every_field_named_here_exists() {
        let pool = DescriptorPool::decode(crate::DESCRIPTORS).unwrap();
        for (message, fields) in DECIMALS {
            let kind = pool.get_message_by_name(message).unwrap_or_else(|| panic!("{message}"));
            for field in fields {
                let field = kind.get_field_by_name(field).unwrap_or_else(|| panic!("{message}.{field}"));
                assert!(is_decimal(&field));
            }
        }
    }

    #[test]
    fn decimals_have_eighteen_places() {
        for (wire, shown) in [
            ("1000000000000000000", "1.000000000000000000"),
            ("1", "0.000000000000000001"),
            ("-12500000000000000000", "-12.500000000000000000"),
            ("0", "0.000000000000000000"),
            ("", "0.000000000000000000"),
            ("0.5", "0.5"),
            ("x", "x"),
        ] {
            assert_eq!(text(wire), shown, "{wire}");
        }
        for wire in ["", "-1", "01", "00", "1.0", "x", "+1", " 1"] {
            assert!(!is_canonical(wire), "{wire}");
        }
        assert!(is_canonical("0") && is_canonical("120"));
    }
}
