//! Subnets: markets in which validators judge miners (subnet specification). Formulas only, in integers: amounts are
//! base units (10^-9 of a token), fractions are `u16` over 65535, [`Fixed`](crate::supply::Fixed) or, inside the
//! epoch, [`Q32`](fixed::Q32). One idea per file:
//!
//! - [`epoch`] what one epoch yields, with [`consensus`], [`bonds`], [`sparse`] matrices and [`fixed`] numbers;
//! - [`weights`] what a validator may send, [`clock`] when epochs run;
//! - [`emission`] what a block brings, [`payout`] what an epoch pays to whom, [`root`] dividends that are pulled;
//! - [`pool`] trades, [`batch`] all of a block at one price, on [`power`]s of ratios; [`share_pool`] stake of many in one total; [`lock`] conviction;
//! - [`admission`] prices of entry, who has to go.

pub mod admission;
pub mod batch;
pub mod bonds;
pub mod clock;
pub mod consensus;
pub mod emission;
pub mod epoch;
pub mod fixed;
pub mod lock;
pub mod payout;
pub mod pool;
pub mod power;
pub mod root;
pub mod share_pool;
pub mod sparse;
pub mod weights;
