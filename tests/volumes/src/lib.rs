//! Test images of every file system, by Debian's makers or our own, and what must be found on them.
//!
//! - [`Tree`] describes files: deterministic, made from a [`Plan`] and from what a file system can hold
//!   ([`Abilities`]). It writes itself into a directory and says what a manifest of it must be.
//! - [`kind`] lists the file systems: how each is made and filled, and what it can hold.
//! - [`make`] makes an image of a kind: the mkfs of the distribution with its defaults, then files. File systems that
//!   can be mounted are filled by a real Linux that runs as a process ([`uml`]: Debian's user-mode-linux), so no root
//!   rights and no support in this machine's kernel are needed for them.
//! - [`makers`] makes those that the distribution has no maker for.
//! - [`reference`] reads an image that was made here through a Linux other than ours: this machine's own, by a loop
//!   mount, or the user-mode one.
//! - [`manifest`] writes and compares manifests. It spells the format by itself, from its specification, and shares no
//!   code with `userctl`, which it judges.
//! - [`damage`] makes directories of images lead in a circle.
//! - [`disk`] puts images into partitions. [`corpora`] fetches the damaged images of other projects' test suites.

pub mod content;
pub mod corpora;
pub mod damage;
pub mod disk;
pub mod kind;
pub mod make;
pub mod makers;
pub mod manifest;
pub mod reference;
pub mod tree;
pub mod uml;
pub mod write;

pub use content::Content;
pub use kind::{Abilities, Kind};
pub use make::Made;
pub use makers::make;
pub use manifest::Manifest;
pub use tree::{Plan, Tree};
