//! A volume that is mounted for reading, and outlives its Linux.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lkl::{BlockDevice, Errno, Kernel, Mount, MountError};
use lkl_session::exit::{Exit, Failure};
use lkl_session::image::Section;
use lkl_session::session::Session;
use lkl_vfs::{LklVolume, Origin};

use crate::{Options, Supervisor};

/// How a volume is mounted, each time.
///
/// A request that was under way when Linux died is done again in the next one, unless Linux died of this volume: then it fails, and
/// the next request mounts the volume once more. A volume of which Linux has died twice is not mounted any more.
pub struct Lasting {
    supervisor: Supervisor,
    session: Session,
    part: u32,
    disk: Arc<Section>,
    account: NonZeroU64,
    alone: Mutex<()>,
    /// It could not be mounted again, which was told.
    fails: AtomicBool,
}

impl Supervisor {
    /// Mounts a file system of an image for reading, as the options say.
    pub fn mount(&self, options: &Options) -> Result<(Arc<Lasting>, Mount, BlockDevice), Failure> {
        lkl_session::options::check(&options.program, options.options.as_deref())?;
        let (account, kernel) = self.account()?;
        let session = Session::open_in(&kernel, &options.session())?;
        let mounted = session.mount(options.part)?;
        let part = mounted.part;
        if let Some(found) = session.survey.part(part) {
            self.name(account, session.what(found));
        }
        let (mount, device, disk) = mounted.into_parts();
        let lasting = Arc::new(Lasting {
            supervisor: self.clone(),
            session,
            part,
            disk,
            account,
            alone: Mutex::default(),
            fails: AtomicBool::new(false),
        });
        Ok((lasting, mount, device))
    }

    /// Mounts as [`Supervisor::mount`] does: a volume that goes on in the next Linux by itself. Of FAT and exFAT, whose inodes have no
    /// numbers, only the root does.
    pub fn open(&self, options: &Options) -> Result<LklVolume, Failure> {
        let (lasting, mount, device) = self.mount(options)?;
        let volume = LklVolume::of(mount, device);
        let mut volume = volume.map_err(|errno| {
            let image = options.image.display();
            let exit = match lasting.session.kernel().is_dead() {
                true => Exit::Kernel,
                false => Exit::FileSystem,
            };
            Failure::new(exit, format_args!("{image}: {errno}; repair a copy of it"))
        })?;
        volume.comes_back(Box::new(Again(lasting)));
        Ok(volume)
    }
}

impl Lasting {
    /// Whether a request that was under way when `dead` died is done again in the next Linux. Blocks.
    pub fn does_again(&self, dead: &Kernel) -> bool {
        self.supervisor.is_innocent(dead, self.account)
    }

    /// Whether it is not mounted any more.
    pub fn is_over(&self) -> bool {
        self.supervisor.is_over(self.account)
    }

    /// Mounts it in the Linux that runs now, which is booted if need be. Blocks.
    ///
    /// # Errors
    /// ENODEV when it is not mounted any more; else why it cannot be mounted, which the operator is told once.
    pub fn mount_again(&self) -> Result<(Mount, BlockDevice), Errno> {
        loop {
            let kernel = self.supervisor.after(self.account)?;
            match self.session.mount_again(&kernel, self.part, &self.disk) {
                Ok(mounted) => {
                    self.fails.store(false, Ordering::Relaxed);
                    return Ok(mounted);
                }
                // Linux has died meanwhile, and will not for ever: too many deaths are the end.
                Err(_) if kernel.is_dead() => {
                    if !self.does_again(&kernel) {
                        return Err(Errno::ENODEV);
                    }
                }
                Err(error) => {
                    if !self.fails.swap(true, Ordering::Relaxed) {
                        self.tell_refusal(&error);
                    }
                    return Err(Errno::EIO);
                }
            }
        }
    }

    fn tell_refusal(&self, error: &MountError) {
        let Ok(part) = self.session.part(Some(self.part)) else {
            return;
        };
        let what = self.session.what(part);
        let line = if error.errno == Errno::ESTALE {
            let name = self.supervisor.program().name;
            format!(
                "{what}: it is not mounted again, since what is there has changed; end {name} and start it again"
            )
        } else {
            let why = lkl_session::text::shown(error.to_string().as_bytes());
            format!("{what}: it cannot be mounted again: {why}; check the image and the disk that it is on")
        };
        self.supervisor.tell(&line);
    }
}

impl std::fmt::Debug for Lasting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lasting")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

struct Again(Arc<Lasting>);

impl Origin for Again {
    fn alone(&self, act: &mut dyn FnMut()) {
        let _alone = self.0.alone.lock().unwrap_or_else(PoisonError::into_inner);
        act();
    }

    fn does_again(&self, dead: &Kernel) -> bool {
        self.0.does_again(dead)
    }

    fn mount_again(&self, _dead: &Kernel) -> Result<(Mount, BlockDevice), Errno> {
        self.0.mount_again()
    }
}
