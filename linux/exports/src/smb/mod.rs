//! Linux's SMB server over a [`Tree`].
//!
//! ksmbd speaks to a program beside it by generic netlink: it is started by a message ([`message`]) and asks by others ([`answers`]).
//! Clients list shares by remote calls over a pipe ([`pipe`], in [`ndr`], to [`services`]), which ksmbd passes on as well.
//!
//! Each share is shown through a [`layer`]. It listens on the carried Linux's loopback interface and on no other.

mod answers;
mod layer;
mod message;
mod ndr;
mod pipe;
mod services;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lkl::{Errno, OwnedFd};
use lkl_net::Namespace;
use lkl_net::netlink::{Generic, attribute};
use md4::{Digest, Md4};

use crate::call::{self, Access};
use crate::error::Error;
use crate::tree::{Path, Tree, place};
use answers::{Answerer, Placed};
use layer::Layer;
use message::{FAMILY, SHARE_NAME, Startup, event};

/// Where ksmbd listens, on the carried Linux's loopback interface.
pub const PORT: u16 = 445;

/// What the server calls itself; SMB has room for fifteen letters.
const NAME: &str = "lklserve";

/// ksmbd has what it answers in memory in one piece, and a Linux without an MMU cannot move pages to make room for that. So its cache
/// leaves a tenth of the memory free, in which there are such pieces, and what is short of them may have any.
const RESERVE: [(&str, &str); 2] = [
    ("vm.watermark_scale_factor", "1000"),
    ("vm.watermark_boost_factor", "0"),
];

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the thread that answers looks whether it is over.
const LOOK: Duration = Duration::from_millis(200);

/// A volume of a tree, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its name, as [`share_names`] makes it.
    pub name: String,
    /// Where it is in the tree.
    pub path: Path,
}

/// Who may log in.
#[derive(Clone)]
pub struct User {
    name: String,
    hash: [u8; 16],
}

impl User {
    /// A user with a password. Names are compared without case.
    pub fn new(name: &str, password: &str) -> User {
        let units: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
        User {
            name: name.to_owned(),
            hash: Md4::digest(&units).into(),
        }
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Names for shares: as near to the wanted ones as SMB allows, and no two alike.
pub fn share_names(wanted: &[String]) -> Vec<String> {
    /// Bytes, so that a number and a NUL fit besides.
    const LONGEST: usize = SHARE_NAME - 8;
    let mut names: Vec<String> = Vec::new();
    for wanted in wanted {
        let mut name: String = wanted
            .chars()
            .map(|letter| match letter {
                '"' | '/' | '\\' | '[' | ']' | ':' | '|' | '<' | '>' | '+' | '=' | ';' | ',' | '*' | '?'
                | '%' => '_',
                letter if letter.is_control() || letter == char::REPLACEMENT_CHARACTER => '_',
                letter => letter,
            })
            .collect();
        while name.len() > LONGEST {
            name.pop();
        }
        // A name with a dollar at its end is a hidden one, and some of those mean something.
        let plain = match name.trim().trim_end_matches('$') {
            "" => "image",
            plain => plain,
        };
        let taken = |name: &str| {
            let lower = name.to_lowercase();
            lower == "global" || names.iter().any(|other| other.to_lowercase() == lower)
        };
        let candidates = (2u32..).map(|number| format!("{plain}-{number}"));
        let mut candidates = std::iter::once(plain.to_owned()).chain(candidates);
        names.extend(candidates.find(|name| !taken(name)));
    }
    names
}

/// The running server. It stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    control: OwnedFd,
    answerer: Option<JoinHandle<()>>,
    over: Arc<AtomicBool>,
    refused: Vec<Share>,
    /// They go when the server has let go of them.
    layers: Vec<Layer>,
}

impl Server {
    /// Starts it. Users, and everybody if there are `guests`, read everything that is in these shares, whatever its mode, and write
    /// nothing. It takes so many connections at once.
    ///
    /// # Errors
    /// What could not be set up.
    pub fn start(
        tree: &Tree,
        shares: Vec<Share>,
        users: Vec<User>,
        guests: bool,
        connections: u32,
    ) -> Result<Server, Error> {
        let kernel = tree.kernel();
        let refused = |error: std::io::Error| Error {
            what: error.to_string(),
            errno: lkl_net::errno(&error).unwrap_or(Errno::EIO),
        };
        let network = Namespace::initial(kernel);
        network.start_loopback().map_err(refused)?;
        for (name, value) in RESERVE {
            network.set_sysctl(name, value).map_err(refused)?;
        }
        let control = call::file_system(kernel, c"sysfs").map_err(Error::about("/sys"))?;
        let link = Generic::new(&network, FAMILY).map_err(refused)?;
        let startup = Startup {
            name: NAME,
            port: PORT,
            interface: "lo",
            connections,
        };
        let request = link
            .request(event::STARTING_UP, 0)
            .with(event::STARTING_UP.into(), &startup.to_bytes());
        link.exchange("start", &request).map_err(refused)?;
        let (placed, layers, left_out) = placed(tree, shares)?;
        let mut answerer = Answerer::new(NAME, placed, users, guests);
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = std::thread::Builder::new()
            .name("smb-answers".into())
            .spawn(move || answer_all(&link, &mut answerer, &told))
            .map_err(refused)?;
        let server = Server {
            control,
            answerer: Some(thread),
            over,
            refused: left_out,
            layers,
        };
        let begun = Instant::now();
        while !server.runs()? {
            if begun.elapsed() > PATIENCE {
                return Err(Error::about("ksmbd")(Errno::ETIMEDOUT));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(server)
    }

    /// Where it listens in the carried Linux.
    pub fn address() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))
    }

