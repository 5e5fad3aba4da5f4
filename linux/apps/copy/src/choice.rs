//! Which entries of a tree are copied: `--exclude` and `--one-file-system`.

use glob::Pattern;
use lkl_session::exit::{Exit, Failure};
use lkl_tree::volume::{Kind, Stat};
use lkl_tree::walk::Choice;

/// What the options say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choices {
    patterns: Vec<Pattern>,
    one_file_system: bool,
}

impl Choices {
    /// Wildcards as tar's: one with a slash in front is a whole path, any other matches at the beginning of any name.
    pub(crate) fn new(patterns: &[String], one_file_system: bool) -> Result<Choices, Failure> {
        let parse = |text: &String| {
            Pattern::new(text).map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    format_args!("--exclude {text}: {}; see --help", error.msg),
                )
            })
        };
        Ok(Choices {
            patterns: patterns.iter().map(parse).collect::<Result<_, _>>()?,
            one_file_system,
        })
    }

    /// What becomes of the entry at `path`, which begins with a slash, in a tree whose start is on `device`.
    pub(crate) fn choose(&self, path: &[u8], stat: &Stat, device: u64) -> Choice {
        if !self.patterns.is_empty() && self.excludes(path) {
            return Choice::None;
        }
        let is_other = stat.kind == Kind::Directory && stat.device != device;
        if self.one_file_system && is_other {
            return Choice::Alone;
        }
        Choice::Whole
    }

    fn excludes(&self, path: &[u8]) -> bool {
        let path = String::from_utf8_lossy(path);
        let begins = path.match_indices('/').map(|(at, _)| at + 1);
        let mut rests = begins.filter_map(|at| path.get(at..));
        self.patterns.iter().any(|pattern| pattern.matches(&path))
            || rests.any(|rest| self.patterns.iter().any(|pattern| pattern.matches(rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excludes(pattern: &str, path: &str) -> bool {
        let choices = Choices::new(&[pattern.to_owned()], false).unwrap();
        choices.excludes(path.as_bytes())
    }

    #[test]
    fn patterns_match_as_those_of_tar() {
        assert!(excludes("*.o", "/src/main.o"));
        assert!(excludes("target", "/a/target"));
        assert!(!excludes("target", "/a/target-2"));
        assert!(excludes("a/b", "/x/a/b"));
        assert!(excludes("/etc", "/etc"));
        assert!(!excludes("/etc", "/usr/etc"));
        assert!(excludes("/usr/*/x", "/usr/a/b/x"));
        assert!(Choices::new(&["[".to_owned()], false).is_err());
    }
}
