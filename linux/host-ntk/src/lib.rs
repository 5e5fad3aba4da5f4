//! The NT kernel-mode host (NTK) of the Linux kernel library
