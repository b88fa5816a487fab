//! The token supply: what is locked, what a month issues, what a block hands out (topic specification, section 8).
//! Exact arithmetic on integers; amounts are `u128` base units, fractions are [`Fixed`] with 18 decimals.

pub mod fixed;
pub mod issuance;
pub mod vesting;

pub use fixed::Fixed;
pub use issuance::{BlockSplit, Emission, EmissionInput, IssuanceConfig, block_split, emission};
pub use vesting::{Locked, Shares, Vesting, locked, months};
