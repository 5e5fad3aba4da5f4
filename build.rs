//! Build script of the driver image.
fn main() {}
