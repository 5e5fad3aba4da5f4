//! What the fuzzing program said when it ended, read: of what Linux died, and where.

use crate::planted;

/// Parts of Linux that tell of a fault and are not where it is.
const MESSENGERS: [&str; 8] = [
    "/linux/mm/kasan/",
    "/linux/kernel/panic.c",
    "/linux/kernel/notifier.c",
    "/linux/lib/ubsan.c",
    "/linux/lib/dump_stack.c",
    "/linux/lib/list_debug.c",
    "/linux/kernel/printk/",
    "/linux/arch/lkl/",
];
/// Frames that tell findings apart.
const TELLING: usize = 3;

/// How Linux died.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Of what: Linux's words, or libFuzzer's.
    pub what: String,
    /// Functions of Linux's with file and line, the innermost first.
    pub frames: Vec<String>,
    /// What Linux said before.
    pub words: Vec<String>,
}

impl Verdict {
    /// Reads it from what the program printed; `None` when it died of nothing.
    pub fn read(text: &str) -> Option<Verdict> {
        let lines: Vec<&str> = text.lines().collect();
        let died = lines
            .iter()
            .find_map(|line| line.strip_prefix("LINUX HAS DIED: "));
        let ended = lines
            .iter()
            .find_map(|line| line.split_once("ERROR: libFuzzer: "));
        let what = died.or(ended.map(|(_, what)| what))?;
        let words = lines.iter().filter_map(|line| line.strip_prefix("linux: "));
        let mut frames = Vec::new();
        for pair in lines.windows(2) {
            let Some(place) = pair[1]
                .trim_start()
                .strip_prefix("at ")
                .filter(|place| place.starts_with("/linux/"))
            else {
                continue;
            };
            let messenger = MESSENGERS.iter().any(|messenger| place.starts_with(messenger))
                && !place["/linux/".len()..].starts_with(planted::FILE);
            let function = pair[0]
                .trim_start()
                .split_once(": ")
                .map_or("?", |(_, name)| name);
            if !messenger {
                frames.push(format!("{function} at {}", &place["/linux/".len()..]));
            }
        }
        Some(Verdict {
            what: what.to_owned(),
            frames,
            words: words.map(str::to_owned).collect(),
        })
    }

    /// Whether it is of a bug that was planted.
    pub fn is_planted(&self) -> bool {
        self.frames.iter().any(|frame| frame.contains(planted::FILE))
    }

    /// What is the same in two deaths of one kind: the functions on top of the stack; else the words.
    pub fn kind(&self) -> String {
        let frames = self.frames.iter().take(TELLING);
        let functions: Vec<&str> = frames
            .map(|frame| frame.split(" at ").next().unwrap_or_default())
            .collect();
        match functions.is_empty() {
            true => self.what.clone(),
            false => functions.join(" < "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_linux_is_told_without_those_who_tell_of_it() {
        let text = "linux: EXT4-fs: x\nLINUX HAS DIED: KASAN: panic_on_warn set ...\nstack backtrace:\n   0: linux_fuzz::tell\n             \
                    at ./linux/apps/fuzz/src/death.rs:7:9\n   1: panic\n             at /linux/kernel/panic.c:200\n   2: kasan_report\n   \
                    at /linux/mm/kasan/report.c:1\n   3: ufs_fill_super\n             at /linux/fs/ufs/super.c:965:3\n   4: get_tree\n    \
                    at /linux/fs/super.c:5\n==1== ERROR: libFuzzer: deadly signal\n";
        let verdict = Verdict::read(text).unwrap();
        assert_eq!(verdict.what, "KASAN: panic_on_warn set ...");
        assert_eq!(
            verdict.frames,
            [
                "ufs_fill_super at fs/ufs/super.c:965:3",
                "get_tree at fs/super.c:5"
            ]
        );
        assert_eq!(verdict.kind(), "ufs_fill_super < get_tree");
        assert_eq!(verdict.words, ["EXT4-fs: x"]);
        let timeout = Verdict::read("==7== ERROR: libFuzzer: timeout after 10 seconds\n").unwrap();
        assert_eq!(timeout.kind(), "timeout after 10 seconds");
        assert_eq!(Verdict::read("Done 5 runs"), None);
    }
}
