//! CREATE: every way of opening that matters on a volume that cannot be changed.

use super::answers::{Answer, Question};
use super::stage::Moments;
use super::volumes_on_disk::{Node, UNSHARED};
use super::worker::{Drawn, Worker};
use ntos::io::names::wide;
use ntos::nt::*;
use ntos::user::{Handle, OpenAs};

const FILE_OPEN_BY_FILE_ID: u32 = 0x2000;
const FILE_OPENED: usize = 1;
const FILE_INTERNAL_INFORMATION: i32 = 6;
/// Rights that no handle has.
const CHANGING: u32 = FILE_WRITE_DATA
    | FILE_APPEND_DATA
    | FILE_WRITE_EA
    | FILE_WRITE_ATTRIBUTES
    | DELETE
    | WRITE_DAC
    | WRITE_OWNER;

/// How something is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// To read through the cache.
    Read,
    /// To read past it.
    Uncached,
    /// For overlapped requests.
    Overlapped,
    /// To look at the entry itself.
    Look,
    /// By a name that is relative to the root.
    Relative,
    /// By its identity.
    ById,
    /// With a name in another case.
    OtherCase,
    /// With a name that is not there.
    Missing,
    /// As a directory.
    Directory,
    /// As no directory.
    NoDirectory,
    /// With MAXIMUM_ALLOWED.
    AllAllowed,
    /// For one user alone, where requests do that.
    Alone,
    /// Made if it is not there, superseded, overwritten.
    Create,
    OpenIf,
    Overwrite,
    OverwriteIf,
    Supersede,
    /// To write, or to be deleted.
    Write,
    DeleteOnClose,
}

/// How handles that stay are opened.
pub const KEPT: [How; 12] = [
    How::Read,
    How::Read,
    How::Read,
    How::Uncached,
    How::Uncached,
    How::Overlapped,
    How::Overlapped,
    How::Look,
    How::Relative,
    How::ById,
    How::OtherCase,
    How::AllAllowed,
];

/// How others are.
pub const TRIED: [How; 11] = [
    How::Missing,
    How::Directory,
    How::NoDirectory,
    How::Alone,
    How::Create,
    How::OpenIf,
    How::Overwrite,
    How::OverwriteIf,
    How::Supersede,
    How::Write,
    How::DeleteOnClose,
];

impl How {
    fn open_as(self) -> OpenAs {
        let read = OpenAs::read();
        match self {
            How::Read | How::Relative | How::OtherCase | How::Missing => read,
            How::Uncached => read.uncached(),
            How::Overlapped => read.asynchronous(),
            How::Look => OpenAs::look(),
            How::ById => read.with(FILE_OPEN_BY_FILE_ID),
            How::Directory => read.with(FILE_DIRECTORY_FILE),
            How::NoDirectory => read.with(FILE_NON_DIRECTORY_FILE),
            How::AllAllowed => read.access(MAXIMUM_ALLOWED | SYNCHRONIZE),
            How::Alone => read.share(0),
            How::Create => read.disposition(FILE_CREATE),
            How::OpenIf => read.disposition(FILE_OPEN_IF),
            How::Overwrite => read.disposition(FILE_OVERWRITE),
            How::OverwriteIf => read.disposition(FILE_OVERWRITE_IF),
            How::Supersede => read.disposition(FILE_SUPERSEDE),
            How::Write => read.access(FILE_GENERIC_READ | FILE_WRITE_DATA),
            How::DeleteOnClose => read.access(FILE_GENERIC_READ | DELETE).with(FILE_DELETE_ON_CLOSE),
        }
    }

    /// It must succeed for directories and files.
    fn must_succeed(self) -> bool {
        matches!(
            self,
            How::Read
                | How::Uncached
                | How::Overlapped
                | How::Look
                | How::Relative
                | How::ById
                | How::OtherCase
                | How::AllAllowed
                | How::OpenIf
        )
    }
}

/// An open handle.
pub struct Open {
    pub handle: Handle,
    pub place: usize,
    pub item: usize,
    pub how: How,
    pub opened: Moments,
}

impl Worker<'_, '_> {
    /// Opens what was drawn, and keeps it.
    pub fn open_and_keep(&mut self, drawn: &Drawn) {
        self.slots[drawn.slot] = None;
        self.slots[drawn.slot] = self.open(drawn.volume, drawn.item, drawn.kept);
    }

