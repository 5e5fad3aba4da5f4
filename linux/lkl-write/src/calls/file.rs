//! The calls that change one file: its attributes and its contents.
//!
//! A descriptor that is only a place in the tree (O_PATH) does for few of them. Where a call refuses it (EBADF), the same call
//! with a path does, and the path is that of the descriptor in `/proc`.

use super::{AT_EMPTY_PATH, At, address, amount, call, offset, path_of, size, text};
use lkl::{Errno, OwnedFd};
use std::ffi::CStr;

const SYS_LSEEK: i64 = 8;
const SYS_IOCTL: i64 = 16;
const SYS_PWRITE64: i64 = 18;
const SYS_FSYNC: i64 = 74;
const SYS_FDATASYNC: i64 = 75;
const SYS_TRUNCATE: i64 = 76;
const SYS_FTRUNCATE: i64 = 77;
const SYS_FCHMOD: i64 = 91;
const SYS_SETXATTR: i64 = 188;
const SYS_FSETXATTR: i64 = 190;
const SYS_REMOVEXATTR: i64 = 197;
const SYS_FREMOVEXATTR: i64 = 199;
const SYS_FCHOWNAT: i64 = 260;
const SYS_FCHMODAT: i64 = 268;
const SYS_UTIMENSAT: i64 = 280;
const SYS_FALLOCATE: i64 = 285;
const SYS_PWRITEV: i64 = 296;
const SYS_SYNCFS: i64 = 306;
const SYS_COPY_FILE_RANGE: i64 = 326;

// Attributes.

/// Calls with a descriptor, or where it is only a place with the path to that.
fn by_either(
    file: &OwnedFd,
    with_descriptor: impl FnOnce(i64) -> Result<u64, Errno>,
    with_path: impl FnOnce(i64) -> Result<u64, Errno>,
) -> Result<(), Errno> {
    match with_descriptor(file.raw().into()) {
        Err(Errno::EBADF) => with_path(text(&path_of(file)?)).map(drop),
        done => done.map(drop),
    }
}

pub(crate) fn chmod(file: &OwnedFd, mode: u32) -> Result<(), Errno> {
    const AT_FDCWD: i64 = -100;
    let (by, mode) = (file.kernel(), i64::from(mode));
    by_either(
        file,
        |file| call(by, SYS_FCHMOD, [file, mode]),
        |path| call(by, SYS_FCHMODAT, [AT_FDCWD, path, mode]),
    )
}

/// -1 for what is to stay.
pub(crate) fn chown(file: &OwnedFd, uid: i64, gid: i64) -> Result<(), Errno> {
    let [file_word, empty] = At::file(file).words();
    let arguments = [file_word, empty, uid, gid, AT_EMPTY_PATH];
    call(file.kernel(), SYS_FCHOWNAT, arguments).map(drop)
}

/// Two `struct timespec`.
pub(crate) fn utimens(file: &OwnedFd, times: &[[i64; 2]; 2]) -> Result<(), Errno> {
    let [file_word, empty] = At::file(file).words();
    let arguments = [file_word, empty, address(times.as_ptr()), AT_EMPTY_PATH];
    call(file.kernel(), SYS_UTIMENSAT, arguments).map(drop)
}

pub(crate) fn setxattr(file: &OwnedFd, name: &CStr, value: &[u8], flags: i64) -> Result<(), Errno> {
    let by = file.kernel();
    let rest = [text(name), address(value.as_ptr()), size(value.len()), flags];
    let arguments = |first| {
        let [name, value, len, flags] = rest;
        [first, name, value, len, flags]
    };
    by_either(
        file,
        |file| call(by, SYS_FSETXATTR, arguments(file)),
        |path| call(by, SYS_SETXATTR, arguments(path)),
    )
}

pub(crate) fn removexattr(file: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let (by, name) = (file.kernel(), text(name));
    by_either(
        file,
        |file| call(by, SYS_FREMOVEXATTR, [file, name]),
        |path| call(by, SYS_REMOVEXATTR, [path, name]),
    )
}

// Contents.

