//! Pure mathematics of Dodona's prediction topics and subnets: numbers, exact splits, synthesis rules, losses, scores, shares.
//!
//! # The promise
//! A function here is a formula: plain slices in, plain values out. It keeps no state, reads no clock, does no
//! I/O, starts no thread. Equal inputs give equal bits on every machine: real numbers are IEEE doubles under
//! `+ - * /`, square root and comparison, everything else goes through one pinned library in [`real::func`], and
//! every sum runs in the order of the input slice. Callers pass members sorted by address, so that order is theirs.
//! Nothing panics on any input; what cannot be computed is a [`MathError`].
//!
//! # The map
//! - [`real`]: [`Real`], a finite double with a total order and checked text; `func`, the only door to `libm`.
//! - [`amount`]: token amounts as `u128`, exact proportional splits.
//! - [`per_share`]: one payment to many holders at once, each collecting its part later.
//! - [`stats`]: mean, median, MAD, deviation, quantiles, moving averages, weighted median and percentiles.
//! - [`topic`]: what happens in one epoch of a topic.
//!   - `combine` the vocabulary shared by all rules, and the plain median and mean;
//!   - `power` and `regret` the two synthesis rules, `forecast` what a forecaster's losses imply for both;
//!   - `interval` the published error bar, `loss` the loss functions;
//!   - `label` which labels an epoch has, `outlier` who is left out of the outlier-resistant inference;
//!   - `network_loss` and `truth` the two ways reputers bring truth;
//!   - `score` and `share` from losses to reward fractions.
//!   - `sortition` who is in the active set, `reputer` whom the network listens to.
//! - [`subnet`]: markets where validators judge miners: epoch, pool, emission, admission; 32.32 fixed point and integers.
//! - [`supply`]: how much of the token is vested, issued and handed out; integers only.
//!
//! The slow, obvious twins of every fast path live in `tests/reference`; the laws in `tests/laws.rs`.
#![forbid(unsafe_code)]

pub mod amount;
pub mod error;
pub mod per_share;
pub mod real;
pub mod stats;
pub mod subnet;
pub mod supply;
pub mod topic;

pub use error::MathError;
pub use real::Real;
