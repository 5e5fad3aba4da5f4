//! Queues (qdiscs) of interfaces: fair ones, ones with a rate, and netem, which is a line with delay and loss.

use super::Configuration;
use crate::netlink::{Answer, Attributes, CREATE, REPLACE, Request, attribute, text_of, u32_of};
use std::io;
use std::time::Duration;

const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWTCLASS: u16 = 40;

const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;

/// The name of a queue or a class: `1:`, `1:10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    /// The queue's number.
    pub major: u16,
    /// The class' number; 0 is the queue itself.
    pub minor: u16,
}

impl Handle {
    /// The place right at the interface.
    pub const ROOT: Handle = Handle::new(0xffff, 0xffff);

    /// By its two numbers.
    pub const fn new(major: u16, minor: u16) -> Handle {
        Handle { major, minor }
    }

    /// As Linux has it, and as [`crate::Socket::set_priority`] takes it to choose a class.
    pub fn number(self) -> u32 {
        u32::from(self.major) << 16 | u32::from(self.minor)
    }
}

/// A line: what it does to packets.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Netem {
    /// How long each packet takes.
    pub delay: Duration,
    /// By how much that varies, to both sides.
    pub jitter: Duration,
    /// Which part of the packets is lost: 0 to 1.
    pub loss: f64,
    /// Which part comes twice.
    pub duplicate: f64,
    /// Which part is sent at once, before those that wait.
    pub reorder: f64,
    /// Which part has a wrong bit.
    pub corrupt: f64,
    /// Bytes a second; 0 for no limit.
    pub rate: u64,
    /// How many packets it holds; 0 for Linux's default, 1000.
    pub limit: u32,
    /// The same seed loses the same packets.
    pub seed: Option<u64>,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tbf {
    /// Bytes a second.
    pub rate: u64,
    /// Bytes that may be sent at once.
    pub burst: u32,
    /// Bytes that wait; what is beyond is lost.
    pub limit: u32,
}

/// A class of HTB's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HtbClass {
    /// Bytes a second that it has.
    pub rate: u64,
    /// Bytes a second that it may borrow up to.
    pub ceiling: u64,
    /// Bytes that may be sent at once.
    pub burst: u32,
}

/// A queue.
#[derive(Debug, Clone)]
pub enum Queue<'a> {
    /// Fair, and paced: what BBR wants where TCP does not pace by itself.
    Fq,
    /// Fair, and short.
    FqCodel,
    /// A line.
    Netem(Netem),
    /// A rate.
    Tbf(Tbf),
    /// Rates for classes; packets of no class go to the class of that minor number.
    Htb {
        /// Its minor number.
        default_class: u16,
    },
    /// Another one, with its own options.
    Other {
        /// What Linux calls it.
        kind: &'a str,
        /// Its options.
        options: Attributes,
    },
}

impl Queue<'_> {
    fn kind(&self) -> &str {
        match self {
            Queue::Fq => "fq",
            Queue::FqCodel => "fq_codel",
            Queue::Netem(_) => "netem",
            Queue::Tbf(_) => "tbf",
            Queue::Htb { .. } => "htb",
            Queue::Other { kind, .. } => kind,
        }
    }

    fn options(&self) -> Attributes {
        match self {
            Queue::Fq | Queue::FqCodel => Attributes::default(),
            Queue::Netem(netem) => netem.options(),
            Queue::Tbf(tbf) => tbf.options(),
            Queue::Htb { default_class } => {
                const TCA_HTB_INIT: u16 = 2;
                let words = [3, 10, u32::from(*default_class), 0, 0];
                Attributes::default().with(TCA_HTB_INIT, &words_of(&words))
            }
            Queue::Other { options, .. } => options.clone(),
        }
    }
}

fn words_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// A part, 0 to 1, of all 32-bit numbers.
fn part(part: f64) -> u32 {
    // What is out of range becomes the nearest.
    (part.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32
}

fn nanos(time: Duration) -> [u8; 8] {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX).to_ne_bytes()
}

impl Netem {
    fn options(&self) -> Attributes {
        const REORDER: u16 = 3;
        const CORRUPT: u16 = 4;
        const RATE: u16 = 6;
        const RATE64: u16 = 8;
        const LATENCY64: u16 = 10;
        const JITTER64: u16 = 11;
        const PRNG_SEED: u16 = 14;
        let limit = if self.limit == 0 { 1000 } else { self.limit };
        // Which packet of so many is sent at once: each, by chance.
        let gap = u32::from(self.reorder > 0.0);
        let head = [0, limit, part(self.loss), gap, part(self.duplicate), 0];
        let mut options = Attributes::default()
            .head(&words_of(&head))
            .with(LATENCY64, &nanos(self.delay))
            .with(JITTER64, &nanos(self.jitter));
        if self.reorder > 0.0 {
            options = options.with(REORDER, &words_of(&[part(self.reorder), 0]));
        }
        if self.corrupt > 0.0 {
            options = options.with(CORRUPT, &words_of(&[part(self.corrupt), 0]));
        }
        if self.rate != 0 {
            let short = u32::try_from(self.rate).unwrap_or(u32::MAX);
            options = options
                .with(RATE, &words_of(&[short, 0, 0, 0]))
                .with(RATE64, &self.rate.to_ne_bytes());
        }
        match self.seed {
            Some(seed) => options.with(PRNG_SEED, &seed.to_ne_bytes()),
            None => options,
        }
    }
}

