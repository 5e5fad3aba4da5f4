//! Maps of owners, SIDs, and the security descriptors that are made of them: `lklfs_fsd::OwnerMap`, `lklfs_nt::security`.
//!
//! The bytes are a map as the registry has it, and then the parts of a descriptor. What must hold: a map is taken exactly when a
//! reading of it by plain string functions takes it, and says the same of each owner; a SID written anew is the same; a
//! descriptor, taken apart again, has its parts where it says, in order, and nothing else.

use crate::allocated::within;
use crate::input::Input;
use lklfs_fsd::OwnerMap;
use lklfs_nt::AccessMask;
use lklfs_nt::security::{self, Ace, AceKind, Sid};
use std::collections::HashMap;

pub fn run(bytes: &[u8]) {
    let map = within(256 << 10, || OwnerMap::parse(bytes)).ok();
    let plain = plain_map(bytes);
    assert_eq!(map.is_some(), plain.is_some(), "{:?}", String::from_utf8_lossy(bytes));
    if let (Some(map), Some(plain)) = (&map, &plain) {
        for ((user, id), sid) in plain {
            let told = if *user { map.user(*id) } else { map.group(*id) };
            assert_eq!(told, *sid);
            assert_eq!(Sid::parse(written(sid).as_bytes()), Some(*sid));
        }
    }
    let sids = plain.into_iter().flat_map(HashMap::into_values).collect();
    descriptor(Input(bytes), sids);
}

fn written(sid: &Sid) -> String {
    let subs = &sid.sub_authorities[..sid.count.into()];
    subs.iter().fold(format!("S-1-{}", sid.authority), |text, sub| format!("{text}-{sub}"))
}

fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

fn plain_sid(text: &str) -> Option<Sid> {
    let mut parts = text.split('-');
    if !parts.next()?.eq_ignore_ascii_case("s") {
        return None;
    }
    let numbers: Vec<u32> = parts.map(|part| digits(part).filter(|_| part.len() <= 10)).collect::<Option<_>>()?;
    let [1, authority, subs @ ..] = &numbers[..] else { return None };
    let mut sub_authorities = [0; security::MOST_SUB_AUTHORITIES];
    sub_authorities.get_mut(..subs.len())?.copy_from_slice(subs);
    Some(Sid {
        authority: u8::try_from(*authority).ok()?,
        sub_authorities,
        count: u8::try_from(subs.len()).ok().filter(|count| *count > 0)?,
    })
}

fn plain_map(bytes: &[u8]) -> Option<HashMap<(bool, u32), Sid>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut map = HashMap::new();
    for entry in text.split(',').filter(|_| !text.is_empty()) {
        let (owner, sid) = entry.split_once('=')?;
        let (kind, id) = owner.split_once(':')?;
        let user = match kind {
            "uid" => true,
            "gid" => false,
            _ => return None,
        };
        let twice = map.insert((user, digits(id)?), plain_sid(sid)?).is_some();
        if twice || map.len() > 256 {
            return None;
        }
    }
    Some(map)
}

/// Makes a descriptor and takes it apart.
fn descriptor(mut input: Input<'_>, mut sids: Vec<Sid>) {
    let parts = u32::from(input.u8());
    sids.push(Sid::two(22, 1, input.u32()));
    let aces: Vec<Ace> = (0..input.u16() % 4000)
        .map(|number| Ace {
            kind: input.choice(&[AceKind::Allow, AceKind::Deny]),
            mask: AccessMask(input.u32()),
            sid: sids[usize::from(number) % sids.len()],
        })
        .collect();
    let (owner, group) = (sids[0], sids[sids.len() - 1]);
    let length: usize = aces.iter().map(|ace| 8 + size(&ace.sid)).sum();
    let made = within(72 << 10, || security::descriptor(owner, group, &aces, parts));
    let Ok(made) = made else {
        assert!(8 + length > 0xffff);
        return;
    };
    let word = |at: usize| u16::from_le_bytes([made[at], made[at + 1]]);
    let long = |at: usize| u32::from_le_bytes([made[at], made[at + 1], made[at + 2], made[at + 3]]) as usize;
    let mut at = 20;
    for (bit, field, sid) in [(1, 4, &owner), (2, 8, &group)] {
        let wanted = parts & bit != 0;
        assert_eq!(long(field), if wanted { at } else { 0 });
        if wanted {
            at += sid_at(&made, at, sid);
        }
    }
    assert_eq!(long(12), 0);
    let wanted = parts & 4 != 0;
    assert_eq!((long(16), word(2)), (if wanted { at } else { 0 }, 0x8000 | if wanted { 4 } else { 0 }));
    if wanted {
        assert_eq!((usize::from(word(at + 2)), usize::from(word(at + 4))), (8 + length, aces.len()));
        at += 8;
        for ace in &aces {
            assert_eq!(made[at] == 1, ace.kind == AceKind::Deny);
            assert_eq!(long(at + 4), ace.mask.0 as usize);
            assert_eq!(usize::from(word(at + 2)), 8 + sid_at(&made, at + 8, &ace.sid));
            at += usize::from(word(at + 2));
        }
    }
    assert_eq!(at, made.len());
}

fn size(sid: &Sid) -> usize {
    8 + 4 * usize::from(sid.count)
}

/// Compares a SID in a descriptor; its length.
fn sid_at(bytes: &[u8], at: usize, sid: &Sid) -> usize {
    let mut expected = vec![1, sid.count, 0, 0, 0, 0, 0, sid.authority];
    expected.extend(sid.sub_authorities[..sid.count.into()].iter().flat_map(|sub| sub.to_le_bytes()));
    assert_eq!(&bytes[at..at + expected.len()], expected);
    expected.len()
}
