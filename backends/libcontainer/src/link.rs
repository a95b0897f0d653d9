//! The socket between the runtime and the processes that it starts for one container.
//!
//! One sequenced-packet pair a call. The runtime holds one end; the launcher, init and the hook relay share the other
//! and take turns: at any time at most one of them waits for an answer.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, RecvMsg, SockFlag, SockType, UnixCredentials, recvmsg, setsockopt,
    socketpair,
};
use nix::unistd::write;
use oci_spec::runtime::Hook;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Longest message; hooks and error texts are far below it.
const MAX_MESSAGE: usize = 256 * 1024;

/// What the container's side says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromContainer {
    /// The launcher is in a new user namespace, which has no mappings yet.
    MapUsers,
    /// libcontainer reached the moment of prestart and createRuntime hooks.
    RuntimeHooks,
    /// The relay runs inside the container's namespaces and asks for the createContainer hooks.
    ContainerHooks,
    /// The createContainer hooks are done.
    ContainerHooksDone(Result<(), String>),
    /// The first error that libcontainer logged: the detail that its own result loses.
    Detail(String),
    /// Why the program cannot be executed.
    Refused(String),
    /// Init is complete and waits.
    Ready,
    /// The launcher is done; the init's or process's id.
    Done(Result<i32, String>),
}

/// What the runtime answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToContainer {
    /// Go on.
    Go,
    /// Give up.
    Stop,
    /// Run these.
    Hooks(Box<HookOrder>),
}

/// The createContainer hooks with what they need.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HookOrder {
    /// The hooks, in order.
    pub(crate) hooks: Vec<Hook>,
    /// What they read on standard input.
    pub(crate) state: nexcage_oci::OciState,
}

/// A new link: the runtime's end, the container's end.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// Sends one message.
pub(crate) fn send<T: Serialize>(link: BorrowedFd<'_>, message: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    loop {
        match write(link, &bytes) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Waits for one message; `None` when the other side is gone.
pub(crate) fn receive<T: DeserializeOwned>(link: BorrowedFd<'_>) -> io::Result<Option<T>> {
    Ok(receive_from(link)?.map(|(message, _)| message))
}

/// Makes the kernel name the sender of each message, in this process's pid namespace.
pub(crate) fn pass_credentials(link: &OwnedFd) -> io::Result<()> {
    Ok(setsockopt(link, PassCred, &true)?)
}

/// As [`receive`], with the sender's process id, 0 when it was not asked for.
pub(crate) fn receive_from<T: DeserializeOwned>(link: BorrowedFd<'_>) -> io::Result<Option<(T, i32)>> {
    let mut buffer = vec![0; MAX_MESSAGE];
    let (length, sender) = loop {
        let mut iov = [IoSliceMut::new(&mut buffer)];
        let mut space = nix::cmsg_space!(UnixCredentials);
        match recvmsg::<()>(link.as_raw_fd(), &mut iov, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Ok(message) => break (message.bytes, sender_of(&message)?),
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    };
    match buffer.get(..length) {
        None | Some([]) => Ok(None),
        Some(bytes) => Ok(Some((serde_json::from_slice(bytes)?, sender))),
    }
}

fn sender_of(message: &RecvMsg<'_, '_, ()>) -> io::Result<i32> {
    let credentials = message.cmsgs()?.find_map(|m| match m {
        ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
        _ => None,
    });
    Ok(credentials.unwrap_or(0))
}

/// Sends one message and waits for the answer.
pub(crate) fn ask(link: &impl AsFd, message: &FromContainer) -> io::Result<ToContainer> {
    send(link.as_fd(), message)?;
    receive(link.as_fd())?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        let (ours, theirs) = pair().unwrap();
        send(theirs.as_fd(), &FromContainer::Done(Err("no".into()))).unwrap();
        let got: FromContainer = receive(ours.as_fd()).unwrap().unwrap();
        assert!(matches!(got, FromContainer::Done(Err(text)) if text == "no"));
    }

    #[test]
    fn a_closed_link_is_the_end() {
        let (ours, theirs) = pair().unwrap();
        drop(theirs);
        assert!(receive::<FromContainer>(ours.as_fd()).unwrap().is_none());
    }
}