/// `struct tc_ratespec`, of Ethernet.
fn rate_head(rate: u64) -> Vec<u8> {
    const TC_LINKLAYER_ETHERNET: u8 = 1;
    let short = u32::try_from(rate).unwrap_or(u32::MAX);
    [
        &[0, TC_LINKLAYER_ETHERNET, 0, 0, 0, 0, 0, 0][..],
        &short.to_ne_bytes(),
    ]
    .concat()
}

/// How long so many bytes take at a rate, in the ticks of 64 ns that Linux's queues count in.
fn ticks(bytes: u32, rate: u64) -> u32 {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    u32::try_from(nanos >> 6).unwrap_or(u32::MAX)
}

impl Tbf {
    fn options(&self) -> Attributes {
        const PARMS: u16 = 1;
        const RATE64: u16 = 4;
        const BURST: u16 = 6;
        let end = words_of(&[self.limit, ticks(self.burst, self.rate), 0]);
        let parameters = [rate_head(self.rate), vec![0; 12], end].concat();
        let options = Attributes::default()
            .with(PARMS, &parameters)
            .with_u32(BURST, self.burst);
        match u32::try_from(self.rate) {
            Ok(_) => options,
            Err(_) => options.with(RATE64, &self.rate.to_ne_bytes()),
        }
    }
}

/// `struct tcmsg`
fn head(index: u32, handle: u32, parent: u32) -> Vec<u8> {
    words_of(&[0, index, handle, parent, 0])
}

impl Configuration {
    /// Puts a queue at a place, [`Handle::ROOT`] or a class; the one that was there goes. `handle` is its own name, with minor 0.
    pub fn set_queue(
        &self,
        interface: &str,
        parent: Handle,
        handle: Handle,
        queue: &Queue<'_>,
    ) -> io::Result<()> {
        let thing = format!("{interface}: queue {}", queue.kind());
        let head = head(self.index(interface)?, handle.number(), parent.number());
        let request = Request::new(RTM_NEWQDISC, CREATE | REPLACE, &head)
            .with_text(TCA_KIND, queue.kind())
            .nested(TCA_OPTIONS, |_| queue.options());
        self.request(&thing, &request).map(drop)
    }

    /// Takes away the queue at the root: Linux's default is there again.
    pub fn delete_queue(&self, interface: &str) -> io::Result<()> {
        let head = head(self.index(interface)?, 0, Handle::ROOT.number());
        let request = Request::new(RTM_DELQDISC, 0, &head);
        self.request(&format!("{interface}: queue"), &request).map(drop)
    }

    /// Makes a class of an HTB queue, or changes it.
    pub fn set_htb_class(
        &self,
        interface: &str,
        parent: Handle,
        class: Handle,
        htb: HtbClass,
    ) -> io::Result<()> {
        const PARMS: u16 = 1;
        const RATE64: u16 = 6;
        const CEIL64: u16 = 7;
        let thing = format!("{interface}: class {}:{}", class.major, class.minor);
        let head = head(self.index(interface)?, class.number(), parent.number());
        let buffers = [ticks(htb.burst, htb.rate), ticks(htb.burst, htb.ceiling), 0, 0, 0];
        let parameters = [rate_head(htb.rate), rate_head(htb.ceiling), words_of(&buffers)].concat();
        let request = Request::new(RTM_NEWTCLASS, CREATE | REPLACE, &head)
            .with_text(TCA_KIND, "htb")
            .nested(TCA_OPTIONS, |options| {
                options
                    .with(PARMS, &parameters)
                    .with(RATE64, &htb.rate.to_ne_bytes())
                    .with(CEIL64, &htb.ceiling.to_ne_bytes())
            });
        self.request(&thing, &request).map(drop)
    }

    /// The queues of an interface: their names, and what they are.
    pub fn queues(&self, interface: &str) -> io::Result<Vec<(Handle, String)>> {
        let index = self.index(interface)?;
        let answers = self.dump(interface, RTM_GETQDISC, &head(0, 0, 0))?;
        let of_it = |answer: &Answer| {
            let (head, attributes) = answer.body.split_at_checked(20)?;
            if u32_of(head.get(4..)?)? != index {
                return None;
            }
            let [a, b, c, d] = u32_of(head.get(8..)?)?.to_be_bytes();
            let handle = Handle::new(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            Some((handle, text_of(attribute(attributes, TCA_KIND)?)))
        };
        Ok(answers.iter().filter_map(of_it).collect())
    }
}
