//! A Linux that runs, and its interfaces.

use crate::apply::Applying;
use crate::ends::Ends;
use crate::settings::Settings;
use linux_full as _;
use lkl::{BootConfig, Halt, Kernel};
use lkl_net::Namespace;
use lkl_netdev::NetworkDevice;
use lkl_session::exit::{Exit, Failure};

/// Linux with interfaces.
pub struct Network {
    kernel: Kernel,
    devices: Vec<NetworkDevice>,
    /// What sockets belong to.
    pub namespace: Namespace,
    debug: bool,
}

impl Network {
    /// Opens the other ends, boots Linux, and configures the interfaces. A process has one Linux in its life.
    ///
    /// # Errors
    /// What cannot be opened, that Linux does not boot, and what it refuses of the settings.
    pub fn open(settings: &Settings) -> Result<Network, Failure> {
        let ends = Ends::open(settings)?;
        let kernel = boot(settings)?;
        ends.attach(&kernel)
    }

    /// The Linux that it is in.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The interfaces, in the order of the settings.
    pub fn devices(&self) -> &[NetworkDevice] {
        &self.devices
    }

    /// Whether Linux has died.
    pub fn is_dead(&self) -> bool {
        self.kernel.is_dead()
    }

    /// Takes the interfaces away and ends Linux.
    ///
    /// # Errors
    /// That Linux has died.
    pub fn close(self) -> Result<(), Failure> {
        let Network {
            kernel,
            devices,
            namespace,
            debug,
        } = self;
        if debug {
            tell_log(&kernel);
        }
        if kernel.is_dead() {
            return Err(dead());
        }
        // What fails here fails because Linux is dead, which halting tells.
        for device in devices {
            let _ = device.remove();
        }
        drop(namespace);
        match kernel.halt() {
            Halt::Whole => Ok(()),
            Halt::Stuck => Err(dead()),
        }
    }
}

impl Ends {
    /// Gives the interfaces to a Linux that runs, and configures them, in its first network.
    ///
    /// # Errors
    /// What Linux refuses of the settings; that no server or router answers.
    pub fn attach(self, kernel: &Kernel) -> Result<Network, Failure> {
        let namespace = Namespace::initial(kernel);
        let Ends { settings, backends } = self;
        let devices = Applying {
            settings: &settings,
            kernel,
            namespace: &namespace,
        }
        .run(backends);
        if devices.is_err() && settings.debug {
            tell_log(kernel);
        }
        Ok(Network {
            kernel: kernel.clone(),
            devices: devices?,
            namespace,
            debug: settings.debug,
        })
    }
}

/// Boots Linux as the settings say.
fn boot(settings: &Settings) -> Result<Kernel, Failure> {
    let pool_size = usize::try_from(settings.memory)
        .unwrap_or(usize::MAX)
        .saturating_mul(1 << 20);
    let config = BootConfig {
        pool_size,
        command_line: &settings.command_line,
    };
    lkl_session::host::boot(&config).map_err(|error| {
        let memory = settings.source.memory();
        Failure::new(
            Exit::Kernel,
            format_args!("Linux does not boot: {error}; try another {memory}"),
        )
    })
}

fn tell_log(kernel: &Kernel) {
    for line in String::from_utf8_lossy(&kernel.log()).lines() {
        eprintln!("linux: {}", lkl_session::text::shown(line.as_bytes()));
    }
}

fn dead() -> Failure {
    Failure::new(Exit::Kernel, "Linux stopped, in this program alone; run it again")
}
