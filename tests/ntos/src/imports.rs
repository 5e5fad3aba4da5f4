//! The registry of what the double models: one entry for each function or datum that a driver may import.
//!
//! A module that implements imports declares them with [`table!`](crate::table) under the export's own name, with the
//! highest IRQL at which NT allows the call. [`all`] chains the tables of every module, and the loader binds the image's
//! import table to them. A call does not go straight to the Rust function: each import gets a small gate (see
//! [`crate::ke::gate`]) that checks the ceiling, counts the call, gives the verifier its look and changes to the
//! thread's host stack.
//!
//! A name that no table has binds to a gate of its own that fails by name when it is called.

use crate::nt::KIRQL;

/// The levels that ceilings are written in.
pub mod level {
    use crate::nt::KIRQL;
    /// Thread context, everything allowed.
    pub const PASSIVE: KIRQL = 0;
    /// Thread context with APCs masked.
    pub const APC: KIRQL = 1;
    /// No waiting, no paged memory.
    pub const DISPATCH: KIRQL = 2;
    /// No limit.
    pub const HIGH: KIRQL = 15;
}

/// What a name stands for.
#[derive(Clone, Copy)]
pub enum Target {
    /// An `extern "win64"` function.
    Function(*const ()),
    /// A datum: the import table gets the address of the datum itself.
    Data(*const ()),
}

/// Which kernels export a name; the double can play an old one (see [`crate::loader::Options`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Since {
    /// NT 5.2 x64 has it, as every later one.
    Nt52,
    /// Windows Vista, NT 6.0.
    Nt60,
    /// Windows 7, NT 6.1.
    Nt61,
    /// Windows 8, NT 6.2.
    Nt62,
    /// Windows 10 and later.
    Nt10,
}

/// One export of the modelled kernel.
pub struct Import {
    /// The export's name, as the image has it.
    pub name: &'static str,
    /// Its implementation.
    pub target: Target,
    /// The highest IRQL at which it may be called.
    pub ceiling: KIRQL,
    /// The first kernel that has it.
    pub since: Since,
}

// SAFETY: the pointers are addresses of functions and of statics that are themselves Sync; they are only copied.
unsafe impl Sync for Import {}

/// Declares a table of imports: `table! { pub static IMPORTS = { KeSetEvent <= DISPATCH; data PsThreadType = expr; } }`.
///
/// * `Name <= LEVEL;` binds the function `Name` in scope, callable up to [`level`]`::LEVEL`.
/// * `Name <= LEVEL since Nt60;` the same, absent from older kernels.
/// * `Name = path <= LEVEL;` another Rust function under that export name.
/// * `data Name = expression;` a datum; the expression is a `*const ()` to it.
#[macro_export]
macro_rules! table {
    ($(#[$meta:meta])* $vis:vis static $table:ident = { $($body:tt)* }) => {
        $(#[$meta])*
        $vis static $table: &[$crate::imports::Import] = $crate::table!(@list [] $($body)*);
    };
    (@list [$($done:tt)*]) => { &[$($done)*] };
    (@list [$($done:tt)*] data $name:ident = $datum:expr; $($rest:tt)*) => {
        $crate::table!(@list [$($done)* $crate::imports::Import {
            name: stringify!($name),
            target: $crate::imports::Target::Data($datum),
            ceiling: $crate::imports::level::HIGH,
            since: $crate::imports::Since::Nt52,
        },] $($rest)*)
    };
    (@list [$($done:tt)*] $name:ident = $path:path, <= $level:ident $(since $since:ident)?; $($rest:tt)*) => {
        $crate::table!(@list [$($done)* $crate::imports::Import {
            name: stringify!($name),
            target: $crate::imports::Target::Function($path as *const ()),
            ceiling: $crate::imports::level::$level,
            since: $crate::table!(@since $($since)?),
        },] $($rest)*)
    };
    (@list [$($done:tt)*] $name:ident <= $level:ident $(since $since:ident)?; $($rest:tt)*) => {
        $crate::table!(@list [$($done)* $crate::imports::Import {
            name: stringify!($name),
            target: $crate::imports::Target::Function($name as *const ()),
            ceiling: $crate::imports::level::$level,
            since: $crate::table!(@since $($since)?),
        },] $($rest)*)
    };
    (@since) => { $crate::imports::Since::Nt52 };
    (@since $since:ident) => { $crate::imports::Since::$since };
}

/// Every table there is.
fn tables() -> impl Iterator<Item = &'static [Import]> {
    [
        crate::ex::IMPORTS,
        crate::ke::IMPORTS,
        crate::loader::IMPORTS,
        crate::mm::IMPORTS,
        crate::ob::IMPORTS,
        crate::ps::IMPORTS,
        crate::rtl::IMPORTS,
        crate::se::IMPORTS,
        crate::io::IMPORTS,
    ]
    .into_iter()
    .flat_map(|module| module.iter().copied())
}

/// Every modelled import.
pub fn all() -> impl Iterator<Item = &'static Import> {
    tables().flatten()
}

/// The import called `name`.
pub fn find(name: &str) -> Option<&'static Import> {
    use std::{collections::HashMap, sync::LazyLock};
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Import>> = LazyLock::new(|| {
        let mut names = HashMap::new();
        for import in all() {
            let twice = names.insert(import.name, import).is_some();
            assert!(!twice, "the import {} is declared twice", import.name);
        }
        names
    });
    BY_NAME.get(name).copied()
}
