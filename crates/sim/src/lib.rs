//! The judge: replays of data through the real state machine, and what can be said about them afterwards. No
//! network and no clock here; a run is a function of its inputs.

pub mod backtest;
mod local;
pub mod report;
pub mod world;

pub use local::LocalChain;
