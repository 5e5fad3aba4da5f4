//! How NT's numbers become types: one list makes the constants, their names and their `Debug` text.
//!
//! [`named_numbers!`] is for values of which one applies (a status, a class), [`flag_numbers!`] for masks.

/// Declares a number type with named values.
macro_rules! named_numbers {
    (
        $(#[$type_doc:meta])*
        $type:ident($int:ty);
        $( $(#[$doc:meta])* $name:ident = $value:expr; )*
    ) => {
        $(#[$type_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $type(pub $int);

        #[allow(non_upper_case_globals, reason = "names are NT's own")]
        impl $type {
            $( $(#[$doc])* pub const $name: Self = Self($value); )*

            /// Every named value with its NT name, in the order of declaration.
            pub const NAMED: &'static [(Self, &'static str)] = &[$( (Self::$name, stringify!($name)) ),*];

            /// The NT name of this value, if it has one here.
            pub fn name(self) -> Option<&'static str> {
                Self::NAMED.iter().find(|(value, _)| *value == self).map(|(_, name)| *name)
            }
        }

        impl core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}({:#x})", stringify!($type), self.0),
                }
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Debug::fmt(self, f)
            }
        }
    };
}

/// Declares a mask type with named bits.
macro_rules! flag_numbers {
    (
        $(#[$type_doc:meta])*
        $type:ident($int:ty);
        $( $(#[$doc:meta])* $name:ident = $value:expr; )*
    ) => {
        $(#[$type_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[repr(transparent)]
        pub struct $type(pub $int);

        impl $type {
            $( $(#[$doc])* pub const $name: Self = Self($value); )*

            /// Every named value with its NT name, in the order of declaration.
            pub const NAMED: &'static [(Self, &'static str)] = &[$( (Self::$name, stringify!($name)) ),*];

            /// No bit at all.
            pub const fn empty() -> Self {
                Self(0)
            }

            /// Whether no bit is set.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Whether all bits of `other` are set here.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether at least one bit of `other` is set here.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// The bits of both.
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The bits that are in both.
            pub const fn intersection(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// These bits without those of `other`.
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl core::ops::BitOr for $type {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                self.union(other)
            }
        }

        impl core::ops::BitOrAssign for $type {
            fn bitor_assign(&mut self, other: Self) {
                *self = self.union(other);
            }
        }

        impl core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let mut rest = self.0;
                let mut separator = "";
                for (bits, name) in Self::NAMED {
                    if bits.0 != 0 && rest & bits.0 == bits.0 {
                        write!(f, "{separator}{name}")?;
                        separator = " | ";
                        rest &= !bits.0;
                    }
                }
                if rest != 0 || separator.is_empty() {
                    write!(f, "{separator}{rest:#x}")?;
                }
                Ok(())
            }
        }
    };
}

pub(crate) use flag_numbers;
pub(crate) use named_numbers;
