//! A volume that the driver has mounted, for the commands that read: through NT's own file calls, as every program reads
//! it, and the driver's own two controls for what those cannot say (`lklfs_client::files`).
//!
//! Every object is opened relative to its directory, by its exact name, and never follows a link. Windows may compare
//! without case nevertheless (programs cannot always ask it not to); so the name that the driver found is compared with
//! the one that was wanted.

use std::cell::OnceCell;
use std::ops::ControlFlow;

use lklfs_client::answer::Linux;
use lklfs_client::files::{File, OpenAs, Volume as About};
use lklfs_client::{CallError, NtStatus};
use lklfs_nt::linux::{LinuxFile, STALE};
use lklfs_nt::names;

use crate::driver;
use crate::exit::{Exit, Failure, RUN_AS};
use crate::info::FileSystem;
use crate::text::{plain, shown};
use crate::volume::{Errno, Kind, Stat, Time, Volume};
use crate::watchdog;

/// STATUS_CONNECTION_DISCONNECTED: the double has gone.
const DISCONNECTED: NtStatus = NtStatus(0xc000_020c);

/// `.`, in Windows' characters.
const DOT: u16 = b'.' as u16;

/// A volume of the driver's.
#[derive(Debug)]
pub struct Mounted {
    root: File,
    /// As the user named it.
    name: String,
    /// Why nothing more can be read, once that is so.
    end: OnceCell<End>,
}

/// Why nothing more can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The volume was unmounted, or its disk is gone.
    Volume,
    /// The driver is gone.
    Driver,
    /// Linux, inside the driver, has stopped.
    Linux,
}

/// An object that has been found.
#[derive(Debug)]
pub struct Node {
    file: File,
    stat: Stat,
    target: Vec<u8>,
}

impl Mounted {
    /// Opens the volume whose device or drive has the NT name `device`; `name` is what the user calls it. `None`: nothing
    /// of the driver's is there.
    pub fn open(device: &[u16], name: &str) -> Option<Mounted> {
        let mut path = device.to_vec();
        path.push(u16::from(b'\\'));
        // Names of devices are not the volume's: their case does not count.
        let how = OpenAs {
            exact: false,
            ..OpenAs::LOOK
        };
        Mounted::over(File::open(&path, how).ok()?, name)
    }

    /// The same over an open root.
    pub fn over(root: File, name: &str) -> Option<Mounted> {
        // Other file systems do not know the question.
        root.linux().ok()?;
        Some(Mounted {
            root,
            name: name.to_string(),
            end: OnceCell::new(),
        })
    }

    /// As the user named it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a file of this volume is called when it has no name of its own: `L` for `L:`.
    pub fn stem(&self) -> String {
        let name = self.name.trim_end_matches(['\\', ':']);
        match name.rsplit(['\\', ':']).next() {
            Some(last) if !last.is_empty() => last.to_string(),
            _ => "volume".to_string(),
        }
    }

    /// The file system, for `info`.
    pub fn file_system(&self) -> Result<FileSystem, Failure> {
        let about = self
            .root
            .linux_volume()
            .map_err(|error| self.failure(b"/", errno(error)))?;
        watchdog::progress();
        let About {
            record,
            fs_name,
            label,
            uuid,
        } = about;
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(FileSystem {
            name: fs_name,
            label: some(label),
            uuid: some(uuid),
            total: record.blocks.saturating_mul(record.unit),
            free: record.blocks_free.saturating_mul(record.unit),
            block_size: record.block_size,
            inodes: record.inodes,
            inodes_free: record.inodes_free,
            stale: record.flags & STALE != 0,
        })
    }

    fn node(&self, file: File, name: Option<&[u8]>) -> Result<Node, Errno> {
        let about = file.linux().map_err(errno)?;
        watchdog::progress();
        if name.is_some_and(|name| name != about.name) {
            return Err(Errno::ENOENT);
        }
        Ok(Node {
            file,
            stat: stat(&about.record)?,
            target: about.target,
        })
    }

    /// Whether, and why, nothing more can be read: asked only when something has failed.
    fn end(&self) -> Option<End> {
        if let Some(end) = self.end.get() {
            return Some(*end);
        }
        let end = match self.root.linux() {
            Ok(_) => {
                let status = driver::look().and_then(|driver| driver.status().map_err(driver::failed));
                (status.ok()?.linux == Linux::Dead).then_some(End::Linux)?
            }
            Err(CallError::Refused(status)) => match status {
                NtStatus::VOLUME_DISMOUNTED
                | NtStatus::NO_SUCH_DEVICE
                | NtStatus::DEVICE_DOES_NOT_EXIST
                | NtStatus::DEVICE_REMOVED
                | NtStatus::FILE_INVALID
                | NtStatus::NO_MEDIA_IN_DEVICE
                | NtStatus::WRONG_VOLUME => End::Volume,
                DISCONNECTED | NtStatus::INVALID_HANDLE => End::Driver,
                _ => return None,
            },
            Err(_) => return None,
        };
        Some(*self.end.get_or_init(|| end))
    }
}

