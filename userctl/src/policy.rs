//! `userctl policy`: what the driver keeps for a volume, by its UUID.

use std::io::Write;

use anstyle::Style;
use lklfs_client::answer::{KeptPolicy, Place, Volume};
use lklfs_client::{CallError, Letter, NtStatus, Policy};
use serde::Serialize;

use crate::cli::{self, Choice, When};
use crate::driver::{self, failed, refused, write_json, write_text};
use crate::exit::{Exit, Failure};
use crate::table::{Align, Cell, table};
use crate::target::{self, Named, same_uuid};
use crate::text::plain;

/// The policies as `--json` writes them.
#[derive(Debug, Serialize)]
pub struct Report {
    /// By UUID.
    pub policies: Vec<Entry>,
    /// The numbers of the volumes that were in use when it was changed: they keep their settings until they are mounted
    /// again.
    pub in_use: Vec<u64>,
}

/// One policy as `--json` writes it. What is left to the driver is null.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// The volume's UUID, date or serial number.
    uuid: String,
    /// Its letter, without a colon.
    letter: Option<char>,
    /// Whether it gets no letter.
    hidden: bool,
    /// Whether it is mounted on request only.
    never: bool,
    /// Whether everyone may read everything.
    everyone: Option<bool>,
    /// Whether names that begin with a dot are hidden.
    hide_dot_files: Option<bool>,
    /// Whether its journal is replayed.
    recovery: bool,
    /// The file system that it is taken for.
    read_as: Option<String>,
    /// Mount options.
    options: Option<String>,
    /// Its users and groups, and who they are here.
    owners: Option<String>,
    /// The letter that it had last, without a colon.
    last_letter: Option<char>,
}

/// Shows policies, or changes one.
pub fn run(said: &cli::Policy, out: &mut dyn Write) -> Result<(), Failure> {
    let changes = changes(said);
    if changes && said.volume.is_none() {
        return Err(Failure::new(
            Exit::Usage,
            "which volume? Name its letter, number, UUID or label; see userctl list",
        ));
    }
    let driver = match changes {
        true => driver::start_and_change()?,
        false => driver::look()?,
    };
    let kept = driver.policies().map_err(failed)?;
    let Some(name) = &said.volume else {
        return show(kept, Vec::new(), said.json, "no policy is kept\n", out);
    };
    let (volumes, places) = (driver.list().map_err(failed)?, driver.places().map_err(failed)?);
    let uuid = found(&volumes, &places, &kept, name)?;
    let mut busy = Vec::new();
    let mut before = kept.into_iter().find(|kept| same_uuid(&kept.uuid, &uuid));
    if changes {
        let mut policy = before.take().map(|kept| kept.policy).unwrap_or_default();
        change(&mut policy, said);
        let shown = plain(name.as_bytes());
        let set = driver.set_policy(&uuid, Some(&policy).filter(|_| !said.forget));
        let taken = matches!(set, Err(CallError::Refused(NtStatus::OBJECT_NAME_COLLISION)));
        set.or_else(|error| if taken { Ok(()) } else { Err(error) })
            .map_err(|error| match error {
                CallError::Refused(NtStatus::INVALID_PARAMETER) => Failure::new(
                    Exit::Usage,
                    format_args!(
                        "{shown}: the driver does not take this; options are those of the file system, and an owner is uid:N=SID or gid:N=SID, once each"
                    ),
                ),
                other => refused(&shown, other),
            })?;
        let kept = driver.policies().map_err(failed)?;
        before = kept.into_iter().find(|kept| same_uuid(&kept.uuid, &uuid));
        if let Letter::This(wanted) = policy.letter
            && said.letter.is_some()
        {
            let now = driver.list().map_err(failed)?;
            if let Some(warning) = keeps_its_letter(&now, &uuid, wanted, taken) {
                eprintln!("userctl: warning: {shown}: {warning}");
            }
        }
        if changes_settings(said) {
            busy = in_use(&volumes, &driver.list().map_err(failed)?, &uuid);
        }
        if !busy.is_empty() {
            eprintln!(
                "userctl: warning: {shown}: in use, keeps its present settings until it is mounted again"
            );
        }
    }
    show(
        before.into_iter().collect(),
        busy,
        said.json,
        "nothing is kept for it\n",
        out,
    )
}

/// Whether anything is to be changed.
fn changes(said: &cli::Policy) -> bool {
    said.letter.is_some() || changes_settings(said)
}

/// Whether anything is to be changed that a mounted volume does not follow at once, as its letter does.
fn changes_settings(said: &cli::Policy) -> bool {
    let settings = &said.settings;
    said.forget
        || said.mount.is_some()
        || said.recovery.is_some()
        || settings.options.is_some()
        || settings.read_as.is_some()
        || settings.everyone.is_some()
        || settings.hide_dot_files.is_some()
        || !settings.owner.is_empty()
}

