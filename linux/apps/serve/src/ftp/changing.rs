//! Commands that change names, times and modes. What they answer is on the disk when they answer it.

use std::io;
use std::sync::atomic::Ordering;

use lkl::{Errno, Timestamp};
use lkl_volume::sync_folder;
use lkl_write::{AttributeChanges, ContentChanges, FolderChanges, OpenOptions, Rename, SetTime};

use super::change::Change;
use super::paths;
use super::session::Session;
use super::upload::writable;
use crate::place::{Names, Place};
use crate::report::{Detail, shown};
use crate::tree::{Kind, Time};
use crate::when;

/// Permissions of new folders.
const MODE: u32 = 0o755;

impl Session {
    pub(super) async fn change(&mut self, change: Change) -> io::Result<()> {
        let verb = change.verb();
        if self.server.writing.is_none() {
            if verb == "SITE" {
                return self.control.say(502, "SITE is not known here; see HELP.").await;
            }
            let text = format!("{verb}: images are shown read-only.");
            return self.control.say(550, &text).await;
        }
        if !self.may_write {
            return self.control.say(550, &format!("{verb}: log in as a user.")).await;
        }
        let (path, done) = match &change {
            Change::Store(path) => return self.stor(path).await,
            Change::Append(path) => return self.appe(path).await,
            Change::StoreUnique(path) => return self.stou(path).await,
            Change::RenameFrom(path) => return self.rnfr(path).await,
            Change::Delete(path) => (path, self.delete(path)),
            Change::MakeFolder(path) => (path, self.make_folder(path)),
            Change::RemoveFolder(path) => (path, self.remove_folder(path)),
            Change::RenameTo(path) => match self.renamed.take() {
                Some(from) => (path, self.rename(&from, path)),
                None => return self.control.say(503, "RNFR comes first.").await,
            },
            Change::SetModified(time, path) => (path, self.set_modified(*time, path)),
            Change::SetMode(mode, path) => (path, self.set_mode(*mode, path)),
            Change::MakeLink { target, path } => (path, self.make_link(target, path)),
        };
        match done {
            Ok((code, text)) => {
                self.say(Detail::Usual, format_args!("{verb} {}", shown(path)));
                self.control.say_bytes(code, &text).await
            }
            Err(errno) => self.refuse_change(path, errno).await,
        }
    }

    /// The folder that an entry is in, and its name there; a link is meant itself.
    fn entry(&mut self, names: &Names) -> Result<(Place, Vec<u8>), Errno> {
        let (last, folder) = names.split_last().ok_or(Errno::EROFS)?;
        Ok((self.walker.folder(folder)?, last.clone()))
    }

    fn delete(&mut self, path: &[u8]) -> Result<(u16, Vec<u8>), Errno> {
        let names = self.names(path)?;
        let (folder, name) = self.entry(&names)?;
        let around = writable(folder.node())?;
        around.unlink_at(&name)?;
        self.moved();
        sync_folder(around)?;
        Ok((250, b"Deleted.".into()))
    }

    fn remove_folder(&mut self, path: &[u8]) -> Result<(u16, Vec<u8>), Errno> {
        let names = self.names(path)?;
        let (folder, name) = self.entry(&names)?;
        let around = writable(folder.node())?;
        around.rmdir_at(&name)?;
        self.moved();
        sync_folder(around)?;
        Ok((250, b"Removed.".into()))
    }

    fn make_folder(&mut self, path: &[u8]) -> Result<(u16, Vec<u8>), Errno> {
        let names = self.names(path)?;
        let (folder, name) = self.entry(&names)?;
        let around = writable(folder.node())?;
        around.mkdir_at(&name, MODE)?;
        let (stat, made) = (folder.node().stat()?, folder.entry(&name)?);
        let own = made.node().stat()?;
        if (stat.uid, stat.gid) != (own.uid, own.gid) {
            match writable(made.node())?.chown(Some(stat.uid), Some(stat.gid)) {
                Ok(()) | Err(Errno::EPERM | Errno::EOPNOTSUPP) => {}
                Err(errno) => return Err(errno),
            }
        }
        sync_folder(writable(made.node())?)?;
        sync_folder(around)?;
        Ok((257, [&paths::quoted(&names)[..], b" is made."].concat()))
    }

