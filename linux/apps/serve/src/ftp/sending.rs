//! Commands that need a data connection: how it is to be made, and what goes over it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lkl::Errno;
use tokio::time::timeout;

use super::channel::{Channel, is_fair, passive};
use super::command::{Extended, Protection, Representation};
use super::control::Watched;
use super::listing::Form;
use super::session::Session;
use super::transfer::{self, Trouble};
use super::wire::Wire;
use crate::place::written;
use crate::report::{Detail, Progress, shown};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);

impl Session {
    pub(super) async fn port(&mut self, address: SocketAddr) -> io::Result<()> {
        if self.extended_only {
            return self.control.say(503, "EPSV ALL was promised.").await;
        }
        if !is_fair(address, self.address.ip()) {
            self.say(
                Detail::Usual,
                format_args!("refused to connect to {address} for this client"),
            );
            return self
                .control
                .say(504, "Only your own address, and no port below 1024.")
                .await;
        }
        self.channel = Channel::Active(address);
        self.control.say(200, "The data connection goes there.").await
    }

    pub(super) async fn pasv(&mut self) -> io::Result<()> {
        if self.extended_only {
            return self.control.say(503, "EPSV ALL was promised.").await;
        }
        let named = match self.local.ip().to_canonical() {
            IpAddr::V4(own) => self.server.public.unwrap_or(own),
            IpAddr::V6(_) => return self.control.say(425, "This is IPv6; use EPSV.").await,
        };
        let Some(port) = self.wait_for_data().await? else {
            return Ok(());
        };
        let ([a, b, c, d], [high, low]) = (named.octets(), port.to_be_bytes());
        self.control
            .say(
                227,
                &format!("Entering Passive Mode ({a},{b},{c},{d},{high},{low})."),
            )
            .await
    }

    pub(super) async fn epsv(&mut self, what: Extended) -> io::Result<()> {
        let four = self.local.ip().to_canonical().is_ipv4();
        match what {
            Extended::All => {
                self.extended_only = true;
                return self.control.say(200, "EPSV ALL it is.").await;
            }
            Extended::Four if !four => return self.control.say(522, "This is IPv6; use (2).").await,
            Extended::Six if four => return self.control.say(522, "This is IPv4; use (1).").await,
            _ => {}
        }
        if let Some(port) = self.wait_for_data().await? {
            self.control
                .say(229, &format!("Entering Extended Passive Mode (|||{port}|)"))
                .await?;
        }
        Ok(())
    }

    /// The port where the client may connect. The client is told if there is none.
    async fn wait_for_data(&mut self) -> io::Result<Option<u16>> {
        // The port of the one before is free again.
        self.channel = Channel::None;
        let opened =
            passive(self.local.ip(), self.server.ports.as_ref()).and_then(|channel| match &channel {
                Channel::Passive(listener) => Ok((listener.local_addr()?.port(), channel)),
                _ => Err(io::ErrorKind::NotConnected.into()),
            });
        match opened {
            Ok((port, channel)) => {
                self.channel = channel;
                Ok(Some(port))
            }
            Err(error) => {
                self.say(
                    Detail::Usual,
                    format_args!("no port for a data connection: {error}"),
                );
                self.control
                    .say(425, "There is no port for a data connection.")
                    .await?;
                Ok(None)
            }
        }
    }

    pub(super) async fn retr(&mut self, path: &[u8]) -> io::Result<()> {
        let restart = std::mem::take(&mut self.restart);
        let opened = self
            .file(path)
            .and_then(|(place, stat)| Ok((place.node().open()?, stat.size)));
        let (content, size) = match opened {
            Ok(opened) => opened,
            Err(errno) => return self.refuse(path, errno).await,
        };
        if restart > size || (restart > 0 && self.representation == Representation::Text) {
            self.channel = Channel::None;
            let why = if restart > size {
                "The file has fewer bytes."
            } else {
                "REST needs TYPE I."
            };
            return self.control.say(554, why).await;
        }
        let left = size - restart;
        let name = shown(&written(&self.names(path).unwrap_or_default()));
        let Some(mut data) = self.connect(&format!("Sending {name} ({left} bytes).")).await? else {
            return Ok(());
        };
        let mut progress = Progress::new(
            self.server.report,
            self.address,
            format!("RETR {name}"),
            Some(left),
        );
        let representation = self.representation;
        let work = async {
            transfer::file(&mut data, &*content, restart, left, representation, &mut progress).await?;
            transfer::finish(&mut data).await
        };
        let ended = self.control.watch(work).await;
        drop(data);
        self.end(ended, &progress).await
    }

