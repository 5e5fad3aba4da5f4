//! A thread that sends requests: what it draws for each step, and how answers are judged.

use super::answers::{Answer, Question, digest};
use super::dice::Dice;
use super::opens::{How, KEPT, Open, TRIED};
use super::stage::Stage;
use super::weather::Troubles;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;

/// Handles of a thread.
const SLOTS: usize = 6;
/// Lengths of buffers for answers.
const ROOMS: [usize; 8] = [0, 8, 24, 40, 64, 104, 1024, 4096];
/// Lengths of reads.
const LENGTHS: [usize; 10] = [0, 1, 512, 777, 4096, 4096, 10_000, 65_536, 100_001, 300_000];

/// What a thread does in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Open,
    Try,
    Close,
    Read,
    ReadAndCancel,
    Map,
    List,
    FileInformation,
    VolumeInformation,
    Attributes,
    Security,
    Control,
    Change,
    Lock,
    Notify,
    ByName,
    WholeVolume,
    Flush,
    Status,
}

/// Each action, and how often of a hundred and some.
const ACTIONS: [(Action, usize); 19] = [
    (Action::Open, 16),
    (Action::Try, 6),
    (Action::Close, 2),
    (Action::Read, 26),
    (Action::ReadAndCancel, 4),
    (Action::Map, 6),
    (Action::List, 6),
    (Action::FileInformation, 16),
    (Action::VolumeInformation, 5),
    (Action::Attributes, 3),
    (Action::Security, 3),
    (Action::Control, 5),
    (Action::Change, 5),
    (Action::Lock, 3),
    (Action::Notify, 3),
    (Action::ByName, 4),
    (Action::WholeVolume, 2),
    (Action::Flush, 1),
    (Action::Status, 1),
];

/// What a step is made of: a function of seed, life, thread and step alone.
#[derive(Clone, Debug)]
pub struct Drawn {
    pub action: Action,
    pub slot: usize,
    pub volume: usize,
    pub item: usize,
    pub kept: How,
    pub tried: How,
    /// In thousandths of a file and some.
    pub part: usize,
    pub len: usize,
    pub room: usize,
    pub class: u32,
    pub choice: usize,
}

impl Drawn {
    pub fn new(stage: &Stage, thread: usize, step: u64) -> Drawn {
        let mut dice = Dice::of(&[stage.seed, stage.life, thread as u64, step]);
        let all = ACTIONS.iter().map(|(_, weight)| weight).sum();
        let mut left = dice.below(all);
        let action = ACTIONS.iter().find(|(_, weight)| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        });
        let volume = dice.below(stage.volumes.len());
        Drawn {
            action: action.map_or(Action::Open, |(action, _)| *action),
            slot: dice.below(SLOTS),
            volume,
            item: dice.below(stage.volumes[volume].items.len()),
            kept: *dice.pick(&KEPT),
            tried: *dice.pick(&TRIED),
            part: dice.below(1050),
            len: *dice.pick(&LENGTHS),
            room: *dice.pick(&ROOMS),
            class: dice.below(79) as u32 + 1,
            choice: dice.below(1 << 16),
        }
    }
}

/// A thread at work.
pub struct Worker<'s, 'm> {
    pub stage: &'s Stage<'m>,
    pub number: usize,
    pub slots: [Option<Open>; SLOTS],
    step: u64,
    answers: DefaultHasher,
}

impl<'s, 'm> Worker<'s, 'm> {
    pub fn new(stage: &'s Stage<'m>, number: usize) -> Self {
        Worker {
            stage,
            number,
            slots: Default::default(),
            step: 0,
            answers: DefaultHasher::new(),
        }
    }

    /// All answers so far.
    pub fn digest(&self) -> u64 {
        self.answers.finish()
    }