    async fn rnfr(&mut self, path: &[u8]) -> io::Result<()> {
        let found = self.names(path).and_then(|names| {
            let (folder, name) = self.entry(&names)?;
            writable(folder.node())?;
            folder.node().stat_of(&name)?;
            Ok(names)
        });
        match found {
            Ok(names) => {
                self.renamed = Some(names);
                self.control.say(350, "RNTO comes next.").await
            }
            Err(errno) => self.refuse_change(path, errno).await,
        }
    }

    fn rename(&mut self, from: &Names, to: &[u8]) -> Result<(u16, Vec<u8>), Errno> {
        let to = self.names(to)?;
        let (from_folder, from) = self.entry(from)?;
        let (to_folder, to) = self.entry(&to)?;
        let (source, target) = (writable(from_folder.node())?, writable(to_folder.node())?);
        source.rename_at(&from, target, &to, Rename::Replace)?;
        self.moved();
        // FAT keeps with a file where its entry is, and writes that with the file.
        let place = to_folder.entry(&to)?;
        if matches!(place.node().stat()?.kind, Kind::File | Kind::Folder) {
            sync(&place)?;
        }
        sync_folder(target)?;
        sync_folder(source)?;
        Ok((250, b"Renamed.".into()))
    }

    fn make_link(&mut self, target: &[u8], path: &[u8]) -> Result<(u16, Vec<u8>), Errno> {
        let names = self.names(path)?;
        let (folder, name) = self.entry(&names)?;
        let around = writable(folder.node())?;
        around.symlink_at(&name, target)?;
        sync_folder(around)?;
        Ok((250, b"The link is made.".into()))
    }

    fn set_mode(&mut self, mode: u32, path: &[u8]) -> Result<(u16, Vec<u8>), Errno> {
        let names = self.names(path)?;
        let place = self.walker.find(&names)?;
        writable(place.node())?.chmod(mode)?;
        sync(&place)?;
        Ok((250, b"The mode is set.".into()))
    }

    fn set_modified(&mut self, time: Time, path: &[u8]) -> Result<(u16, Vec<u8>), Errno> {
        let names = self.names(path)?;
        let place = self.walker.find(&names)?;
        let at = SetTime::At(Timestamp {
            sec: time.seconds,
            nsec: time.nanoseconds,
        });
        writable(place.node())?.set_times(SetTime::Keep, at)?;
        sync(&place)?;
        let mut text = "Modify=".to_owned();
        // What String is written to never fails. A file system may have kept less of it than was given.
        let _ = when::digits(place.node().stat()?.modified, &mut text);
        text.push_str("; ");
        Ok((213, [text.as_bytes(), &paths::sendable(&names)].concat()))
    }

    /// Paths may lead elsewhere from here on.
    pub(super) fn moved(&mut self) {
        if let Some(writing) = &self.server.writing {
            writing.moves.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Says that a change was not made, and why.
    pub(super) async fn refuse_change(&mut self, path: &[u8], errno: Errno) -> io::Result<()> {
        self.channel = Default::default();
        let code = code(errno);
        self.control
            .say(code, &format!("{}: {errno}.", shown(path)))
            .await
    }
}

/// Has on the disk what was set on a file or folder.
fn sync(place: &Place) -> Result<(), Errno> {
    let found = writable(place.node())?;
    match place.node().stat()?.kind {
        Kind::Folder => sync_folder(found),
        Kind::File => found.reopen_with(OpenOptions::default())?.fsync(),
        // A FIFO or a device is not opened.
        _ => match place.entry_of() {
            Some((folder, _)) => writable(folder.node())?
                .reopen(lkl::OpenMode::Directory)?
                .syncfs(),
            None => Ok(()),
        },
    }
}

/// The reply's code for what Linux says.
pub(super) fn code(errno: Errno) -> u16 {
    match errno {
        Errno::ENOSPC => 452,
        Errno::EDQUOT | Errno::EFBIG => 552,
        Errno::EBUSY | Errno::EAGAIN => 450,
        Errno::EIO | Errno::ENOMEM => 451,
        _ => 550,
    }
}
