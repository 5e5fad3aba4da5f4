//! Requests that move no data: information of every class, attributes, security, controls, locks, notifications, and all that would
//! change something.

use super::answers::Answer;
use super::opens::{How, Open};
use super::volumes_on_disk::{LOCKED, Node};
use super::worker::{Drawn, Worker};
use lklfs_control::{Code, Interface, Request};
use ntos::nt::*;
use ntos::user::records;
use ntos::user::{OpenAs, Outcome};

const FILE_STANDARD_INFORMATION: u32 = 5;
const FILE_POSITION_INFORMATION: u32 = 14;
const FILE_ALL_INFORMATION: u32 = 18;
/// Where the position is among all information.
const POSITION: std::ops::Range<usize> = 80..88;
const FSCTL_GET_REPARSE_POINT: u32 = 0x900a8;
/// Controls: what changes nothing, what would, and what no file system knows. None of them keeps anything.
const CONTROLS: [u32; 16] = [
    FSCTL_GET_REPARSE_POINT,
    FSCTL_GET_REPARSE_POINT,
    0x90028,  // FSCTL_IS_VOLUME_MOUNTED
    0x9002c,  // FSCTL_IS_PATHNAME_VALID
    0x9003c,  // FSCTL_GET_COMPRESSION
    0x9009c,  // FSCTL_GET_OBJECT_ID
    0x940cf,  // FSCTL_QUERY_ALLOCATED_RANGES
    0x90078,  // FSCTL_IS_VOLUME_DIRTY
    0x90004,  // FSCTL_REQUEST_OPLOCK_LEVEL_2
    0x9023c,  // FSCTL_QUERY_PERSISTENT_VOLUME_STATE
    0x900c4,  // FSCTL_SET_SPARSE
    0x9c040,  // FSCTL_SET_COMPRESSION
    0x90074,  // FSCTL_MOVE_FILE
    0x90030,  // FSCTL_MARK_VOLUME_DIRTY
    0x91fc0,  // unknown
    0x74fc00, // unknown, of another type
];
const SECURITY: [u32; 5] = [1, 2, 4, 7, 15];

impl Worker<'_, '_> {
    pub fn file_information(&mut self, open: &Open, drawn: &Drawn) {
        // The simple classes are asked for more often.
        let class = match drawn.choice % 4 {
            0 => FILE_STANDARD_INFORMATION,
            1 => [4, 6, 7, 9, 18, 22, 34, 35][drawn.choice / 4 % 8],
            _ => drawn.class,
        };
        let began = self.began(open);
        let mut outcome = open.handle.query_information(class as i32, drawn.room);
        let troubles = self.troubles(open, began);
        let volume = &self.stage.volumes[open.place];
        let size = match &volume.items[open.item].node {
            Node::File(file) => Some(file.size()),
            _ => None,
        };
        let numbers = [class, drawn.room as u32, 0];
        if let (FILE_STANDARD_INFORMATION, STATUS_SUCCESS, Some(size)) = (class, outcome.status, size)
            && outcome.bytes[8..16] != size.to_le_bytes()
        {
            let question = self.question(open.place, open.item, open.how, "information", numbers);
            self.fail(&question, "another size");
        }
        if class == FILE_POSITION_INFORMATION || !volume.has_steady_ids() {
            outcome.bytes.clear();
        }
        if class == FILE_ALL_INFORMATION && outcome.bytes.len() >= POSITION.end {
            outcome.bytes[POSITION].fill(0);
        }
        self.judge_of(open, ("information", numbers), &outcome, troubles);
    }

    pub fn volume_information(&mut self, open: &Open, drawn: &Drawn) {
        let class = drawn.class % 15;
        let began = self.began(open);
        let outcome = open.handle.query_volume(class, drawn.room);
        let troubles = self.troubles(open, began);
        let what = ("volume information", [class, drawn.room as u32, 0]);
        self.judge_of(open, what, &outcome, troubles);
    }

