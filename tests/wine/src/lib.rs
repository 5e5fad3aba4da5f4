//! A volume that `lklfs.sys` has mounted under Wine, as requests show it: opened by path, listed, asked and read through
//! the test driver of `../iomgr`, which stands in for what Wine's I/O manager lacks.
//!
//! It is one more implementation of `userctl`'s own trait of volumes, so that `userctl`'s own code prints the manifest:
//! what differs from a manifest of Linux's differs because of the driver.
//!
//! | module | what |
//! |---|---|
//! | `busy` | unmounting while a file is open |
//! | `io_manager` | the test driver's device, and one call for each of its codes |
//! | [`records`] | what the bytes of answers mean |
//! | `rights` | who may open what |
//! | `volume` | the trait |

#[cfg(windows)]
pub mod busy;
#[cfg(windows)]
pub mod io_manager;
pub mod records;
#[cfg(windows)]
pub mod rights;
#[cfg(windows)]
pub mod volume;
