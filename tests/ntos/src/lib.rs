//! The NT kernel double: runs lklfs.sys on Linux
