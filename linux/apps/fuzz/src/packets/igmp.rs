//! Messages about groups of addresses.

use super::frames::{IGMP, US, ipv4};
use crate::rng::Rng;

/// The group of all systems, which Linux is in, and that of routers that speak the third version.
const ALL_SYSTEMS: [u8; 4] = [224, 0, 0, 1];
const ROUTERS: [u8; 4] = [224, 0, 0, 22];
/// Groups that Linux's sockets join.
const JOINED: [[u8; 4]; 2] = [[239, 1, 1, 1], [239, 1, 1, 2]];

/// A message of IGMP to one of the groups that Linux is in, to Linux alone, or to the routers, which Linux does not listen to.
pub fn message(rng: &mut Rng) -> Vec<u8> {
    let group = rng.choice(&JOINED);
    let to = rng.choice(&[ALL_SYSTEMS, ALL_SYSTEMS, JOINED[0], JOINED[1], US, ROUTERS]);
    let address = |rng: &mut Rng| rng.choice(&[[10, 0, 0, 2], US, [10, 0, 0, 9]]);
    let message = match rng.below(6) {
        // Queries of versions 1 and 2, of all groups or of one.
        0 => {
            let asked = rng.choice(&[[0; 4], group]);
            [&[0x11, rng.choice(&[0, 10, 200]), 0, 0][..], &asked].concat()
        }
        // Of version 3, of sources too.
        1 | 2 => {
            let asked = rng.choice(&[[0; 4], group, group]);
            let count = if asked == [0; 4] { 0 } else { rng.below(9) };
            let robustness = rng.choice(&[2, 0, 8 | 2]);
            let mut query = [&[0x11, rng.choice(&[10, 200]), 0, 0][..], &asked].concat();
            query.extend([robustness, 20, 0, count as u8]);
            query.extend((0..count).flat_map(|_| address(rng)));
            query
        }
        // Reports of versions 1 and 2, and a group that is left.
        3 => [&[rng.choice(&[0x12, 0x16, 0x17]), 0, 0, 0][..], &group].concat(),
        // Reports of version 3: groups, and of each what changes and for which sources.
        _ => {
            let count = rng.below(9);
            let mut report = vec![0x22, 0, 0, 0, 0, 0, 0, count as u8];
            for _ in 0..count {
                let sources = rng.below(4);
                report.extend([1 + rng.below(6) as u8, 0, 0, sources as u8]);
                report.extend(rng.choice(&JOINED));
                report.extend((0..sources).flat_map(|_| address(rng)));
            }
            report
        }
    };
    ipv4(IGMP, to, &[0x94, 4, 0, 0], &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a message says of itself, where it goes to, and how many groups or sources it says that it has.
    #[test]
    fn each_kind_of_message_goes_to_groups_that_linux_is_in() {
        let mut rng = Rng::new(3);
        let mut reported = [0; 9];
        let mut kinds = std::collections::BTreeSet::new();
        for _ in 0..2000 {
            let frame = message(&mut rng);
            let to: [u8; 4] = frame[30..34].try_into().unwrap();
            if to == ROUTERS {
                continue;
            }
            let igmp = &frame[38..];
            kinds.insert(igmp[0]);
            if igmp[0] == 0x22 {
                let groups = usize::from(igmp[7]);
                reported[groups] += 1;
                let mut rest = &igmp[8..];
                for _ in 0..groups {
                    rest = &rest[8 + usize::from(rest[3]) * 4..];
                }
                assert_eq!(rest.len(), 0);
            }
        }
        assert_eq!(Vec::from_iter(kinds), [0x11, 0x12, 0x16, 0x17, 0x22]);
        assert!(reported.iter().all(|count| *count > 0), "{reported:?}");
    }
}
