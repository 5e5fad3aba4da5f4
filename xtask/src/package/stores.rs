//! Manifests for winget and Chocolatey, from the templates in `installer/`.
//!
//! Where the set-up program will be downloaded from is not known here: `LKLFS_RELEASE_URL` names the folder. Without it
//! the manifests name a place that cannot exist, and are for looking at only.
//!
//! Neither `winget validate` nor `choco pack` runs on Linux. What is checked instead is what their schemas say of the
//! fields that we use: for winget required fields, their patterns, lengths and choices in all three files, that no field
//! is unknown and that the files agree; for Chocolatey well-formed XML of the right namespace, required elements and
//! their form. The rules are written from the published schemas; what those check beyond is not.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::stamp::Stamp;
use crate::repo;

/// Names the folder from which releases are downloaded.
const RELEASES: &str = "LKLFS_RELEASE_URL";
/// A name that is reserved never to exist.
const NOWHERE: &str = "https://lklfs.invalid/releases";

const WINGET: [&str; 3] = [
    "lklfs.lklfs.yaml",
    "lklfs.lklfs.locale.en-US.yaml",
    "lklfs.lklfs.installer.yaml",
];
const CHOCOLATEY: [&str; 3] = [
    "lklfs.nuspec",
    "tools/chocolateyinstall.ps1",
    "tools/chocolateyuninstall.ps1",
];
const NUSPEC: &str = "http://schemas.microsoft.com/packaging/2015/06/nuspec.xsd";

/// Writes both for the set-up program `setup` with this hash, and checks them.
pub fn make(folder: &Path, setup: &Path, sha256: &str, stamp: &Stamp) -> Result<()> {
    let base = std::env::var(RELEASES)
        .ok()
        .filter(|url| !url.is_empty())
        .unwrap_or_else(|| NOWHERE.to_owned());
    if base == NOWHERE {
        println!(
            "package: winget/, chocolatey/: {RELEASES} is not set, so they name no place to download from"
        );
    }
    let name = setup.file_name().context("the set-up program has no name")?;
    let url = format!("{base}/{}", name.to_string_lossy());
    let fill = |template: &str| -> Result<String> {
        Ok(stamp
            .fill(template)?
            .replace("@URL@", &url)
            .replace("@BASE@", &base)
            .replace("@SHA256@", &sha256.to_uppercase()))
    };
    for (kind, names) in [("winget", WINGET), ("chocolatey", CHOCOLATEY)] {
        for name in names {
            let source = repo::root().join("installer").join(kind).join(name);
            let template =
                fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
            let text = fill(&template)?;
            ensure!(
                !text.contains("@@") && !open(&text),
                "{kind}/{name}: something is not filled in"
            );
            check(name, &text).with_context(|| format!("{kind}/{name}"))?;
            let to = folder.join(kind).join(name);
            fs::create_dir_all(to.parent().context("no folder")?)?;
            fs::write(to, text)?;
        }
    }
    Ok(())
}

