//! placeholder while dependencies compile
fn main() {}
