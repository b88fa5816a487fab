//! What can be set: hyperparameters of one subnet, by its owner or by admins, and rules of all, by admins. Names, units,
//! defaults and bounds are those of the subnet specification, section 24, unless said otherwise.

use borsh::{BorshDeserialize, BorshSerialize};
use dodona_mechanism::{
    subnet::{bonds::BondParams, epoch::EpochParams},
    supply::Fixed,
};
use serde::{Deserialize, Serialize};

use crate::params::{changed, fixed, listed};

/// Most members of a subnet, all mechanisms together.
pub const MEMBERS: u16 = 256;
/// Mechanisms of a subnet.
pub const MECHANISMS: u16 = 2;
/// Largest take, and the owner's cut: 18 %, in 1/65535.
pub const EIGHTEEN_PERCENT: u16 = 11_796;

/// Hyperparameters of a subnet. Amounts are base units of 10^-9 ALLO.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hyper {
    /// Blocks per epoch.
    pub tempo: u64,
    /// Blocks for which weights count, in thousandths of the tempo.
    pub activity_cutoff_factor: u64,
    /// Slots for neurons.
    pub max_uids: u16,
    /// Fewest slots an owner may leave.
    pub min_uids: u16,
    /// Permits per epoch.
    pub max_validators: u16,
    /// Blocks in which a newcomer goes last.
    pub immunity_period: u64,
    /// Neurons of the owner that are never evicted.
    pub owner_immune_limit: u16,
    /// While so few are past their immunity, the immune go.
    pub min_non_immune: u16,
    /// Fewest entries of a row of weights.
    pub min_allowed_weights: u16,
    /// Blocks between two settings of weights, or commits.
    pub weights_rate_limit: u64,
    /// Oldest software of validators that is heard.
    pub weights_version: u64,
    /// Part of the stake that must support a weight, in 1/65535.
    pub kappa: u16,
    /// Part of a bond that stays, per million.
    pub bonds_moving_average: u32,
    /// How far weights above the consensus are cut for bonds, in 1/65535.
    pub bonds_penalty: u16,
    /// Whether a neuron may ask that all bonds towards it are forgotten.
    pub bonds_reset: bool,
    /// The newer rule of bonds.
    pub yuma3: bool,
    /// A speed of bonds per cell.
    pub liquid_alpha: bool,
    /// Slowest,
    pub alpha_low: u16,
    /// and fastest speed, in 1/65535.
    pub alpha_high: u16,
    /// Between the two, in hundredths.
    pub alpha_sigmoid_steepness: i16,
    /// Whether weights are committed before they are shown.
    pub commit_reveal: bool,
    /// Epochs between the two.
    pub reveal_period: u64,
    /// Whether newcomers are let in.
    pub registration_allowed: bool,
    /// Lowest,
    pub min_burn: u64,
    /// and highest price of registration.
    pub max_burn: u64,
    /// Blocks in which the price halves.
    pub burn_half_life: u16,
    /// What a registration multiplies it by.
    #[serde(with = "fixed")]
    pub burn_increase_mult: Fixed,
    /// Blocks between two announcements of an endpoint.
    pub serving_rate_limit: u64,
    /// Whether stake may be given to another holder.
    pub transfer_toggle: bool,
    /// Whether what is withheld from the owner's miners leaves the supply, instead of being burned.
    pub recycle: bool,
    /// Least part of lent stake's dividends that a child keeps, in 1/65535.
    pub min_childkey_take: u16,
    /// Whether the owner gets a cut.
    pub owner_cut_enabled: bool,
    /// Incentive mechanisms.
    pub mechanisms: u16,
    /// Their parts of an epoch in 1/65535; empty: equal.
    pub mechanism_split: Vec<u16>,
    /// Whether the chain's token flows into its pool.
    pub emission_enabled: bool,
    /// Fee of trades in 1/65535.
    pub swap_fee: u16,
    /// Whether the owner's cut is locked when it is paid.
    pub owner_cut_auto_lock: bool,
    /// Least dividend of root stake that is paid, base units of the subnet's token.
    pub root_claim_threshold: u64,
}

