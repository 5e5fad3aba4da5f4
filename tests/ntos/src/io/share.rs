//! Share access: who may open a file that others have open.

use crate::nt::*;
use crate::verifier::fail;

/// What an open asks for, as the file object records it.
struct Wanted {
    read: bool,
    write: bool,
    delete: bool,
    share_read: bool,
    share_write: bool,
    share_delete: bool,
}

impl Wanted {
    fn new(access: ACCESS_MASK, share: ULONG) -> Wanted {
        Wanted {
            read: access & (FILE_READ_DATA | FILE_EXECUTE) != 0,
            write: access & (FILE_WRITE_DATA | FILE_APPEND_DATA) != 0,
            delete: access & DELETE != 0,
            share_read: share & FILE_SHARE_READ != 0,
            share_write: share & FILE_SHARE_WRITE != 0,
            share_delete: share & FILE_SHARE_DELETE != 0,
        }
    }

    /// An open for attributes only does not take part in sharing.
    fn counts(&self) -> bool {
        self.read || self.write || self.delete
    }

    /// # Safety
    /// `file_object` is live.
    unsafe fn note(&self, file_object: PFILE_OBJECT) {
        // SAFETY: by contract.
        unsafe {
            (*file_object).ReadAccess = self.read.into();
            (*file_object).WriteAccess = self.write.into();
            (*file_object).DeleteAccess = self.delete.into();
            (*file_object).SharedRead = (self.counts() && self.share_read).into();
            (*file_object).SharedWrite = (self.counts() && self.share_write).into();
            (*file_object).SharedDelete = (self.counts() && self.share_delete).into();
        }
    }

    fn conflicts(&self, shares: &SHARE_ACCESS) -> bool {
        let open = shares.OpenCount;
        (self.read && shares.SharedRead < open)
            || (self.write && shares.SharedWrite < open)
            || (self.delete && shares.SharedDelete < open)
            || (shares.Readers != 0 && !self.share_read)
            || (shares.Writers != 0 && !self.share_write)
            || (shares.Deleters != 0 && !self.share_delete)
    }
}

/// The file object's flags, as they were noted at its open.
///
/// # Safety
/// `file_object` is live.
unsafe fn noted(file_object: PFILE_OBJECT) -> Wanted {
    // SAFETY: by contract.
    unsafe {
        Wanted {
            read: (*file_object).ReadAccess != 0,
            write: (*file_object).WriteAccess != 0,
            delete: (*file_object).DeleteAccess != 0,
            share_read: (*file_object).SharedRead != 0,
            share_write: (*file_object).SharedWrite != 0,
            share_delete: (*file_object).SharedDelete != 0,
        }
    }
}

fn each(shares: &mut SHARE_ACCESS, wanted: &Wanted, act: impl Fn(&mut ULONG, bool)) {
    if wanted.counts() {
        act(&mut shares.OpenCount, true);
        act(&mut shares.Readers, wanted.read);
        act(&mut shares.Writers, wanted.write);
        act(&mut shares.Deleters, wanted.delete);
        act(&mut shares.SharedRead, wanted.share_read);
        act(&mut shares.SharedWrite, wanted.share_write);
        act(&mut shares.SharedDelete, wanted.share_delete);
    }
}

/// `IoCheckShareAccess`.
pub unsafe extern "win64" fn IoCheckShareAccess(
    access: ACCESS_MASK,
    share: ULONG,
    file_object: PFILE_OBJECT,
    shares: PSHARE_ACCESS,
    update: BOOLEAN,
) -> NTSTATUS {
    let wanted = Wanted::new(access, share);
    // SAFETY: the file system gives its own share record, under its own lock.
    unsafe {
        wanted.note(file_object);
        if wanted.counts() {
            if wanted.conflicts(&*shares) {
                return STATUS_SHARING_VIOLATION;
            }
            if update != 0 {
                each(&mut *shares, &wanted, |count, yes| *count += ULONG::from(yes));
            }
        }
    }
    STATUS_SUCCESS
}

/// `IoSetShareAccess`.
pub unsafe extern "win64" fn IoSetShareAccess(
    access: ACCESS_MASK,
    share: ULONG,
    file_object: PFILE_OBJECT,
    shares: PSHARE_ACCESS,
) {
    let wanted = Wanted::new(access, share);
    // SAFETY: as above.
    unsafe {
        wanted.note(file_object);
        std::ptr::write_bytes(shares, 0, 1);
        each(&mut *shares, &wanted, |count, yes| *count += ULONG::from(yes));
    }
}

/// `IoUpdateShareAccess`.
pub unsafe extern "win64" fn IoUpdateShareAccess(file_object: PFILE_OBJECT, shares: PSHARE_ACCESS) {
    // SAFETY: as above.
    unsafe {
        each(&mut *shares, &noted(file_object), |count, yes| {
            *count += ULONG::from(yes)
        })
    };
}

/// `IoRemoveShareAccess`.
pub unsafe extern "win64" fn IoRemoveShareAccess(file_object: PFILE_OBJECT, shares: PSHARE_ACCESS) {
    // SAFETY: as above.
    unsafe {
        each(&mut *shares, &noted(file_object), |count, yes| {
            *count = count.checked_sub(ULONG::from(yes)).unwrap_or_else(|| {
                fail!(
                    Device,
                    "IoRemoveShareAccess for file object {file_object:p} takes more than was given"
                )
            });
        });
    }
}

crate::table! {
    /// Share access.
    pub static IMPORTS = {
        IoCheckShareAccess <= PASSIVE;
        IoSetShareAccess <= PASSIVE;
        IoUpdateShareAccess <= PASSIVE;
        IoRemoveShareAccess <= PASSIVE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: ACCESS_MASK = FILE_READ_DATA;
    const W: ACCESS_MASK = FILE_WRITE_DATA;

    #[test]
    fn opens_exclude_each_other_both_ways() {
        // SAFETY: zeroed structs of plain data; the calls touch nothing else.
        unsafe {
            let mut first: FILE_OBJECT = std::mem::zeroed();
            let mut second: FILE_OBJECT = std::mem::zeroed();
            let mut shares: SHARE_ACCESS = std::mem::zeroed();
            IoSetShareAccess(R, FILE_SHARE_READ, &raw mut first, &raw mut shares);
            let mut check =
                |access, share| IoCheckShareAccess(access, share, &raw mut second, &raw mut shares, 0);
            assert_eq!(check(R, FILE_SHARE_READ), STATUS_SUCCESS);
            assert_eq!(
                check(W, FILE_SHARE_READ),
                STATUS_SHARING_VIOLATION,
                "the first does not share writing"
            );
            assert_eq!(check(R, 0), STATUS_SHARING_VIOLATION, "the first reads already");
            assert_eq!(
                check(FILE_READ_ATTRIBUTES, 0),
                STATUS_SUCCESS,
                "attributes do not count"
            );
            IoCheckShareAccess(R, FILE_SHARE_READ, &raw mut second, &raw mut shares, 1);
            assert_eq!((shares.OpenCount, shares.Readers, shares.SharedRead), (2, 2, 2));
            IoRemoveShareAccess(&raw mut second, &raw mut shares);
            IoRemoveShareAccess(&raw mut first, &raw mut shares);
            assert_eq!((shares.OpenCount, shares.Readers, shares.SharedRead), (0, 0, 0));
        }
    }
}
