//! A scenario that uses four volumes: one request after the other, on one volume after the other, each judged by what was put on the
//! volume.

use super::volumes_on_disk::{self, Node, Volume};
use ntos::cc::segment::Role;
use ntos::nt::*;
use ntos::user::{Handle, Machine, OpenAs};
use std::time::{Duration, Instant};

/// The volumes: file systems whose files are found again in another Linux.
pub const FOUR: [usize; 4] = [0, 1, 2, 4];
/// Rounds over the four volumes.
const ROUNDS: usize = 4;
/// How long a volume that Linux died of may take to be mounted afresh.
const AFRESH: Duration = Duration::from_secs(20);
const PIECE: usize = 65_536;
const FILE_STANDARD_INFORMATION: i32 = 5;

/// A request of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    OpenBig,
    ReadBig,
    OpenRoot,
    List,
    OpenSmall,
    ReadSmall,
    Size,
    Map,
    CloseSmall,
}

const ACTS: [Act; 9] = [
    Act::OpenBig,
    Act::ReadBig,
    Act::OpenRoot,
    Act::List,
    Act::OpenSmall,
    Act::ReadSmall,
    Act::Size,
    Act::Map,
    Act::CloseSmall,
];

/// Which of the four volumes have refused a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost([bool; FOUR.len()]);

impl Lost {
    /// How many beside the one that Linux died of; where that is not known, beside one.
    pub fn but_for(self, victim: Option<usize>) -> usize {
        let lost = (0..FOUR.len())
            .filter(|at| self.0[*at] && Some(*at) != victim)
            .count();
        match victim {
            Some(_) => lost,
            None => lost.saturating_sub(1),
        }
    }
}

/// A run.
pub struct Scenario<'m> {
    machine: &'m Machine,
    done: usize,
    big: [Option<Handle>; FOUR.len()],
    root: [Option<Handle>; FOUR.len()],
    small: [Option<Handle>; FOUR.len()],
    lost: Lost,
}

fn volume(place: usize) -> &'static Volume {
    &volumes_on_disk::all()[FOUR[place]]
}

fn bytes(place: usize, name: &str) -> &'static volumes_on_disk::Bytes {
    let volume = volume(place);
    match &volume.items[volume.find(name)].node {
        Node::File(bytes) => bytes,
        _ => panic!("{name} is a file"),
    }
}

impl<'m> Scenario<'m> {
    pub fn new(machine: &'m Machine) -> Self {
        Scenario {
            machine,
            done: 0,
            big: Default::default(),
            root: Default::default(),
            small: Default::default(),
            lost: Lost::default(),
        }
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.done
    }

    pub fn lost(&self) -> Lost {
        self.lost
    }

    fn open(&self, place: usize, name: &str, how: OpenAs) -> Result<Handle, NTSTATUS> {
        let path = self.machine.disks()[place].volumes()[0].path();
        self.machine.open(&format!("{path}\\{name}"), how)
    }

    /// Sends the next request; false at the end.
    ///
    /// # Panics
    /// When it is answered with something else than what is on the volume, or an error that does not say that it is gone.
    pub fn next(&mut self) -> bool {
        let all = ROUNDS * ACTS.len() * FOUR.len();
        if self.done == all {
            return false;
        }
        let number = self.done;
        self.done += 1;
        let place = number % FOUR.len();
        let act = ACTS[number / FOUR.len() % ACTS.len()];
        let round = number / FOUR.len() / ACTS.len();
        if let Err(status) = self.act(act, round, place) {
            let kind = volume(place).kind.name;
            assert!(
                matches!(status, STATUS_NO_SUCH_DEVICE | STATUS_IN_PAGE_ERROR),
                "request {number}, {act:?} of {kind}: {}",
                name(status)
            );
            self.lost.0[place] = true;
            // What was open is of the mount that is gone.
            self.big[place] = None;
            self.root[place] = None;
            self.small[place] = None;
        }
        true
    }