impl Default for Hyper {
    fn default() -> Self {
        Self {
            tempo: 360,
            activity_cutoff_factor: 13_889,
            max_uids: MEMBERS,
            min_uids: 64,
            max_validators: 64,
            immunity_period: 5_000,
            owner_immune_limit: 1,
            min_non_immune: 10,
            min_allowed_weights: 1,
            weights_rate_limit: 100,
            weights_version: 0,
            kappa: 32_767,
            bonds_moving_average: 900_000,
            bonds_penalty: u16::MAX,
            bonds_reset: false,
            yuma3: true,
            liquid_alpha: false,
            alpha_low: 45_875,
            alpha_high: 58_982,
            alpha_sigmoid_steepness: 1_000,
            commit_reveal: true,
            reveal_period: 1,
            registration_allowed: true,
            min_burn: 500_000,
            max_burn: 100_000_000_000,
            burn_half_life: 360,
            burn_increase_mult: Fixed::from_raw(1_260_000_000_000_000_000),
            serving_rate_limit: 50,
            transfer_toggle: true,
            recycle: false,
            min_childkey_take: 0,
            owner_cut_enabled: true,
            mechanisms: 1,
            mechanism_split: Vec::new(),
            emission_enabled: false,
            swap_fee: 33,
            owner_cut_auto_lock: false,
            root_claim_threshold: 500_000,
        }
    }
}

/// What only admins set.
const ADMINS_ONLY: [&str; 8] = [
    "min_uids",
    "max_validators",
    "min_non_immune",
    "weights_rate_limit",
    "kappa",
    "registration_allowed",
    "emission_enabled",
    "swap_fee",
];

impl Hyper {
    /// By name, as text.
    pub fn to_list(&self) -> Vec<(String, String)> {
        listed(self)
    }

    /// The first of these names that an owner cannot set.
    pub fn for_admins<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        names.into_iter().find(|name| ADMINS_ONLY.contains(name))
    }

    /// With some of them changed, checked as a whole; owners have narrower bounds. The error names what is wrong.
    pub fn with(&self, changes: &[(String, String)], owner: bool, members: u16) -> Result<Hyper, String> {
        let new: Hyper = changed(self, changes)?;
        let by_owner = |name: &str| owner && changes.iter().any(|change| change.0 == name);
        new.validate(&by_owner)?;
        if new.max_uids < members {
            return Err(format!(
                "max_uids is {}, and {members} are taken: a trim removes those that earn least",
                new.max_uids
            ));
        }
        Ok(new)
    }

    fn validate(&self, by_owner: &dyn Fn(&str) -> bool) -> Result<(), String> {
        let of = |name: &str, owners: u64, all: u64| if by_owner(name) { owners } else { all };
        let most_uids = u64::from(MEMBERS / self.mechanisms.clamp(1, MECHANISMS));
        let bounds = [
            ("tempo", self.tempo, of("tempo", 360, 1), 50_400),
            ("activity_cutoff_factor", self.activity_cutoff_factor, 1_000, 50_000),
            ("max_uids", self.max_uids.into(), of("max_uids", self.min_uids.into(), 1), most_uids),
            ("min_uids", self.min_uids.into(), 1, MEMBERS.into()),
            ("min_childkey_take", self.min_childkey_take.into(), 0, EIGHTEEN_PERCENT.into()),
            ("max_validators", self.max_validators.into(), 1, self.max_uids.into()),
            ("immunity_period", self.immunity_period, 0, u16::MAX.into()),
            ("owner_immune_limit", self.owner_immune_limit.into(), 1, 10),
            ("weights_rate_limit", self.weights_rate_limit, 0, 50_400),
            (
                "bonds_moving_average",
                self.bonds_moving_average.into(),
                0,
                of("bonds_moving_average", 975_000, 1_000_000),
            ),
            ("alpha_low", self.alpha_low.into(), 1_638, u16::MAX.into()),
            ("alpha_high", self.alpha_high.into(), u64::from(self.alpha_low) + 1, u16::MAX.into()),
            ("reveal_period", self.reveal_period, 1, 100),
            ("min_burn", self.min_burn, 1, 1_000_000_000),
            ("max_burn", self.max_burn, of("max_burn", 100_000_000, self.min_burn), u64::MAX / 4),
            ("burn_half_life", self.burn_half_life.into(), of("burn_half_life", 1, 0), 36_100),
            ("serving_rate_limit", self.serving_rate_limit, 0, 50_400),
            ("mechanisms", self.mechanisms.into(), 1, MECHANISMS.into()),
            ("swap_fee", self.swap_fee.into(), 0, 10_000),
            ("root_claim_threshold", self.root_claim_threshold, 0, 10_000_000),
        ];
        for (name, value, low, high) in bounds {
            if !(low..=high).contains(&value) {
                return Err(format!("{name} is {value}, allowed are {low} to {high}"));
            }
        }
        if self.burn_increase_mult < Fixed::ONE || self.burn_increase_mult.raw() > 3 * Fixed::ONE.raw() {
            return Err(format!("burn_increase_mult is {}, allowed are 1 to 3", self.burn_increase_mult));
        }
        if by_owner("alpha_sigmoid_steepness") && self.alpha_sigmoid_steepness < 0 {
            return Err("alpha_sigmoid_steepness is below 0".into());
        }
        let split = &self.mechanism_split;
        if !split.is_empty() && split.len() != usize::from(self.mechanisms) {
            return Err(format!(
                "mechanism_split has {} parts for {} mechanisms",
                split.len(),
                self.mechanisms
            ));
        }
        if split.iter().map(|&part| u32::from(part)).sum::<u32>() > u16::MAX.into() {
            return Err("mechanism_split sums to more than 65535".into());
        }
        Ok(())
    }

    /// As the epoch's formulas want them.
    pub fn epoch(&self, stake_threshold: u64, owner: Option<u16>, cutoff: u64) -> EpochParams {
        EpochParams {
            kappa: self.kappa,
            bonds_penalty: self.bonds_penalty,
            bonds: BondParams {
                moving_average: self.bonds_moving_average,
                yuma3: self.yuma3,
                liquid: self.liquid_alpha,
                alpha: (self.alpha_low, self.alpha_high),
                steepness: self.alpha_sigmoid_steepness,
            },
            max_validators: self.max_validators.into(),
            stake_threshold,
            owner,
            activity_cutoff: cutoff,
            tempo: self.tempo,
        }
    }
}

