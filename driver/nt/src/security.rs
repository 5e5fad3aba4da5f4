//! Security descriptors in self-relative form, made from parts.

use alloc::vec::Vec;

use crate::{AccessMask, NtStatus};

/// `SECURITY_INFORMATION` bits that a query asks for.
pub mod information {
    /// `OWNER_SECURITY_INFORMATION`.
    pub const OWNER: u32 = 0x1;
    /// `GROUP_SECURITY_INFORMATION`.
    pub const GROUP: u32 = 0x2;
    /// `DACL_SECURITY_INFORMATION`.
    pub const DACL: u32 = 0x4;
    /// `SACL_SECURITY_INFORMATION`.
    pub const SACL: u32 = 0x8;
}

/// The most sub-authorities that a SID has (`SID_MAX_SUB_AUTHORITIES`).
pub const MOST_SUB_AUTHORITIES: usize = 15;

/// A security identifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sid {
    /// The identifier authority (the second number of `S-1-...`), below 256.
    pub authority: u8,
    /// The first sub-authorities; zeros behind them.
    pub sub_authorities: [u32; MOST_SUB_AUTHORITIES],
    /// How many of them there are.
    pub count: u8,
}

impl Sid {
    /// `S-1-1-0`, Everyone.
    pub const EVERYONE: Self = Self::one(1, 0);
    /// `S-1-5-18`, Local System.
    pub const LOCAL_SYSTEM: Self = Self::one(5, 18);
    /// `S-1-5-32-544`, Administrators.
    pub const ADMINISTRATORS: Self = Self::two(5, 32, 544);

    /// A SID of one sub-authority.
    pub const fn one(authority: u8, first: u32) -> Self {
        Self {
            authority,
            sub_authorities: [first, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            count: 1,
        }
    }

    /// A SID of two sub-authorities.
    pub const fn two(authority: u8, first: u32, second: u32) -> Self {
        Self {
            authority,
            sub_authorities: [first, second, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            count: 2,
        }
    }

    /// Reads `S-1-5-21-1-2-3-1001`. `None` for what is no SID, or has an authority of 256 or more, which none has.
    pub fn parse(text: &[u8]) -> Option<Self> {
        // The revision, which is always 1, stands between the letter and the authority.
        let rest = text.strip_prefix(b"S-").or_else(|| text.strip_prefix(b"s-"))?;
        let mut parts = rest.split(|byte| *byte == b'-');
        let mut number = || -> Option<Option<u32>> {
            let Some(digits) = parts.next() else {
                return Some(None);
            };
            let plain = (1..=10).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
            let text = core::str::from_utf8(digits).ok().filter(|_| plain)?;
            text.parse().ok().map(Some)
        };
        if number()? != Some(1) {
            return None;
        }
        let mut sid = Self {
            authority: u8::try_from(number()??).ok()?,
            sub_authorities: [0; MOST_SUB_AUTHORITIES],
            count: 0,
        };
        for place in &mut sid.sub_authorities {
            let Some(value) = number()? else { break };
            *place = value;
            sid.count = sid.count.saturating_add(1);
        }
        (number()?.is_none() && sid.count > 0).then_some(sid)
    }

    /// `S-1-22-1-uid`: a UNIX user.
    pub const fn unix_user(uid: u32) -> Self {
        Self::two(22, 1, uid)
    }

    /// `S-1-22-2-gid`: a UNIX group.
    pub const fn unix_group(gid: u32) -> Self {
        Self::two(22, 2, gid)
    }

    /// Bytes of its binary form.
    fn len(self) -> u16 {
        u16::from(self.count).saturating_mul(4).saturating_add(8)
    }

    fn append_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[1, self.count, 0, 0, 0, 0, 0, self.authority]);
        for sub_authority in self.sub_authorities.iter().take(self.count.into()) {
            out.extend_from_slice(&sub_authority.to_le_bytes());
        }
    }
}

/// What an entry of a list does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AceKind {
    /// `ACCESS_ALLOWED_ACE_TYPE`.
    Allow,
    /// `ACCESS_DENIED_ACE_TYPE`.
    Deny,
}

/// One entry of a discretionary list; nothing is inherited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ace {
    /// Allow or deny.
    pub kind: AceKind,
    /// The rights.
    pub mask: AccessMask,
    /// To whom.
    pub sid: Sid,
}

/// `SE_DACL_PRESENT`.
const DACL_PRESENT: u16 = 0x0004;
/// `SE_SELF_RELATIVE`.
const SELF_RELATIVE: u16 = 0x8000;
/// Bytes of `SECURITY_DESCRIPTOR_RELATIVE`.
const HEADER_SIZE: usize = 20;

