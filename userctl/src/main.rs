//! Lists, mounts and reads Linux volumes
fn main() {}