impl Volume for Mounted {
    type Node = Node;
    type File = File;

    fn root(&self) -> Result<Node, Errno> {
        self.node(self.root.again(OpenAs::LOOK).map_err(errno)?, None)
    }

    fn child(&self, directory: &Node, name: &[u8]) -> Result<Node, Errno> {
        let units = names::to_windows(name).map_err(|_| Errno::ENOMEM)?;
        let file = directory.file.child(&units, OpenAs::LOOK).map_err(errno)?;
        self.node(file, Some(name))
    }

    fn stat(&self, node: &Node) -> Result<Stat, Errno> {
        Ok(node.stat.clone())
    }

    fn read_link(&self, node: &Node) -> Result<Vec<u8>, Errno> {
        match node.stat.kind {
            Kind::Link => Ok(node.target.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn list(
        &self,
        directory: &Node,
        sink: &mut dyn FnMut(&[u8], u64) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let open = directory.file.again(OpenAs::LIST).map_err(errno)?;
        let (mut count, mut foreign) = (0u64, false);
        let listed = open.names(&mut |name| {
            count += 1;
            // The two that are no names of Linux's have no other form.
            if matches!(name, [DOT] | [DOT, DOT]) {
                return ControlFlow::Continue(());
            }
            match names::to_linux(name) {
                Ok(linux) => sink(&linux, count),
                // Every name that the driver shows stands for one of Linux's.
                Err(_) => {
                    foreign = true;
                    ControlFlow::Break(())
                }
            }
        });
        match listed {
            _ if foreign => Err(Errno::EPROTO),
            listed => listed.map_err(errno),
        }
    }

    fn open(&self, node: &Node) -> Result<File, Errno> {
        node.file.again(OpenAs::READ).map_err(errno)
    }

    fn read(&self, file: &File, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let count = file.read(offset, buffer);
        watchdog::progress();
        count.map_err(errno)
    }

    fn is_dead(&self) -> bool {
        self.end().is_some()
    }

    fn failure(&self, path: &[u8], errno: Errno) -> Failure {
        let at = shown(path);
        match (self.end(), errno) {
            (Some(End::Volume), _) => Failure::new(
                Exit::Volume,
                format_args!(
                    "{at}: the volume {} was unmounted, or its disk removed, while this was read; mount it again",
                    plain(self.name.as_bytes())
                ),
            ),
            (Some(End::Driver), _) => Failure::new(
                Exit::Driver,
                format_args!("{at}: the driver has stopped meanwhile; start it with: userctl start"),
            ),
            (Some(End::Linux), _) => Failure::at(path, errno, true),
            (None, Errno::EACCES | Errno::EPERM) => {
                Failure::new(Exit::Rights, format_args!("{at}: {errno}; {RUN_AS}"))
            }
            (None, Errno::ENOMEM) => Failure::new(
                Exit::Other,
                format_args!("{at}: memory is short; unmount a volume or close programs"),
            ),
            (None, Errno::EBUSY) => Failure::new(
                Exit::InUse,
                format_args!("{at}: another program has opened it for itself; close that program"),
            ),
            (None, errno) => Failure::at(path, errno, false),
        }
    }
}

/// What Linux says of an object.
fn stat(record: &LinuxFile) -> Result<Stat, Errno> {
    let time = |seconds, nanoseconds: u32| Time {
        seconds,
        nanoseconds: nanoseconds.min(999_999_999),
    };
    Ok(Stat {
        kind: Kind::from_mode(record.mode).ok_or(Errno::EPROTO)?,
        mode: record.mode & 0o7777,
        uid: record.uid,
        gid: record.gid,
        links: record.links.into(),
        size: record.size,
        blocks: record.allocated / 512,
        modified: time(record.modified, record.modified_ns),
        accessed: time(record.accessed, record.accessed_ns),
        inode: record.inode,
        device: record.device,
        node_device: (record.device_major, record.device_minor),
    })
}

/// Linux's name for a refusal: what the driver makes of Linux's errors, backwards.
fn errno(error: CallError) -> Errno {
    let CallError::Refused(status) = error else {
        return Errno::EPROTO;
    };
    match status {
        NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND | NtStatus::NO_SUCH_FILE => {
            Errno::ENOENT
        }
        NtStatus::OBJECT_NAME_INVALID | NtStatus::NAME_TOO_LONG => Errno::ENAMETOOLONG,
        NtStatus::NOT_A_DIRECTORY => Errno::ENOTDIR,
        NtStatus::FILE_IS_A_DIRECTORY => Errno::EISDIR,
        NtStatus::ACCESS_DENIED => Errno::EACCES,
        NtStatus::SHARING_VIOLATION | NtStatus::FILE_LOCK_CONFLICT | NtStatus::DEVICE_BUSY => Errno::EBUSY,
        NtStatus::INSUFFICIENT_RESOURCES | NtStatus::NO_MEMORY => Errno::ENOMEM,
        NtStatus::FILE_ENCRYPTED => Errno::ENOKEY,
        NtStatus::FILE_CORRUPT_ERROR | NtStatus::DISK_CORRUPT_ERROR => Errno::EUCLEAN,
        NtStatus::CRC_ERROR | NtStatus::DATA_ERROR => Errno::EBADMSG,
        NtStatus::REPARSE_POINT_NOT_RESOLVED => Errno::ELOOP,
        NtStatus::NOT_SUPPORTED | NtStatus::UNSUPPORTED_COMPRESSION => Errno::EOPNOTSUPP,
        NtStatus::INVALID_PARAMETER => Errno::EINVAL,
        NtStatus::IO_TIMEOUT => Errno::ETIMEDOUT,
        NtStatus::VOLUME_DISMOUNTED | NtStatus::NO_SUCH_DEVICE | NtStatus::DEVICE_REMOVED | DISCONNECTED => {
            Errno::ENODEV
        }
        _ => Errno::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lklfs_client::files::FileTransport;
    use lklfs_nt::FileInformationClass;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// A driver with one directory in which names are found without case, until it is `gone`.
    #[derive(Clone, Default)]
    struct Fake {
        path: Vec<u16>,
        gone: Rc<RefCell<Option<NtStatus>>>,
        names: Vec<Vec<u16>>,
        mode: u32,
        told: bool,
    }

    impl FileTransport for Fake {
        fn open(&self, name: &[u16], how: OpenAs) -> Result<Box<dyn FileTransport>, NtStatus> {
            if let Some(status) = *self.gone.borrow() {
                return Err(status);
            }
            assert!(
                how.options
                    .contains(lklfs_nt::CreateOptions::FILE_OPEN_REPARSE_POINT)
            );
            let lower = |units: &[u16]| String::from_utf16_lossy(units).to_lowercase();
            let found = match name {
                [] => Some(&self.path),
                _ => self.names.iter().find(|known| lower(known) == lower(name)),
            };
            Ok(Box::new(Fake {
                path: found.ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?.clone(),
                ..self.clone()
            }))
        }

        fn read(&self, _offset: u64, _buffer: &mut [u8]) -> Result<usize, NtStatus> {
            Err(self.gone.borrow().unwrap_or(NtStatus::IO_DEVICE_ERROR))
        }

        fn directory(
            &self,
            _class: FileInformationClass,
            restart: bool,
            room: usize,
        ) -> Result<Vec<u8>, NtStatus> {
            if !restart {
                return Err(NtStatus::NO_MORE_FILES);
            }
            let mut out = vec![0; room];
            let mut list = lklfs_nt::writer::EntryList::new(&mut out, 8);
            for name in &self.names {
                let class = FileInformationClass::FileNamesInformation;
                let entry = lklfs_nt::dirinfo::Entry::default();
                assert_eq!(
                    lklfs_nt::dirinfo::push(&mut list, class, &entry, name),
                    Some(lklfs_nt::writer::Pushed::Whole)
                );
            }
            let length = list.written();
            out.truncate(length);
            Ok(out)
        }

        fn control(&self, _code: u32, _input: &[u8], room: usize) -> Result<Vec<u8>, NtStatus> {
            if let Some(status) = *self.gone.borrow() {
                return Err(status);
            }
            let name = match self.path.as_slice() {
                [] => Vec::new(),
                name => names::to_linux(name).unwrap(),
            };
            let mut out = vec![0; room];
            let length = record(self.mode).write(&name, b"to", &mut out).unwrap();
            out.truncate(if self.told { length } else { length - 1 });
            Ok(out)
        }
    }

    fn record(mode: u32) -> LinuxFile {
        LinuxFile {
            size_of_all: 0,
            fixed: 0,
            name_length: 0,
            target_length: 0,
            mode,
            uid: 1,
            gid: 2,
            links: 3,
            device_major: 8,
            device_minor: 1,
            inode: 5,
            device: 6,
            size: 7,
            allocated: 1024,
            accessed: -1,
            modified: 1,
            changed: 0,
            born: 0,
            accessed_ns: 5,
            modified_ns: u32::MAX,
            changed_ns: 0,
            born_ns: 0,
            flags: 0,
        }
    }

    fn fake() -> Fake {
        Fake {
            mode: 0o120_777,
            told: true,
            ..Fake::default()
        }
    }

    fn mounted(fake: Fake) -> Mounted {
        Mounted {
            root: File::over(Box::new(fake)),
            name: "L:".into(),
            end: OnceCell::new(),
        }
    }

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn names_are_exact_even_where_the_system_folds_case() {
        let volume = mounted(Fake {
            names: vec![units("Twin"), units("a\u{f03a}b")],
            ..fake()
        });
        let root = volume.root().unwrap();
        assert!(volume.child(&root, b"Twin").is_ok());
        assert!(volume.child(&root, b"a:b").is_ok());
        assert_eq!(volume.child(&root, b"tWIN").unwrap_err(), Errno::ENOENT);
        assert_eq!(volume.child(&root, b"other").unwrap_err(), Errno::ENOENT);
    }

    #[test]
    fn listings_are_linuxs_names_without_the_dots() {
        let list = |shown: &[&str]| {
            let names = shown.iter().map(|name| units(name)).collect();
            let volume = mounted(Fake { names, ..fake() });
            let mut names = Vec::new();
            let listed = volume.list(&volume.root().unwrap(), &mut |name, _| {
                names.push(name.to_vec());
                ControlFlow::Continue(())
            });
            listed.map(|()| names)
        };
        assert_eq!(
            list(&[".", "..", "co\u{f04e}", "...x", "\u{f0ff}"]),
            Ok(vec![b"coN".to_vec(), b"...x".to_vec(), b"\xff".to_vec()])
        );
        // Nobody's form: a driver that shows such a name is not ours.
        assert_eq!(list(&["CON"]), Err(Errno::EPROTO));
    }

    #[test]
    fn what_linux_says_comes_whole_or_not_at_all() {
        let root = mounted(fake()).root().unwrap();
        assert_eq!((root.stat.kind, root.stat.blocks), (Kind::Link, 2));
        assert_eq!(root.stat.modified.nanoseconds, 999_999_999);
        let cut = Fake {
            told: false,
            ..fake()
        };
        assert_eq!(mounted(cut).root().unwrap_err(), Errno::EPROTO);
        let odd = Fake { mode: 0, ..fake() };
        assert_eq!(mounted(odd).root().unwrap_err(), Errno::EPROTO);
    }

    #[test]
    fn a_volume_that_goes_is_told_from_damage() {
        for (status, exit) in [
            (NtStatus::VOLUME_DISMOUNTED, Exit::Volume),
            (NtStatus::NO_SUCH_DEVICE, Exit::Volume),
            (DISCONNECTED, Exit::Driver),
        ] {
            let fake = fake();
            let volume = mounted(fake.clone());
            let file = volume.open(&volume.root().unwrap()).unwrap();
            let read = |volume: &Mounted| volume.read(&file, 0, &mut [0; 4]).unwrap_err();
            let failure = volume.failure(b"/f", read(&volume));
            assert_eq!(failure.exit, Exit::FileSystem, "{failure}");
            assert!(!volume.is_dead());
            *fake.gone.borrow_mut() = Some(status);
            let failure = volume.failure(b"/f", read(&volume));
            assert_eq!(failure.exit, exit, "{failure}");
            assert!(volume.is_dead());
        }
    }

    #[test]
    fn refusals_have_their_exit_codes() {
        let volume = mounted(fake());
        for (status, exit, words) in [
            (NtStatus::ACCESS_DENIED, Exit::Rights, "administrator"),
            (NtStatus::OBJECT_NAME_NOT_FOUND, Exit::Path, "userctl ls"),
            (NtStatus::INSUFFICIENT_RESOURCES, Exit::Other, "memory is short"),
            (NtStatus::SHARING_VIOLATION, Exit::InUse, "close"),
            (NtStatus::FILE_CORRUPT_ERROR, Exit::FileSystem, "damaged"),
            (NtStatus::FILE_ENCRYPTED, Exit::Path, "encrypted"),
        ] {
            let failure = volume.failure(b"/f", errno(CallError::Refused(status)));
            assert_eq!(failure.exit, exit, "{failure}");
            assert!(failure.message.contains(words), "{failure}");
        }
    }

    #[test]
    fn a_copied_root_has_a_name() {
        for (name, stem) in [
            ("L:", "L"),
            ("\\\\.\\L:", "L"),
            ("\\Device\\HarddiskVolume3", "HarddiskVolume3"),
            ("Data", "Data"),
            (":", "volume"),
        ] {
            let volume = Mounted {
                name: name.into(),
                ..mounted(fake())
            };
            assert_eq!(volume.stem(), stem);
        }
    }
}