/// The volumes with this UUID that the driver could not mount afresh: a new mount has a new number.
fn in_use(before: &[Volume], after: &[Volume], uuid: &str) -> Vec<u64> {
    let mounted = |volumes: &[Volume]| -> Vec<u64> {
        let ours = volumes.iter().filter(|volume| {
            let same = volume.uuid.as_deref().is_some_and(|its| same_uuid(its, uuid));
            same && !volume.state.dismounted && !volume.state.removed
        });
        ours.map(|volume| volume.number).collect()
    };
    let before = mounted(before);
    let mut still = mounted(after);
    still.retain(|number| before.contains(number));
    still
}

/// What to say of a volume with this UUID that did not get the letter that its policy says now.
fn keeps_its_letter(now: &[Volume], uuid: &str, wanted: char, taken: bool) -> Option<String> {
    let ours = now.iter().find(|volume| {
        let same = volume.uuid.as_deref().is_some_and(|its| same_uuid(its, uuid));
        same && !volume.state.dismounted && !volume.state.removed && volume.letter != Some(wanted)
    });
    let keeps = match ours.map(|volume| volume.letter) {
        Some(Some(letter)) => format!("it keeps {letter}: until then"),
        Some(None) => "it has no letter until then".to_string(),
        None => "it has another letter until then".to_string(),
    };
    if taken {
        return Some(format!(
            "{wanted}: is taken by another volume; it is given when {wanted}: is free and the volume is mounted again; {keeps}"
        ));
    }
    ours.map(|_| {
        format!(
            "{wanted}: is given when the volume is mounted again, since its mount asked for another; {keeps}"
        )
    })
}

/// Changes what is said, and nothing else.
fn change(policy: &mut Policy, said: &cli::Policy) {
    if let Some(letter) = said.letter {
        policy.letter = letter;
    }
    if let Some(when) = said.mount {
        policy.never = when == When::Never;
    }
    let (kept, said_recovery, said) = (&mut policy.settings, said.recovery, &said.settings);
    if let Some(recovery) = said_recovery {
        kept.no_recovery = recovery == Choice::No;
    }
    if let Some(everyone) = said.everyone {
        kept.everyone = everyone.wanted();
    }
    if let Some(hide) = said.hide_dot_files {
        kept.hide_dot_files = hide.wanted();
    }
    if let Some(name) = &said.read_as {
        kept.fs_name = Some(name.clone()).filter(|name| !name.is_empty());
    }
    if let Some(options) = &said.options {
        kept.options.clone_from(options);
    }
    if !said.owner.is_empty() {
        // An empty one takes the map away.
        let owners: Vec<&str> = said
            .owner
            .iter()
            .map(String::as_str)
            .filter(|one| !one.is_empty())
            .collect();
        kept.owners = owners.join(",");
    }
}

/// The UUID of what is named: a letter, a number, a UUID or a label; a UUID for which something is kept, too.
fn found(volumes: &[Volume], places: &[Place], kept: &[KeptPolicy], name: &str) -> Result<String, Failure> {
    let letter = crate::unmount::letter(name).filter(|_| name.ends_with(':'));
    let number = name.parse::<u64>().ok();
    let by_volume = volumes
        .iter()
        .find(|volume| (letter.is_some() && volume.letter == letter) || Some(volume.number) == number);
    let by_place = places
        .iter()
        .find(|place| letter.is_some() && place.letter == letter);
    let uuid = match (by_volume, by_place) {
        (Some(volume), _) => volume.uuid.clone(),
        (None, Some(place)) => place.uuid.clone(),
        (None, None) => {
            if let Some(kept) = kept.iter().find(|kept| same_uuid(&kept.uuid, name)) {
                return Ok(kept.uuid.clone());
            }
            match target::find(volumes, places, name) {
                Ok(Named::Volume(volume)) => volume.uuid.clone(),
                Ok(Named::Place(place)) => place.uuid.clone(),
                // Twins are kept by one UUID, which is what they share.
                Err(failure) => {
                    let twins = volumes.iter().map(|volume| volume.uuid.as_deref());
                    let mut twins = twins
                        .chain(places.iter().map(|place| place.uuid.as_deref()))
                        .flatten();
                    Some(
                        twins
                            .find(|uuid| same_uuid(uuid, name))
                            .ok_or(failure)?
                            .to_string(),
                    )
                }
            }
        }
    };
    uuid.ok_or_else(|| {
        Failure::new(
            Exit::Volume,
            format_args!(
                "{}: this volume has no UUID to keep a policy by; give the options to userctl mount",
                plain(name.as_bytes())
            ),
        )
    })
}