/// A self-relative descriptor of the parts that `information` asks for (see [`information`]). A system list is never
/// there. Entries keep their order.
///
/// # Errors
///
/// INSUFFICIENT_RESOURCES when memory is short, INVALID_PARAMETER when the list is longer than an ACL can be.
pub fn descriptor(owner: Sid, group: Sid, dacl: &[Ace], information: u32) -> Result<Vec<u8>, NtStatus> {
    let too_long = NtStatus::INVALID_PARAMETER;
    let acl_size = dacl
        .iter()
        .try_fold(8u16, |sum, ace| sum.checked_add(ace.sid.len())?.checked_add(8));
    let acl_size = acl_size.ok_or(too_long)?;
    let ace_count = u16::try_from(dacl.len()).map_err(|_| too_long)?;

    let mut out = Vec::new();
    let sids = owner.len().saturating_add(group.len());
    let most = HEADER_SIZE
        .saturating_add(sids.into())
        .saturating_add(acl_size.into());
    out.try_reserve_exact(most)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    out.resize(HEADER_SIZE, 0);
    let mut offsets = [0u32; 4]; // owner, group, sacl, dacl
    let mut control = SELF_RELATIVE;
    let here = |out: &Vec<u8>| u32::try_from(out.len()).unwrap_or(0);

    if information & information::OWNER != 0 {
        offsets[0] = here(&out);
        owner.append_to(&mut out);
    }
    if information & information::GROUP != 0 {
        offsets[1] = here(&out);
        group.append_to(&mut out);
    }
    if information & information::DACL != 0 {
        offsets[3] = here(&out);
        control |= DACL_PRESENT;
        // AclRevision 2, Sbz1, AclSize, AceCount, Sbz2.
        out.extend_from_slice(&[2, 0]);
        out.extend_from_slice(&acl_size.to_le_bytes());
        out.extend_from_slice(&ace_count.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        for ace in dacl {
            let kind = match ace.kind {
                AceKind::Allow => 0,
                AceKind::Deny => 1,
            };
            out.extend_from_slice(&[kind, 0]);
            out.extend_from_slice(&ace.sid.len().saturating_add(8).to_le_bytes());
            out.extend_from_slice(&ace.mask.0.to_le_bytes());
            ace.sid.append_to(&mut out);
        }
    }
    // Revision 1, Sbz1, Control, then the four offsets.
    let mut header = Vec::new();
    header
        .try_reserve_exact(HEADER_SIZE)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    header.extend_from_slice(&[1, 0]);
    header.extend_from_slice(&control.to_le_bytes());
    for offset in offsets {
        header.extend_from_slice(&offset.to_le_bytes());
    }
    if let Some(place) = out.get_mut(..HEADER_SIZE) {
        place.copy_from_slice(&header);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_descriptor_has_its_parts_where_it_says() {
        let ace = Ace {
            kind: AceKind::Allow,
            mask: AccessMask::FILE_GENERIC_READ,
            sid: Sid::EVERYONE,
        };
        let bytes = descriptor(Sid::unix_user(1000), Sid::unix_group(100), &[ace], 7).unwrap();
        #[rustfmt::skip]
        let expected = [
            1, 0, 0x04, 0x80, 20, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0,
            1, 2, 0, 0, 0, 0, 0, 22, 1, 0, 0, 0, 0xE8, 3, 0, 0,
            1, 2, 0, 0, 0, 0, 0, 22, 2, 0, 0, 0, 100, 0, 0, 0,
            2, 0, 28, 0, 1, 0, 0, 0,
            0, 0, 20, 0, 0x89, 0, 0x12, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_sid_is_read_as_it_is_written() {
        let user = Sid::parse(b"S-1-5-21-1-2-4294967295-1001").unwrap();
        assert_eq!((user.authority, user.count), (5, 5));
        assert_eq!(user.sub_authorities[..6], [21, 1, 2, u32::MAX, 1001, 0]);
        assert_eq!(Sid::parse(b"S-1-22-1-1000"), Some(Sid::unix_user(1000)));
        assert_eq!(Sid::parse(b"s-1-1-0"), Some(Sid::EVERYONE));
        let most = format!("S-1-5{}", "-7".repeat(MOST_SUB_AUTHORITIES));
        assert_eq!(Sid::parse(most.as_bytes()).unwrap().count, 15);
        for bad in [
            "",
            "S",
            "S-1",
            "S-1-5",
            "S-2-5-1",
            "S-1-5-",
            "S-1-5-x",
            "S-1-5-+1",
            "S-1-256-1",
            "S-1-5-4294967296",
            "1-5-18",
            &format!("{most}-7"),
        ] {
            assert_eq!(Sid::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn only_what_is_asked_is_in_it() {
        let bytes = descriptor(Sid::LOCAL_SYSTEM, Sid::ADMINISTRATORS, &[], information::GROUP).unwrap();
        assert_eq!(
            &bytes[..20],
            [1, 0, 0, 0x80, 0, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes.len(), 36);
    }
}
