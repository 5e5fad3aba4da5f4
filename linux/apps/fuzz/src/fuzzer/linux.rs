//! Linux, booted once for many inputs, in virtual time and with seeded random numbers.

use crate::calls::Caller;
use crate::door::{At, Door, Number};
use crate::reached::Reached;
use crate::{death, netlink, packets, slow, stacks};
use linux_fuzz::WritableDisks;
use lkl::{BootConfig, Kernel};
use lkl_fuzz::image::{Image, ImageDisk};
use lkl_fuzz::mend::mend;
use lkl_fuzz::mutate::Structure;
use lkl_fuzz::patches::{MEND, NO_RECOVERY, Patches};
use lkl_fuzz::records::Records;
use lkl_fuzz::seed::Seed;
use lkl_fuzz::strands::Program;
use lkl_fuzz::target::Target;
use lkl_fuzz::walk::{self, Device};
use lkl_host_virtual::{Start, World};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Names the target.
const TARGET: &str = "LKLFS_FUZZ_TARGET";
/// Names the volume.
const VOLUME: &str = "LKLFS_FUZZ_VOLUME";
/// Names the planted bug that is awake.
const BUG: &str = "LKLFS_FUZZ_BUG";
/// How many executions the program lives for.
const EXECUTIONS: &str = "LKLFS_FUZZ_EXECUTIONS";
/// Names a file that gets a line of how the last input's strands met.
const TRACE: &str = "LKLFS_FUZZ_TRACE";
/// Every warning is a death. `lkl_seed` makes Linux's random numbers the same in each run.
const COMMAND_LINE: &str = "panic_on_warn=1 oops=panic loglevel=6 \
    lkl_seed=6c6b6c66757a7a6c6b6c66757a7a6c6b6c66757a7a6c6b6c66757a7a6c6b6c66";
/// Bytes of memory for Linux.
const POOL: usize = 256 << 20;
/// How often it is looked whether memory has become short.
const LOOK: u64 = 64;
/// After each input Linux's workers have so long to finish what it has left them.
const AFTERWARDS: Duration = Duration::from_millis(20);

/// What makes btrfs forget volumes that it has seen: the device, and `BTRFS_IOC_FORGET_DEV` of all.
const BTRFS: &[u8] = b"/dev/btrfs-control";
const FORGET: i64 = 0x5000_9405;
const OPEN: i64 = 2;
const IOCTL: i64 = 16;

/// A volume of the seeds, and the disk that shows what inputs make of it.
struct Volume {
    fs: String,
    seed: Arc<Seed>,
    structure: Structure,
    device: Device,
}

/// A booted Linux.
pub struct Linux {
    kernel: Kernel,
    world: World,
    target: Target,
    volume: Option<Volume>,
    caller: Option<Caller>,
    /// For what is done between inputs.
    door: Door,
    reached: Reached,
    trace: Option<PathBuf>,
    executions: u64,
    limit: u64,
    free_at_first: u64,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

impl Volume {
    /// The one that is named. It is mounted once, as it is, to see what is read of it.
    fn new(kernel: &Kernel) -> Volume {
        let name = std::env::var(VOLUME).unwrap_or_default();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(&name);
        let file =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{VOLUME}: {}: {error}", path.display()));
        let seed = Arc::new(Seed::unpack(&file).expect("a volume in seeds/"));
        let fs = name.split('-').next().unwrap_or_default().to_owned();
        let disk = Arc::new(ImageDisk::new(Image::new(&seed)));
        let linux = kernel
            .add_writable_disk(Arc::<ImageDisk>::clone(&disk), 0)
            .expect("Linux takes the disk");
        let device = Device { linux, disk };
        device.disk.watch();
        let visit = walk::visit(kernel, &device, &fs, true, &walk::STRUCTURE);
        assert!(
            visit.mounted && visit.entries >= 2,
            "the sound volume is not mounted: {}",
            death::said()
        );
        let structure = Structure::new(&seed, &device.disk.sectors_read());
        Volume {
            fs,
            seed,
            structure,
            device,
        }
    }
}

impl Linux {
    /// Boots it, has libFuzzer count its edges, and prepares what the target needs.
    ///
    /// # Panics
    /// When that does not work: the program is of no use then.
    pub fn boot() -> Linux {
        let target = std::env::var(TARGET).ok().and_then(|name| Target::named(&name));
        let target = target.unwrap_or_else(|| panic!("{TARGET} names no target"));
        stacks::at_the_same_addresses();
        stacks::on_one_processor();
        stacks::second();
        linux_fuzz::map_shadow().expect("room for KASAN's shadow");
        let bug = number(BUG).unwrap_or(0);
        let config = BootConfig {
            pool_size: POOL,
            command_line: &format!("{COMMAND_LINE} lkl_fuzz_bug={bug}"),
        };
        let (kernel, world) =
            lkl_host_virtual::boot(death::hooks(), Start::default(), &config).expect("Linux boots");
        death::watch_faults();
        let reached = Reached::new(linux_fuzz::coverage());
        reached.tell_if_asked();
        let volume = target.has_volume().then(|| Volume::new(&kernel));
        let makes_calls = matches!(target, Target::Calls | Target::Schedules);
        let caller = makes_calls.then(|| Caller::new(&kernel));
        if makes_calls {
            death::the_volume_is_sound();
        }
        let door = Door::new(&kernel).expect("a task");
        let free_at_first = kernel.free_bytes().unwrap_or(0);
        let mut linux = Linux {
            kernel,
            world,
            target,
            volume,
            caller,
            door,
            reached,
            trace: std::env::var_os(TRACE).map(PathBuf::from),
            executions: 0,
            limit: number(EXECUTIONS).unwrap_or(u64::MAX),
            free_at_first,
        };
        // What the first one finds is what each later one finds.
        linux.act(&[]);
        slow::watch();
        linux
    }

