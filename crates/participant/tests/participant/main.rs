//! Models, their adapters, series, and the lanes of roles.
#![allow(clippy::unwrap_used, clippy::panic)] // also in the helpers beside the tests: failing is their way to speak

mod adapters;
mod common;
mod forecasters;
mod lanes;
mod models;
mod onnx;
mod report;
mod tables;
