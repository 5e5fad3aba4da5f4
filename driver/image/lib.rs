//! `lklfs.sys`: `DriverEntry` and nothing else; the driver itself is in the crates beside this one.
#![cfg_attr(windows, no_std)]
