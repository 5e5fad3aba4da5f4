//! Where a body goes: standard output, or a file that gets its name when it is complete.
//!
//! Until then it is `FILE.part`. Beside it `FILE.part.of` says of which state of the thing the bytes are (the server's ETag, or its time of the last
//! change), so that going on never joins two different states. A file under its own name that `-C` finds, as other programs leave
//! it, is gone on with in place.

use crate::cli::Cli;
use lkl_session::exit::{Exit, Failure, reason};
use percent_encoding::percent_decode_str;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use url::Url;

/// Where a URL's body goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Stdout,
    File(PathBuf),
}

impl Place {
    /// Where the command line wants this URL.
    pub fn of(cli: &Cli, url: &Url) -> Result<Place, Failure> {
        let usage = |text: std::fmt::Arguments<'_>| Err(Failure::new(Exit::Usage, text));
        match &cli.output {
            _ if cli.head => Ok(Place::Stdout),
            Some(path) if path.as_os_str() == "-" && cli.resume => usage(format_args!(
                "-C: standard output cannot be gone on with; name a file"
            )),
            Some(path) if path.as_os_str() == "-" => Ok(Place::Stdout),
            Some(path) if path.is_dir() => Ok(Place::File(path.join(last_name(url)?))),
            Some(path) if cli.urls.len() > 1 => usage(format_args!(
                "{}: several URLs go into a folder, or to standard output (-); this is neither",
                path.display()
            )),
            Some(path) => Ok(Place::File(path.clone())),
            None => Ok(Place::File(last_name(url)?.into())),
        }
    }
}

/// The last name of a URL's path, which is no path itself.
fn last_name(url: &Url) -> Result<String, Failure> {
    let last = url.path_segments().and_then(|mut names| names.next_back());
    let name = percent_decode_str(last.unwrap_or("")).decode_utf8_lossy();
    let unsafe_name = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':') || c == '\u{fffd}';
    match name.as_ref() {
        "" => Ok("index.html".to_owned()),
        "." | ".." => Err(nameless(url)),
        name if name.contains(unsafe_name) => Err(nameless(url)),
        name => Ok(name.to_owned()),
    }
}

fn nameless(url: &Url) -> Failure {
    Failure::new(
        Exit::Usage,
        format_args!("{url}: its last name cannot be a file's; name one with -o"),
    )
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind::{NotFound, PermissionDenied, QuotaExceeded, StorageFull};
    let advice = match error.kind() {
        StorageFull | QuotaExceeded => "free space there",
        PermissionDenied => "look at the rights of its folder",
        NotFound => "make its folder",
        _ => "look at its folder",
    };
    Failure::new(
        Exit::Destination,
        format_args!(
            "{}: {}; {advice}, or name another file with -o",
            path.display(),
            reason(error)
        ),
    )
}

/// A file that is being fetched.
pub struct Draft {
    /// Its name in the end.
    path: PathBuf,
    /// Its name until then; the same one when it is gone on with in place.
    part: PathBuf,
    of: PathBuf,
    /// Bytes that are there already.
    pub len: u64,
    /// What they are of.
    pub tag: Option<String>,
}

impl Draft {
    /// Looks at what is there.
    pub fn new(path: &Path, cli: &Cli) -> Result<Draft, Failure> {
        let with = |end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let mut draft = Draft {
            path: path.to_owned(),
            part: with(".part"),
            of: with(".part.of"),
            len: 0,
            tag: None,
        };
        let begun = fs::metadata(&draft.part).map(|there| there.len());
        if cli.resume {
            match (begun, fs::metadata(path)) {
                (Ok(len), _) => {
                    draft.len = len;
                    draft.tag = fs::read_to_string(&draft.of).ok();
                }
                (Err(_), Ok(there)) if there.is_file() => {
                    draft.len = there.len();
                    draft.part = path.to_owned();
                }
                _ => {}
            }
        }
        if draft.part != path && path.exists() && !cli.force {
            return Err(Failure::new(
                Exit::Destination,
                format_args!(
                    "{}: it exists already; replace it with --force, or name another file with -o",
                    path.display()
                ),
            ));
        }
        Ok(draft)
    }

    /// Opens it to write from `start` on, of that state of the thing.
    pub fn open(&self, start: u64, tag: Option<&str>) -> Result<File, Failure> {
        let open = || -> std::io::Result<File> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&self.part)?;
            if self.part != self.path {
                match tag {
                    Some(tag) => fs::write(&self.of, tag)?,
                    None => removed(&self.of)?,
                }
            }
            file.set_len(start)?;
            file.seek(SeekFrom::Start(start))?;
            Ok(file)
        };
        open().map_err(|error| unwritten(&self.part, &error))
    }

    /// Writes a piece.
    pub fn write(&self, file: &mut File, bytes: &[u8]) -> Result<(), Failure> {
        file.write_all(bytes)
            .map_err(|error| unwritten(&self.part, &error))
    }

    /// It is complete: it gets its name.
    pub fn publish(&self) -> Result<(), Failure> {
        let publish = || {
            if self.part != self.path {
                fs::rename(&self.part, &self.path)?;
                removed(&self.of)?;
            }
            Ok(())
        };
        publish().map_err(|error: std::io::Error| unwritten(&self.path, &error))
    }

    /// It will not be gone on with: nothing came.
    pub fn forget_if_empty(&self) {
        if self.part != self.path && fs::metadata(&self.part).is_ok_and(|there| there.len() == 0) {
            // What cannot be removed is empty.
            let _ = removed(&self.part).and_then(|()| removed(&self.of));
        }
    }
}

fn removed(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_urls_last_one_and_never_a_path() {
        let name = |url: &str| last_name(&url.parse().unwrap());
        assert_eq!(name("http://x/a/b.iso?c=d#e").unwrap(), "b.iso");
        assert_eq!(name("http://x/a/gr%C3%BC%C3%9Fe").unwrap(), "grüße");
        assert_eq!(name("http://x").unwrap(), "index.html");
        assert_eq!(name("http://x/a/").unwrap(), "index.html");
        for bad in [
            "http://x/a%2Fb",
            "http://x/%2E%2E%2F",
            "http://x/c%3Ad",
            "http://x/%0A",
            "http://x/%ff",
        ] {
            assert_eq!(name(bad).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }
}
