//! Pairs of sequenced-packet sockets whose messages may carry descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags,
    SocketFlags, SocketType, recvmsg, sendmsg,
};

/// A message with more descriptors than this is refused; room for them so that all are received and closed.
const FDS_MAX: usize = 16;

/// One message.
#[derive(Debug)]
pub struct Packet {
    /// Its bytes; never empty.
    pub bytes: Vec<u8>,
    /// The descriptors that came with it, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Makes a pair of connected sockets, close-on-exec, blocking.
///
/// # Errors
///
/// The kernel's answer.
pub fn open_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message.
///
/// # Errors
///
/// The kernel's answer; a closed peer is `EPIPE`, without a SIGPIPE.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    let flags = SendFlags::NOSIGNAL;
    let mut control = SendAncillaryBuffer::default();
    rustix::io::retry_on_intr(|| sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags))?;
    Ok(())
}

/// Waits for one message.
///
/// * `max`: the longest that is taken.
///
/// Returns `None` when the other end is closed.
///
/// # Errors
///
/// The kernel's answer; `InvalidData` for a message that is longer or has too many descriptors.
pub fn receive(socket: BorrowedFd<'_>, max: usize) -> io::Result<Option<Packet>> {
    let mut bytes = vec![0_u8; max];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received =
        match rustix::io::retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)) {
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => other?,
        };
    let mut fds: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message is too long"));
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    bytes.truncate(received.bytes);
    Ok(Some(Packet { bytes, fds }))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_message_arrives_whole_and_a_closed_end_is_none() {
        let (ours, theirs) = open_pair().unwrap();
        send(theirs.as_fd(), b"hello").unwrap();
        let packet = receive(ours.as_fd(), 5).unwrap().unwrap();
        assert_eq!((packet.bytes.as_slice(), packet.fds.len()), (b"hello".as_slice(), 0));
        send(theirs.as_fd(), b"longer").unwrap();
        assert_eq!(receive(ours.as_fd(), 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(theirs);
        assert!(receive(ours.as_fd(), 5).unwrap().is_none());
    }

    #[test]
    fn a_descriptor_comes_with_its_message() {
        let (ours, theirs) = open_pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        crate::scm::send_fd(theirs.as_fd(), b"x", file.as_fd()).unwrap();
        let packet = receive(ours.as_fd(), 16).unwrap().unwrap();
        assert!(crate::fds::is_cloexec(packet.fds[0].as_fd()).unwrap());
    }
}
