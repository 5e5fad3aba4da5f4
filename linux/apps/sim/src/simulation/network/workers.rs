//! What Linux does later about a network, it does when all of it is there: its workers rest while nodes are made.

use lkl_host_virtual::{Kernel, rest};
use lkl_net::Namespace;
use std::io;

/// The workers that serve the processor's common queues. Others are at work as ever: a call may wait for those.
pub(super) struct Workers {
    kernel: Kernel,
    threads: Vec<u32>,
}

impl Workers {
    /// Those that there are rest from now on.
    pub(super) fn rest(kernel: &Kernel) -> io::Result<Workers> {
        let linux = Namespace::initial(kernel);
        // The last word is the number that was given to a thread last.
        let load = linux.read_proc("loadavg")?;
        let last = load.split_whitespace().last().and_then(|word| word.parse().ok());
        let last: u32 = last.ok_or(io::ErrorKind::InvalidData)?;
        // A number may be of no thread any more.
        let named =
            (1..=last).filter_map(|thread| Some((thread, linux.read_proc(&format!("{thread}/comm")).ok()?)));
        let threads = named
            .filter(|(_, name)| is_common(name))
            .map(|(thread, _)| thread);
        let workers = Workers {
            kernel: kernel.clone(),
            threads: threads.collect(),
        };
        workers.set(true)?;
        Ok(workers)
    }

    /// They do what has come together, and go on.
    pub(super) fn work_again(self) -> io::Result<()> {
        self.set(false)
    }

    fn set(&self, rests: bool) -> io::Result<()> {
        let mut threads = self.threads.iter();
        threads
            .try_for_each(|thread| rest(&self.kernel, *thread, rests))
            .map_err(lkl_net::io_error)
    }
}

/// `kworker/PROCESSOR:NUMBER`, with what it is doing behind a hyphen or a plus. Those for what is urgent have an H behind the number, and those
/// of no processor in particular a u in front.
fn is_common(name: &str) -> bool {
    let words = name
        .strip_prefix("kworker/")
        .and_then(|rest| rest.split_once(':'));
    words.is_some_and(|(processor, rest)| {
        let number = rest.split(['-', '+']).next().unwrap_or(rest);
        [processor, number.trim()]
            .iter()
            .all(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::is_common;

    #[test]
    fn common_workers_are_told_from_urgent_ones_and_those_of_no_processor() {
        for name in [
            "kworker/0:1\n",
            "kworker/0:0-events\n",
            "kworker/0:12+events_power_efficient",
        ] {
            assert!(is_common(name), "{name}");
        }
        for name in [
            "kworker/0:0H-kblockd",
            "kworker/u2:0\n",
            "kworker/R-netns",
            "kthreadd",
            "kworker/0:",
        ] {
            assert!(!is_common(name), "{name}");
        }
    }
}
