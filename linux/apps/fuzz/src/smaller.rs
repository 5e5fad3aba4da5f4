//! A smaller input with the same end: changes are left out one after the other, then halves of their bytes.

use crate::patches::Patches;

/// The smallest input that is found for which `same` holds, as it does for `input`.
pub fn smaller(input: &[u8], mut same: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut best = Patches::parse(input);
    let mut holds = |patches: &Patches| same(&patches.write(usize::MAX));
    let mut at = 0;
    while at < best.list.len() {
        let mut fewer = best.clone();
        fewer.list.remove(at);
        match holds(&fewer) {
            true => best = fewer,
            false => at += 1,
        }
    }
    for at in 0..best.list.len() {
        while best.list[at].bytes.len() > 1 {
            let half = best.list[at].bytes.len() / 2;
            let (mut first, mut second) = (best.clone(), best.clone());
            first.list[at].bytes.truncate(half);
            second.list[at].bytes.drain(..half);
            second.list[at].at += half as u64;
            match (holds(&first), holds(&second)) {
                (true, _) => best = first,
                (false, true) => best = second,
                _ => break,
            }
        }
    }
    best.write(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patches::Patch;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let list = (0u8..9).map(|number| Patch {
            at: 100 * u64::from(number),
            bytes: (number * 8..number * 8 + 8).collect(),
        });
        let patches = Patches {
            switches: 1,
            list: list.collect(),
        };
        let mut tries = 0;
        let small = smaller(&patches.write(4096), |input| {
            tries += 1;
            Patches::parse(input)
                .list
                .iter()
                .any(|patch| patch.bytes.contains(&43))
        });
        let kept = Patch {
            at: 503,
            bytes: vec![43],
        };
        assert_eq!(Patches::parse(&small).list, [kept]);
        assert!(tries < 20, "{tries}");
    }
}
