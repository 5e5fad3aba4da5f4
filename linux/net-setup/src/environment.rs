//! LKL's configuration in variables, `LKL_HIJACK_*`: a file that one of them names, and what the others say.

use crate::json::{self, Document, InterfaceDocument, RawInterface};
use crate::settings::{Settings, Source};
use crate::word::{FromWord, Word};
use lkl_session::exit::{Exit, Failure, reason};
use lkl_session::program::Program;

/// What their names begin with.
const PREFIX: &str = "LKL_HIJACK_";

impl Settings {
    /// What the variables `LKL_HIJACK_*` ask for; `None` when there is none of them. `LKL_HIJACK_CONFIG_FILE` names a file of JSON;
    /// what another variable says takes the place of what is said there. The interface of the variables
    /// (`LKL_HIJACK_NET_IFTYPE` and the like) is for when the file has none.
    ///
    /// # Errors
    /// What is wrong, by the name of the variable, or by line and column of the file.
    pub fn from_environment(
        program: Program,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Option<Settings>, Failure> {
        let mut ours = Vec::new();
        for (name, value) in variables {
            if let Some(name) = name.strip_prefix(PREFIX) {
                ours.push((name.to_owned(), value));
            }
        }
        if ours.is_empty() {
            return Ok(None);
        }
        let file = ours.iter().find(|(name, _)| name == "CONFIG_FILE");
        let mut document = match file {
            None => Document::default(),
            Some((_, path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    let why = reason(&error);
                    Failure::new(Exit::Usage, format_args!("{PREFIX}CONFIG_FILE: {path}: {why}"))
                })?;
                json::read(path, &text)?
            }
        };
        let source = if file.is_some() && document.interfaces.is_empty() || file.is_none() {
            Source::Environment
        } else {
            Source::Json
        };
        let mut interface = RawInterface::default();
        for (name, value) in &ours {
            let wrong = |why: String| Failure::new(Exit::Usage, format_args!("{PREFIX}{name}: {why}"));
            global(&mut document, name, value)
                .and_then(|known| Ok(known || of_interface(&mut interface, name, value)?))
                .and_then(|known| match known {
                    true => Ok(()),
                    false => Err("no variable that is known".to_owned()),
                })
                .map_err(wrong)?;
        }
        add(&mut document, interface)
            .and_then(|()| json::meant(program, source, document))
            .map(Some)
            .map_err(|why| Failure::new(Exit::Usage, format_args!("{PREFIX}*: {why}")))
    }
}

/// The interface of the variables, if they have one.
fn add(document: &mut Document, interface: RawInterface) -> Result<(), String> {
    if interface.kind.is_none() && interface.param.is_none() {
        return Ok(());
    }
    if !document.interfaces.is_empty() {
        return Err(
            "an interface in variables, and interfaces in the file; leave one of them out".to_owned(),
        );
    }
    document.interfaces.push(InterfaceDocument::try_from(interface)?);
    Ok(())
}

/// A value, put where it belongs.
fn put<T: FromWord>(place: &mut Option<Word<T>>, value: &str) -> Result<bool, String> {
    *place = Some(Word(T::from_word(value.trim())?));
    Ok(true)
}

/// What is not of an interface; false: the variable is not one of those.
fn global(document: &mut Document, name: &str, value: &str) -> Result<bool, String> {
    match name {
        // It was read first.
        "CONFIG_FILE" => Ok(true),
        "DEBUG" => put(&mut document.debug, value),
        "MOUNT" => put(&mut document.mount, value),
        "DUMP" => put(&mut document.dump, value),
        "SYSCTL" => put(&mut document.sysctl, value),
        "SINGLE_CPU" => put(&mut document.single_cpu, value),
        "NAMESERVER" => put(&mut document.nameserver, value),
        "NET_GATEWAY" => put(&mut document.gateway, value),
        "NET_GATEWAY6" => put(&mut document.gateway6, value),
        "BOOT_CMDLINE" => {
            document.boot_cmdline = Some(value.to_owned());
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// What is of the interface.
fn of_interface(interface: &mut RawInterface, name: &str, value: &str) -> Result<bool, String> {
    match name {
        "NET_IFTYPE" => interface.kind = Some(value.to_owned()),
        "NET_IFPARAMS" => interface.param = Some(value.to_owned()),
        // As it was called when there was no other kind.
        "NET_TAP" => {
            interface.kind = Some("tap".to_owned());
            interface.param = Some(value.to_owned());
        }
        "NET_MAC" => return put(&mut interface.mac, value),
        "NET_MTU" => return put(&mut interface.mtu, value),
        "NET_IP" => return put(&mut interface.ip, value),
        "NET_NETMASK_LEN" => return put(&mut interface.masklen, value),
        "NET_IFGATEWAY" => return put(&mut interface.ifgateway, value),
        "NET_IPV6" => return put(&mut interface.ipv6, value),
        "NET_NETMASK6_LEN" => return put(&mut interface.masklen6, value),
        "NET_IFGATEWAY6" => return put(&mut interface.ifgateway6, value),
        "NET_NEIGHBOR" | "NET_ARP" => return put(&mut interface.neigh, value),
        "NET_QDISC" => return put(&mut interface.qdisc, value),
        "OFFLOAD" => return put(&mut interface.offload, value),
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
#[path = "environment_test.rs"]
mod tests;
