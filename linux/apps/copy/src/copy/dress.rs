//! What a copy gets besides its contents.

use lkl::Timestamp;
use lkl_session::exit::{Exit, Failure};
use lkl_session::text::shown;
use lkl_tree::volume::{Errno, Kind, Stat, Time, Volume, Xattr};

use super::{Copy, Refused, SMALL};
use crate::archive::acl;
use crate::destination::Destination;

impl<S: Volume, D: Destination> Copy<'_, S, D> {
    /// Gives a copy what its original has besides contents. In this order: Linux takes set-id bits and capabilities away when a
    /// file gets another owner, a mode may forbid attributes, and an access list changes the mode to what the original's is.
    pub(super) fn dress(
        &mut self,
        path: &[u8],
        node: &D::Node,
        stat: &Stat,
        xattrs: &[Xattr],
        had_lists: bool,
    ) -> Result<(), Refused> {
        let place = self.place;
        if self.state.can_own {
            let uid = self.wishes.owner.unwrap_or(stat.uid);
            let gid = self.wishes.group.unwrap_or(stat.gid);
            match place.set_owner(node, uid, gid) {
                Ok(()) => {}
                Err(Errno::EPERM | Errno::EOPNOTSUPP) => {
                    self.report
                        .note(path, "its owner is not kept, the file system there has none");
                }
                Err(Errno::EINVAL | Errno::EOVERFLOW) => {
                    self.report
                        .note(path, "its owner is not kept, the number is too large there");
                }
                Err(errno) => return Err(self.refused(path, errno)),
            }
        }
        if had_lists {
            for name in [acl::ACCESS, acl::DEFAULT] {
                // It may have got none.
                let _ = place.remove_xattr(node, name);
            }
        }
        self.dress_with_xattrs(path, node, xattrs)?;
        if stat.kind != Kind::Link {
            match place.set_mode(node, stat.mode) {
                Ok(()) => {}
                Err(Errno::EPERM | Errno::EOPNOTSUPP) => {
                    self.report
                        .note(path, "its mode is not kept, the file system there cannot have it");
                }
                Err(errno) => return Err(self.refused(path, errno)),
            }
        }
        let time = |time: Time| Timestamp {
            sec: time.seconds,
            nsec: time.nanoseconds,
        };
        match place.set_times(node, time(stat.accessed), time(stat.modified)) {
            Ok(()) => Ok(()),
            Err(Errno::EINVAL | Errno::EPERM | Errno::EOPNOTSUPP) => {
                self.report.note(
                    path,
                    "its times are not kept, the file system there cannot have them",
                );
                Ok(())
            }
            Err(errno) => Err(self.refused(path, errno)),
        }
    }

    pub(super) fn dress_with_xattrs(
        &mut self,
        path: &[u8],
        node: &D::Node,
        xattrs: &[Xattr],
    ) -> Result<(), Refused> {
        const CONTEXT: &[u8] = b"security.selinux";
        let context = self.wishes.context.as_ref().map(|context| {
            let mut value = context.clone().into_bytes();
            value.push(0);
            value
        });
        let kept = xattrs
            .iter()
            .filter(|xattr| acl::is_kept(&xattr.name) && (context.is_none() || xattr.name != CONTEXT));
        // Access lists last: they may forbid the others.
        let (lists, others): (Vec<&Xattr>, Vec<&Xattr>) =
            kept.partition(|xattr| xattr.name.starts_with(b"system."));
        let all = others.iter().chain(&lists);
        let all = all.map(|xattr| (&xattr.name[..], &xattr.value[..]));
        for (name, value) in context
            .as_deref()
            .map(|value| (CONTEXT, value))
            .into_iter()
            .chain(all)
        {
            match self.place.set_xattr(node, name, value) {
                Ok(()) => {}
                Err(Errno::EOPNOTSUPP) => {
                    self.report.note(
                        path,
                        "an attribute is not kept, the file system there has none of its kind",
                    );
                }
                Err(Errno::EPERM | Errno::EACCES) => {
                    self.report
                        .note(path, "an attribute is not kept, this user may not set it");
                }
                Err(Errno::E2BIG | Errno::ERANGE | Errno::EINVAL) => {
                    self.report.note(
                        path,
                        "an attribute is not kept, it is too large or of no use there",
                    );
                }
                Err(Errno::ENOSPC) if value.len() > SMALL => {
                    // Some file systems keep all of a file's attributes in one block, and say so by this.
                    let failure = Failure::new(
                        Exit::Destination,
                        format_args!(
                            "{}: an attribute of {} bytes has no room in {}; make the file system with larger inodes, or another",
                            shown(path),
                            value.len(),
                            self.place_name
                        ),
                    );
                    self.report.trouble(&failure);
                }
                Err(errno) => return Err(self.refused(path, errno)),
            }
        }
        Ok(())
    }
}
