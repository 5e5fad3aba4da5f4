//! The calls themselves, for a program that passes on those of others: descriptors are Linux's, addresses are bytes of any family,
//! and errors are Linux's own. They return as soon as Linux's do, for signals, too.

pub use crate::address::RawAddress;
pub use crate::call::{
    End, EpollChange, EpollEvent, NONBLOCK, accept, bind, connect, epoll, epoll_change, epoll_wait, eventfd,
    listen, name, option, poll, recv, send, set_option, shutdown, socket, write,
};
