//! One scenario table, several subjects
