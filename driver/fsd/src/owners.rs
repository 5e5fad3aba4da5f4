//! Which users and groups of this machine are which of a volume's.
//!
//! A volume knows its owners by number only. Without a map they are `S-1-22-1-uid` and `S-1-22-2-gid`, which nobody on a
//! Windows machine is. A map, `uid:1000=S-1-5-21-1-2-3-1001,gid:100=S-1-5-32-545`, says who is meant; owner and mode then
//! decide for that user as they do under Linux.

use alloc::vec::Vec;

use lklfs_nt::NtStatus;
use lklfs_nt::security::Sid;

/// The most entries of a map.
const MOST: usize = 256;

/// A user or a group of a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    User(u32),
    Group(u32),
}

/// The map of one volume.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OwnerMap {
    entries: Vec<(Owner, Sid)>,
}

impl OwnerMap {
    /// Reads a map as it is written; an empty text is an empty map.
    ///
    /// # Errors
    /// INVALID_PARAMETER for what is no map, names an owner twice, or has more than 256 entries; INSUFFICIENT_RESOURCES.
    ///
    /// # IRQL
    ///
    /// <= APC_LEVEL; allocates, does not block.
    pub fn parse(text: &[u8]) -> Result<Self, NtStatus> {
        let mut map = OwnerMap::default();
        for entry in text.split(|byte| *byte == b',').filter(|_| !text.is_empty()) {
            let (owner, sid) = read(entry).ok_or(NtStatus::INVALID_PARAMETER)?;
            if map.find(owner).is_some() || map.entries.len() >= MOST {
                return Err(NtStatus::INVALID_PARAMETER);
            }
            map.entries
                .try_reserve(1)
                .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
            map.entries.push((owner, sid));
        }
        Ok(map)
    }

    fn find(&self, owner: Owner) -> Option<Sid> {
        let mut same = self.entries.iter().filter(|(known, _)| *known == owner);
        same.next().map(|(_, sid)| *sid)
    }

    /// Who the user with this number is.
    pub fn user(&self, uid: u32) -> Sid {
        self.find(Owner::User(uid)).unwrap_or(Sid::unix_user(uid))
    }

    /// Who the group with this number is.
    pub fn group(&self, gid: u32) -> Sid {
        self.find(Owner::Group(gid)).unwrap_or(Sid::unix_group(gid))
    }
}

/// `uid:1000=S-1-5-...`.
fn read(entry: &[u8]) -> Option<(Owner, Sid)> {
    let at = entry.iter().position(|byte| *byte == b'=')?;
    let (owner, sid) = (entry.get(..at)?, entry.get(at.checked_add(1)?..)?);
    let number = |digits: &[u8]| {
        let text = core::str::from_utf8(digits).ok()?;
        text.parse()
            .ok()
            .filter(|_| digits.iter().all(u8::is_ascii_digit))
    };
    let owner = match owner.strip_prefix(b"uid:") {
        Some(digits) => Owner::User(number(digits)?),
        None => Owner::Group(number(owner.strip_prefix(b"gid:")?)?),
    };
    Some((owner, Sid::parse(sid)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn who_is_in_the_map_is_somebody_else() {
        let map = OwnerMap::parse(b"uid:1000=S-1-5-21-1-2-3-1001,gid:1000=S-1-5-32-545").unwrap();
        assert_eq!(map.user(1000), Sid::parse(b"S-1-5-21-1-2-3-1001").unwrap());
        assert_eq!(map.group(1000), Sid::two(5, 32, 545));
        assert_eq!(map.user(1001), Sid::unix_user(1001));
        assert_eq!(map.group(0), Sid::unix_group(0));
        assert_eq!(OwnerMap::parse(b""), Ok(OwnerMap::default()));
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for bad in [
            "uid:1000",
            "uid:1000=",
            "uid:=S-1-1-0",
            "uid:+1=S-1-1-0",
            "user:1=S-1-1-0",
            "uid:1=S-1-1-0,",
            ",uid:1=S-1-1-0",
            "uid:4294967296=S-1-1-0",
            "uid:1=S-1-1-0,uid:1=S-1-5-18",
        ] {
            assert_eq!(
                OwnerMap::parse(bad.as_bytes()),
                Err(NtStatus::INVALID_PARAMETER),
                "{bad}"
            );
        }
        let entry = |n: usize| format!("uid:{n}=S-1-1-0");
        let many = |count| (0..count).map(entry).collect::<Vec<_>>().join(",");
        assert!(OwnerMap::parse(many(MOST).as_bytes()).is_ok());
        assert!(OwnerMap::parse(many(MOST + 1).as_bytes()).is_err());
    }
}