/// Rules of all subnets.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Part of the topics' share of a block's emission that goes to subnets, while one of them receives any. Ours: the
    /// original mints for subnets alone.
    #[serde(with = "fixed")]
    pub emission_part: Fixed,
    /// Most subnets.
    pub subnet_limit: u16,
    /// Least cost of a new one, base units.
    pub network_min_lock: u64,
    /// Blocks in which the doubled cost falls back.
    pub lock_reduction_interval: u64,
    /// Blocks between two new subnets.
    pub network_rate_limit: u64,
    /// Blocks for which a subnet is not replaced.
    pub network_immunity: u64,
    /// Blocks between creation and start.
    pub start_call_delay: u64,
    /// Owner's cut of a subnet's emission, in 1/65535.
    pub owner_cut: u16,
    /// Weight of the chain's token against a subnet's in stake.
    #[serde(with = "fixed")]
    pub root_weight: Fixed,
    /// Stake weight below which a validator is not heard, base units.
    pub stake_threshold: u64,
    /// Least amount of a trade, base units of the chain's token.
    pub min_stake: u64,
    /// Least stake of somebody upon another one's hotkey that is left there when a part is taken away, base units.
    pub nominator_min_stake: u64,
    /// Speed of the averaged price of an old subnet.
    #[serde(with = "fixed")]
    pub moving_alpha: Fixed,
    /// Epochs run in one block; others wait.
    pub max_epochs_per_block: u16,
    /// Blocks before an epoch in which owners change nothing.
    pub admin_freeze_window: u64,
    /// Tempos between two changes of a hyperparameter by its owner.
    pub owner_hparam_rate_limit: u64,
    /// Blocks before a change of children counts.
    pub children_wait: u64,
    /// Blocks between two changes of children.
    pub children_rate_limit: u64,
    /// Blocks between two raises of a take.
    pub take_rate_limit: u64,
    /// Cost of another key in a hotkey's place everywhere,
    pub hotkey_swap_cost: u64,
    /// and in one subnet, base units.
    pub hotkey_swap_cost_one: u64,
    /// Blocks between two swaps of a coldkey's hotkeys in one subnet.
    pub hotkey_swap_wait: u64,
    /// Cost of announcing another coldkey, base units.
    pub coldkey_swap_cost: u64,
    /// Blocks from there to the swap.
    pub coldkey_swap_wait: u64,
    /// Blocks after that in which no other one can be announced.
    pub coldkey_swap_again: u64,
    /// Blocks between two trims of a subnet by its owner.
    pub trim_wait: u64,
    /// Holdings at the root that are paid in a block without asking.
    pub num_root_claims: u16,
    /// Bytes a neuron may publish in an epoch.
    pub commitment_bytes: u64,
    /// Blocks in which a lock's mass falls to 1/e of it, unless it stays.
    pub unlock_rate: u64,
    /// Blocks in which the distance between a lock's conviction and its mass falls to 1/e.
    pub maturity_rate: u64,
    /// Blocks from a subnet's creation on in which conviction does not decide who owns it.
    pub ownership_age: u64,
    /// Part of a subnet's token outside the pool that all convictions have to come to before they decide.
    #[serde(with = "fixed")]
    pub ownership_part: Fixed,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            emission_part: Fixed::from_raw(Fixed::ONE.raw() / 4),
            subnet_limit: 128,
            network_min_lock: 1_000_000_000_000,
            lock_reduction_interval: 100_800,
            network_rate_limit: 7_200,
            network_immunity: 1_296_000,
            start_call_delay: 0,
            owner_cut: EIGHTEEN_PERCENT,
            // 971718665099567868 / 2^64
            root_weight: Fixed::from_raw(52_676_974_387_283_289),
            stake_threshold: 0,
            min_stake: 2_000_000,
            nominator_min_stake: 0,
            moving_alpha: Fixed::from_raw(3_000_000_000_000),
            max_epochs_per_block: 2,
            admin_freeze_window: 10,
            owner_hparam_rate_limit: 2,
            children_wait: 7_200,
            children_rate_limit: 150,
            take_rate_limit: 216_000,
            hotkey_swap_cost: 100_000_000,
            hotkey_swap_cost_one: 1_000_000,
            hotkey_swap_wait: 7_200,
            coldkey_swap_cost: 100_000_000,
            coldkey_swap_wait: 36_000,
            coldkey_swap_again: 7_200,
            trim_wait: 216_000,
            num_root_claims: 5,
            commitment_bytes: 3_100,
            unlock_rate: 934_866,
            maturity_rate: 934_866,
            ownership_age: 2_629_800,
            ownership_part: Fixed::from_raw(Fixed::ONE.raw() / 10),
        }
    }
}

