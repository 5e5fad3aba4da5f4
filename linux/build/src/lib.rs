//! Builds the Linux kernel library: unpack, overlay, kconfig, kbuild, object checks, ELF to COFF