    pub(super) async fn list(&mut self, path: &[u8], form: Form) -> io::Result<()> {
        self.restart = 0;
        let mut listing = match self.listing(path, form) {
            Ok(listing) => listing,
            Err(Errno::ENOTDIR) if matches!(form, Form::Facts(_)) => {
                self.channel = Channel::None;
                return self.control.say(501, "MLSD is for folders; see MLST.").await;
            }
            Err(errno) => return self.refuse(path, errno).await,
        };
        let name = shown(&written(&self.names(path).unwrap_or_default()));
        let Some(mut data) = self.connect(&format!("Sending a listing of {name}.")).await? else {
            return Ok(());
        };
        let mut progress = Progress::new(self.server.report, self.address, format!("LIST {name}"), None);
        let work = async {
            transfer::list(&mut data, &mut listing, &mut progress).await?;
            transfer::finish(&mut data).await
        };
        let ended = self.control.watch(work).await;
        drop(data);
        if listing.damaged > 0 {
            let damaged = listing.damaged;
            self.say(
                Detail::Quiet,
                format_args!("{name}: {damaged} entries cannot be read and are not listed"),
            );
        }
        self.end(ended, &progress).await
    }

    /// Opens the data connection that the client has asked for, and says so. `None`: there is none, and the client knows.
    pub(super) async fn connect(&mut self, what: &str) -> io::Result<Option<Wire>> {
        let channel = std::mem::take(&mut self.channel);
        if matches!(channel, Channel::None) {
            self.control
                .say(425, "PASV, EPSV, PORT or EPRT comes first.")
                .await?;
            return Ok(None);
        }
        if self.server.tls_only && self.protection == Protection::Clear {
            self.control.say(521, "PROT P comes first.").await?;
            return Ok(None);
        }
        let (local, client) = (self.local.ip(), self.address.ip());
        let stream = match self.control.watch(channel.open(local, client)).await {
            Watched::Done(Ok(stream)) => stream,
            Watched::Done(Err(error)) => {
                self.say(Detail::Usual, format_args!("no data connection: {error}"));
                self.control.say(425, "There is no data connection.").await?;
                return Ok(None);
            }
            Watched::Aborted => {
                self.control.say(425, "There is no data connection.").await?;
                self.control.say(226, "Aborted.").await?;
                return Ok(None);
            }
            Watched::Gone => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        self.control.say(150, what).await?;
        let acceptor = self
            .server
            .tls
            .as_ref()
            .filter(|_| self.protection == Protection::Private);
        let Some(acceptor) = acceptor else {
            return Ok(Some(Wire::Plain(stream)));
        };
        match timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Ok(Some(Wire::Tls(Box::new(stream)))),
            _ => {
                self.control
                    .say(425, "The handshake of the data connection failed.")
                    .await?;
                Ok(None)
            }
        }
    }

    /// Tells how a transfer has ended.
    async fn end(&mut self, ended: Watched<Result<(), Trouble>>, progress: &Progress) -> io::Result<()> {
        match ended {
            Watched::Done(Ok(())) => {
                progress.end("sent");
                self.control.say(226, "That was all.").await
            }
            Watched::Done(Err(Trouble::Client(error))) => {
                progress.end(&format!("not taken ({error})"));
                self.control.say(426, "The data connection is lost.").await
            }
            Watched::Done(Err(Trouble::Volume(errno))) => {
                progress.end(&format!("unreadable ({errno})"));
                self.control
                    .say(451, &format!("The image cannot be read here: {errno}."))
                    .await
            }
            Watched::Aborted => {
                progress.end("aborted");
                self.control
                    .say(426, "Aborted; the data connection is closed.")
                    .await?;
                self.control.say(226, "ABOR is done.").await
            }
            Watched::Gone => {
                progress.end("the client has gone");
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        }
    }

    /// Says that there is nothing at a path, and why.
    pub(super) async fn refuse(&mut self, path: &[u8], errno: Errno) -> io::Result<()> {
        self.channel = Channel::None;
        self.control.say(550, &format!("{}: {errno}.", shown(path))).await
    }
}
