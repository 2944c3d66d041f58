//! The sockets of the loop: of the internet, or of this machine. They differ only where a socket is bound, accepted from or
//! closed, and for each batch of datagrams. A stream is the same type for both, because the calls on it are the same.

use std::io;
use std::slice::ChunksExactMut;

use ::mio::event::Source;
use ::mio::net::TcpListener;

use super::unix::{UnixDatagrams, UnixListener};
use super::{DatagramSocket, Received, Replies, UdpSocket};

/// A listener for streams.
#[derive(Debug)]
pub enum StreamListener {
    /// TCP.
    Tcp(TcpListener),
    /// Unix streams.
    Unix(Box<UnixListener>),
}

impl StreamListener {
    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(listener) => listener,
            Self::Unix(listener) => listener.source(),
        }
    }
}

/// A socket for datagrams.
#[derive(Debug)]
pub enum Datagrams {
    /// UDP.
    Udp(UdpSocket),
    /// Unix datagrams.
    Unix(UnixDatagrams),
}

impl Datagrams {
    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Udp(socket) => socket.source(),
            Self::Unix(socket) => socket.source(),
        }
    }
}

impl DatagramSocket for Datagrams {
    fn receive(&mut self, rooms: ChunksExactMut<'_, u8>, received: &mut Vec<Received>) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.receive(rooms, received),
            Self::Unix(socket) => socket.receive(rooms, received),
        }
    }

    fn send(&mut self, replies: &Replies) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.send(replies),
            Self::Unix(socket) => socket.send(replies),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn drops(&self) -> Option<u32> {
        match self {
            Self::Udp(socket) => socket.drops(),
            // A sender is refused if there is no room, so nothing is dropped.
            Self::Unix(_) => None,
        }
    }
}
