//! Sockets that the standard library does not make.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, Protocol, RawProtocol, SocketFlags, SocketType, socket_with};

/// Makes a raw IP socket, close-on-exec.
///
/// * `protocol`: such as 1 for ICMP.
///
/// # Errors
///
/// The kernel's answer: `EPERM` without `CAP_NET_RAW`.
///
/// Kernel: `raw(7)`.
pub fn open_raw(is_ipv6: bool, protocol: u8) -> io::Result<OwnedFd> {
    let family = if is_ipv6 {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let protocol = RawProtocol::new(protocol.into()).map(Protocol::from_raw);
    Ok(socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?)
}
