//! fsd's Volume over the Linux kernel library
