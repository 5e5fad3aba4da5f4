//! Every task of the project: demo, test, image, bench, package, lint, ci
fn main() {}
