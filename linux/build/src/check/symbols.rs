//! Rules on symbols: nothing undefined, weak or thread-local, and only the API visible.

use super::{Finding, Rule};
use crate::elf::{Object, Place, Symbol};
use object::elf;

pub(super) fn check(object: &Object, api: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, symbol) in object.symbols.iter().enumerate().skip(1) {
        let mut found = |rule, detail: String| {
            findings.push(Finding {
                rule,
                symbol: symbol.name.clone(),
                place: place(object, symbol),
                detail,
            });
        };
        if symbol.kind == elf::STT_TLS {
            found(Rule::ThreadLocal, "a thread-local variable".into());
        }
        match symbol.place {
            Place::Undefined => {
                // The assembler mentions this name beside each GOT relocation, and every ELF linker defines it.
                let mention = symbol.name == "_GLOBAL_OFFSET_TABLE_" && !is_used(object, index);
                if !mention {
                    found(Rule::Undefined, users(object, index));
                }
            }
            Place::Common => found(Rule::Section, "common: compile with -fno-common".into()),
            Place::Absolute | Place::Section(_) => {}
        }
        if symbol.binding == elf::STB_WEAK {
            found(Rule::Weak, "it could be replaced by another definition".into());
        } else if symbol.binding != elf::STB_LOCAL
            && symbol.place != Place::Undefined
            && !api.contains(&symbol.name)
        {
            found(
                Rule::Visible,
                "only what the contract's header declares may be global".into(),
            );
        }
    }
    for name in api {
        let defined = |s: &Symbol| {
            s.name == *name && matches!(s.place, Place::Section(_)) && s.binding == elf::STB_GLOBAL
        };
        if !object.symbols.iter().any(defined) {
            let detail = "the contract's header declares it, and the object does not define it".into();
            findings.push(Finding {
                rule: Rule::Visible,
                symbol: name.clone(),
                place: String::new(),
                detail,
            });
        }
    }
    findings
}

/// `section+offset` of a symbol.
fn place(object: &Object, symbol: &Symbol) -> String {
    match symbol.place {
        Place::Section(index) => {
            let name = object.sections.get(index).map_or("?", |s| s.name.as_str());
            format!("{name}+{:#x}", symbol.value)
        }
        _ => String::new(),
    }
}

fn is_used(object: &Object, symbol: usize) -> bool {
    object
        .loaded()
        .any(|(_, section)| section.relocations.iter().any(|r| r.symbol == symbol))
}

/// The first place that refers to a symbol, and how many do.
fn users(object: &Object, symbol: usize) -> String {
    let mut first = None;
    let mut count = 0;
    for (index, section) in object.loaded() {
        for relocation in section.relocations.iter().filter(|r| r.symbol == symbol) {
            count += 1;
            first.get_or_insert_with(|| {
                let name = object.names_in(index).at(relocation.offset).unwrap_or_default();
                format!("{name} ({}+{:#x})", section.name, relocation.offset)
            });
        }
    }
    match first {
        Some(first) => format!("used {count} times, first by {first}"),
        None => "used nowhere".into(),
    }
}
