//! [`Tree`]: a place in Linux's own tree of folders for each volume, below a folder that has them all.

use std::ffi::CString;
use std::sync::Arc;

use lkl::{BlockDevice, DiskOptions, Errno, FsKind, Kernel, Mount, MountOptions, OwnedFd};

use crate::call;
use crate::error::Error;
use crate::folders::{self, Folder, Memory};

/// Names from the tree's top to a volume: any bytes but NUL and slashes, up to 255 each, and not `.` or `..`.
pub type Path = Vec<Vec<u8>>;

/// Where the tree is in Linux.
const TOP: &str = "/exports";

/// Folders with volumes on them. It goes before its volumes do.
#[derive(Debug)]
pub struct Tree {
    kernel: Kernel,
    /// What is mounted, the top first.
    attached: Vec<CString>,
    /// The folders. The mount goes before its disk.
    top: Option<(Mount, BlockDevice)>,
}

impl Tree {
    /// Makes the folders on which volumes are to be put. There is one tree at a time.
    ///
    /// # Errors
    /// EINVAL for a name that cannot be one, ENAMETOOLONG for one above 255 bytes.
    pub fn new(kernel: &Kernel, paths: &[Path]) -> Result<Tree, Error> {
        let failed = |errno| Error::about("the folders above the volumes")(errno);
        let mut root = Folder::default();
        for path in paths {
            if !path.iter().all(|name| is_name(name)) {
                return Err(failed(Errno::EINVAL));
            }
            root.add(path);
        }
        let image = Memory(Arc::from(folders::image(&root).map_err(failed)?));
        let options = DiskOptions {
            overlay_limit: Some(0),
            ..DiskOptions::default()
        };
        let device = kernel.add_disk(Arc::new(image), options).map_err(failed)?;
        let mount = kernel.mount(&device, FsKind::Named("erofs"), &MountOptions::default());
        let mount = mount.map_err(|error| failed(error.errno))?;
        let mut tree = Tree {
            kernel: kernel.clone(),
            attached: Vec::new(),
            top: None,
        };
        let top = CString::new(TOP).map_err(|_| failed(Errno::EINVAL))?;
        call::make_folder(kernel, &top).map_err(failed)?;
        let root = mount.root().map_err(failed)?;
        call::attach(&root, &top).map_err(failed)?;
        tree.attached.push(top);
        tree.top = Some((mount, device));
        Ok(tree)
    }

    /// Puts a volume, whose root this is and which has no other place, on a folder.
    pub fn attach(&mut self, path: &Path, root: &OwnedFd) -> Result<(), Error> {
        let shown = || String::from_utf8_lossy(&path.join(&b'/')).into_owned();
        let place = CString::new(place(path)).map_err(|_| Error::about(shown())(Errno::EINVAL))?;
        call::attach(root, &place).map_err(Error::about(shown()))?;
        self.attached.push(place);
        Ok(())
    }

    /// The Linux that it is in.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }
}

/// The path of a folder of the tree, from Linux's root on.
pub(crate) fn place(path: &[Vec<u8>]) -> Vec<u8> {
    let mut place = TOP.as_bytes().to_vec();
    for name in path {
        place.push(b'/');
        place.extend_from_slice(name);
    }
    place
}

fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
}

impl Drop for Tree {
    /// Whoever mounted the volumes holds them, so each is taken away as one that is in use.
    fn drop(&mut self) {
        for folder in self.attached.iter().rev() {
            // Of a Linux that is dead there is nothing to take away.
            let _ = call::detach(&self.kernel, folder);
        }
        drop(self.top.take());
    }
}
