//! Keys of the registry: what the driver keeps over a restart stands below its own service's key, which only SYSTEM and
//! administrators may change, and which goes with the service.
//!
//! Only numbers (REG_DWORD) and texts (REG_SZ, without their NUL here, as the bytes of UTF-16) are kept.
//
// UNSAFETY: the Zw calls for keys and values.

use crate::name::string;
use crate::nt::{
    self, _KEY_INFORMATION_CLASS, _KEY_VALUE_INFORMATION_CLASS, HANDLE, OBJ_CASE_INSENSITIVE,
    OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, REG_DWORD, REG_OPTION_NON_VOLATILE, REG_SZ, ZwClose, ZwCreateKey,
    ZwDeleteKey, ZwDeleteValueKey, ZwEnumerateKey, ZwOpenKey, ZwQueryValueKey, ZwSetValueKey,
};
use crate::text::{copy, units};
use alloc::vec::Vec;
use core::ptr::null_mut;
use lklfs_nt::NtStatus;
use lklfs_nt::record::Field;

/// KEY_READ, and what setting values, making subkeys and deleting take.
const READ: u32 = 0x0002_0019;
const CHANGE: u32 = READ | 0x0001_0000 | 0x2 | 0x4;
/// KEY_VALUE_PARTIAL_INFORMATION: three numbers before the data.
const VALUE_HEAD: usize = 12;
/// KEY_BASIC_INFORMATION: time, title, and the length of the name before it.
const NAME_HEAD: usize = 16;
/// The longest value that is read: the longest text of a policy, and room.
const MOST: usize = 64 * 1024;

/// A key, open.
pub struct Key(HANDLE);

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: opened by this file, and closed once.
        let _ = unsafe { ZwClose(self.0) };
    }
}

fn checked(status: nt::NTSTATUS) -> Result<(), NtStatus> {
    match nt::status(status) {
        status if nt::succeeded(status) => Ok(()),
        status => Err(status),
    }
}

