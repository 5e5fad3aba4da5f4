//! An image mounted in the full Linux, for reading or for writing: what the applications stand on.
//!
//! [`Linux`] is the one that a process can have; [`Linux::open`] mounts in it a file system of an image, as the [`Options`] say, and
//! the [`Volume`] gives its root folder as an [`lkl::OwnedFd`]: crate `lkl` reads what is below, crate `lkl-write` changes it. For
//! a program of one volume there is [`open`]. [`contents`] tells what an image holds, without Linux.
//!
//! - *Reading* ([`lkl_session`]): every format of image, and whatever a file system writes on its own (a journal's replay) goes into
//!   memory. The image is locked against programs that write to it by these crates.
//! - *Writing* (`writable`): raw images and block devices. What cannot be written, or is not to be (it is read-only, in use,
//!   damaged, cut off, of another format), is refused before a byte of it changes. The image is the writer's alone; several of its
//!   partitions may be mounted (`disks`). A [`Draft`] is a file that gets its name when it is complete.
//!
//! A program that only reads, and for long, outlives its Linux: a [`Supervisor`] boots the next one, and what is [`Lasting`] is mounted
//! in it again. Nothing that is written to lasts so: what Linux had not written when it died is lost.
//!
//! [`Interruption`] has a program that is asked to end do that with everything written.

#![forbid(unsafe_code)]

mod contents;
mod disks;
mod draft;
mod interruption;
mod lasting;
mod supervisor;
mod volume;
mod writable;

pub use contents::{Contained, Contents, contents};
pub use draft::{Draft, Publish, sync_folder};
pub use interruption::Interruption;
pub use lasting::Lasting;
pub use lkl_session::exit::{self, Exit, Failure};
pub use lkl_session::program::Program;
pub use supervisor::Supervisor;
pub use volume::{Linux, Options, Volume, open};