    /// Another input.
    pub fn mutate(&self, input: &[u8], most: usize, seed: u32) -> Vec<u8> {
        match (&self.volume, self.target.grammar()) {
            (_, Some(grammar)) => Records::mutate(input, most, seed, grammar),
            (Some(volume), None) => volume.structure.mutate(input, most, seed),
            (None, None) => input.to_vec(),
        }
    }

    /// Does what an input says.
    pub fn execute(&mut self, input: &[u8]) {
        death::forget();
        slow::begin(input);
        self.act(input);
        slow::end();
        self.reached.note();
        self.executions += 1;
        self.rest();
    }

    fn act(&mut self, input: &[u8]) {
        match (self.target, &self.volume, &mut self.caller) {
            (Target::Image, Some(volume), _) => self.image(volume, input),
            (Target::Calls | Target::Schedules, Some(Volume { fs, seed, device, .. }), Some(caller)) => {
                let program = match self.target {
                    Target::Schedules => Program::scheduled(input),
                    _ => Program::plain(input),
                };
                device.disk.show(Image::new(seed));
                let trace = caller.run(&self.kernel, device, fs, &program);
                if let Some(file) = &self.trace {
                    let _ = std::fs::write(file, format!("{trace:?}\n"));
                }
            }
            (Target::Packets, ..) => packets::run(&self.kernel, input),
            (Target::Netlink, ..) => netlink::run(&self.kernel, input),
            _ => {}
        }
        self.forget();
        self.world.sleep(AFTERWARDS);
    }

    /// Has Linux forget what it keeps of a volume that is not mounted any more.
    fn forget(&mut self) {
        if self.volume.as_ref().is_none_or(|volume| volume.fs != "btrfs") {
            return;
        }
        let path = self.door.put(0, BTRFS);
        if let Ok(control) = self.door.open(OPEN, &[path, Number(2), Number(0)]) {
            self.door.place(0)[..4096].fill(0);
            let _ = self.door.call(IOCTL, &[Number(control), Number(FORGET), At(0)]);
        }
        self.door.close_all();
    }

    /// Does with the volume what an input of the target *image* says.
    fn image(&self, volume: &Volume, input: &[u8]) {
        let patches = Patches::parse(input);
        let mut image = Image::new(&volume.seed);
        patches.apply(&mut image);
        if patches.switches & MEND != 0 {
            mend(&volume.fs, &mut image);
        }
        volume.device.disk.show(image);
        let recovery = patches.switches & NO_RECOVERY == 0;
        walk::visit(&self.kernel, &volume.device, &volume.fs, recovery, &walk::WHOLE);
    }

    /// Ends the program when it is old, or Linux has lost memory. What libFuzzer has learned is in its corpus already.
    fn rest(&mut self) {
        if !self.executions.is_multiple_of(LOOK) && self.executions < self.limit {
            return;
        }
        self.reached.save();
        if self.kernel.free_bytes().unwrap_or(0) < self.free_at_first / 2 {
            death::leave("memory is short");
        }
        if self.executions >= self.limit {
            death::leave("enough executions");
        }
    }
}
