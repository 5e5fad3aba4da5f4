//! Checks the INF against the rules of [`super::inf_rule`].
//!
//! [`check`] names every rule that a file breaks, and where.

use std::collections::BTreeSet;

use super::inf::{Inf, Line, Section};
use super::inf_rule::{Broken, Rule};

/// Classes that Windows defines and that software without a device may use.
const CLASSES: &[(&str, &str)] = &[("System", "{4D36E97D-E325-11CE-BFC1-08002BE10318}")];

const INSTALL: &str = "DefaultInstall";
const UNINSTALL: &str = "DefaultUninstall";
const DECORATION: &str = ".NTamd64";
const SERVICES: &str = ".Services";

/// Checks `text`; `today` is the last day that may be in it, as (year, month, day).
pub fn check(text: &str, today: (u16, u8, u8)) -> Vec<Broken> {
    let inf = match Inf::parse(text) {
        Ok(inf) => inf,
        Err(error) => {
            // A file that is none breaks the rule that everything else is read by.
            return vec![Broken {
                rule: Rule::Reference,
                how: error.to_string(),
            }];
        }
    };
    let mut checker = Checker {
        inf: &inf,
        broken: Vec::new(),
        named: [
            "Version",
            "SourceDisksNames",
            "SourceDisksFiles",
            "DestinationDirs",
            "Strings",
        ]
        .map(str::to_lowercase)
        .into(),
    };
    checker.text(text);
    checker.version(today);
    checker.sections();
    checker.install();
    checker.uninstall();
    checker.unused();
    checker.strings();
    checker.broken
}

struct Checker<'a> {
    inf: &'a Inf,
    broken: Vec<Broken>,
    /// Sections that something leads to, in small letters.
    named: BTreeSet<String>,
}

impl<'a> Checker<'a> {
    fn say(&mut self, rule: Rule, how: impl Into<String>) {
        self.broken.push(Broken {
            rule,
            how: how.into(),
        });
    }

    fn require(&mut self, holds: bool, rule: Rule, how: impl Into<String>) {
        if !holds {
            self.say(rule, how);
        }
    }

