//! Whole networks of real processes on this machine: for `dodona localnet`, and for the soak that breaks them. Here are
//! clocks, disks and sockets; everything else of the judge does without.

pub mod chaos;
pub mod member;
mod room;
pub mod wire;
