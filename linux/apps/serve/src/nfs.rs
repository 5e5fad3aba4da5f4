//! NFS, by the kernel's own nfsd: versions 4.0, 4.1 and 4.2.
//!
//! The root of NFSv4 is the server's top, with a folder for each image. A file handle begins with what tells its volume from
//! others, and is good as long as the same image is served under the same name, by another run too.

use std::net::SocketAddr;

use lkl_exports::nfs::{Server, Volume};
use lkl_session::exit::{Exit, Failure};
use lkl_session::program::Program;
use uuid::Uuid;

use crate::exported::{self, Exported, refused, shown};
use crate::program::Shared;

/// Mounts and starts what the command line names.
pub fn open(program: Program, shared: &Shared) -> Result<Exported<Server>, Failure> {
    Exported::start(
        exported::open(program, shared, |_, placed| placed.path.clone())?,
        |tree, held| {
            let volumes: Vec<Volume> = held
                .volumes()
                .iter()
                .map(|placed| Volume {
                    path: placed.path.clone(),
                    identity: identity(&placed.path, placed.uuid.as_deref()),
                })
                .collect();
            let server = Server::start(tree, &volumes).map_err(refused)?;
            for path in server.refused() {
                let placed = held.volumes().iter().find(|placed| placed.path == *path);
                let kind = placed.map_or("its file system", |placed| placed.volume.fs_name());
                let path = shown(path);
                let failure = Failure::new(
                    Exit::FileSystem,
                    format_args!("{path}: Linux does not export {kind} by NFS; use lklserve webdav or smb"),
                );
                if server.refused().len() == volumes.len() {
                    return Err(failure);
                }
                program.warn(failure);
            }
            Ok(server)
        },
    )
}

/// What a user of an address may type.
pub fn hint(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    let host = match address {
        SocketAddr::V4(_) => ip.to_string(),
        SocketAddr::V6(_) => format!("[{ip}]"),
    };
    format!(
        "lklserve: on Linux, as root: mount -t nfs4 -o ro,port={port} {host}:/ /mnt\n\
         lklserve: without root: nfs-ls 'nfs://{host}/?version=4&nfsport={port}'\n"
    )
}

/// What the file handles of a volume begin with: the same for the same file system at the same place.
fn identity(path: &[Vec<u8>], uuid: Option<&str>) -> [u8; 16] {
    let parts = path.iter().map(Vec::as_slice).chain(uuid.map(str::as_bytes));
    // No name has a NUL in it.
    let name = parts.collect::<Vec<_>>().join(&0);
    // A fixed place for such names, and otherwise of no meaning.
    let names = Uuid::from_u128(0x9d5b_3f0c_77c1_4c3e_9a52_1f6e_20d4_8b17);
    Uuid::new_v5(&names, &name).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_of_a_place_and_a_file_system_and_stays() {
        let path = [b"disk.img".to_vec(), b"part1".to_vec()];
        let one = identity(&path, Some("1234"));
        assert_eq!(one, identity(&path, Some("1234")));
        assert_ne!(one, identity(&path, Some("1235")));
        assert_ne!(one, identity(&path, None));
        assert_ne!(one, identity(&path[..1], Some("1234")));
        // It is in file handles that clients keep, so it is the same in the next version too.
        assert_eq!(Uuid::from_bytes(one).get_version_num(), 5);
    }
}
