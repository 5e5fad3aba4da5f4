//! Records with the exact layout that NT's C structs have, without a single raw pointer.
//!
//! [`record!`] takes the C struct's name and its members in order, and derives offsets by C's rules: a member begins at
//! the next multiple of its alignment. From one list come the Rust struct, [`Field::put`] and [`Field::get`], and
//! [`Record::FIELDS`], which the layout test compares with what a C compiler says about the Windows headers.
//!
//! All numbers are little-endian: NT runs on nothing else.

use crate::{AccessMask, FileAttributes, NtTime};

/// A value with a fixed place in a record.
pub trait Field: Sized {
    /// Bytes taken, padding at the end included.
    const SIZE: usize;
    /// C's alignment.
    const ALIGN: usize;

    /// Writes the value to the first [`Self::SIZE`] bytes of `out`, or nothing when `out` is shorter.
    fn put(&self, out: &mut [u8]);

    /// Reads the value from the first [`Self::SIZE`] bytes of `bytes`; `None` when there are fewer.
    fn get(bytes: &[u8]) -> Option<Self>;
}

/// Where a member lies, as C sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldLayout {
    /// The member's C name.
    pub c_name: &'static str,
    /// `offsetof`.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
}

/// A record with the layout of a C struct.
pub trait Record: Field {
    /// The C struct's name.
    const C_NAME: &'static str;
    /// The members in order.
    const FIELDS: &'static [FieldLayout];
    /// Bytes up to the end of the last member, without padding: where a trailing name of bytes begins.
    const END: usize;
    /// Where a trailing UTF-16 name begins: [`Self::END`] rounded up to 2.
    const NAME_OFFSET: usize;
}

/// `at` rounded up to a multiple of `align`, a power of two. Used in constants and with offsets inside records only.
pub const fn align_up(at: usize, align: usize) -> usize {
    let mask = align.saturating_sub(1);
    at.saturating_add(mask) & !mask
}

/// The larger of two numbers, in constants.
pub(crate) const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

macro_rules! integer_fields {
    ($( $int:ident ),*) => { $(
        impl Field for $int {
            const SIZE: usize = size_of::<$int>();
            const ALIGN: usize = align_of::<$int>();

            fn put(&self, out: &mut [u8]) {
                if let Some(place) = out.first_chunk_mut() {
                    *place = self.to_le_bytes();
                }
            }

            fn get(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(*bytes.first_chunk()?))
            }
        }
    )* };
}

integer_fields!(u8, i8, u16, u32, i32, u64, i64);

macro_rules! wrapper_fields {
    ($( $wrapper:ident($int:ident) ),*) => { $(
        impl Field for $wrapper {
            const SIZE: usize = <$int as Field>::SIZE;
            const ALIGN: usize = <$int as Field>::ALIGN;

            fn put(&self, out: &mut [u8]) {
                self.0.put(out);
            }

            fn get(bytes: &[u8]) -> Option<Self> {
                <$int as Field>::get(bytes).map(Self)
            }
        }
    )* };
}

wrapper_fields!(NtTime(i64), FileAttributes(u32), AccessMask(u32));

/// `BOOLEAN`.
impl Field for bool {
    const SIZE: usize = 1;
    const ALIGN: usize = 1;

    fn put(&self, out: &mut [u8]) {
        u8::from(*self).put(out);
    }

    fn get(bytes: &[u8]) -> Option<Self> {
        u8::get(bytes).map(|byte| byte != 0)
    }
}

impl<const N: usize> Field for [u8; N] {
    const SIZE: usize = N;
    const ALIGN: usize = 1;

    fn put(&self, out: &mut [u8]) {
        if let Some(place) = out.first_chunk_mut() {
            *place = *self;
        }
    }

    fn get(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().copied()
    }
}

impl<const N: usize> Field for [u16; N] {
    const SIZE: usize = N.saturating_mul(2);
    const ALIGN: usize = 2;

    fn put(&self, out: &mut [u8]) {
        if out.len() >= Self::SIZE {
            for (place, unit) in out.chunks_exact_mut(2).zip(self) {
                unit.put(place);
            }
        }
    }

    fn get(bytes: &[u8]) -> Option<Self> {
        let mut units = [0; N];
        let bytes = bytes.get(..Self::SIZE)?;
        for (unit, pair) in units.iter_mut().zip(bytes.chunks_exact(2)) {
            *unit = u16::get(pair)?;
        }
        Some(units)
    }
}

/// Declares a record: `Name = "C_NAME" { member: Type = "CName", ... }`.
macro_rules! record {
    ($(
        $(#[$doc:meta])*
        $name:ident = $c_name:literal {
            $( $(#[$member_doc:meta])* $member:ident : $type:ty = $c_member:literal, )*
        }
    )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name {
            $( #[doc = concat!("`", $c_member, "`.")] $(#[$member_doc])* pub $member: $type, )*
        }

        impl $crate::record::Field for $name {
            const SIZE: usize = $crate::record::align_up(<Self as $crate::record::Record>::END, Self::ALIGN);
            const ALIGN: usize = {
                let mut align = 1;
                $( align = $crate::record::larger(align, <$type as $crate::record::Field>::ALIGN); )*
                align
            };

            fn put(&self, out: &mut [u8]) {
                let Some(out) = out.get_mut(..Self::SIZE) else { return };
                out.fill(0);
                let mut places = <Self as $crate::record::Record>::FIELDS.iter();
                $(
                    if let Some(place) = places.next().and_then(|place| out.get_mut(place.offset..)) {
                        self.$member.put(place);
                    }
                )*
            }

            fn get(bytes: &[u8]) -> Option<Self> {
                let mut places = <Self as $crate::record::Record>::FIELDS.iter();
                Some(Self {
                    $( $member: $crate::record::Field::get(bytes.get(places.next()?.offset..)?)?, )*
                })
            }
        }

        impl $crate::record::Record for $name {
            const C_NAME: &'static str = $c_name;
            const FIELDS: &'static [$crate::record::FieldLayout] = &{
                let end = 0usize;
                $(
                    let $member = $crate::record::align_up(end, <$type as $crate::record::Field>::ALIGN);
                    let end = $member.saturating_add(<$type as $crate::record::Field>::SIZE);
                )*
                let _ = end;
                [$( $crate::record::FieldLayout {
                    c_name: $c_member,
                    offset: $member,
                    size: <$type as $crate::record::Field>::SIZE,
                } ),*]
            };
            const END: usize = {
                let end = 0usize;
                $(
                    let end = $crate::record::align_up(end, <$type as $crate::record::Field>::ALIGN)
                        .saturating_add(<$type as $crate::record::Field>::SIZE);
                )*
                end
            };
            const NAME_OFFSET: usize = $crate::record::align_up(Self::END, 2);
        }
    )* };
}

pub(crate) use record;
