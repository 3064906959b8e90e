//! The listening sockets: one per worker and address, so that the kernel spreads connections.
//!
//! Responsible for binding them and for handing them to a successor. It accepts nothing.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use routes::Scheme;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, bind, ipproto, listen, recvmsg, sendmsg, socket_with, sockopt,
};

use crate::error::Error;

/// How many connections may wait to be accepted, per socket.
const BACKLOG: i32 = 1024;
/// The most descriptors in one message that Linux passes on.
const MOST_DESCRIPTORS: usize = 253;

/// A listening socket and what is spoken on it.
#[derive(Debug)]
pub struct Listening {
    /// What is spoken on it.
    pub scheme: Scheme,
    /// The socket.
    pub listener: TcpListener,
}

/// Binds `count` sockets to `address`; with port 0 the system chooses one port for all of them.
pub fn bind_all(scheme: Scheme, address: SocketAddr, count: usize) -> Result<Vec<Listening>, Error> {
    let failed = |source: io::Error| Error::Bind { address, source };
    if address.port() != 0 {
        // Sockets that share a port would quietly share it with another proxy of the same user, too.
        open(address, Sharing::Alone).map_err(failed)?;
    }
    let first = open(address, Sharing::Shared).map_err(failed)?;
    let bound = first.local_addr().map_err(failed)?;
    let mut all = vec![Listening { scheme, listener: first }];
    for _ in 1..count {
        all.push(Listening { scheme, listener: open(bound, Sharing::Shared).map_err(failed)? });
    }
    Ok(all)
}

#[derive(Clone, Copy, PartialEq)]
enum Sharing {
    Alone,
    Shared,
}

fn open(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket =
        socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if sharing == Sharing::Shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    bind(&socket, &address)?;
    if sharing == Sharing::Shared {
        listen(&socket, BACKLOG)?;
    }
    Ok(TcpListener::from(socket))
}

/// Sends `bytes` and `descriptors` in one message.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("there are more sockets than one message carries"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives bytes into `buffer` and the descriptors that came with them.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = control
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
            _ => Vec::new(),
        })
        .collect();
    Ok((message.bytes, descriptors))
}

/// Returns the descriptors of `listening` to send.
pub(crate) fn descriptors(listening: &[Listening]) -> Vec<BorrowedFd<'_>> {
    listening.iter().map(|one| one.listener.as_fd()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn all_sockets_of_an_address_share_one_port_and_nobody_else_gets_it() {
        let all = bind_all(Scheme::Http, "127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let address = all[0].listener.local_addr().unwrap();
        assert!(all.iter().all(|one| one.listener.local_addr().unwrap() == address));
        let error = bind_all(Scheme::Http, address, 1).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("taken"), "{error}");
    }

    #[test]
    fn a_socket_survives_being_handed_over() {
        let all = bind_all(Scheme::Https, "127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let address = all[0].listener.local_addr().unwrap();
        let (here, there) = UnixStream::pair().unwrap();
        send(here.as_fd(), b"hello", &descriptors(&all)).unwrap();
        drop(all);
        let mut buffer = [0; 64];
        let (bytes, received) = receive(there.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..bytes], received.len()), (&b"hello"[..], 2));
        let listener = TcpListener::from(received.into_iter().next().unwrap());
        assert_eq!(listener.local_addr().unwrap(), address);
    }
}
