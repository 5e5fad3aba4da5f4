//! SMB, by the kernel's own ksmbd: dialects 2.1 to 3.1.1, with a share for each volume.
//!
//! SMB has no folders above shares, so a partition's share is named after its image and itself: `disk.img-part1`. Symbolic links are
//! shown as what they lead to, and lead nowhere but into their own volume.

use std::net::SocketAddr;

use lkl_exports::smb::{Server, Share, User, share_names};
use lkl_session::exit::{Exit, Failure};
use lkl_session::program::Program;

use crate::account::Accounts;
use crate::exported::{self, Exported, refused};
use crate::program::Shared;

/// Mounts and starts what the command line names.
pub fn open(program: Program, shared: &Shared, accounts: &Accounts) -> Result<Exported<Server>, Failure> {
    let users = accounts.users().map(|(name, word)| user(name, word));
    let users: Vec<User> = users.collect::<Result<_, _>>()?;
    Exported::start(exported::open(program, shared)?, |tree, held| {
        let paths = held.volumes().iter().map(|placed| &placed.path);
        let wanted: Vec<String> = paths
            .clone()
            .map(|path| String::from_utf8_lossy(&path.join(&b'-')).into_owned())
            .collect();
        let shares = share_names(&wanted).into_iter().zip(paths);
        let shares = shares.map(|(name, path)| Share {
            name,
            path: path.clone(),
        });
        let (shares, guests) = (shares.collect(), accounts.anonymous());
        Server::start(tree, shares, users, guests, shared.max_clients).map_err(refused)
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