pub(crate) fn truncate(file: &OwnedFd, len: u64) -> Result<(), Errno> {
    let (by, len) = (file.kernel(), offset(len)?);
    by_either(
        file,
        |file| call(by, SYS_FTRUNCATE, [file, len]),
        |path| call(by, SYS_TRUNCATE, [path, len]),
    )
}

pub(crate) fn pwrite(file: &OwnedFd, bytes: &[u8], at: u64) -> Result<usize, Errno> {
    let (place, len) = (address(bytes.as_ptr()), size(bytes.len()));
    let arguments = [file.raw().into(), place, len, offset(at)?];
    amount(call(file.kernel(), SYS_PWRITE64, arguments))
}

pub(crate) fn pwritev(file: &OwnedFd, pieces: &[&[u8]], at: u64) -> Result<usize, Errno> {
    /// The most that Linux takes at once (UIO_MAXIOV).
    const MOST: usize = 1024;
    let pieces = pieces.iter().take(MOST);
    // struct iovec
    let vector: Vec<[i64; 2]> = pieces
        .map(|piece| [address(piece.as_ptr()), size(piece.len())])
        .collect();
    let (place, count) = (address(vector.as_ptr()), size(vector.len()));
    let arguments = [file.raw().into(), place, count, offset(at)?];
    amount(call(file.kernel(), SYS_PWRITEV, arguments))
}

pub(crate) fn fsync(file: &OwnedFd, data_only: bool) -> Result<(), Errno> {
    let number = if data_only { SYS_FDATASYNC } else { SYS_FSYNC };
    call(file.kernel(), number, [file.raw().into()]).map(drop)
}

pub(crate) fn syncfs(file: &OwnedFd) -> Result<(), Errno> {
    call(file.kernel(), SYS_SYNCFS, [file.raw().into()]).map(drop)
}

pub(crate) fn fallocate(file: &OwnedFd, mode: i64, at: u64, len: u64) -> Result<(), Errno> {
    let arguments = [file.raw().into(), mode, offset(at)?, offset(len)?];
    call(file.kernel(), SYS_FALLOCATE, arguments).map(drop)
}

pub(crate) fn lseek(file: &OwnedFd, at: u64, whence: i64) -> Result<u64, Errno> {
    call(file.kernel(), SYS_LSEEK, [file.raw().into(), offset(at)?, whence])
}

pub(crate) fn copy_file_range(
    from: &OwnedFd,
    from_at: u64,
    to: &OwnedFd,
    to_at: u64,
    len: usize,
) -> Result<usize, Errno> {
    let (mut from_at, mut to_at) = (offset(from_at)?, offset(to_at)?);
    // Linux moves both positions on.
    let places = [&raw mut from_at, &raw mut to_at].map(|place| address(place.cast_const()));
    let [from_place, to_place] = places;
    let arguments = [
        from.raw().into(),
        from_place,
        to.raw().into(),
        to_place,
        size(len),
        0,
    ];
    amount(call(from.kernel(), SYS_COPY_FILE_RANGE, arguments))
}

/// A request whose argument is a record without pointers, which Linux reads or writes.
pub(crate) fn record<const N: usize>(
    file: &OwnedFd,
    request: u32,
    record: &mut [u8; N],
) -> Result<(), Errno> {
    /// The size of the record, as the request's number says.
    const fn size_of_record(request: u32) -> usize {
        (request >> 16 & 0x3fff) as usize
    }
    if size_of_record(request) != N {
        return Err(Errno::EINVAL);
    }
    let place = address(record.as_mut_ptr().cast_const());
    call(
        file.kernel(),
        SYS_IOCTL,
        [file.raw().into(), request.into(), place],
    )
    .map(drop)
}

/// FITRIM over the whole file system; the bytes that Linux has discarded.
pub(crate) fn trim(file: &OwnedFd) -> Result<u64, Errno> {
    const FITRIM: i64 = 0xc018_5879;
    // struct fstrim_range: start, length, smallest extent; Linux writes the sum into the length.
    let mut range = [0u64, u64::MAX, 0];
    let place = address(range.as_mut_ptr().cast_const());
    call(file.kernel(), SYS_IOCTL, [file.raw().into(), FITRIM, place])?;
    let [_, discarded, _] = range;
    Ok(discarded)
}
