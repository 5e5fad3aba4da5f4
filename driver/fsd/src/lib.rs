//! The safe core of the file-system driver
