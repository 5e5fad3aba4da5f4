//! Who may log in.
//!
//! Everybody, anonymously, unless the operator names users. A password is the first line of a file, so that it stands in no
//! list of processes.

use std::path::Path;

use subtle::ConstantTimeEq;

/// Users and their passwords.
#[derive(Default)]
pub struct Accounts {
    users: Vec<(String, Vec<u8>)>,
    anonymous: bool,
}

/// Names of the anonymous user.
const ANONYMOUS: [&str; 2] = ["anonymous", "ftp"];

impl Accounts {
    /// From options of the form `NAME:PASSWORDFILE`. With none, or if `anonymous` says so, everybody may log in.
    ///
    /// # Errors
    /// The option that is wrong, or the file that cannot be read, and why; for the user.
    pub fn read(options: &[String], anonymous: bool) -> Result<Accounts, String> {
        let mut users = Vec::new();
        for option in options {
            let (name, path) = option
                .split_once(':')
                .filter(|(name, path)| !name.is_empty() && !path.is_empty())
                .ok_or_else(|| format!("--user {option}: write NAME:PASSWORDFILE"))?;
            if ANONYMOUS.contains(&name) {
                return Err(format!(
                    "--user {option}: {name} has no password; use --anonymous"
                ));
            }
            if users.iter().any(|(other, _)| other == name) {
                return Err(format!("--user {option}: {name} is named twice"));
            }
            let text = std::fs::read(Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
            let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                return Err(format!(
                    "{path}: its first line is empty; write the password there"
                ));
            }
            users.push((name.to_owned(), line.to_vec()));
        }
        let anonymous = anonymous || users.is_empty();
        Ok(Accounts { users, anonymous })
    }

    /// Whether everybody may log in.
    pub fn anonymous(&self) -> bool {
        self.anonymous
    }

    /// Whether this name is the anonymous user's, and there is one.
    pub fn is_anonymous(&self, name: &[u8]) -> bool {
        self.anonymous
            && ANONYMOUS
                .iter()
                .any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
    }

    /// Whether this is a user's password. How long it takes does not say which of the two is wrong.
    pub fn check(&self, name: &[u8], password: &[u8]) -> bool {
        let mut right = subtle::Choice::from(0);
        for (user, word) in &self.users {
            right |= user.as_bytes().ct_eq(name) & word[..].ct_eq(password);
        }
        right.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_and_checked() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("word");
        std::fs::write(&file, "secret\r\nmore\n").unwrap();
        let option = format!("joe:{}", file.display());
        let accounts = Accounts::read(std::slice::from_ref(&option), false).unwrap();
        assert!(accounts.check(b"joe", b"secret"));
        for (name, word) in [
            ("joe", "secret\r"),
            ("joe", ""),
            ("jo", "secret"),
            ("", ""),
            ("anonymous", "x"),
        ] {
            assert!(!accounts.check(name.as_bytes(), word.as_bytes()), "{name} {word}");
        }
        assert!(!accounts.is_anonymous(b"ftp"));
        assert!(Accounts::read(&[], false).unwrap().is_anonymous(b"Anonymous"));
        assert!(
            Accounts::read(std::slice::from_ref(&option), true)
                .unwrap()
                .is_anonymous(b"ftp")
        );
        std::fs::write(&file, "\n").unwrap();
        for bad in [
            &option[..],
            "joe",
            ":x",
            "joe:",
            "ftp:/etc/hosts",
            "joe:/no/such/file",
        ] {
            assert!(Accounts::read(&[bad.to_owned()], false).is_err(), "{bad}");
        }
    }
}
