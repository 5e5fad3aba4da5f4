//! NT vocabulary: status codes, access masks, FILE_* buffers, our IOCTLs