    fn act(&mut self, act: Act, round: usize, place: usize) -> Result<(), NTSTATUS> {
        let small = ["sizes\\65537", "sizes\\4097", "xattrs\\medium", "wide\\file-0003"][round % 4];
        match act {
            Act::OpenBig => {
                if round == 0 || self.big[place].is_none() {
                    self.big[place] = Some(self.open(place, "big", OpenAs::read().uncached())?);
                }
            }
            Act::OpenRoot => self.root[place] = Some(self.open(place, "sizes", OpenAs::read())?),
            Act::OpenSmall => self.small[place] = Some(self.open(place, small, OpenAs::read())?),
            Act::CloseSmall => self.small[place] = None,
            Act::ReadBig => {
                if let Some(big) = &self.big[place] {
                    let at = (round * 1_000_000) as u64 / 512 * 512;
                    let read = big.read(Some(at), PIECE).into_result()?;
                    assert!(
                        read == bytes(place, "big").at(at, PIECE),
                        "wrong bytes of {place}"
                    );
                }
            }
            Act::List => {
                if let Some(root) = &self.root[place] {
                    // A page may be short; all of them have each name once.
                    let (mut count, mut flags) = (0, RESTART);
                    loop {
                        match root.query_directory(12, PIECE, None, flags).into_result() {
                            Ok(page) => count += page.windows(14).filter(|part| is_name(part)).count(),
                            Err(STATUS_NO_MORE_FILES) => break,
                            Err(status) => return Err(status),
                        }
                        flags = 0;
                    }
                    assert_eq!(
                        count, 1,
                        "the listing of {place} has its file of 65537 bytes once"
                    );
                }
            }
            Act::ReadSmall => {
                if let Some(file) = &self.small[place] {
                    let read = file.read(Some(0), 100_000).into_result()?;
                    assert!(
                        read == bytes(place, small).at(0, 100_000),
                        "wrong bytes of {place}"
                    );
                }
            }
            Act::Size => {
                if let Some(file) = &self.small[place] {
                    let told = file
                        .query_information(FILE_STANDARD_INFORMATION, 24)
                        .into_result()?;
                    assert_eq!(told[8..16], bytes(place, small).size().to_le_bytes());
                }
            }
            Act::Map => {
                if let Some(file) = &self.small[place] {
                    let view = file.map(Role::Data)?;
                    let right = bytes(place, small).at(0, 100_000);
                    let mut read = vec![0; right.len()];
                    view.read(0, &mut read)?;
                    assert!(read == right, "wrong bytes in a view of {place}");
                }
            }
        }
        Ok(())
    }

    /// Each volume opens and reads, the one that was lost by a mount of its own.
    pub fn ends_well(&self, what: &str) {
        for place in 0..FOUR.len() {
            let start = Instant::now();
            let read = loop {
                let read = self
                    .open(place, "sizes\\131073", OpenAs::read())
                    .and_then(|file| file.read(Some(0), 200_000).into_result());
                match read {
                    Err(STATUS_NO_SUCH_DEVICE) if start.elapsed() < AFRESH => {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    read => break read,
                }
            };
            let right = bytes(place, "sizes\\131073").at(0, 200_000);
            match read {
                Ok(read) => assert!(read == right, "wrong bytes of {place} in the end"),
                Err(status) => panic!(
                    "{what}: {} in the end: {}\n{}",
                    volume(place).kind.name,
                    name(status),
                    ntos::rtl::print::last_lines(40).join("\n")
                ),
            }
        }
    }
}

/// `SL_RESTART_SCAN`.
const RESTART: u32 = 1;

/// "65537" and what comes before it in a list of names.
fn is_name(part: &[u8]) -> bool {
    let wanted: Vec<u8> = "65537".encode_utf16().flat_map(u16::to_le_bytes).collect();
    part[4..] == wanted[..] && part[..4] == 10u32.to_le_bytes()
}
