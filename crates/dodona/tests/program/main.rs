//! The program as its users run it: the real executable, what it prints, its exit codes, what it leaves behind.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

mod backtest;
mod commands;
mod demo;
mod help;
mod keys;
mod kit;
mod mechanism;
mod metrics;
mod network;
mod proofs;
mod quickstart;
mod roles;
mod subnet_epoch;
mod subnets;
mod tokens;
mod tools;
mod worker;
