//! Whole networks of real processes on this machine: for `dodona localnet`, for the soak that breaks them, and for the
//! load that shows how much they take. Here are
//! clocks, disks and sockets; everything else of the judge does without.

pub mod chaos;
pub mod load;
pub mod member;
mod room;
mod rotation;
pub mod wire;