    /// Shares whose file systems ksmbd does not take.
    pub fn refused(&self) -> &[Share] {
        &self.refused
    }

    fn runs(&self) -> Result<bool, Error> {
        let mut text = [0; 128];
        let len = call::open(&self.control, c"class/ksmbd-control/stats", Access::Read)
            .and_then(|file| call::read(&file, &mut text))
            .map_err(Error::about("the state of ksmbd"))?;
        let text = String::from_utf8_lossy(text.get(..len).unwrap_or_default()).into_owned();
        Ok(text.split_whitespace().nth(1) == Some("running"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It returns when the last client is gone. A Linux that is dead has no server either.
        let _ = call::open(&self.control, c"class/ksmbd-control/kill_server", Access::Write)
            .and_then(|file| call::write(&file, b"hard"));
        self.over.store(true, Ordering::Release);
        if let Some(answerer) = self.answerer.take() {
            let _ = answerer.join();
        }
        self.layers.clear();
    }
}

/// Shares with their places, what makes those, and shares that have none.
type Shown = (Vec<Placed>, Vec<Layer>, Vec<Share>);

fn placed(tree: &Tree, shares: Vec<Share>) -> Result<Shown, Error> {
    let (mut shown, mut layers, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (number, share) in shares.into_iter().enumerate() {
        match Layer::new(tree.kernel(), number, &place(&share.path)) {
            Ok(layer) => {
                shown.push(Placed {
                    name: share.name,
                    place: layer.place().to_vec(),
                });
                layers.push(layer);
            }
            Err(Errno::EINVAL | Errno::EROFS | Errno::EOPNOTSUPP | Errno::EACCES) => refused.push(share),
            Err(errno) => return Err(Error::about(share.name)(errno)),
        }
    }
    Ok((shown, layers, refused))
}

/// Answers what ksmbd asks, until it is over or Linux is.
fn answer_all(link: &Generic, answerer: &mut Answerer, over: &AtomicBool) {
    while !over.load(Ordering::Acquire) {
        let events = match link.receive(LOOK) {
            Ok(events) => events,
            // What there was no room for is asked again by the client.
            Err(error) if lkl_net::errno(&error) == Some(Errno::ENOBUFS) => continue,
            Err(_) => return,
        };
        for event in events {
            let request = attribute(&event.attributes, event.command.into());
            let answer = request.and_then(|request| answerer.answer(event.command, request));
            if let Some(answer) = answer {
                let command = event.command.saturating_add(1);
                let message = link.request(command, 0).with(command.into(), &answer);
                // Without an answer ksmbd refuses the client.
                let _ = link.send(&message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_the_hash_that_windows_gives_it() {
        let hash = User::new("joe", "password").hash;
        let text: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "8846f7eaee8fb117ad06bdd830b7586c");
    }

    #[test]
    fn share_names_are_such_as_smb_has_and_no_two_are_alike() {
        let long = "ü".repeat(60);
        let wanted = [
            "disk.img", "DISK.IMG", "a/b", "", " ", "IPC$", "$", "global", &long, "$$",
        ];
        let names = share_names(&wanted.map(str::to_owned));
        assert_eq!(names.len(), wanted.len());
        assert_eq!(
            names[..7],
            [
                "disk.img",
                "DISK.IMG-2",
                "a_b",
                "image",
                "image-2",
                "IPC",
                "image-3"
            ]
        );
        assert_eq!(names[7], "global-2");
        assert!(names[8].len() < SHARE_NAME && names[8].starts_with("üü"));
    }
}
