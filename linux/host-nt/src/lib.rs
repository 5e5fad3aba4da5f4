//! The NT user-mode host of the Linux kernel library
