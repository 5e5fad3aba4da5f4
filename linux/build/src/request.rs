//! What is to be built: the Linux source, the configuration, the repository and the cache.
//!
//! Environment:
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `LKLFS_LINUX_SOURCE` | a tarball or a folder with a Linux tree | `/usr/src/linux-source-6.12.tar.xz` |
//! | `LKLFS_LINUX_CONFIG` | a name under `linux/configs`, in place of `driver` | `driver` |
//! | `LKLFS_LINUX_OBJ` | a folder that keeps the object tree between builds | one in the cache |
//! | `LKLFS_CACHE` | the cache | `$XDG_CACHE_HOME/lklfs` or `~/.cache/lklfs` |
//! | `NUM_JOBS` | how many compilers run at once | the number of processors |

use crate::check::writes;
use crate::{Error, fragment};
use std::env;
use std::path::{Path, PathBuf};

/// Debian's packaged tree.
pub const DEFAULT_SOURCE: &str = "/usr/src/linux-source-6.12.tar.xz";
/// The configuration that goes into the driver, and into programs that only read.
pub const DRIVER: &str = "driver";
/// The configuration for programs that write to disks or speak to networks.
pub const FULL: &str = "full";

/// The configuration that is fuzzed.
pub const FUZZ: &str = "fuzz";

/// The kind of linker that takes the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// ELF, for programs on Linux hosts.
    Elf,
    /// COFF, for PE images: the driver and Windows programs.
    Coff,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Target::Elf => "elf",
            Target::Coff => "coff",
        })
    }
}

/// Where Linux comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An archive that `tar` can read, with one folder at its top.
    Tarball(PathBuf),
    /// An unpacked tree. It is never written to.
    Directory(PathBuf),
}

impl Source {
    /// A tarball or a folder, whichever `path` is.
    pub fn at(path: &Path) -> Result<Source, Error> {
        let path = path
            .canonicalize()
            .map_err(|_| Error::SourceMissing(path.to_owned()))?;
        Ok(if path.is_dir() {
            Source::Directory(path)
        } else {
            Source::Tarball(path)
        })
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Source::Tarball(path) | Source::Directory(path) => path,
        }
    }
}

/// Everything that a build needs to know.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where Linux comes from.
    pub source: Source,
    /// The fragment `linux/configs/CONFIG.config`.
    pub config: String,
    /// The root of this repository.
    pub root: PathBuf,
    /// How many compilers run at once.
    pub jobs: usize,
    /// The cache's folder.
    pub cache: PathBuf,
    /// A folder that keeps the object tree between builds, instead of the cache's own.
    pub object_tree: Option<PathBuf>,
}

impl Request {
    /// The defaults, changed by the environment (see the [module](self)).
    pub fn from_env() -> Result<Request, Error> {
        Request::from_env_or(None)
    }

    /// The same, with `source` in place of what the environment names.
    pub fn from_env_or(source: Option<Source>) -> Result<Request, Error> {
        let named = || env::var_os("LKLFS_LINUX_SOURCE").unwrap_or_else(|| DEFAULT_SOURCE.into());
        let source = source.map_or_else(|| Source::at(Path::new(&named())), Ok)?;
        let jobs = env::var("NUM_JOBS").ok().and_then(|n| n.parse().ok());
        Ok(Request {
            source,
            config: env::var("LKLFS_LINUX_CONFIG").unwrap_or_else(|_| DRIVER.to_owned()),
            root: repository(),
            jobs: jobs
                .or_else(|| Some(std::thread::available_parallelism().ok()?.get()))
                .unwrap_or(1),
            cache: cache_folder(),
            object_tree: env::var_os("LKLFS_LINUX_OBJ").map(PathBuf::from),
        })
    }

    /// The port.
    pub fn overlay(&self) -> PathBuf {
        self.root.join("linux/arch/lkl")
    }

    /// The configuration fragment.
    pub fn fragment(&self) -> PathBuf {
        self.root
            .join("linux/configs")
            .join(format!("{}.config", self.config))
    }

    /// The header whose functions stay visible in the object.
    pub fn contract(&self) -> PathBuf {
        self.overlay().join("include/asm/host_ops.h")
    }

    /// The headers with the functions of kernels that have more than that: what one has by which line of its configuration.
    pub fn additions(&self) -> [(&'static str, PathBuf); 3] {
        let header = |name: &str| self.overlay().join("include/asm").join(name);
        let instrumented = self.overlay().join("fuzz/headers/asm/host_fuzz.h");
        [
            (writes::SYMBOL, header("host_write.h")),
            ("CONFIG_LKL_HOSTNET=y", header("host_net.h")),
            ("CONFIG_LKL_FUZZ=y", instrumented),
        ]
    }

    /// The folder for patches to Linux, of which there are none.
    pub fn patches(&self) -> PathBuf {
        self.root.join("linux/patches")
    }

    /// Prints, for cargo, the files and variables that a build script's kernel depends on.
    pub fn print_cargo_directives(&self) {
        let mut watched = vec![self.overlay(), self.patches(), self.source.path().to_owned()];
        watched.extend(fragment::files(&self.fragment()));
        for path in watched
            .iter()
            .filter(|path| **path != self.source.path() || path.is_file())
        {
            println!("cargo::rerun-if-changed={}", path.display());
        }
        for name in [
            "LKLFS_LINUX_SOURCE",
            "LKLFS_LINUX_CONFIG",
            "LKLFS_LINUX_OBJ",
            "LKLFS_CACHE",
        ] {
            println!("cargo::rerun-if-env-changed={name}");
        }
    }
}

/// This crate lies in `linux/build` of the repository.
fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// `$LKLFS_CACHE`, `$XDG_CACHE_HOME/lklfs` or `~/.cache/lklfs`.
pub fn cache_folder() -> PathBuf {
    if let Some(cache) = env::var_os("LKLFS_CACHE") {
        return cache.into();
    }
    let base = env::var_os("XDG_CACHE_HOME")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache");
    base.unwrap_or_else(home).join("lklfs")
}