    /// Opens an item of a volume. None when it was rightly refused.
    pub fn open(&mut self, place: usize, item: usize, how: How) -> Option<Open> {
        let began = self.stage.now(place, self.number);
        let outcome = self.send_open(place, item, how);
        let troubles = self.stage.troubles(place, self.number, began, began);
        let status = outcome.as_ref().map_or_else(|status| *status, |_| STATUS_SUCCESS);
        let answer = Answer {
            status,
            information: outcome.as_ref().map_or(0, Handle::information),
            digest: outcome.as_ref().map_or(0, |handle| handle.granted().into()),
        };
        let entry = &self.stage.volumes[place].items[item];
        let mut wrong = Vec::new();
        if let Ok(handle) = &outcome {
            if handle.information() != FILE_OPENED {
                wrong.push("something was made or changed");
            }
            if handle.granted() & CHANGING != 0 {
                wrong.push("a right to change something was granted");
            }
        }
        let plain = matches!(entry.node, Node::Directory(_) | Node::File(_));
        let shared = entry.is(UNSHARED) && status == STATUS_SHARING_VIOLATION;
        if plain && how.must_succeed() && status != STATUS_SUCCESS && troubles.is_empty() && !shared {
            wrong.push("it does not open");
        }
        if how == How::Missing && status == STATUS_SUCCESS {
            wrong.push("what is not there opens");
        }
        // The identity is of a mount.
        let forgotten =
            how == How::ById && status == STATUS_INVALID_PARAMETER && troubles.tells_of_another_mount();
        let question = self.question(place, item, how, "open", [0; 3]);
        if shared || forgotten {
            self.count(&answer);
        } else {
            self.judge(question.clone(), answer, troubles, true);
        }
        for wrong in wrong {
            self.fail(&question, &format!("{wrong}: {answer}"));
        }
        let follows = matches!(entry.node, Node::Link(_)) && how != How::Look;
        outcome.ok().filter(|_| !follows).map(|handle| Open {
            handle,
            place,
            item,
            how,
            opened: began,
        })
    }

    fn send_open(&self, place: usize, item: usize, how: How) -> Result<Handle, NTSTATUS> {
        let volume = &self.stage.volumes[place];
        let entry = &volume.items[item];
        let root = {
            let disk = self.stage.places[place].disk();
            wide(&format!("{}\\", disk.volumes()[0].path()))
        };
        let mut path = [root.as_slice(), &entry.path].concat();
        let open = |path: Vec<u16>, how: OpenAs| Handle::open(path, None, how);
        let open_as = if how == How::Alone && !entry.is(UNSHARED) {
            OpenAs::read()
        } else {
            how.open_as()
        };
        match how {
            How::Relative => open(root, OpenAs::read())?.open_at(&entry.path, open_as),
            How::ById if volume.has_steady_ids() && !entry.has_names => {
                let first = open(path, OpenAs::look())?;
                let id = first
                    .query_information(FILE_INTERNAL_INFORMATION, 8)
                    .into_result()?;
                let id: Vec<u16> = ntos::user::records::units(&id);
                open(root, OpenAs::read())?.open_at(&id, open_as)
            }
            How::ById => open(path, OpenAs::read()),
            How::OtherCase => {
                for unit in &mut path[root.len()..] {
                    if let Ok(letter @ b'a'..=b'z') = u8::try_from(*unit) {
                        *unit = letter.to_ascii_uppercase().into();
                    }
                }
                open(path, open_as)
            }
            How::Missing => {
                path.extend(wide("-is-not-there"));
                open(path, open_as)
            }
            _ => open(path, open_as),
        }
    }

    /// Asks for attributes by name.
    pub fn by_name(&mut self, drawn: &Drawn) {
        let (place, item) = (drawn.volume, drawn.item);
        let volume = &self.stage.volumes[place];
        let disk = self.stage.places[place].disk();
        // The double takes text here.
        let Ok(name) = String::from_utf16(&volume.items[item].path) else {
            return;
        };
        let began = self.stage.now(place, self.number);
        let outcome = self
            .stage
            .machine
            .query_full_attributes(&format!("{}\\{name}", disk.volumes()[0].path()));
        let troubles = self.stage.troubles(place, self.number, began, began);
        let answer = match &outcome {
            Ok(bytes) => Answer {
                status: STATUS_SUCCESS,
                information: bytes.len(),
                digest: super::answers::digest(bytes),
            },
            Err(status) => Answer {
                status: *status,
                information: 0,
                digest: 0,
            },
        };
        let question = Question {
            volume: place,
            item,
            how: 0,
            what: "attributes by name",
            numbers: [0; 3],
        };
        if let (Ok(bytes), Node::File(file)) = (&outcome, &volume.items[item].node)
            && bytes[40..48] != file.size().to_le_bytes()
        {
            self.fail(&question, "another size");
        }
        self.judge(question, answer, troubles, true);
    }
}
