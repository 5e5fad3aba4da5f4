//! STOR, APPE and STOU: what a client sends, into a file.
//!
//! The end of a file is the end of its data connection, and a client that is killed ends that as well. It ends its control
//! connection in the same moment, so that is looked at when the bytes are on the disk and before the file is made of them.

use std::io;
use std::sync::Arc;

use lkl::Errno;
use lkl_volume::Publish;

use super::changing::code;
use super::command::Representation;
use super::control::Watched;
use super::session::Session;
use super::transfer::{self, Trouble};
use super::upload::{Upload, writable};
use crate::place::{Names, Place, written};
use crate::report::{Detail, Progress, shown};
use crate::tree::{Kind, Stat};

/// Where a file goes.
struct Goal {
    folder: Place,
    name: Vec<u8>,
    /// The file that is there.
    old: Option<(Place, Stat)>,
}

impl Session {
    /// What a path means to what writes files: links are followed, and the last name may be a new one.
    fn goal(&mut self, names: &Names) -> Result<Goal, Errno> {
        for _ in 0..100 {
            if let Some(goal) = self.goal_now(names)? {
                return Ok(goal);
            }
        }
        Err(Errno::EBUSY)
    }

    /// `None`: another client has made it in this moment.
    fn goal_now(&mut self, names: &Names) -> Result<Option<Goal>, Errno> {
        let (last, folder) = names.split_last().ok_or(Errno::EISDIR)?;
        match self.walker.find(names) {
            Ok(place) => {
                let stat = place.node().stat()?;
                match stat.kind {
                    Kind::File => {}
                    Kind::Folder => return Err(Errno::EISDIR),
                    _ => return Err(Errno::EACCES),
                }
                let (folder, name) = place.entry_of().ok_or(Errno::EROFS)?;
                let (folder, name) = (folder.clone(), name.to_vec());
                let old = Some((place, stat));
                Ok(Some(Goal { folder, name, old }))
            }
            Err(Errno::ENOENT) => {
                let folder = self.walker.folder(folder)?;
                match folder.node().stat_of(last) {
                    Err(Errno::ENOENT) => {}
                    Ok(stat) if stat.kind != Kind::Link => return Ok(None),
                    // A link that leads nowhere.
                    _ => return Err(Errno::EEXIST),
                }
                let name = last.clone();
                Ok(Some(Goal {
                    folder,
                    name,
                    old: None,
                }))
            }
            Err(errno) => Err(errno),
        }
    }

    pub(super) async fn stor(&mut self, path: &[u8]) -> io::Result<()> {
        let restart = std::mem::take(&mut self.restart);
        if restart > 0 && self.representation == Representation::Text {
            self.channel = Default::default();
            return self.control.say(554, "REST needs TYPE I.").await;
        }
        let upload = self.names(path).and_then(|names| {
            let goal = self.goal(&names)?;
            let old = goal.old.as_ref().map(|(place, stat)| (place, stat));
            self.room(&goal.folder)?;
            let upload = match (restart, old) {
                (0, old) => Upload::into_name(&goal.folder, &goal.name, old, Publish::Replacing)?,
                (at, Some((place, stat))) if at == stat.size => self.tail(place)?,
                (at, Some((place, stat))) if at < stat.size => {
                    Upload::from(&goal.folder, &goal.name, (place, stat), at)?
                }
                // There are not as many bytes to go on from.
                _ => return Err(Errno::EINVAL),
            };
            Ok((upload, names))
        });
        match upload {
            Ok((upload, names)) => self.receive("STOR", upload, &names).await,
            Err(Errno::EINVAL) if restart > 0 => {
                self.channel = Default::default();
                self.control.say(554, "The file has fewer bytes.").await
            }
            Err(errno) => self.refuse_change(path, errno).await,
        }
    }

    pub(super) async fn appe(&mut self, path: &[u8]) -> io::Result<()> {
        self.restart = 0;
        let upload = self.names(path).and_then(|names| {
            let goal = self.goal(&names)?;
            self.room(&goal.folder)?;
            let upload = match &goal.old {
                Some((place, _)) => self.tail(place)?,
                None => Upload::into_name(&goal.folder, &goal.name, None, Publish::Replacing)?,
            };
            Ok((upload, names))
        });
        match upload {
            Ok((upload, names)) => self.receive("APPE", upload, &names).await,
            Err(errno) => self.refuse_change(path, errno).await,
        }
    }

