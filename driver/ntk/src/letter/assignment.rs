//! Which letter a volume gets: what is asked for, what its policy says, what it had, or the next. Who gives it, the mount
//! manager or this driver, is the matter of [`crate::letter::letters`].

use crate::letter::inventory::{self, Seen};
use crate::letter::letters::{self, Assigned, Wish};
use crate::letter::policy;
use crate::log::{self, Wide};
use crate::state::Driver;
use lklfs_control::LetterRule;
use lklfs_kernel::name::Name;
use lklfs_kernel::text;
use lklfs_nt::NtStatus;

/// Which letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None.
    No,
    /// What the volume's policy says: mostly the one that it had before, or the next that is free.
    Any,
    /// This one, `b'A'` to `b'Z'`.
    This(u8),
}

/// What a letter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A volume that came by itself: without a mount manager it gets none.
    Arrived,
    /// A disk that came by itself, without a partition table: none of the mount manager's clients.
    WholeDisk,
    /// A disk that was asked for.
    Disk,
    /// An image that was asked for, which the mount manager forgets when it goes.
    Image,
}

/// The link that the mount manager is to give the volume with this key of itself: the letter that is asked for, its letter
/// by policy, or the last one.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn suggested_link(driver: &Driver, key: Option<&[u16]>, wanted: Wanted) -> Option<Name> {
    match wanted {
        Wanted::This(letter) => return Some(Name::letter(letter)),
        Wanted::No => return None,
        Wanted::Any => {}
    }
    let kept = driver.policies.get(key?).ok()?;
    match kept.letter {
        LetterRule::This(letter) => Some(Name::letter(letter)),
        LetterRule::Any => kept.last_letter.map(Name::letter),
        LetterRule::Hidden => None,
    }
}

/// Gives a whole disk a letter by a link of ours, which its place keeps.
fn own_letter(
    driver: &Driver,
    device: &[u16],
    wish: Wish,
    before: Option<Assigned>,
) -> Result<Option<Assigned>, NtStatus> {
    let Some(letter) = letters::own(device, wish)? else {
        return Ok(before);
    };
    if driver.places.set_own_letter(device, Some(letter)) {
        letters::release_own(before);
        Ok(Some(letter))
    } else {
        letters::release_own(Some(letter));
        Err(NtStatus::NO_SUCH_DEVICE)
    }
}

/// Gives the volume with this key, on this device, the letter that is wanted or that its policy says, and remembers it.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn give_letter(
    driver: &Driver,
    device: &[u16],
    key: Option<&[u16]>,
    wanted: Wanted,
    whose: Whose,
) -> Result<Option<Assigned>, NtStatus> {
    let kept = match key {
        Some(key) => driver.policies.get(key)?,
        None => policy::Kept::default(),
    };
    let wish = match (wanted, kept.letter) {
        (Wanted::No, _) | (Wanted::Any, LetterRule::Hidden) => return Ok(None),
        (Wanted::This(letter), _) => Wish::Exactly(letter),
        (Wanted::Any, LetterRule::This(letter)) => Wish::Rather(letter),
        // Of volumes that stay the mount manager knows better than we do.
        (Wanted::Any, LetterRule::Any) => match (whose, kept.last_letter) {
            (Whose::Image, Some(letter)) => Wish::Rather(letter),
            (_, letter) => Wish::Any(letter),
        },
    };
    let before = driver.places.own_letter(device);
    let assigned = match (whose, before) {
        (_, Some(own)) if wish.is_met_by(own.letter) => Some(own),
        (Whose::Arrived, None) => letters::by_manager(device, wish)?,
        (Whose::WholeDisk, _) | (_, Some(_)) => own_letter(driver, device, wish, before)?,
        (Whose::Disk | Whose::Image, None) => letters::assign(device, wish)?,
    };
    if let (Some(key), Some(assigned)) = (key, assigned) {
        log::line(format_args!(
            "{} is at {}:",
            Wide(device),
            char::from(assigned.letter)
        ));
        remember(driver, key, assigned.letter);
    }
    Ok(assigned)
}

fn remember(driver: &Driver, key: &[u16], letter: u8) {
    if let Err(status) = driver.policies.remember(key, letter) {
        log::line(format_args!(
            "{}: is not remembered: {status:?}",
            char::from(letter)
        ));
    }
}

/// Remembers the letter that the volume with this key has now, before it is taken away: it may have been given another one
/// in Windows since it got ours.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn remember_letter(driver: &Driver, device: &[u16], key: Option<&[u16]>) {
    if let (Some(key), Some(letter)) = (key, inventory::letter(driver, device)) {
        remember(driver, key, letter);
    }
}

/// Takes the letters of Linux' volumes away: without this driver Windows would offer to format what is there. They are
/// remembered, and given again when the driver is.
pub fn hide_all(driver: &Driver) {
    let mut after = 0;
    let linux_only = |number, seen: &Seen| {
        let known = seen.superblock.as_ref();
        let ours = known.is_some_and(|superblock| !superblock.kind.is_windows_own());
        let key = seen.key.as_deref().map(|key| text::copy(key).ok());
        (number, ours.then(|| (text::copy(&seen.device), key.flatten())))
    };
    while let Some((number, volume)) = driver.places.next(after, linux_only) {
        after = number;
        if let Some((Ok(device), key)) = volume {
            remember_letter(driver, &device, key.as_deref());
            inventory::hide(driver, &device, None);
        }
    }
}