    pub fn attributes(&mut self, open: &Open, drawn: &Drawn) {
        let began = self.began(open);
        let outcome = open.handle.query_ea(drawn.room);
        let troubles = self.troubles(open, began);
        let what = ("extended attributes", [drawn.room as u32, 0, 0]);
        self.judge_of(open, what, &outcome, troubles);
    }

    pub fn security(&mut self, open: &Open, drawn: &Drawn) {
        let information = SECURITY[drawn.choice % SECURITY.len()];
        let began = self.began(open);
        let outcome = open.handle.query_security(information, drawn.room);
        let troubles = self.troubles(open, began);
        let what = ("security", [information, drawn.room as u32, 0]);
        self.judge_of(open, what, &outcome, troubles);
    }

    pub fn control(&mut self, open: &Open, drawn: &Drawn) {
        let code = CONTROLS[drawn.choice % CONTROLS.len()];
        let input = [0u64.to_le_bytes(), (i64::MAX as u64).to_le_bytes()].concat();
        let input = if code == FSCTL_GET_REPARSE_POINT {
            &[]
        } else {
            input.as_slice()
        };
        let began = self.began(open);
        let outcome = open.handle.fsctl(code, input, drawn.room);
        let troubles = self.troubles(open, began);
        let numbers = [code, drawn.room as u32, 0];
        let item = &self.stage.volumes[open.place].items[open.item];
        if let (FSCTL_GET_REPARSE_POINT, STATUS_SUCCESS, Node::Link(target)) =
            (code, outcome.status, &item.node)
        {
            let told = records::reparse(&outcome.bytes).map(|reparse| records::linux_target(&reparse));
            // What is not ASCII has a form of its own.
            if target.is_ascii() && told != Ok(Some(target.clone())) {
                let question = self.question(open.place, open.item, open.how, "a control", numbers);
                self.fail(&question, &format!("another target: {told:?}"));
            }
        }
        self.judge_of(open, ("a control", numbers), &outcome, troubles);
    }

    /// Asks for a change, which is refused.
    pub fn change(&mut self, open: &Open, drawn: &Drawn) {
        let handle = &open.handle;
        let began = self.began(open);
        let kind = drawn.choice % 9;
        let outcome = match kind {
            0 => Outcome::failed(handle.write(0, b"changed")),
            1 => handle.set_information(4, &[1; 40]),
            2 => handle.set_information(10, &[0; 40]),
            3 => handle.set_information(13, &[1]),
            4 => handle.set_information(19, &[0; 8]),
            5 => handle.set_information(20, &[0; 8]),
            6 => handle.set_ea(&[0, 0, 0, 0, 0, 1, 1, 0, b'a', 0, b'b', 0]),
            7 => handle.set_volume(2, &[2, 0, 0, 0, b'a', 0]),
            _ => Outcome::failed(handle.bare(IRP_MJ_SET_QUOTA, 0)),
        };
        let troubles = self.troubles(open, began);
        let numbers = [kind as u32, 0, 0];
        if nt_success(outcome.status) {
            let question = self.question(open.place, open.item, open.how, "a change", numbers);
            self.fail(&question, "it is granted");
        }
        self.judge_of(open, ("a change", numbers), &outcome, troubles);
    }

    pub fn flush(&mut self, open: &Open) {
        let began = self.began(open);
        let outcome = Outcome::failed(open.handle.flush());
        let troubles = self.troubles(open, began);
        self.judge_of(open, ("a flush", [0; 3]), &outcome, troubles);
    }

    /// An answer that may be one of some.
    fn judge_one_of(
        &mut self,
        open: &Open,
        what: &'static str,
        status: NTSTATUS,
        allowed: &[NTSTATUS],
        troubles: super::weather::Troubles,
    ) {
        self.count(&Answer {
            status,
            information: 0,
            digest: 0,
        });
        if !allowed.contains(&status) && !troubles.excuse(status, false) {
            let question = self.question(open.place, open.item, open.how, what, [0; 3]);
            self.fail(&question, &format!("{}, with {troubles}", name(status)));
        }
    }

