//! The other ends of the interfaces, opened before Linux boots.

use crate::settings::Settings;
use lkl_links::{LinkError, Spec};
use lkl_netdev::Backend;
use lkl_session::exit::{Exit, Failure};
use std::io;
use std::sync::Arc;

/// One for each interface of [`Settings::interfaces`], in their order. They are held for this program from now on.
pub struct Ends {
    pub(crate) settings: Settings,
    pub(crate) backends: Vec<Arc<dyn Backend>>,
}

impl Ends {
    /// Opens them.
    ///
    /// # Errors
    /// The first that cannot be opened, with the exit code of lacking rights, of being in use, or of any other fault.
    pub fn open(settings: &Settings) -> Result<Ends, Failure> {
        let mut backends = Vec::new();
        for interface in &settings.interfaces {
            let net = &interface.net;
            let end = net.open_with(interface.offloads);
            backends.push(end.map_err(|error| unopened(settings, net, &error))?);
        }
        Ok(Ends {
            settings: settings.clone(),
            backends,
        })
    }
}

fn unopened(settings: &Settings, net: &Spec, error: &LinkError) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::Rights,
        io::ErrorKind::ResourceBusy | io::ErrorKind::AddrInUse => Exit::InUse,
        _ => Exit::Other,
    };
    let text = error.to_string().replace(" (os error ", " (error ");
    let source = settings.source;
    let (what, advice) = match source {
        crate::Source::Options => (
            format!("--net {net}"),
            format!("; see --net in {} --help", settings.program.name),
        ),
        _ => (net.to_string(), format!("; look at {}", source.net())),
    };
    // The links' own words may have an advice.
    let advice = if error.advice().is_some() { "" } else { &advice };
    Failure::new(exit, format_args!("{what}: {text}{advice}"))
}
