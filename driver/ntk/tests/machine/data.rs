//! Requests for data: reads of every kind, views, listings, the whole volume.

use super::answers::{Answer, digest, judge_read};
use super::opens::{How, Open};
use super::volumes_on_disk::{LOCKED, Node};
use super::weather::Troubles;
use super::worker::{Drawn, Worker};
use ntos::cc::segment::Role;
use ntos::mm::user::UserRegion;
use ntos::nt::*;
use ntos::user::{Handle, OpenAs, Outcome};
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;

/// Pages of a listing, at most.
const PAGES: usize = 200;
const PAGE: usize = 4096;
const RESTART: u32 = 1;
const NAMES: u32 = 12;
/// Classes of listings.
const LISTINGS: [u32; 9] = [1, 2, 3, 12, 12, 37, 38, 60, 63];
const ALL: &str = "*";
/// A restart without a pattern would go on with the one before.
const PATTERNS: [&str; 8] = [ALL, ALL, ALL, "file-00*", "F*", "*.*", "big", "nothing like this"];

impl Worker<'_, '_> {
    /// The answer to a read, with the bytes that are right.
    fn judge_bytes(
        &mut self,
        open: &Open,
        (what, at, len): (&'static str, u64, usize),
        outcome: &Outcome,
        right: &[u8],
        troubles: Troubles,
    ) {
        let item = &self.stage.volumes[open.place].items[open.item];
        let locked = item.is(LOCKED) && outcome.status == STATUS_FILE_LOCK_CONFLICT;
        self.count(&Answer {
            status: outcome.status,
            information: outcome.information,
            digest: digest(&outcome.bytes),
        });
        let wrong = judge_read(
            (outcome.status, outcome.information),
            &outcome.bytes,
            right,
            len,
            troubles,
        );
        if let Err(wrong) = wrong
            && !locked
        {
            let question = self.question(open.place, open.item, open.how, what, [at as u32, len as u32, 0]);
            self.fail(&question, &wrong);
        }
    }

    /// Reads a part of a file, and cancels that at once if it is told to.
    pub fn read(&mut self, open: &Open, drawn: &Drawn, cancel: bool) {
        let item = &self.stage.volumes[open.place].items[open.item];
        let began = self.began(open);
        let Node::File(file) = &item.node else {
            let outcome = open.handle.read(Some(0), 512);
            let troubles = self.troubles(open, began);
            return self.judge_of(open, ("a read of what is no file", [0; 3]), &outcome, troubles);
        };
        if open.how == How::Look {
            let outcome = open.handle.read(Some(0), 512);
            let troubles = self.troubles(open, began);
            return self.judge_of(open, ("a read without the right", [0; 3]), &outcome, troubles);
        }
        let mut at = file.size() * drawn.part as u64 / 1000;
        let mut len = drawn.len;
        if open.how == How::Uncached {
            at -= at % 512;
            len = len.next_multiple_of(512);
        }
        let right = file.at(at, len);
        let buffer = UserRegion::new(len);
        let (status, information) = if open.how == How::Overlapped {
            match open.handle.start_read(&buffer, Some(at), len) {
                Ok(pending) => {
                    if cancel && !self.stage.alone {
                        pending.cancel();
                    }
                    let outcome = pending.wait();
                    (outcome.status, outcome.information)
                }
                Err(status) => (status, 0),
            }
        } else {
            open.handle.read_into(&buffer, Some(at), len)
        };
        let troubles = self.troubles(open, began);
        if cancel && open.how == How::Overlapped && status == STATUS_CANCELLED {
            return self.count(&Answer {
                status,
                information,
                digest: 0,
            });
        }
        let mut bytes = buffer.read();
        bytes.truncate(if nt_success(status) { information } else { 0 });
        let outcome = Outcome {
            status,
            information,
            bytes,
        };
        self.judge_bytes(open, ("a read", at, len), &outcome, &right, troubles);
    }

    /// Maps a file and reads a part of the view.
    pub fn map(&mut self, open: &Open, drawn: &Drawn) {
        let item = &self.stage.volumes[open.place].items[open.item];
        let role = if drawn.choice.is_multiple_of(2) {
            Role::Data
        } else {
            Role::Image
        };
        let began = self.began(open);
        let view = open.handle.map(role);
        let troubles = self.troubles(open, began);
        let refused = Outcome::failed(view.as_ref().map_or_else(|status| *status, |_| STATUS_SUCCESS));
        self.judge_of(open, ("a section", [role as u32, 0, 0]), &refused, troubles);
        let (Ok(view), Node::File(file)) = (view, &item.node) else {
            return;
        };
        let question = self.question(open.place, open.item, open.how, "a section", [0; 3]);
        if view.size() != file.size() {
            return self.fail(&question, "another size");
        }
        let at = file.size() * (drawn.part as u64).min(999) / 1000;
        let right = file.at(at, drawn.len);
        let mut bytes = vec![0; right.len()];
        let began = self.began(open);
        let read = view.read(at, &mut bytes).and_then(|()| view.flush());
        let troubles = self.troubles(open, began);
        let outcome = match read {
            Ok(()) => Outcome {
                status: STATUS_SUCCESS,
                information: bytes.len(),
                bytes,
            },
            Err(status) => Outcome::failed(status),
        };
        let len = right.len();
        self.judge_bytes(open, ("a read of a view", at, len), &outcome, &right, troubles);
    }

    /// Lists a directory from its beginning to its end.
    pub fn list(&mut self, open: &Open, drawn: &Drawn) {
        let at = drawn.choice % PATTERNS.len();
        let class = LISTINGS[drawn.choice / PATTERNS.len() % LISTINGS.len()];
        let pattern = PATTERNS[at];
        let began = self.began(open);
        let mut all = Vec::new();
        let mut names = BTreeSet::new();
        let mut information = 0;
        let mut status = STATUS_SUCCESS;
        for page in 0..PAGES {
            let flags = if page == 0 { RESTART } else { 0 };
            let outcome = open.handle.query_directory(class, PAGE, Some(pattern), flags);
            status = outcome.status;
            if status != STATUS_SUCCESS {
                break;
            }
            information += outcome.information;
            if class == NAMES {
                names_of(&outcome.bytes, &mut names);
            }
            all.extend(outcome.bytes);
        }
        let troubles = self.troubles(open, began);
        let volume = &self.stage.volumes[open.place];
        if !volume.has_steady_ids() && class != NAMES {
            all.clear();
        }
        let outcome = Outcome {
            status,
            information: if nt_success(status) || status == STATUS_NO_MORE_FILES {
                information
            } else {
                0
            },
            bytes: if status == STATUS_NO_MORE_FILES {
                all
            } else {
                Vec::new()
            },
        };
        let numbers = [class, at as u32, 0];
        if class == NAMES
            && pattern == ALL
            && status == STATUS_NO_MORE_FILES
            && let Node::Directory(right) = &volume.items[open.item].node
        {
            let is_root = volume.items[open.item].path.is_empty();
            let most = 2 + if is_root { volume.kind.extra.len() } else { 0 };
            let more = names.difference(right).count();
            if !right.is_subset(&names) || more > most {
                let question = self.question(open.place, open.item, open.how, "a listing", numbers);
                let show = |names: BTreeSet<&Vec<u16>>| -> Vec<String> {
                    names.iter().map(|name| String::from_utf16_lossy(name)).collect()
                };
                let missing = show(right.difference(&names).collect());
                let more = show(names.difference(right).collect());
                self.fail(&question, &format!("it lacks {missing:?} and has {more:?}"));
            }
        }
        self.judge_of(open, ("a listing", numbers), &outcome, troubles);
    }

    /// Reads sectors of the volume itself, which are the disk's.
    pub fn read_volume(&mut self, drawn: &Drawn) {
        let place = drawn.volume;
        let volume = &self.stage.volumes[place];
        let began = self.stage.now(place, self.number);
        let path = self.stage.places[place].disk().volumes()[0].path();
        let handle = Handle::open(ntos::io::names::wide(&path), None, OpenAs::volume());
        let troubles = self.stage.troubles(place, self.number, began, began);
        let question = self.question(place, 0, How::Read, "an open of the volume", [0; 3]);
        let answer = Answer {
            status: handle.as_ref().map_or_else(|status| *status, |_| STATUS_SUCCESS),
            information: 0,
            digest: 0,
        };
        self.judge(question, answer, troubles, true);
        let Ok(handle) = handle else { return };
        let image = std::fs::File::open(&volume.image).expect("it was made");
        let size = image.metadata().expect("it was made").len() / 512 * 512;
        let at = size * (drawn.part as u64).min(990) / 1000 / 512 * 512;
        let len = (size - at).min(drawn.len as u64).next_multiple_of(512) as usize;
        let mut right = vec![0; len];
        image.read_exact_at(&mut right, at).expect("it was made");
        let outcome = handle.read(Some(at), len);
        let open = Open {
            handle,
            place,
            item: 0,
            how: How::Read,
            opened: began,
        };
        let troubles = self.troubles(&open, began);
        let what = ("a read of the volume", at, len);
        self.judge_bytes(&open, what, &outcome, &right, troubles);
    }
}

/// The names of a FILE_NAMES_INFORMATION list.
fn names_of(bytes: &[u8], names: &mut BTreeSet<Vec<u16>>) {
    let mut at = 0;
    loop {
        let number = |offset: usize| {
            let four = bytes[at + offset..][..4].try_into().expect("four bytes");
            u32::from_le_bytes(four) as usize
        };
        let (next, len) = (number(0), number(8));
        names.insert(ntos::user::records::units(&bytes[at + 12..][..len]));
        if next == 0 {
            return;
        }
        at += next;
    }
}
