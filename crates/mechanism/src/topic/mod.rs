//! The mathematics of one epoch of a prediction topic, from sealed inferences to reward fractions.
//! `combine` holds the words all rules share; each other file is one formula family of the topic specification.

pub mod combine;
pub mod forecast;
pub mod forfeit;
pub mod interval;
pub mod label;
pub mod loss;
pub mod network_loss;
pub mod outlier;
pub mod power;
pub mod regret;
pub mod reputer;
pub mod score;
pub mod share;
pub mod sortition;
pub mod truth;
