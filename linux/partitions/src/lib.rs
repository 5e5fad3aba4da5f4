//! Finds the partitions of a disk.
