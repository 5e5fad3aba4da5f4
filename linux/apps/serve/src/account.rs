//! Who may log in.
//!
//! Everybody, anonymously, unless the operator names users. A password is the first line of a file or an environment variable, so
//! that it stands in no list of processes.

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
    /// From options of the form `NAME:PASSWORDFILE`, and such of the form `NAME:VARIABLE` of the environment. With none, or if
    /// `anonymous` says so, everybody may log in.
    ///
    /// # Errors
    /// The option that is wrong, or the file or variable that cannot be read, and why; for the user.
    pub fn read(files: &[String], variables: &[String], anonymous: bool) -> Result<Accounts, String> {
        let mut accounts = Accounts::default();
        for option in files {
            let (name, path) = accounts.new_name(option, "--user", "PASSWORDFILE")?;
            let text = std::fs::read(Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
            let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                return Err(format!(
                    "{path}: its first line is empty; write the password there"
                ));
            }
            accounts.users.push((name.to_owned(), line.to_vec()));
        }
        for option in variables {
            let (name, variable) = accounts.new_name(option, "--user-env", "VARIABLE")?;
            let word = std::env::var_os(variable).filter(|word| !word.is_empty());
            let word = word.ok_or_else(|| {
                format!("--user-env {option}: {variable} is not set; put the password into it")
            })?;
            accounts.users.push((name.to_owned(), word.into_encoded_bytes()));
        }
        accounts.anonymous = anonymous || accounts.users.is_empty();
        Ok(accounts)
    }

    /// The two parts of an option, the first of which is a user that has not been named yet.
    fn new_name<'a>(&self, option: &'a str, flag: &str, what: &str) -> Result<(&'a str, &'a str), String> {
        let (name, source) = option
            .split_once(':')
            .filter(|(name, source)| !name.is_empty() && !source.is_empty())
            .ok_or_else(|| format!("{flag} {option}: write NAME:{what}"))?;
        if ANONYMOUS.contains(&name) {
            return Err(format!(
                "{flag} {option}: {name} has no password; use --anonymous"
            ));
        }
        if self.users.iter().any(|(other, _)| other == name) {
            return Err(format!("{flag} {option}: {name} is named twice"));
        }
        Ok((name, source))
    }

    /// Users with their passwords.
    pub fn users(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.users.iter().map(|(name, word)| (&name[..], &word[..]))
    }

    /// Whether there are users with passwords.
    pub fn has_users(&self) -> bool {
        !self.users.is_empty()
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
        let accounts = Accounts::read(std::slice::from_ref(&option), &[], false).unwrap();
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
        assert!(
            Accounts::read(&[], &[], false)
                .unwrap()
                .is_anonymous(b"Anonymous")
        );
        assert!(
            Accounts::read(std::slice::from_ref(&option), &[], true)
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
            assert!(Accounts::read(&[bad.to_owned()], &[], false).is_err(), "{bad}");
        }
        // A variable that every test has, and one that none has.
        let named = Accounts::read(&[], &["joe:PATH".to_owned()], false).unwrap();
        let path = std::env::var_os("PATH").unwrap();
        assert!(named.has_users() && named.check(b"joe", path.as_encoded_bytes()));
        assert!(Accounts::read(&[], &["joe:LKL_NOT_SET".to_owned()], false).is_err());
    }
}