impl Key {
    /// Opens a key below `parent`, or by its full name; with `make`, makes it where it is missing.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn open(parent: Option<&Key>, name: &[u16], make: bool) -> Result<Key, NtStatus> {
        let mut name = string(name)?;
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            RootDirectory: parent.map_or(null_mut(), |parent| parent.0),
            ObjectName: &raw mut name,
            Attributes: OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE,
            ..Default::default()
        };
        let mut key: HANDLE = null_mut();
        let status = if make {
            // SAFETY: all pointers outlive the call; no class, and what was done is not asked.
            unsafe {
                ZwCreateKey(
                    &mut key,
                    CHANGE,
                    &mut attributes,
                    0,
                    null_mut(),
                    REG_OPTION_NON_VOLATILE,
                    null_mut(),
                )
            }
        } else {
            // SAFETY: all pointers outlive the call.
            unsafe { ZwOpenKey(&mut key, CHANGE, &mut attributes) }
        };
        checked(status)?;
        Ok(Key(key))
    }

    /// A value's type and bytes.
    fn value(&self, name: &str) -> Result<(u32, Vec<u8>), NtStatus> {
        let name = units(name)?;
        let mut name = string(&name)?;
        let mut buffer: Vec<u8> = Vec::new();
        let mut room = 256usize;
        loop {
            buffer
                .try_reserve_exact(room)
                .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
            buffer.resize(room, 0);
            let mut needed = 0;
            // SAFETY: the buffer has the length that is told, and all pointers outlive the call.
            let status = unsafe {
                ZwQueryValueKey(
                    self.0,
                    &mut name,
                    _KEY_VALUE_INFORMATION_CLASS::KeyValuePartialInformation,
                    buffer.as_mut_ptr().cast(),
                    u32::try_from(room).unwrap_or(0),
                    &mut needed,
                )
            };
            match nt::status(status) {
                NtStatus::BUFFER_OVERFLOW | NtStatus::BUFFER_TOO_SMALL
                    if needed as usize > room && needed as usize <= MOST =>
                {
                    room = needed as usize;
                }
                status if status == NtStatus::SUCCESS => break,
                status => return Err(status),
            }
        }
        let field = |at: usize| buffer.get(at..).and_then(u32::get);
        let (kind, length) = field(4).zip(field(8)).ok_or(NtStatus::OBJECT_TYPE_MISMATCH)?;
        let end = VALUE_HEAD.saturating_add(length as usize);
        let data = buffer
            .get(VALUE_HEAD..end)
            .ok_or(NtStatus::OBJECT_TYPE_MISMATCH)?;
        Ok((kind, copy(data)?))
    }

    /// A number; `None` when there is none, or something else.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn number(&self, name: &str) -> Result<Option<u32>, NtStatus> {
        match self.value(name) {
            Ok((REG_DWORD, bytes)) => Ok(u32::get(&bytes)),
            Ok(_) | Err(NtStatus::OBJECT_NAME_NOT_FOUND) => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// A text, as the bytes of UTF-16 up to its NUL; empty when there is none, or something else.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn text(&self, name: &str) -> Result<Vec<u8>, NtStatus> {
        match self.value(name) {
            Ok((REG_SZ, mut bytes)) => {
                let (units, _) = bytes.as_chunks::<2>();
                let length = units.iter().take_while(|unit| **unit != [0, 0]).count();
                bytes.truncate(length.saturating_mul(2));
                Ok(bytes)
            }
            Ok(_) | Err(NtStatus::OBJECT_NAME_NOT_FOUND) => Ok(Vec::new()),
            Err(status) => Err(status),
        }
    }

    fn set(&self, name: &str, kind: u32, data: &mut [u8]) -> Result<(), NtStatus> {
        let name = units(name)?;
        let mut name = string(&name)?;
        let length = u32::try_from(data.len()).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        // SAFETY: all pointers outlive the call, which reads `length` bytes.
        let status = unsafe { ZwSetValueKey(self.0, &mut name, 0, kind, data.as_mut_ptr().cast(), length) };
        checked(status)
    }

    /// Sets a number, or takes it away.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn set_number(&self, name: &str, number: Option<u32>) -> Result<(), NtStatus> {
        match number {
            Some(number) => self.set(name, REG_DWORD, &mut number.to_le_bytes()),
            None => self.forget(name),
        }
    }

    /// Sets a text, or takes it away when it is empty.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn set_text(&self, name: &str, text: &[u8]) -> Result<(), NtStatus> {
        if text.is_empty() {
            return self.forget(name);
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(text.len().saturating_add(2))
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        copy.extend_from_slice(text);
        copy.extend_from_slice(&[0, 0]);
        self.set(name, REG_SZ, &mut copy)
    }

    fn forget(&self, name: &str) -> Result<(), NtStatus> {
        let name = units(name)?;
        let mut name = string(&name)?;
        // SAFETY: the name outlives the call.
        match nt::status(unsafe { ZwDeleteValueKey(self.0, &mut name) }) {
            NtStatus::OBJECT_NAME_NOT_FOUND => Ok(()),
            status if nt::succeeded(status) => Ok(()),
            status => Err(status),
        }
    }

    /// The name of the subkey with this number, counted from 0 in the registry's order; `None` behind the last.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn subkey(&self, index: u32) -> Result<Option<Vec<u16>>, NtStatus> {
        // A key's name has 255 units at most.
        let mut buffer = [0u8; NAME_HEAD + 512];
        let mut needed = 0;
        // SAFETY: the buffer has the length that is told, and all pointers outlive the call.
        let status = unsafe {
            ZwEnumerateKey(
                self.0,
                index,
                _KEY_INFORMATION_CLASS::KeyBasicInformation,
                buffer.as_mut_ptr().cast(),
                size_of_val(&buffer) as u32,
                &mut needed,
            )
        };
        match nt::status(status) {
            NtStatus::NO_MORE_ENTRIES => return Ok(None),
            status if nt::succeeded(status) => {}
            status => return Err(status),
        }
        let length = buffer.get(12..).and_then(u32::get).unwrap_or(0) as usize;
        let name = buffer.get(NAME_HEAD..NAME_HEAD.saturating_add(length));
        let (name, _) = name.unwrap_or_default().as_chunks::<2>();
        let mut units = Vec::new();
        units
            .try_reserve_exact(name.len())
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        units.extend(name.iter().map(|unit| u16::from_le_bytes(*unit)));
        Ok(Some(units))
    }

    /// Deletes the key, which has no subkeys.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn delete(self) -> Result<(), NtStatus> {
        // SAFETY: the key is open; its handle is closed afterwards, as it has to be.
        checked(unsafe { ZwDeleteKey(self.0) })
    }
}