fn show(
    kept: Vec<KeptPolicy>,
    in_use: Vec<u64>,
    json: bool,
    none: &str,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if json {
        return write_json(&report(kept, in_use), out);
    }
    if kept.is_empty() {
        return write_text(none, out);
    }
    write_text(&text(&kept), out)
}

/// For JSON.
pub fn report(kept: Vec<KeptPolicy>, in_use: Vec<u64>) -> Report {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let entry = |kept: KeptPolicy| {
        let settings = kept.policy.settings;
        Entry {
            uuid: kept.uuid,
            letter: match kept.policy.letter {
                Letter::This(letter) => Some(letter),
                Letter::Any | Letter::Hidden => None,
            },
            hidden: kept.policy.letter == Letter::Hidden,
            never: kept.policy.never,
            everyone: settings.everyone,
            hide_dot_files: settings.hide_dot_files,
            recovery: !settings.no_recovery,
            read_as: settings.fs_name,
            options: some(settings.options),
            owners: some(settings.owners),
            last_letter: kept.last_letter,
        }
    };
    Report {
        policies: kept.into_iter().map(entry).collect(),
        in_use,
    }
}

fn text(kept: &[KeptPolicy]) -> String {
    let rows: Vec<[Cell; 5]> = kept
        .iter()
        .map(|kept| {
            let letter = match kept.policy.letter {
                Letter::Any => "any".to_string(),
                Letter::This(letter) => format!("{letter}:"),
                Letter::Hidden => "none".to_string(),
            };
            let last = kept
                .last_letter
                .map_or("-".to_string(), |letter| format!("{letter}:"));
            let when = if kept.policy.never { "never" } else { "always" };
            [
                plain(kept.uuid.as_bytes()).into(),
                Cell::styled(letter, Style::new().bold()),
                last.into(),
                when.into(),
                settings(kept).into(),
            ]
        })
        .collect();
    table(
        [
            ("UUID", Align::Left),
            ("LETTER", Align::Left),
            ("LAST", Align::Left),
            ("MOUNT", Align::Left),
            ("SETTINGS", Align::Left),
        ],
        &rows,
    )
}

