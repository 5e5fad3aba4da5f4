//! What a session's paths lead to, and the commands that ask just that.

use std::io;

use lkl::Errno;

use super::listing::{Form, Listing, Rights, is_pattern};
use super::session::Session;
use crate::place::{Names, Place, parse, written};
use crate::tree::{Kind, Stat};
use crate::when;

/// What MLST tells of: a plain path, its facts, a link's target, and what this client may do.
type Facts = (Names, Stat, Option<Vec<u8>>, Rights);

impl Session {
    /// The plain path of what a client writes.
    pub(super) fn names(&self, path: &[u8]) -> Result<Names, Errno> {
        parse(&self.here, path)
    }

    /// The file at a path.
    pub(super) fn file(&mut self, path: &[u8]) -> Result<(Place, Stat), Errno> {
        let names = self.names(path)?;
        let place = self.walker.find(&names)?;
        let stat = place.node().stat()?;
        match stat.kind {
            Kind::File => Ok((place, stat)),
            Kind::Folder => Err(Errno::EISDIR),
            _ => Err(Errno::EACCES),
        }
    }

    pub(super) async fn cwd(&mut self, path: &[u8]) -> io::Result<()> {
        let entered = self.names(path).and_then(|names| {
            let place = self.walker.folder(&names)?;
            match place.node().stat()?.kind {
                Kind::Folder => Ok(names),
                _ => Err(Errno::ENOTDIR),
            }
        });
        match entered {
            Ok(names) => {
                self.here = names;
                self.control.say(250, "You are there.").await
            }
            Err(errno) => self.refuse(path, errno).await,
        }
    }

    pub(super) async fn size(&mut self, path: &[u8]) -> io::Result<()> {
        if self.is_text() {
            // What TYPE A would send has another length, which only sending tells.
            return self.control.say(550, "SIZE needs TYPE I.").await;
        }
        match self.file(path) {
            Ok((_, stat)) => self.control.say(213, &stat.size.to_string()).await,
            Err(errno) => self.refuse(path, errno).await,
        }
    }

    pub(super) async fn mdtm(&mut self, path: &[u8]) -> io::Result<()> {
        let found = self
            .names(path)
            .and_then(|names| self.walker.find(&names)?.node().stat());
        match found {
            Ok(stat) => {
                let mut text = String::new();
                // What String is written to never fails.
                let _ = when::digits(stat.modified, &mut text);
                self.control.say(213, &text).await
            }
            Err(errno) => self.refuse(path, errno).await,
        }
    }

    pub(super) fn facts_of(&mut self, path: &[u8]) -> Result<Facts, Errno> {
        let names = self.names(path)?;
        let place = self.walker.find_link(&names)?;
        let stat = place.node().stat()?;
        let target = match stat.kind {
            Kind::Link => Some(place.node().read_link()?),
            _ => None,
        };
        let around = place.entry_of().map(|(folder, _)| folder.node().stat());
        let around = around.is_some_and(|around| around.is_ok_and(|stat| stat.writable));
        let rights = Rights::of(self.may_write, around);
        Ok((names, stat, target, rights))
    }

    /// What LIST, NLST or MLSD of a path shows: a folder's entries, one entry, or those that fit a pattern.
    pub(super) fn listing(&mut self, path: &[u8], form: Form) -> Result<Listing, Errno> {
        let names = self.names(path)?;
        let found = self
            .walker
            .find(&names)
            .and_then(|place| Ok((place.node().stat()?.kind, place)));
        match (found, names.split_last()) {
            (Ok((Kind::Folder, place)), _) => {
                let prefix = match path {
                    b"" | b"." => Vec::new(),
                    path if path.ends_with(b"/") => path.to_vec(),
                    path => [path, b"/"].concat(),
                };
                Listing::of(place, None, prefix, form, self.may_write)
            }
            (_, None) => Err(Errno::ENOTDIR),
            (Ok(_), _) if matches!(form, Form::Facts(_)) => Err(Errno::ENOTDIR),
            (Ok(_), Some((last, folder))) => {
                let folder = self.walker.folder(folder)?;
                Ok(Listing::with(
                    folder,
                    vec![last.clone()],
                    before_last(path),
                    form,
                    self.may_write,
                ))
            }
            (Err(Errno::ENOENT), Some((last, folder)))
                if is_pattern(last) && !matches!(form, Form::Facts(_)) =>
            {
                let folder = self.walker.folder(folder)?;
                let listing = Listing::of(folder, Some(last), before_last(path), form, self.may_write)?;
                match listing.is_empty() {
                    true => Err(Errno::ENOENT),
                    false => Ok(listing),
                }
            }
            // A link that leads nowhere is an entry, too.
            (Err(errno), Some((last, folder))) => {
                let folder = self.walker.folder(folder)?;
                match form {
                    Form::Long if folder.node().stat_of(last).is_ok() => Ok(Listing::with(
                        folder,
                        vec![last.clone()],
                        Vec::new(),
                        form,
                        self.may_write,
                    )),
                    _ => Err(errno),
                }
            }
        }
    }
}

/// A path without its last name.
fn before_last(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    path.get(..end).unwrap_or_default().to_vec()
}

/// A path in the quotation marks of PWD: one within is written twice.
pub(super) fn quoted(names: &Names) -> Vec<u8> {
    let mut text = vec![b'"'];
    for byte in sendable(names) {
        text.push(byte);
        if byte == b'"' {
            text.push(byte);
        }
    }
    text.push(b'"');
    text
}

/// A path in a reply: a NUL stands for a line feed (RFC 2640), as it does in a command.
pub(super) fn sendable(names: &Names) -> Vec<u8> {
    let mut path = written(names);
    path.iter_mut()
        .filter(|byte| **byte == b'\n')
        .for_each(|byte| *byte = 0);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_reply_is_one_line_and_its_quotes_are_doubled() {
        let names = vec![b"a\"b".to_vec(), b"c\nd".to_vec()];
        assert_eq!(quoted(&names), b"\"/a\"\"b/c\0d\"");
        assert_eq!(quoted(&Vec::new()), b"\"/\"");
    }

    #[test]
    fn names_of_a_listing_begin_as_the_client_wrote() {
        assert_eq!(before_last(b"a/b/*.c"), b"a/b/");
        assert_eq!(before_last(b"*.c"), b"");
    }
}
