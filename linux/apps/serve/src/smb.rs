//! SMB, by the kernel's own ksmbd: dialects 2.1 to 3.1.1, with a share for each volume.
//!
//! SMB has no folders above shares, so a partition's share is named after its image and itself: `disk.img-part1`. Symbolic links are
//! listed and cannot be opened: ksmbd follows none.

use std::net::SocketAddr;

use lkl_exports::smb::{Server, Share, User, share_names};
use lkl_session::exit::{Exit, Failure};
use lkl_session::program::Program;

use crate::account::Accounts;
use crate::exported::{self, Exported, refused};
use crate::program::Shared;
use crate::volumes::Placed;

/// Mounts and starts what the command line names.
pub fn open(program: Program, shared: &Shared, accounts: &Accounts) -> Result<Exported<Server>, Failure> {
    let users = accounts.users().map(|(name, word)| user(name, word));
    let users: Vec<User> = users.collect::<Result<_, _>>()?;
    // Places have numbers: an overlay's options have marks that a name may have too.
    let path = |number: usize, _: &Placed| vec![number.to_string().into_bytes()];
    Exported::start(exported::open(program, shared, path)?, |tree, held| {
        let volumes = held.volumes();
        let wanted = volumes
            .iter()
            .map(|placed| String::from_utf8_lossy(&placed.path.join(&b'-')).into_owned());
        let names = share_names(&wanted.collect::<Vec<_>>());
        let shares = names.into_iter().zip(volumes).enumerate();
        let shares = shares.map(|(number, (name, placed))| Share {
            name,
            path: path(number, placed),
        });
        let (shares, guests) = (shares.collect(), accounts.anonymous());
        let server = Server::start(tree, shares, users, guests, shared.max_clients).map_err(refused)?;
        for share in server.refused() {
            let failure = Failure::new(
                Exit::FileSystem,
                format_args!(
                    "{}: Linux does not show its file system by SMB; use lklserve webdav",
                    share.name
                ),
            );
            if server.refused().len() == volumes.len() {
                return Err(failure);
            }
            program.warn(failure);
        }
        Ok(server)
    })
}

fn user(name: &str, word: &[u8]) -> Result<User, Failure> {
    // Bytes: ksmbd has room for so many, and a NUL.
    const LONGEST: usize = 47;
    if name.len() > LONGEST {
        return Err(Failure::new(
            Exit::Usage,
            format_args!("--user {name}: its name is longer than {LONGEST} bytes; shorten it"),
        ));
    }
    let word = str::from_utf8(word).map_err(|_| {
        Failure::new(
            Exit::Usage,
            format_args!("--user {name}: the password is not in UTF-8, which SMB needs; write it so"),
        )
    })?;
    Ok(User::new(name, word))
}

/// What a user of an address may type.
pub fn hint(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(
        "lklserve: list the shares: smbclient -N -p {port} -L //{ip}/\n\
         lklserve: on Linux, as root: mount -t cifs -o ro,guest,port={port} //{ip}/SHARE /mnt\n"
    )
}
