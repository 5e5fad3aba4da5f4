//! Memory: page frames, the kernel's address space, pool, MDLs, user buffers.
//!
//! | module | what |
//! |---|---|
//! | [`phys`] | the page frames, one memfd |
//! | [`space`] | the kernel's addresses |
//! | [`pool`] | pool with guard pages, patterns and the ledger |
//! | [`pool_imports`] | its imports |
//! | [`mdl`], [`mapping`], [`pages`] | MDLs: locked and allocated pages, mappings |
//! | [`user`] | buffers of a user process |

use crate::imports::Import;

pub mod mapping;
pub mod mdl;
pub mod pages;
pub mod phys;
pub mod pool;
pub mod pool_imports;
pub mod space;
pub mod user;

pub use mapping::system_address;
pub use pages::Pages;

/// Bytes of a page.
pub const PAGE_SIZE: usize = 4096;

/// Pages that `length` bytes from `address` on touch.
pub fn pages_spanned(address: usize, length: usize) -> usize {
    ((address % PAGE_SIZE) + length).div_ceil(PAGE_SIZE)
}

/// This module's imports.
pub static IMPORTS: &[&[Import]] = &[
    pool_imports::IMPORTS,
    mdl::IMPORTS,
    mapping::IMPORTS,
    pages::IMPORTS,
    user::IMPORTS,
];
