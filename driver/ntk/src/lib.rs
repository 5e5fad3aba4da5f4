//! The edge between the safe core and the NT kernel