/// The settings as one would give them.
fn settings(kept: &KeptPolicy) -> String {
    let settings = &kept.policy.settings;
    let choice = |option: &str, choice: Option<bool>| {
        choice.map(|yes| format!("{option} {}", if yes { "yes" } else { "no" }))
    };
    let given = |option: &str, text: &str| {
        Some(format!("{option} {}", plain(text.as_bytes()))).filter(|_| !text.is_empty())
    };
    let words = [
        settings.no_recovery.then(|| "--recovery no".to_string()),
        // Said although it is what the driver does by itself, since that differs: see userctl mount --help.
        choice("--everyone", settings.everyone).or(Some("--everyone auto".to_string())),
        choice("--hide-dot-files", settings.hide_dot_files),
        given("--fs", settings.fs_name.as_deref().unwrap_or_default()),
        given("-o", &settings.options),
        given("--owner", &settings.owners.replace(',', " --owner ")),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::volumes::tests::{place, volume};
    use clap::Parser;

    fn said(words: &[&str]) -> cli::Policy {
        let words = ["userctl", "policy"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Some(cli::Command::Policy(said)) => said,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_is_said_is_changed() {
        let mut policy = Policy::default();
        let first = said(&["E:", "--letter", "q:", "--everyone", "no", "-o", "subvol=home"]);
        assert!(changes(&first));
        change(&mut policy, &first);
        assert_eq!(policy.letter, Letter::This('Q'));
        assert_eq!(policy.settings.everyone, Some(false));
        change(
            &mut policy,
            &said(&["E:", "--everyone", "default", "--mount", "never"]),
        );
        assert_eq!((policy.settings.everyone, policy.never), (None, true));
        change(&mut policy, &said(&["E:", "--everyone", "auto"]));
        assert_eq!(policy.settings.everyone, None);
        assert_eq!(policy.letter, Letter::This('Q'));
        assert_eq!(policy.settings.options, "subvol=home");
        change(
            &mut policy,
            &said(&[
                "E:",
                "--owner",
                "uid:1=S-1-1-0",
                "--owner",
                "gid:2=S-1-1-0",
                "-o",
                "",
            ]),
        );
        assert_eq!(policy.settings.owners, "uid:1=S-1-1-0,gid:2=S-1-1-0");
        assert_eq!(policy.settings.options, "");
        change(&mut policy, &said(&["E:", "--owner", "", "--recovery", "no"]));
        assert_eq!(
            (policy.settings.owners.as_str(), policy.settings.no_recovery),
            ("", true)
        );
        assert!(!changes(&said(&["E:"])) && !changes(&said(&[])));
        for bad in [
            &["--letter", "E:"][..],
            &["E:", "--forget", "--letter", "none"],
            &["E:", "--letter", "EE"],
        ] {
            let words = ["userctl", "policy"].iter().chain(bad);
            assert!(Cli::try_parse_from(words).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_volume_is_named_in_every_way() {
        let volumes = [
            volume(1, Some('E'), "Data", 0xab),
            volume(2, None, "Twin", 0xcd),
            volume(3, None, "Twin", 0xcd),
            volume(4, Some('F'), "", 0),
        ];
        let places = [place(1, None, "Stick", "5678-ABCD")];
        let kept = [KeptPolicy {
            uuid: "0123-4567".into(),
            policy: Policy::default(),
            last_letter: None,
        }];
        let uuid = |name: &str| found(&volumes, &places, &kept, name);
        let ab = "abababab-abab-abab-abab-abababababab";
        for name in ["E:", "e:", "1", "Data", &ab.to_uppercase()] {
            assert_eq!(uuid(name).as_deref(), Ok(ab), "{name}");
        }
        assert_eq!(uuid("Stick").as_deref(), Ok("5678-ABCD"));
        assert_eq!(uuid("01234567").as_deref(), Ok("0123-4567"));
        assert!(
            uuid("cdcdcdcd-cdcd-cdcd-cdcd-cdcdcdcdcdcd").is_ok(),
            "twins share one"
        );
        assert!(uuid("Twin").is_err(), "a label of twins is of two volumes");
        let none = uuid("F:").unwrap_err();
        assert!(none.message.contains("has no UUID"), "{none}");
        assert_eq!(uuid("G:").unwrap_err().exit, Exit::Volume);
    }

    #[test]
    fn volumes_in_use_have_the_numbers_that_they_had() {
        let old = || [volume(1, Some('E'), "Data", 0xab), volume(2, None, "", 0xcd)];
        let ab = "abababab-abab-abab-abab-abababababab";
        assert_eq!(in_use(&old(), &old(), &ab.to_uppercase()), [1]);
        let afresh = [volume(2, None, "", 0xcd), volume(3, Some('E'), "Data", 0xab)];
        assert!(in_use(&old(), &afresh, ab).is_empty());
        let mut ended = old();
        ended[0].state.dismounted = true;
        assert!(in_use(&old(), &ended, ab).is_empty());
        let mut pulled = old();
        pulled[0].state.removed = true;
        assert!(in_use(&old(), &pulled, ab).is_empty());
        for letters_only in [&["E:", "--letter", "Q:"][..], &["E:"]] {
            assert!(!changes_settings(&said(letters_only)), "{letters_only:?}");
        }
        assert!(changes_settings(&said(&["E:", "--forget"])));
    }

    #[test]
    fn a_letter_that_is_not_given_at_once_is_said_with_the_reason() {
        let ab = "abababab-abab-abab-abab-abababababab";
        let at = |letter| [volume(1, letter, "Data", 0xab), volume(2, Some('S'), "", 0xcd)];
        let warning = |letter, taken| keeps_its_letter(&at(letter), ab, 'S', taken);
        let taken = warning(Some('E'), true).expect("a warning");
        assert!(taken.starts_with("S: is taken by another volume"), "{taken}");
        assert!(taken.ends_with("it keeps E: until then"), "{taken}");
        let asked = warning(Some('E'), false).expect("a warning");
        assert!(
            asked.contains("its mount asked for another; it keeps E:"),
            "{asked}"
        );
        assert!(
            warning(None, false)
                .expect("a warning")
                .contains("no letter until then")
        );
        assert_eq!(warning(Some('S'), false), None);
        assert_eq!(keeps_its_letter(&[], ab, 'S', false), None, "it is not there");
    }

    #[test]
    fn people_see_what_they_could_say_again() {
        let mut policy = Policy {
            never: true,
            letter: Letter::Hidden,
            ..Policy::default()
        };
        policy.settings.everyone = Some(false);
        policy.settings.owners = "uid:1=S-1-1-0,gid:2=S-1-1-0".into();
        let kept = KeptPolicy {
            uuid: "1234-ABCD".into(),
            policy,
            last_letter: Some('E'),
        };
        let text = text(std::slice::from_ref(&kept));
        let plain = anstream::adapter::strip_str(&text).to_string();
        let expected =
            "1234-ABCD  none    E:    never  --everyone no --owner uid:1=S-1-1-0 --owner gid:2=S-1-1-0";
        assert_eq!(plain.lines().nth(1).unwrap().trim_end(), expected);
        let mut unsaid = kept.clone();
        unsaid.policy.settings.everyone = None;
        assert!(settings(&unsaid).starts_with("--everyone auto"));
        let json = serde_json::to_value(report(vec![kept], vec![7])).unwrap();
        assert_eq!(json["in_use"], serde_json::json!([7]));
        assert_eq!(json["policies"][0]["hidden"], true);
        assert!(json["policies"][0]["options"].is_null());
    }
}
