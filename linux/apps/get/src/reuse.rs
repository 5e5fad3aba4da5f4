//! Connections that further URLs of the same server use: one of HTTP/2 by all at once, one of HTTP/1.1 by one after the other.

use crate::connect::{Connection, Dialer};
use crate::stats::Meter;
use lkl_session::exit::Failure;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use url::Url;

/// The connections of a run.
pub struct Connections {
    dialer: Dialer,
    servers: Mutex<HashMap<String, Arc<Server>>>,
    meters: Mutex<Vec<Arc<Meter>>>,
}

#[derive(Default)]
struct Server {
    free: Mutex<Vec<Connection>>,
    /// Held while the first connection is made: it may turn out to be one for all.
    first: tokio::sync::Mutex<Protocol>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    #[default]
    Unknown,
    OneByOne,
    Shared,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    pub fn new(dialer: Dialer) -> Connections {
        Connections {
            dialer,
            servers: Mutex::default(),
            meters: Mutex::default(),
        }
    }

    fn server(&self, url: &Url) -> Arc<Server> {
        let key = url.origin().ascii_serialization();
        Arc::clone(locked(&self.servers).entry(key).or_default())
    }

    /// A connection to the server of a URL, and whether it was used before.
    pub async fn take(&self, url: &Url) -> Result<(Connection, bool), Failure> {
        let server = self.server(url);
        if let Some(connection) = free(&server).await {
            return Ok((connection, true));
        }
        let mut first = server.first.lock().await;
        if *first != Protocol::OneByOne {
            // Another task may have made it meanwhile.
            if let Some(connection) = free(&server).await {
                return Ok((connection, true));
            }
            let connection = self.fresh(url).await?;
            let shared = connection.share();
            *first = match &shared {
                Some(_) => Protocol::Shared,
                None => Protocol::OneByOne,
            };
            locked(&server.free).extend(shared);
            return Ok((connection, false));
        }
        drop(first);
        Ok((self.fresh(url).await?, false))
    }

    /// A new connection, whatever there is.
    pub async fn fresh(&self, url: &Url) -> Result<Connection, Failure> {
        let connection = self.dialer.connect(url).await?;
        locked(&self.meters).push(Arc::clone(&connection.meter));
        Ok(connection)
    }

    /// Gives a connection back whose answer was read to its end.
    pub fn give_back(&self, url: &Url, connection: Connection) {
        // One of HTTP/2 is there already.
        if connection.share().is_none() {
            locked(&self.server(url).free).push(connection);
        }
    }

    /// All that were made.
    pub fn meters(&self) -> Vec<Arc<Meter>> {
        locked(&self.meters).clone()
    }
}

/// One that is free and still works.
async fn free(server: &Server) -> Option<Connection> {
    loop {
        let mut connection = {
            let mut free = locked(&server.free);
            let connection = free.pop()?;
            free.extend(connection.share());
            connection
        };
        if connection.is_ready().await {
            return Some(connection);
        }
        if connection.share().is_some() {
            // It is over for all.
            locked(&server.free).retain(|other| other.share().is_none());
        }
    }
}