    /// Does one step.
    pub fn step(&mut self, step: u64) {
        self.step = step;
        self.stage.working(self.number, true);
        let drawn = Drawn::new(self.stage, self.number, step);
        let taken = self.slots[drawn.slot].take();
        match (drawn.action, taken) {
            (Action::Try, taken) => {
                self.slots[drawn.slot] = taken;
                drop(self.open(drawn.volume, drawn.item, drawn.tried));
            }
            (Action::ByName, taken) => {
                self.slots[drawn.slot] = taken;
                self.by_name(&drawn);
            }
            (Action::Lock, taken) => {
                self.slots[drawn.slot] = taken;
                self.lock(&drawn);
            }
            (Action::Notify, taken) => {
                self.slots[drawn.slot] = taken;
                self.notify(&drawn);
            }
            (Action::WholeVolume, taken) => {
                self.slots[drawn.slot] = taken;
                self.read_volume(&drawn);
            }
            (Action::Status, taken) => {
                self.slots[drawn.slot] = taken;
                self.ask_for_status();
            }
            (Action::Close, Some(open)) => drop(open),
            (Action::Open, taken) => {
                drop(taken);
                self.open_and_keep(&drawn);
            }
            (_, None) => self.open_and_keep(&drawn),
            (action, Some(open)) => {
                match action {
                    Action::Read => self.read(&open, &drawn, false),
                    Action::ReadAndCancel => self.read(&open, &drawn, true),
                    Action::Map => self.map(&open, &drawn),
                    Action::List => self.list(&open, &drawn),
                    Action::VolumeInformation => self.volume_information(&open, &drawn),
                    Action::Attributes => self.attributes(&open, &drawn),
                    Action::Security => self.security(&open, &drawn),
                    Action::Control => self.control(&open, &drawn),
                    Action::Change => self.change(&open, &drawn),
                    Action::Flush => self.flush(&open),
                    _ => self.file_information(&open, &drawn),
                }
                self.slots[drawn.slot] = Some(open);
            }
        }
        self.stage.working(self.number, false);
    }

    pub fn question(
        &self,
        volume: usize,
        item: usize,
        how: How,
        what: &'static str,
        numbers: [u32; 3],
    ) -> Question {
        Question {
            volume,
            item,
            how: how as u32,
            what,
            numbers,
        }
    }

    /// A request has ended so.
    pub fn count(&mut self, answer: &Answer) {
        (answer.status, answer.information, answer.digest).hash(&mut self.answers);
        self.stage.senders[self.number]
            .done
            .fetch_add(1, Ordering::Relaxed);
    }

    /// An answer that is known, or becomes known.
    pub fn judge(&mut self, question: Question, answer: Answer, troubles: Troubles, opening: bool) {
        self.count(&answer);
        let judged = self
            .stage
            .known
            .judge(question.clone(), answer, troubles, opening);
        if let Err(wrong) = judged {
            self.fail(&question, &wrong);
        }
    }

    /// The same of a handle.
    pub fn judge_of(
        &mut self,
        open: &Open,
        (what, numbers): (&'static str, [u32; 3]),
        outcome: &ntos::user::Outcome,
        troubles: Troubles,
    ) {
        let question = self.question(open.place, open.item, open.how, what, numbers);
        let answer = Answer {
            status: outcome.status,
            information: outcome.information,
            digest: digest(&outcome.bytes),
        };
        self.judge(question, answer, troubles, false);
    }

    /// What can have hit a request on a handle.
    pub fn troubles(&self, open: &Open, began: super::stage::Moments) -> Troubles {
        self.stage.troubles(open.place, self.number, open.opened, began)
    }

    pub fn began(&self, open: &Open) -> super::stage::Moments {
        self.stage.now(open.place, self.number)
    }

    /// Something is wrong with an answer.
    pub fn fail(&self, question: &Question, wrong: &str) {
        let volume = &self.stage.volumes[question.volume];
        self.stage.fail(format!(
            "life {}, thread {}, step {}: {} {:?} of {:?} on {}, opened as {}: {wrong}",
            self.stage.life,
            self.number,
            self.step,
            question.what,
            question.numbers,
            volume.items[question.item].name(),
            volume.kind.name,
            question.how,
        ));
    }
}
