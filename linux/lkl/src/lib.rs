//! Safe API of the Linux kernel library