impl Rules {
    /// By name, as text.
    pub fn to_list(&self) -> Vec<(String, String)> {
        listed(self)
    }

    /// With some of them changed, checked as a whole. The error names what is wrong.
    pub fn with(&self, changes: &[(String, String)]) -> Result<Rules, String> {
        let new: Rules = changed(self, changes)?;
        let fractions = [
            ("emission_part", new.emission_part),
            ("root_weight", new.root_weight),
            ("moving_alpha", new.moving_alpha),
            ("ownership_part", new.ownership_part),
        ];
        for (name, value) in fractions {
            if value > Fixed::ONE {
                return Err(format!("{name} is {value}, at most 1"));
            }
        }
        let bounds = [
            ("subnet_limit", new.subnet_limit.into(), 0, 1_024),
            ("network_min_lock", new.network_min_lock, 1_000_000, 1 << 60),
            ("lock_reduction_interval", new.lock_reduction_interval, 1, u64::MAX),
            ("owner_cut", new.owner_cut.into(), 0, u16::MAX.into()),
            ("max_epochs_per_block", new.max_epochs_per_block.into(), 1, 64),
            ("num_root_claims", new.num_root_claims.into(), 0, 50),
            ("commitment_bytes", new.commitment_bytes, 416, 1 << 20),
            ("unlock_rate", new.unlock_rate, 1, 1 << 40),
            ("maturity_rate", new.maturity_rate, 1, 1 << 40),
        ];
        for (name, value, low, high) in bounds {
            if !(low..=high).contains(&value) {
                return Err(format!("{name} is {value}, allowed are {low} to {high}"));
            }
        }
        Ok(new)
    }
}