    /// Locks a range, for a moment or until it is cancelled.
    pub fn lock(&mut self, drawn: &Drawn) {
        let item = self.stage.volumes[drawn.volume].find(LOCKED);
        let Some(open) = self.open(drawn.volume, item, How::Overlapped) else {
            return;
        };
        let (at, len) = ((drawn.part as u64) * 100, drawn.room as u64 + 1);
        let (exclusive, fails) = (
            drawn.choice.is_multiple_of(2),
            (drawn.choice / 2).is_multiple_of(2) || self.stage.alone,
        );
        let began = self.began(&open);
        let status = match open.handle.lock(at, len, exclusive, fails) {
            Ok(pending) => {
                if !fails {
                    pending.cancel();
                }
                pending.wait().status
            }
            Err(status) => status,
        };
        let troubles = self.troubles(&open, began);
        let allowed: &[NTSTATUS] = if fails {
            &[STATUS_SUCCESS, STATUS_LOCK_NOT_GRANTED]
        } else {
            &[STATUS_SUCCESS, STATUS_CANCELLED]
        };
        self.judge_one_of(&open, "a lock", status, allowed, troubles);
        if status == STATUS_SUCCESS {
            let began = self.began(&open);
            let status = open.handle.unlock(at, len);
            let troubles = self.troubles(&open, began);
            self.judge_one_of(&open, "an unlock", status, &[STATUS_SUCCESS], troubles);
        }
    }

    /// Watches a directory until that is cancelled or the handle is closed.
    pub fn notify(&mut self, drawn: &Drawn) {
        let volume = &self.stage.volumes[drawn.volume];
        let is_directory = |item: usize| matches!(volume.items[item].node, Node::Directory(_));
        let item = (drawn.item..volume.items.len())
            .find(|item| is_directory(*item))
            .unwrap_or(0);
        let Some(open) = self.open(drawn.volume, item, How::Overlapped) else {
            return;
        };
        let began = self.began(&open);
        let sent = open.handle.notify(0x17, drawn.choice.is_multiple_of(2), 1024);
        let closes = (drawn.choice / 2).is_multiple_of(2);
        let (open, status) = match sent {
            Ok(pending) if closes => {
                let Open {
                    handle,
                    place,
                    item,
                    how,
                    opened,
                } = open;
                drop(handle);
                let status = pending.wait().status;
                // For its troubles, another handle will do.
                let Some(again) = self.open(place, item, how) else {
                    return;
                };
                (Open { opened, ..again }, status)
            }
            Ok(pending) => {
                pending.cancel();
                let status = pending.wait().status;
                (open, status)
            }
            Err(status) => (open, status),
        };
        let troubles = self.troubles(&open, began);
        let right = if closes {
            STATUS_NOTIFY_CLEANUP
        } else {
            STATUS_CANCELLED
        };
        self.judge_one_of(&open, "a notification", status, &[right], troubles);
    }

    /// Asks the driver how it is.
    pub fn ask_for_status(&mut self) {
        let device = self
            .stage
            .machine
            .open(Interface::Status.device_name(), OpenAs::read());
        let request = Request::Status.encode().expect("encodes");
        let began = self.stage.now(0, self.number);
        let outcome = match device {
            Ok(device) => device.ioctl(Code::Status.number(), &request, 256),
            Err(status) => Outcome::failed(status),
        };
        let troubles = self.stage.troubles(0, self.number, began, began);
        let question = self.question(0, 0, How::Read, "the driver's status", [0; 3]);
        let answer = Answer {
            status: outcome.status,
            information: outcome.information,
            digest: 0,
        };
        self.judge(question, answer, troubles, false);
    }
}
