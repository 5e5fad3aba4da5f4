//! Linux, booted once for many inputs, in virtual time and with seeded random numbers.

use crate::death;
use crate::reached::Reached;
use lkl::{BootConfig, Kernel};
use lkl_fuzz::image::{Image, ImageDisk};
use lkl_fuzz::mend::mend;
use lkl_fuzz::mutate::Structure;
use lkl_fuzz::patches::{MEND, NO_RECOVERY, Patches};
use lkl_fuzz::seed::Seed;
use lkl_fuzz::walk::{self, Extent, Visit};
use lkl_host_virtual::Start;
use std::path::Path;
use std::sync::Arc;

/// Names the volume.
const VOLUME: &str = "LKLFS_FUZZ_VOLUME";
/// How many executions the program lives for.
const EXECUTIONS: &str = "LKLFS_FUZZ_EXECUTIONS";
/// Every warning is a death. `lkl_seed` makes Linux's random numbers the same in each run.
const COMMAND_LINE: &str = "panic_on_warn=1 oops=panic loglevel=6 \
    lkl_seed=6c6b6c66757a7a6c6b6c66757a7a6c6b6c66757a7a6c6b6c66757a7a6c6b6c66";
/// Bytes of memory for Linux.
const POOL: usize = 256 << 20;
/// How often it is looked whether memory has become short.
const LOOK: u64 = 64;

/// A booted Linux and the volume that is fuzzed.
pub struct Linux {
    kernel: Kernel,
    _world: lkl_host_virtual::World,
    seed: Arc<Seed>,
    fs: String,
    structure: Structure,
    reached: Reached,
    executions: u64,
    limit: u64,
    free_at_first: u64,
}

impl Linux {
    /// Boots it, has libFuzzer count its edges, and mounts the sound volume once to see what is read of it.
    ///
    /// # Panics
    /// When that does not work: the program is of no use then.
    pub fn boot() -> Linux {
        let volume = std::env::var(VOLUME).unwrap_or_default();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(&volume);
        let file =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{VOLUME}: {}: {error}", path.display()));
        let seed = Arc::new(Seed::unpack(&file).expect("a volume in seeds/"));
        linux_fuzz::map_shadow().expect("room for KASAN's shadow");
        let config = BootConfig {
            pool_size: POOL,
            command_line: COMMAND_LINE,
        };
        let (kernel, world) =
            lkl_host_virtual::boot(death::hooks(), Start::default(), &config).expect("Linux boots");
        death::watch_faults();
        let reached = Reached::new(linux_fuzz::coverage());
        reached.tell_if_asked();
        let fs = volume.split('-').next().unwrap_or_default().to_owned();
        let disk = Arc::new(ImageDisk::watched(Image::new(&seed)));
        let visit = walk::visit(&kernel, Arc::clone(&disk), &fs, true, &walk::STRUCTURE);
        assert!(
            visit.mounted && visit.entries > 2,
            "the sound volume is not mounted: {}",
            death::said()
        );
        let structure = Structure::new(&seed, &disk.sectors_read());
        let limit = std::env::var(EXECUTIONS)
            .ok()
            .and_then(|number| number.parse().ok());
        let free_at_first = kernel.free_bytes().unwrap_or(0);
        Linux {
            kernel,
            _world: world,
            seed,
            fs,
            structure,
            reached,
            executions: 0,
            limit: limit.unwrap_or(u64::MAX),
            free_at_first,
        }
    }

    /// What is known of the volume.
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// Does with the volume what an input says.
    pub fn execute(&mut self, input: &[u8]) -> Visit {
        let patches = Patches::parse(input);
        let mut image = Image::new(&self.seed);
        patches.apply(&mut image);
        if patches.switches & MEND != 0 {
            mend(&self.fs, &mut image);
        }
        death::forget();
        let recovery = patches.switches & NO_RECOVERY == 0;
        let extent: &Extent = &walk::WHOLE;
        let visit = walk::visit(
            &self.kernel,
            Arc::new(ImageDisk::new(image)),
            &self.fs,
            recovery,
            extent,
        );
        self.reached.note();
        self.executions += 1;
        self.rest();
        visit
    }

    /// Ends the program when it is old, or Linux has lost memory. What libFuzzer has learned is in its corpus already.
    fn rest(&mut self) {
        if !self.executions.is_multiple_of(LOOK) && self.executions < self.limit {
            return;
        }
        self.reached.save();
        let short = self.kernel.free_bytes().unwrap_or(0) < self.free_at_first / 2;
        if short || self.executions >= self.limit {
            death::leave(short);
        }
    }
}
