//! Descriptors by the script's numbers.

use std::collections::BTreeMap;

/// What a script's number stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct File {
    /// Linux's number.
    pub live: i32,
    /// The connection, by its number among the run's.
    pub connection: Option<usize>,
    /// How many bytes of its stream were sent.
    pub sent: u32,
    /// Where in the other one's stream the next read begins.
    pub received: u32,
    /// Whether urgent data are among the others.
    pub inline: bool,
}

/// All of a script's.
#[derive(Debug, Default)]
pub struct Files(BTreeMap<i64, File>);

impl Files {
    /// What stands under a number.
    pub fn get(&self, fd: i64) -> Option<&File> {
        self.0.get(&fd)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, fd: i64) -> Option<&mut File> {
        self.0.get_mut(&fd)
    }

    /// Linux's descriptor; a number that the script has not opened is one that Linux has not either.
    pub fn live(&self, fd: i64) -> i64 {
        self.get(fd).map_or(-1, |file| file.live.into())
    }

    /// A number stands for this from now on; the Linux descriptor that it stood for before, if any.
    pub fn put(&mut self, fd: i64, file: File) -> Option<i32> {
        self.0.insert(fd, file).map(|file| file.live)
    }

    /// It stands for nothing any more.
    pub fn remove(&mut self, fd: i64) {
        self.0.remove(&fd);
    }

    /// The script's number of a connection's socket, the newest one.
    pub fn of_connection(&self, connection: usize) -> Option<i64> {
        let mut all = self.0.iter().rev();
        all.find(|(_, file)| file.connection == Some(connection))
            .map(|(fd, _)| *fd)
    }

    /// Linux's descriptors.
    pub fn all_live(&self) -> impl Iterator<Item = i32> + '_ {
        self.0.values().map(|file| file.live)
    }
}