    pub(super) async fn stou(&mut self, path: &[u8]) -> io::Result<()> {
        self.restart = 0;
        let upload = self.names(path).and_then(|mut names| {
            let beginning = match path {
                b"" => b"file".to_vec(),
                _ => names.pop().ok_or(Errno::EISDIR)?,
            };
            let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos());
            let name = [&beginning[..], format!(".{now:x}").as_bytes()].concat();
            let folder = self.walker.folder(&names)?;
            self.room(&folder)?;
            let upload = Upload::into_name(&folder, &name, None, Publish::New)?;
            names.push(name);
            Ok((upload, names))
        });
        match upload {
            Ok((upload, names)) => self.receive("STOU", upload, &names).await,
            Err(errno) => self.refuse_change(path, errno).await,
        }
    }

    fn tail(&self, file: &Place) -> Result<Upload, Errno> {
        let writing = self.server.writing.as_ref().ok_or(Errno::EROFS)?;
        Upload::appending(&Arc::clone(&writing.growing), file)
    }

    /// ENOSPC if there is less room than the client has said that it needs.
    fn room(&mut self, folder: &Place) -> Result<(), Errno> {
        let wanted = std::mem::take(&mut self.allocated);
        writable(folder.node())?;
        match wanted > 0 && folder.node().space()?.available < wanted {
            true => Err(Errno::ENOSPC),
            false => Ok(()),
        }
    }

    pub(super) async fn allo(&mut self, bytes: u64) -> io::Result<()> {
        if !self.may_write {
            return self.control.say(202, "That is not needed here.").await;
        }
        let here = self.here.clone();
        let space = self.walker.folder(&here).and_then(|folder| folder.node().space());
        // The file may go elsewhere: STOR says whether it fits.
        self.allocated = bytes;
        let text = match space {
            Ok(space) if space.available < bytes => format!("Only {} bytes are free here.", space.available),
            _ => "It is looked for when the file comes.".to_owned(),
        };
        self.control.say(200, &text).await
    }

    /// Takes what comes, and makes the file of it when that is all.
    async fn receive(&mut self, verb: &str, mut upload: Upload, names: &Names) -> io::Result<()> {
        let name = shown(&written(names));
        let opening = match verb {
            "STOU" => format!("FILE: {name}"),
            _ => format!("Send {name}."),
        };
        let Some(mut data) = self.connect(&opening).await? else {
            return Ok(());
        };
        let mut progress = Progress::new(self.server.report, self.address, format!("{verb} {name}"), None);
        let representation = self.representation;
        let work = transfer::receive(&mut data, &mut upload, representation, &mut progress);
        let mut ended = self.control.watch(work).await;
        if let Watched::Done(Ok(())) = ended {
            // A client may wait for TLS's end of this direction, too; one that does not has it all the same.
            let _ = transfer::finish(&mut data).await;
            ended = match upload.sync() {
                Err(errno) => Watched::Done(Err(Trouble::Volume(errno))),
                Ok(()) if self.control.is_gone().await => Watched::Gone,
                Ok(()) => Watched::Done(Ok(())),
            };
        }
        if let Watched::Done(Ok(())) = ended {
            ended = Watched::Done(upload.publish().map_err(Trouble::Volume));
        } else {
            // Whatever came is gone before the client is told.
            drop(upload);
        }
        match ended {
            Watched::Done(Ok(())) => {
                progress.end("stored");
                self.control.say(226, &format!("{name} is stored.")).await
            }
            Watched::Done(Err(Trouble::Client(error))) => {
                progress.end(&format!("not received ({error})"));
                self.control
                    .say(426, "The data connection is lost; nothing is stored.")
                    .await
            }
            Watched::Done(Err(Trouble::Volume(errno))) => {
                progress.end(&format!("not stored ({errno})"));
                self.say(Detail::Quiet, format_args!("{name}: {errno}"));
                self.control
                    .say(code(errno), &format!("{name} is not stored: {errno}."))
                    .await?;
                // Many clients hear the reply only if what they are sending is taken.
                transfer::discard(&mut data).await;
                Ok(())
            }
            Watched::Aborted => {
                progress.end("aborted");
                self.control.say(426, "Aborted; nothing is stored.").await?;
                self.control.say(226, "ABOR is done.").await
            }
            Watched::Gone => {
                progress.end("the client has gone; nothing is stored");
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        }
    }
}