/// Whether a placeholder is left: capitals between two `@`.
fn open(text: &str) -> bool {
    text.split('@').skip(1).any(|part| {
        part.len() > 2
            && part
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}

/// Checks one file by its name.
fn check(name: &str, text: &str) -> Result<()> {
    if name.ends_with(".yaml") {
        let value: Value = serde_yaml_ng::from_str(text).context("no YAML")?;
        return winget(&value);
    }
    if name.ends_with(".nuspec") {
        return nuspec(text);
    }
    Ok(())
}

/// What a field of a winget manifest must be.
enum Field {
    /// Text of so many characters, which the function accepts.
    Text(usize, usize, fn(&str) -> bool),
    /// One of these.
    Choice(&'static [&'static str]),
    /// A list of texts out of these; all texts when empty.
    List(&'static [&'static str]),
    /// A list of numbers.
    Numbers,
    /// An object, or a list of objects, of these fields.
    Objects(&'static [Rule]),
    /// A number.
    Number,
}

/// A field: its name, whether it must be there, what it must be.
type Rule = (&'static str, bool, Field);

fn any(_: &str) -> bool {
    true
}

fn version(text: &str) -> bool {
    !text.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|']) && !text.chars().any(char::is_control)
}

fn identifier(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    version(text)
        && (2..=8).contains(&parts.len())
        && parts
            .iter()
            .all(|part| (1..=32).contains(&part.chars().count()) && !part.contains(char::is_whitespace))
}

fn locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

fn numbers(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    (1..=4).contains(&parts.len()) && parts.iter().all(|part| part.parse::<u16>().is_ok())
}

fn url(text: &str) -> bool {
    text.strip_prefix("https://")
        .is_some_and(|rest| rest.contains('/') && !rest.contains(char::is_whitespace))
}

fn sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn day(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok()
}

const IDENTIFIER: Rule = ("PackageIdentifier", true, Field::Text(3, 128, identifier));
const VERSION: Rule = ("PackageVersion", true, Field::Text(1, 128, version));
const SCHEMA: Rule = ("ManifestVersion", true, Field::Choice(&["1.6.0"]));

const VERSION_FILE: &[Rule] = &[
    IDENTIFIER,
    VERSION,
    ("DefaultLocale", true, Field::Text(2, 20, locale)),
    ("ManifestType", true, Field::Choice(&["version"])),
    SCHEMA,
];

const LOCALE_FILE: &[Rule] = &[
    IDENTIFIER,
    VERSION,
    ("PackageLocale", true, Field::Text(2, 20, locale)),
    ("Publisher", true, Field::Text(2, 256, any)),
    ("PackageName", true, Field::Text(2, 256, any)),
    ("License", true, Field::Text(3, 512, any)),
    ("ShortDescription", true, Field::Text(3, 256, any)),
    ("Description", false, Field::Text(3, 10_000, any)),
    ("Moniker", false, Field::Text(1, 40, any)),
    ("Tags", false, Field::List(&[])),
    ("ManifestType", true, Field::Choice(&["defaultLocale"])),
    SCHEMA,
];

const SWITCHES: &[Rule] = &[("InstallLocation", false, Field::Text(1, 512, any))];
const RETURN_CODES: &[Rule] = &[
    ("InstallerReturnCode", true, Field::Number),
    (
        "ReturnResponse",
        true,
        Field::Choice(&[
            "alreadyInstalled",
            "cancelledByUser",
            "contactSupport",
            "downgrade",
            "installInProgress",
            "rebootRequiredToFinish",
            "systemNotSupported",
        ]),
    ),
];
const ENTRIES: &[Rule] = &[
    ("DisplayName", false, Field::Text(1, 256, any)),
    ("Publisher", false, Field::Text(1, 256, any)),
    ("DisplayVersion", false, Field::Text(1, 128, any)),
    ("ProductCode", false, Field::Text(1, 255, any)),
];
const INSTALLERS: &[Rule] = &[
    ("Architecture", true, Field::Choice(&["x64"])),
    ("InstallerUrl", true, Field::Text(1, 2048, url)),
    ("InstallerSha256", true, Field::Text(64, 64, sha256)),
];

const INSTALLER_FILE: &[Rule] = &[
    IDENTIFIER,
    VERSION,
    ("MinimumOSVersion", false, Field::Text(1, 64, numbers)),
    (
        "InstallerType",
        true,
        Field::Choice(&["nullsoft", "exe", "inno", "wix", "msi", "zip"]),
    ),
    ("Scope", false, Field::Choice(&["user", "machine"])),
    (
        "InstallModes",
        false,
        Field::List(&["interactive", "silent", "silentWithProgress"]),
    ),
    ("InstallerSwitches", false, Field::Objects(SWITCHES)),
    (
        "UpgradeBehavior",
        false,
        Field::Choice(&["install", "uninstallPrevious", "deny"]),
    ),
    (
        "ElevationRequirement",
        false,
        Field::Choice(&["elevationRequired", "elevationProhibited", "elevatesSelf"]),
    ),
    ("Commands", false, Field::List(&[])),
    ("InstallerSuccessCodes", false, Field::Numbers),
    ("ExpectedReturnCodes", false, Field::Objects(RETURN_CODES)),
    ("ReleaseDate", false, Field::Text(10, 10, day)),
    ("AppsAndFeaturesEntries", false, Field::Objects(ENTRIES)),
    ("Installers", true, Field::Objects(INSTALLERS)),
    ("ManifestType", true, Field::Choice(&["installer"])),
    SCHEMA,
];

/// Checks a winget manifest by its type.
fn winget(value: &Value) -> Result<()> {
    let rules = match value.get("ManifestType").and_then(Value::as_str) {
        Some("version") => VERSION_FILE,
        Some("defaultLocale") => LOCALE_FILE,
        Some("installer") => INSTALLER_FILE,
        other => bail!("ManifestType is {other:?}"),
    };
    object(value, rules)
}

fn object(value: &Value, rules: &[Rule]) -> Result<()> {
    let map = value.as_object().context("not an object")?;
    if let Some(name) = map
        .keys()
        .find(|name| !rules.iter().any(|(known, ..)| known == name))
    {
        bail!("{name} is not known");
    }
    for (name, required, field) in rules {
        match map.get(*name) {
            Some(value) => check_field(value, field).with_context(|| (*name).to_owned())?,
            None => ensure!(!required, "{name} is missing"),
        }
    }
    Ok(())
}

fn check_field(value: &Value, field: &Field) -> Result<()> {
    match field {
        Field::Text(least, most, accepts) => {
            let text = value.as_str().context("not a text")?;
            let length = text.chars().count();
            ensure!((*least..=*most).contains(&length), "{length} characters");
            ensure!(accepts(text), "{text:?} has not the right form");
        }
        Field::Choice(choices) => {
            let text = value.as_str().context("not a text")?;
            ensure!(choices.contains(&text), "{text:?} is none of {choices:?}");
        }
        Field::List(choices) => {
            let list = value.as_array().context("not a list")?;
            ensure!((1..=16).contains(&list.len()), "{} entries", list.len());
            for entry in list {
                let text = entry.as_str().context("not a text")?;
                ensure!(
                    choices.is_empty() || choices.contains(&text),
                    "{text:?} is none of {choices:?}"
                );
                ensure!((1..=40).contains(&text.chars().count()), "{text:?} is too long");
            }
        }
        Field::Numbers => {
            let list = value.as_array().context("not a list")?;
            ensure!(!list.is_empty() && list.iter().all(Value::is_i64), "not numbers");
        }
        Field::Number => ensure!(value.is_i64(), "not a number"),
        Field::Objects(rules) => match value.as_array() {
            Some(list) => {
                ensure!(!list.is_empty(), "an empty list");
                for entry in list {
                    object(entry, rules)?;
                }
            }
            None => object(value, rules)?,
        },
    }
    Ok(())
}

/// Checks a Chocolatey manifest.
fn nuspec(text: &str) -> Result<()> {
    let document = roxmltree::Document::parse(text).context("no XML")?;
    let root = document.root_element();
    ensure!(
        root.has_tag_name((NUSPEC, "package")),
        "the root is not a package of the right namespace"
    );
    let metadata = root
        .children()
        .find(|node| node.has_tag_name((NUSPEC, "metadata")))
        .context("no metadata")?;
    let value = |name: &str| {
        metadata
            .children()
            .find(|node| node.has_tag_name((NUSPEC, name)))
            .and_then(|node| node.text())
            .unwrap_or_default()
            .trim()
    };
    for name in [
        "id",
        "version",
        "title",
        "authors",
        "projectUrl",
        "tags",
        "summary",
        "description",
    ] {
        ensure!(!value(name).is_empty(), "{name} is missing");
    }
    let id = value("id");
    ensure!(
        id.len() <= 100
            && id
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
        "the id {id:?} has not the right form"
    );
    ensure!(
        numbers(value("version")),
        "the version {:?} has not the right form",
        value("version")
    );
    ensure!(
        url(&format!("{}/", value("projectUrl"))),
        "projectUrl is no address"
    );
    ensure!(!value("tags").contains(','), "tags are separated by blanks");
    let length = value("description").chars().count();
    ensure!(
        (30..=4000).contains(&length),
        "a description of {length} characters"
    );
    Ok(())
}

#[cfg(test)]
#[path = "stores_tests.rs"]
mod tests;
