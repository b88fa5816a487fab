//! What people run beside the chain: models that predict, forecasters that say whom to trust, the series they learn
//! from, the roles that bring all of it to a topic, and miners and validators of subnets, through signed transactions and
//! public queries. Models, forecasters and series touch no network and no clock: the same input gives the same output, to the last bit.

pub mod adapter;
pub mod columns;
pub mod data;
pub mod forecaster;
pub mod model;
pub mod role;
pub mod run;
pub mod series;
pub mod subnet;
pub mod truth;
