//! The manifests pass, and each kind of rule refuses what it is for.

use super::*;

const INSTALLER: &str = include_str!("../../../installer/winget/lklfs.lklfs.installer.yaml");
const LOCALE: &str = include_str!("../../../installer/winget/lklfs.lklfs.locale.en-US.yaml");
const NUSPEC_FILE: &str = include_str!("../../../installer/chocolatey/lklfs.nuspec");

fn stamp() -> Stamp {
    Stamp {
        version: "0.1.0".to_owned(),
        build: 3,
        seconds: 951_782_400,
        commit: String::new(),
    }
}

fn filled(template: &str) -> String {
    let hash = "A".repeat(64);
    let text = stamp().fill(template).unwrap();
    text.replace("@URL@", "https://x.invalid/s.exe")
        .replace("@BASE@", "https://x.invalid")
        .replace("@SHA256@", &hash)
}

#[test]
fn what_is_made_passes_and_is_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), Path::new("s.exe"), &"0".repeat(64), &stamp()).unwrap();
    for name in WINGET {
        let text = fs::read_to_string(folder.path().join("winget").join(name)).unwrap();
        assert!(text.contains("0.1.0.3"), "{name}");
    }
    for name in CHOCOLATEY {
        assert!(folder.path().join("chocolatey").join(name).is_file(), "{name}");
    }
}

#[test]
fn each_change_to_a_winget_file_is_refused() {
    for (template, from, to) in [
        (
            INSTALLER,
            "PackageIdentifier: lklfs.lklfs",
            "PackageIdentifier: lklfs",
        ),
        (
            INSTALLER,
            "PackageVersion: \"0.1.0.3\"",
            "PackageVersion: \"0/1\"",
        ),
        (INSTALLER, "PackageVersion: \"0.1.0.3\"", "PackageVersion: 1"),
        (INSTALLER, "InstallerType: nullsoft", "InstallerType: nsis"),
        (INSTALLER, "InstallerType: nullsoft\n", ""),
        (INSTALLER, "Scope: machine", "Scopes: machine"),
        (INSTALLER, "  - silent\n", "  - quiet\n"),
        (INSTALLER, "- 3010", "- x"),
        (INSTALLER, "InstallerReturnCode: 10", "InstallerReturnCode: ten"),
        (INSTALLER, "ReturnResponse: downgrade", "ReturnResponse: older"),
        (INSTALLER, "2000-02-29", "2000-02-30"),
        (INSTALLER, "https://x", "ftp://x"),
        (INSTALLER, "AAAA", "AAA"),
        (
            INSTALLER,
            "MinimumOSVersion: 6.1.7601.0",
            "MinimumOSVersion: seven",
        ),
        (INSTALLER, "ManifestVersion: 1.6.0", "ManifestVersion: 0.1.0"),
        (INSTALLER, "ManifestType: installer", "ManifestType: other"),
        (LOCALE, "PackageLocale: en-US", "PackageLocale: English"),
        (LOCALE, "License: GPL-2.0-only\n", ""),
        (LOCALE, "- btrfs", "- 7"),
    ] {
        let good = filled(template);
        check("x.yaml", &good).unwrap();
        assert!(good.contains(from), "{from:?} is not in the file");
        assert!(
            check("x.yaml", &good.replacen(from, to, 1)).is_err(),
            "{from:?} -> {to:?} passes"
        );
    }
}

#[test]
fn each_change_to_the_nuspec_is_refused() {
    let good = filled(NUSPEC_FILE);
    check("x.nuspec", &good).unwrap();
    for (from, to) in [
        ("</metadata>", ""),
        ("2015/06/nuspec", "2010/07/nuspec"),
        ("<id>lklfs</id>", ""),
        ("<id>lklfs</id>", "<id>LKL FS</id>"),
        ("<version>0.1.0.3", "<version>v1"),
        ("<projectUrl>https:", "<projectUrl>x:"),
        ("linux ext4", "linux, ext4"),
        ("<summary>Linux file systems for Windows, read-only</summary>", ""),
    ] {
        assert!(good.contains(from), "{from:?} is not in the file");
        assert!(
            check("x.nuspec", &good.replacen(from, to, 1)).is_err(),
            "{from:?} -> {to:?} passes"
        );
    }
}

#[test]
fn placeholders_are_seen() {
    assert!(open("a @URL@ b") && open("@SHA256@"));
    assert!(!open("name@example.org and @package"));
}