    fn text(&mut self, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            self.require(line.is_ascii(), Rule::Ascii, format!("line {number}"));
            self.require(
                !line.contains('@'),
                Rule::Filled,
                format!("line {number}: {line}"),
            );
        }
    }

    fn version(&mut self, today: (u16, u8, u8)) {
        let value = |key| self.inf.value("Version", key).unwrap_or_default().to_owned();
        let text = |key| {
            let raw = value(key);
            self.inf.text(&raw).unwrap_or_default()
        };
        let (signature, provider) = (value("Signature"), text("Provider"));
        let (class, guid, catalogue) = (text("Class"), text("ClassGuid"), value("CatalogFile"));
        let lockdown = value("PnpLockdown");
        self.require(
            signature.eq_ignore_ascii_case("$WINDOWS NT$"),
            Rule::Signature,
            format!("it is {signature:?}"),
        );
        self.require(
            !provider.trim().is_empty() && !provider.to_lowercase().contains("microsoft"),
            Rule::Provider,
            format!("it is {provider:?}"),
        );
        self.require(
            CLASSES
                .iter()
                .any(|(name, id)| name.eq_ignore_ascii_case(&class) && id.eq_ignore_ascii_case(&guid)),
            Rule::Class,
            format!("{class:?} with {guid:?} is no class that is known"),
        );
        self.require(
            catalogue.len() > 4
                && catalogue.to_lowercase().ends_with(".cat")
                && !catalogue.contains(['\\', '/', '%']),
            Rule::CatalogFile,
            format!("it is {catalogue:?}"),
        );
        self.require(lockdown == "1", Rule::PnpLockdown, format!("it is {lockdown:?}"));
        let version = self.inf.section("Version");
        let line = version.and_then(|section| section.all("DriverVer").next());
        let (date, number) = line.map_or(("", ""), |line| (line.field(0), line.field(1)));
        match date_of(date) {
            Some(day) if day <= today => {}
            Some(_) => self.say(Rule::DriverVer, format!("{date} is to come")),
            None => self.say(Rule::DriverVer, format!("{date:?} is no mm/dd/yyyy")),
        }
        let parts: Vec<_> = number.split('.').collect();
        self.require(
            parts.len() == 4 && parts.iter().all(|part| part.parse::<u16>().is_ok()),
            Rule::DriverVer,
            format!("{number:?} is no version of four numbers"),
        );
    }

    fn sections(&mut self) {
        let mut seen = BTreeSet::new();
        for section in &self.inf.sections {
            let name = section.name.to_lowercase();
            self.require(
                seen.insert(name.clone()),
                Rule::Once,
                format!("[{}] is there twice", section.name),
            );
            self.require(
                name != "manufacturer",
                Rule::NoManufacturer,
                format!("line {}", section.number),
            );
            for (base, rule) in [
                (INSTALL, Rule::InstallDecorated),
                (UNINSTALL, Rule::UninstallDecorated),
            ] {
                let (plain, ours) = (base.to_lowercase(), format!("{base}{DECORATION}").to_lowercase());
                let family = name == plain || name.starts_with(&format!("{plain}."));
                let good = name == ours || name == format!("{ours}{SERVICES}").to_lowercase();
                self.require(
                    !family || good,
                    rule,
                    format!("[{}] is not for NTamd64 only", section.name),
                );
            }
        }
        let mut keys = BTreeSet::new();
        for line in self
            .inf
            .section("Version")
            .iter()
            .flat_map(|section| &section.lines)
        {
            let key = line.key.clone().unwrap_or_default();
            self.require(
                keys.insert(key.to_lowercase()),
                Rule::Once,
                format!("line {}: {key} is there twice", line.number),
            );
        }
    }

    /// A section that a directive names.
    fn follow(&mut self, name: &str, by: &str) -> Option<&'a Section> {
        self.named.insert(name.to_lowercase());
        let section = self.inf.section(name);
        self.require(section.is_some(), Rule::Reference, format!("{by} names [{name}]"));
        section
    }

    /// The files of the lists that a directive names, with the list of each.
    fn files(&mut self, section: &'a Section, directive: &str) -> Vec<(String, String)> {
        let mut files = Vec::new();
        for line in section.all(directive) {
            for name in &line.fields {
                if let Some(file) = name.strip_prefix('@') {
                    files.push(("DefaultDestDir".to_owned(), file.to_owned()));
                } else if let Some(list) = self.follow(name, directive) {
                    let entries = list.lines.iter().map(|line| line.field(0).to_owned());
                    files.extend(entries.map(|file| (name.clone(), file)));
                }
            }
        }
        files
    }

    fn install(&mut self) {
        let name = format!("{INSTALL}{DECORATION}");
        let Some(section) = self.inf.section(&name) else {
            return self.say(Rule::InstallDecorated, format!("there is no [{name}]"));
        };
        self.named.insert(name.to_lowercase());
        self.directives(section, &["OptionDesc", "CopyFiles"]);
        let files = self.files(section, "CopyFiles");
        self.require(
            !files.is_empty(),
            Rule::Reference,
            format!("[{name}] copies nothing"),
        );
        for (list, file) in &files {
            self.source(file);
            let key = [list.as_str(), "DefaultDestDir"]
                .into_iter()
                .find_map(|key| self.inf.section("DestinationDirs")?.all(key).next());
            self.require(
                key.is_some_and(|line| line.fields.len() == 1 && line.field(0) == "12"),
                Rule::Destination,
                format!("{file} does not go to 12"),
            );
        }
        for line in self.services(&name, "AddService") {
            if let Some(service) = self.follow(line.field(2), "AddService") {
                self.service(service, &files);
            }
            if let Some(log) = self.follow(line.field(3), "AddService") {
                self.event_log(log, &files);
            }
        }
    }

    fn source(&mut self, file: &str) {
        let disk = self.inf.value("SourceDisksFiles", file);
        self.require(
            disk.is_some_and(|disk| self.inf.value("SourceDisksNames", disk).is_some()),
            Rule::Source,
            format!("{file} is on no disk"),
        );
        let lower = file.to_lowercase();
        self.require(
            !lower.ends_with(".cat") && !lower.ends_with(".inf"),
            Rule::Source,
            format!("{file} is copied by SetupAPI itself"),
        );
    }

    /// The lines of the `.Services` section that have a key.
    fn services(&mut self, of: &str, key: &str) -> Vec<&'a Line> {
        let name = format!("{of}{SERVICES}");
        self.named.insert(name.to_lowercase());
        let Some(section) = self.inf.section(&name) else {
            self.say(Rule::Services, format!("there is no [{name}]"));
            return Vec::new();
        };
        self.directives(section, &[key]);
        let lines: Vec<_> = section.lines.iter().filter(|line| line.is(key)).collect();
        self.require(
            !lines.is_empty(),
            Rule::Services,
            format!("[{name}] has no {key}"),
        );
        lines
    }

    fn service(&mut self, service: &'a Section, files: &[(String, String)]) {
        self.directives(
            service,
            &[
                "DisplayName",
                "Description",
                "ServiceBinary",
                "ServiceType",
                "StartType",
                "ErrorControl",
                "LoadOrderGroup",
            ],
        );
        let value = |key| service.value(key).unwrap_or_default();
        self.require(
            number(value("ServiceType")) == Some(2),
            Rule::ServiceType,
            format!("it is {:?}", value("ServiceType")),
        );
        self.require(
            number(value("StartType")) == Some(3),
            Rule::StartType,
            format!("it is {:?}", value("StartType")),
        );
        self.require(
            number(value("ErrorControl")) == Some(1),
            Rule::ErrorControl,
            format!("it is {:?}", value("ErrorControl")),
        );
        self.require(
            service.value("LoadOrderGroup").is_none(),
            Rule::LoadOrderGroup,
            format!("it is {:?}", value("LoadOrderGroup")),
        );
        let binary = value("ServiceBinary");
        self.require(
            files
                .iter()
                .any(|(_, file)| binary.eq_ignore_ascii_case(&format!("%12%\\{file}"))),
            Rule::ServiceBinary,
            format!("{binary:?} is not copied there"),
        );
    }

    fn event_log(&mut self, log: &'a Section, files: &[(String, String)]) {
        self.directives(log, &["AddReg"]);
        let mut told = [false; 2];
        for line in log.all("AddReg").flat_map(|line| &line.fields) {
            let Some(values) = self.follow(line, "AddReg") else {
                continue;
            };
            for line in &values.lines {
                let fields: Vec<&str> = (0..5).map(|index| line.field(index)).collect();
                let ["HKR", "", name, kind, value] = fields[..] else {
                    self.say(
                        Rule::EventLog,
                        format!("line {}: not below the key of its own", line.number),
                    );
                    continue;
                };
                // REG_EXPAND_SZ and REG_DWORD.
                match (name, number(kind), value) {
                    ("EventMessageFile", Some(0x2_0000), path) => {
                        told[0] = files.iter().any(|(_, file)| {
                            path.eq_ignore_ascii_case(&format!("%%SystemRoot%%\\System32\\drivers\\{file}"))
                        });
                    }
                    ("TypesSupported", Some(0x1_0001), value) => told[1] = number(value) == Some(7),
                    _ => self.say(Rule::EventLog, format!("line {}: {name} {kind}", line.number)),
                }
            }
        }
        self.require(
            told == [true; 2],
            Rule::EventLog,
            "its events have no texts, or not all kinds of them are shown",
        );
    }

    fn directives(&mut self, section: &Section, known: &[&str]) {
        for line in &section.lines {
            self.require(
                known.iter().any(|name| line.is(name)),
                Rule::Directive,
                format!(
                    "line {}: {}",
                    line.number,
                    line.key.as_deref().unwrap_or("no directive")
                ),
            );
        }
    }

    fn uninstall(&mut self) {
        let name = format!("{UNINSTALL}{DECORATION}");
        let Some(section) = self.inf.section(&name) else {
            return self.say(Rule::UninstallDecorated, format!("there is no [{name}]"));
        };
        self.named.insert(name.to_lowercase());
        self.directives(section, &["LegacyUninstall", "DelFiles"]);
        self.require(
            section.value("LegacyUninstall") == Some("1"),
            Rule::UninstallDecorated,
            "it does not say LegacyUninstall = 1",
        );
        let deleted = self.files(section, "DelFiles");
        let installing = self.inf.section(&format!("{INSTALL}{DECORATION}"));
        let copied = installing.map_or(Vec::new(), |install| self.files(install, "CopyFiles"));
        for (_, file) in &copied {
            self.require(
                deleted.iter().any(|(_, other)| other.eq_ignore_ascii_case(file)),
                Rule::Undone,
                format!("{file} is not deleted"),
            );
        }
        let gone = self.services(&name, "DelService");
        let added = self.inf.section(&format!("{INSTALL}{DECORATION}{SERVICES}"));
        for line in added.iter().flat_map(|section| section.all("AddService")) {
            let service = line.field(0);
            self.require(
                gone.iter().any(|line| {
                    let stops = number(line.field(1)).is_some_and(|flags| flags & 0x204 == 0x204);
                    line.field(0).eq_ignore_ascii_case(service) && stops
                }),
                Rule::Undone,
                format!("the service {service} is not stopped and deleted with its events"),
            );
        }
    }

    fn unused(&mut self) {
        for section in &self.inf.sections {
            self.require(
                self.named.contains(&section.name.to_lowercase()),
                Rule::Unused,
                format!("line {}: nothing leads to [{}]", section.number, section.name),
            );
        }
    }

    fn strings(&mut self) {
        let mut used = BTreeSet::new();
        let sections = self.inf.sections.iter();
        let lines = sections.flat_map(|section| &section.lines);
        for field in lines.flat_map(|line| line.fields.iter()) {
            used.extend(field.split('%').skip(1).step_by(2).map(str::to_lowercase));
            if let Err(token) = self.inf.text(field) {
                self.say(Rule::Strings, format!("%{token}% is no string"));
            }
        }
        for line in self
            .inf
            .section("Strings")
            .iter()
            .flat_map(|section| &section.lines)
        {
            let key = line.key.clone().unwrap_or_default();
            self.require(
                used.contains(&key.to_lowercase()),
                Rule::Strings,
                format!("nobody uses {key}"),
            );
        }
    }
}

/// A number as an INF file writes it.
fn number(text: &str) -> Option<u32> {
    match text.get(..2) {
        Some("0x" | "0X") => u32::from_str_radix(text.get(2..)?, 16).ok(),
        _ => text.parse().ok(),
    }
}

/// (year, month, day) of `mm/dd/yyyy`.
fn date_of(text: &str) -> Option<(u16, u8, u8)> {
    let mut parts = text.split('/');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || (month.len(), day.len(), year.len()) != (2, 2, 4) {
        return None;
    }
    let (month, day, year) = (month.parse().ok()?, day.parse().ok()?, year.parse().ok()?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=last).contains(&day).then_some((year, month, day))
}

#[cfg(test)]
#[path = "inf_rules_tests.rs"]
mod tests;
