//! From a path on the command line to an object of the volume.
//!
//! Linux is never asked to follow a symbolic link: a component is found as itself, and a link is followed here, with
//! its target taken from the volume's own root when it is absolute. So no link on an image can lead anywhere else.

use std::ffi::OsStr;

use crate::exit::{Exit, Failure};
use crate::text::shown;
use crate::volume::{Errno, Kind, Stat, Volume};

/// How many links one path may lead through; Linux's own number.
const MOST_LINKS: u32 = 40;

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    /// The link itself is meant.
    Itself,
    /// What it points to is meant.
    Followed,
}

/// An object and where it was found.
#[derive(Debug)]
pub struct Found<N> {
    /// The object.
    pub node: N,
    /// What the volume says about it.
    pub stat: Stat,
    /// Its path with all links followed, starting with `/`.
    pub path: Vec<u8>,
}

/// A path argument as the volume's bytes. On Windows both kinds of slash separate components.
pub fn path_bytes(path: &OsStr) -> Vec<u8> {
    let bytes = path.as_encoded_bytes();
    if cfg!(windows) {
        return path.to_string_lossy().replace('\\', "/").into_bytes();
    }
    bytes.to_vec()
}

/// Finds `path`, which is taken from the root whether it starts with `/` or not.
pub fn resolve<V: Volume>(volume: &V, path: &[u8], last: Last) -> Result<Found<V::Node>, Failure> {
    let fail = |at: &[u8], errno| volume.failure(at, errno);
    let root = volume.root().map_err(|errno| fail(b"/", errno))?;
    let stat = volume.stat(&root).map_err(|errno| fail(b"/", errno))?;
    // The way down: each object with its name. Its first is the root, which `..` never leaves.
    let mut way = vec![(Vec::new(), root, stat)];
    let mut todo: Vec<Vec<u8>> = Vec::new();
    push_components(&mut todo, path);
    let must_be_directory = path.ends_with(b"/");
    let mut links = 0;

    while let Some(name) = todo.pop() {
        if name == b".." {
            if way.len() > 1 {
                way.pop();
            }
            continue;
        }
        let here = join(&way, &name);
        let Some((_, parent, parent_stat)) = way.last() else {
            break;
        };
        if parent_stat.kind != Kind::Directory {
            return Err(fail(&join(&way, b""), Errno::ENOTDIR));
        }
        let node = volume.child(parent, &name).map_err(|errno| fail(&here, errno))?;
        let stat = volume.stat(&node).map_err(|errno| fail(&here, errno))?;
        let follow = !todo.is_empty() || last == Last::Followed || must_be_directory;
        if stat.kind == Kind::Link && follow {
            links += 1;
            if links > MOST_LINKS {
                return Err(fail(&here, Errno::ELOOP));
            }
            let target = volume.read_link(&node).map_err(|errno| fail(&here, errno))?;
            if target.starts_with(b"/") {
                way.truncate(1);
            }
            push_components(&mut todo, &target);
            continue;
        }
        way.push((name, node, stat));
    }
    let path = join(&way, b"");
    let Some((_, node, stat)) = way.pop() else {
        return Err(fail(b"/", Errno::EIO));
    };
    if must_be_directory && stat.kind != Kind::Directory {
        return Err(fail(&path, Errno::ENOTDIR));
    }
    Ok(Found { node, stat, path })
}

/// Like [`resolve`], for something that must be a regular file.
pub fn resolve_file<V: Volume>(volume: &V, path: &[u8]) -> Result<Found<V::Node>, Failure> {
    let found = resolve(volume, path, Last::Followed)?;
    let advice = match found.stat.kind {
        Kind::File => return Ok(found),
        Kind::Directory => "list it with userctl ls or copy it with userctl cp -r",
        _ => "only regular files hold data",
    };
    let words = found.stat.kind.words();
    Err(Failure::new(
        Exit::Path,
        format_args!("{}: this is {words}; {advice}", shown(&found.path)),
    ))
}

/// Puts the components of `path` on the stack of what is still to be walked, the first on top.
fn push_components(todo: &mut Vec<Vec<u8>>, path: &[u8]) {
    let components = path
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".");
    todo.extend(components.map(<[u8]>::to_vec).rev());
}

fn join<N>(way: &[(Vec<u8>, N, Stat)], last: &[u8]) -> Vec<u8> {
    let mut path = Vec::new();
    for name in way
        .iter()
        .skip(1)
        .map(|(name, ..)| name.as_slice())
        .chain([last])
        .filter(|name| !name.is_empty())
    {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn volume() -> Memory {
        let mut volume = Memory::new();
        volume.add_file("/usr/lib/os-release", b"NAME=test");
        volume.add_link("/etc/os-release", b"../usr/lib/os-release");
        volume.add_link("/lib", b"/usr/lib");
        volume.add_link("/loop", b"loop");
        volume.add_link("/up", b"../../../../etc/passwd");
        volume
    }

    fn path(path: &str, last: Last) -> Result<String, Failure> {
        resolve(&volume(), path.as_bytes(), last).map(|found| String::from_utf8(found.path).unwrap())
    }

    #[test]
    fn links_are_followed_inside_the_volume() {
        assert_eq!(
            path("/etc/os-release", Last::Followed).unwrap(),
            "/usr/lib/os-release"
        );
        assert_eq!(
            path("lib//./os-release", Last::Itself).unwrap(),
            "/usr/lib/os-release"
        );
        assert_eq!(path("/etc/os-release", Last::Itself).unwrap(), "/etc/os-release");
        assert_eq!(path("/lib/", Last::Itself).unwrap(), "/usr/lib");
        assert_eq!(path("../../usr/..", Last::Itself).unwrap(), "/");
    }

    #[test]
    fn a_link_never_leaves_the_volume() {
        let failure = path("/up", Last::Followed).unwrap_err();
        assert_eq!(failure.exit, Exit::Path);
        assert!(failure.message.starts_with("/etc/passwd:"), "{failure}");
    }

    #[test]
    fn what_does_not_exist_is_named() {
        for (given, named) in [
            ("/nope", "/nope"),
            ("/usr/lib/os-release/x", "/usr/lib/os-release"),
            ("/loop", "/loop"),
        ] {
            let failure = path(given, Last::Followed).unwrap_err();
            assert_eq!(failure.exit, Exit::Path, "{failure}");
            assert!(failure.message.starts_with(&format!("{named}:")), "{failure}");
        }
        assert_eq!(
            path("/usr/lib/os-release/", Last::Itself).unwrap_err().exit,
            Exit::Path
        );
    }

    #[test]
    fn damage_is_not_taken_for_a_wrong_path() {
        let mut volume = volume();
        volume.break_path("/usr/lib", Errno::EIO);
        assert_eq!(
            resolve(&volume, b"/lib/os-release", Last::Itself)
                .unwrap_err()
                .exit,
            Exit::FileSystem
        );
        volume.die();
        assert_eq!(
            resolve(&volume, b"/lib/os-release", Last::Itself)
                .unwrap_err()
                .exit,
            Exit::Kernel
        );
    }
}
