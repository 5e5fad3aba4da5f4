//! The POSIX host of the Linux kernel library
