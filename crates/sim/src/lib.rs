//! The judge: replays of data through the real state machine, and what can be said about them afterwards. No
//! network and no clock here; a run is a function of its inputs. That holds for [`network`] too, where both are made up, and for
//! [`subnet`], where miners and validators are.
//! The exception is [`processes`]: whole networks on this machine, to be used and to be broken.

pub mod backtest;
pub mod candidate;
mod local;
pub mod market;
pub mod network;
pub mod processes;
mod random;
pub mod report;
pub mod subnet;
pub mod world;

pub use local::LocalChain;
