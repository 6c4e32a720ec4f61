//! An op of one's own.
fn main() {}
