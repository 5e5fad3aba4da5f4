//! Networks of one Linux's that know of each other only what comes over their interfaces.

// UNSAFETY: what a signal does is changed.

use lkl::Kernel;
use lkl_netdev::{Backend, Config};
use networks::Side;
use std::sync::{Arc, OnceLock};

/// Bytes that are sent, and compared.
pub const MUCH: usize = 16 << 20;

/// The Linux of this program.
fn kernel() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| {
        networks::ends_within_minutes(4);
        // As it is in programs in C: a socket whose other end is gone ends them, unless it is written to with care.
        // SAFETY: no handler is put in the place of another one.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        networks::boot(256)
    })
}

/// A network whose interface has this at its other end.
pub fn over(backend: Arc<dyn Backend>, mtu: u32, address: [u8; 4]) -> Side {
    let how = Config {
        mtu,
        ..Config::default()
    };
    Side::new(kernel(), backend, &how, address)
}
