//! What stands behind `-o`: some words are ours, some are for the host's kernel, as of every mount, and the rest is for the file system
//! in Linux.

use fuser::MountOption;
use lkl_volume::{Exit, Failure};

/// The words of all `-o`, sorted out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// `rw`: mount for writing.
    pub write: bool,
    /// `part=N`: the partition, 0 for the whole disk.
    pub part: Option<u32>,
    /// `fs=TYPE`: Linux's name for the file system.
    pub fs: Option<String>,
    /// `memory=MIB`: memory for Linux.
    pub memory: Option<u32>,
    /// `threads=N`: how many requests are answered at once.
    pub threads: Option<usize>,
    /// `norecovery`: do not replay a journal.
    pub no_recovery: bool,
    /// `writeback`: the kernel keeps what is written for a while.
    pub writeback: bool,
    /// `allow_other`: for other users, too.
    pub allow_other: bool,
    /// `allow_root`: for root, too.
    pub allow_root: bool,
    /// `default_permissions`: modes and owners count.
    pub default_permissions: bool,
    /// `fsname=NAME`: the mount's source, instead of the image.
    pub source: Option<String>,
    /// For the host's kernel.
    pub kernel: Vec<MountOption>,
    /// `sync`: a change is in the image when it is done.
    pub synchronous: bool,
    /// For the file system in Linux.
    pub linux: String,
}

/// Words of fstab and mount(8) that are nothing to us, or that the mount has anyhow.
const IDLE: [&str; 21] = [
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "nofail",
    "_netdev",
    "async",
    "atime",
    "noatime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "diratime",
    "nodiratime",
    "lazytime",
    "nolazytime",
];

impl MountOptions {
    /// Sorts out what follows each `-o`. Later words hold.
    pub fn parse<'a>(given: impl IntoIterator<Item = &'a str>) -> Result<MountOptions, Failure> {
        let mut options = MountOptions::default();
        let mut linux = Vec::new();
        let words = given.into_iter().flat_map(|words| words.split(','));
        for word in words.map(str::trim).filter(|word| !word.is_empty()) {
            if !options.take(word)? {
                linux.push(word);
            }
        }
        options.linux = linux.join(",");
        Ok(options)
    }

    /// One word; false when it is for the file system.
    fn take(&mut self, word: &str) -> Result<bool, Failure> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match (key, word) {
            (_, "rw") => self.write = true,
            (_, "ro") => self.write = false,
            (_, "norecovery") => self.no_recovery = true,
            (_, "writeback") => self.writeback = true,
            (_, "allow_other") => self.allow_other = true,
            (_, "allow_root") => self.allow_root = true,
            (_, "default_permissions") => self.default_permissions = true,
            (_, "sync") => self.synchronous = true,
            (_, "dirsync") => self.kernel(MountOption::DirSync),
            (_, "dev") => self.kernel(MountOption::Dev),
            (_, "nodev") => self.kernel(MountOption::NoDev),
            (_, "suid") => self.kernel(MountOption::Suid),
            (_, "nosuid") => self.kernel(MountOption::NoSuid),
            (_, "exec") => self.kernel(MountOption::Exec),
            (_, "noexec") => self.kernel(MountOption::NoExec),
            (_, word) if IDLE.contains(&word) || word.starts_with("x-") => {}
            ("part", _) => self.part = Some(number(word, value, 0..=u32::MAX)?),
            ("memory", _) => self.memory = Some(number(word, value, 16..=65536)?),
            ("threads", _) => self.threads = usize::try_from(number(word, value, 1..=64)?).ok(),
            ("fs", _) => self.fs = Some(value.to_owned()),
            ("fsname", _) => self.source = Some(value.to_owned()),
            ("comment" | "uhelper" | "helper" | "subtype", _) => {}
            ("max_read", _) => self.kernel(MountOption::CUSTOM(word.to_owned())),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Adds a word for the kernel, in place of its opposite.
    fn kernel(&mut self, option: MountOption) {
        let opposite = match option {
            MountOption::Dev => Some(MountOption::NoDev),
            MountOption::NoDev => Some(MountOption::Dev),
            MountOption::Suid => Some(MountOption::NoSuid),
            MountOption::NoSuid => Some(MountOption::Suid),
            MountOption::Exec => Some(MountOption::NoExec),
            MountOption::NoExec => Some(MountOption::Exec),
            _ => None,
        };
        self.kernel
            .retain(|given| *given != option && Some(given) != opposite.as_ref());
        self.kernel.push(option);
    }
}

fn number(word: &str, value: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32, Failure> {
    let (least, most) = (range.start(), range.end());
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(Failure::new(
            Exit::Usage,
            format_args!("-o {word}: a number from {least} to {most} is wanted; see lklfuse --help"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_where_they_belong_and_later_ones_hold() {
        let given = [
            "rw,part=2,fs=ext4,subvol=home",
            "ro,noexec,nodev,dev,x-systemd.automount,uid=5",
        ];
        let options = MountOptions::parse(given).unwrap();
        assert_eq!(
            options,
            MountOptions {
                part: Some(2),
                fs: Some("ext4".to_owned()),
                kernel: vec![MountOption::NoExec, MountOption::Dev],
                linux: "subvol=home,uid=5".to_owned(),
                ..MountOptions::default()
            }
        );
        assert!(MountOptions::parse(["ro", "rw"]).unwrap().write);
    }

    #[test]
    fn a_number_that_is_none_is_named() {
        for word in ["part=x", "part=-1", "memory=1", "threads=0", "part="] {
            let failure = MountOptions::parse([word]).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(word), "{failure}");
        }
    }
}
