//! The shipped INF breaks no rule, and for each rule there is a change to it that breaks that rule.

use std::collections::BTreeSet;

use super::{check, date_of};
use crate::package::inf_rule::Rule;

const TEMPLATE: &str = include_str!("../../../installer/lklfs.inf");
const TODAY: (u16, u8, u8) = (2026, 3, 1);

fn good() -> String {
    TEMPLATE
        .replace("@DATE@", "02/28/2026")
        .replace("@VERSION@", "0.1.0.7")
        .replace("@PUBLISHER@", "lklfs")
}

/// What is replaced, by what, and which rule that breaks.
const CHANGES: &[(Rule, &str, &str)] = &[
    (Rule::Ascii, "lklfs driver files", "lklfs driver filés"),
    (Rule::Filled, "02/28/2026,0.1.0.7", "@DATE@,0.1.0.7"),
    (Rule::Once, "[Strings]", "[Version]\n[Strings]"),
    (Rule::Once, "PnpLockdown = 1", "PnpLockdown = 1\nPnpLockdown = 1"),
    (Rule::Signature, "$WINDOWS NT$", "$CHICAGO$"),
    (Rule::Provider, "\"lklfs\"\nName", "\"\"\nName"),
    (Rule::Provider, "\"lklfs\"\nName", "\"Microsoft\"\nName"),
    (Rule::Class, "= System", "= FileSystem"),
    (Rule::Class, "{4D36E97D", "{4D36E97E"),
    (Rule::DriverVer, "02/28/2026", "03/02/2026"),
    (Rule::DriverVer, "02/28/2026", "2026-02-28"),
    (Rule::DriverVer, "0.1.0.7", "0.1.0"),
    (Rule::DriverVer, "0.1.0.7", "0.1.0.65536"),
    (Rule::CatalogFile, "= lklfs.cat", "="),
    (Rule::CatalogFile, "= lklfs.cat", "= sub\\lklfs.cat"),
    (Rule::PnpLockdown, "PnpLockdown = 1", "PnpLockdown = 0"),
    (Rule::NoManufacturer, "[Strings]", "[Manufacturer]\n[Strings]"),
    (
        Rule::InstallDecorated,
        "[DefaultInstall.NTamd64]",
        "[DefaultInstall]",
    ),
    (
        Rule::InstallDecorated,
        "[DefaultInstall.NTamd64]",
        "[DefaultInstall.NTarm64]",
    ),
    (
        Rule::UninstallDecorated,
        "[DefaultUninstall.NTamd64]",
        "[DefaultUninstall]",
    ),
    (
        Rule::UninstallDecorated,
        "LegacyUninstall = 1",
        "LegacyUninstall = 0",
    ),
    (Rule::Services, "[DefaultInstall.NTamd64.Services]", "[x]"),
    (Rule::Services, "[DefaultUninstall.NTamd64.Services]", "[x]"),
    (Rule::Reference, "lklfs,,lklfs.Service", "lklfs,,lklfs.Servise"),
    (
        Rule::Reference,
        "CopyFiles  = lklfs.Files",
        "CopyFiles  = lklfs.File",
    ),
    (Rule::Unused, "[Strings]", "[lklfs.Other]\n[Strings]"),
    (Rule::Directive, "CopyFiles  =", "RegisterDlls = x\nCopyFiles  ="),
    (
        Rule::Directive,
        "DisplayName    =",
        "AddReg = x\nDisplayName    =",
    ),
    (Rule::Source, "lklfs.sys = 1", "lklfs.sis = 1"),
    (Rule::Source, "lklfs.sys = 1", "lklfs.sys = 2"),
    (Rule::Source, "[lklfs.Files]", "[lklfs.Files]\nlklfs.cat"),
    (Rule::Destination, "lklfs.Files    = 12", "lklfs.Files    = 11"),
    (
        Rule::Destination,
        "lklfs.Files    = 12",
        "lklfs.Files    = 12,sub",
    ),
    (Rule::ServiceType, "ServiceType    = 2", "ServiceType    = 1"),
    (Rule::StartType, "StartType      = 3", "StartType      = 0"),
    (Rule::StartType, "StartType      = 3", "StartType      = 1"),
    (Rule::StartType, "StartType      = 3", "StartType      = 2"),
    (Rule::ErrorControl, "ErrorControl   = 1", "ErrorControl   = 3"),
    (
        Rule::LoadOrderGroup,
        "ErrorControl   = 1",
        "ErrorControl   = 1\nLoadOrderGroup = \"File System\"",
    ),
    (Rule::ServiceBinary, "%12%\\lklfs.sys", "%12%\\lklfs2.sys"),
    (Rule::ServiceBinary, "%12%\\lklfs.sys", "%11%\\lklfs.sys"),
    (Rule::Undone, "DelFiles        = lklfs.Files", ""),
    (Rule::Undone, "lklfs,0x204", "lklfs"),
    (Rule::Undone, "lklfs,0x204", "lklfs,0x200"),
    (Rule::Undone, "lklfs,0x204", "lklfs,0x4"),
    (Rule::Reference, ",lklfs.EventLog", ""),
    (Rule::EventLog, "drivers\\lklfs.sys", "drivers\\other.sys"),
    (Rule::EventLog, "0x00010001,7", "0x00010001,3"),
    (Rule::EventLog, "HKR,,TypesSupported", "HKLM,,TypesSupported"),
    (Rule::EventLog, "0x00020000", "0x00000000"),
    (Rule::Undone, "lklfs,0x204", "other,0x204"),
    (Rule::Strings, "%Disk%", "%Disc%"),
    (Rule::Strings, "1 = %Disk%", "1 = \"disk\""),
];

#[test]
fn the_shipped_file_breaks_no_rule() {
    assert_eq!(check(&good(), TODAY), []);
    assert_eq!(check(&good().replace('\n', "\r\n"), TODAY), []);
    // Numbers may be hexadecimal.
    let hexadecimal = good().replace("StartType      = 3", "StartType      = 0x3");
    assert_eq!(check(&hexadecimal, TODAY), []);
}

#[test]
fn each_rule_is_broken_by_its_change() {
    for (rule, from, to) in CHANGES {
        let good = good();
        assert!(good.contains(from), "{from:?} is not in the file");
        let broken = check(&good.replacen(from, to, 1), TODAY);
        let found: Vec<_> = broken.iter().map(|broken| broken.rule).collect();
        assert!(
            found.contains(rule),
            "{rule:?}: {from:?} -> {to:?} breaks only {found:?}"
        );
    }
}

#[test]
fn no_rule_is_without_a_change() {
    let tried: BTreeSet<_> = CHANGES.iter().map(|(rule, _, _)| *rule).collect();
    // `Strings` is the last.
    let all = Rule::Strings as usize + 1;
    assert_eq!(tried.len(), all);
}

#[test]
fn what_is_no_inf_file_breaks_a_rule_too() {
    assert_eq!(check("nothing", TODAY).len(), 1);
    assert!(!check("", TODAY).is_empty());
}

#[test]
fn dates() {
    assert_eq!(date_of("02/29/2024"), Some((2024, 2, 29)));
    for bad in [
        "02/29/2026",
        "13/01/2026",
        "00/01/2026",
        "04/31/2026",
        "4/1/2026",
        "04/01/26",
        "04/01/2026/1",
    ] {
        assert_eq!(date_of(bad), None, "{bad}");
    }
}
