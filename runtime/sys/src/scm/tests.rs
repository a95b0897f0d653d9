use std::os::unix::net::{UnixDatagram, UnixListener};

use super::*;

/// A folder of its own that is removed with all it holds.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nexcage-scm-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn a_descriptor_arrives_once_with_its_payload() {
    let (left, right) = open_pair().unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    send_fd(left.as_fd(), b"/dev/null", file.as_fd()).unwrap();
    let (payload, fd) = receive_fd(right.as_fd()).unwrap();
    assert_eq!(payload, b"/dev/null");
    assert_ne!(fd.as_raw_fd(), file.as_raw_fd());
    assert!(
        rustix::io::fcntl_getfd(&fd)
            .unwrap()
            .contains(rustix::io::FdFlags::CLOEXEC)
    );
}

#[test]
fn a_closed_end_a_bare_payload_and_two_descriptors_are_refused() {
    let (left, right) = open_pair().unwrap();
    rustix::io::write(&left, b"x").unwrap();
    assert!(matches!(receive_fd(right.as_fd()), Err(ScmError::Count { count: 0 })));

    let file = std::fs::File::open("/dev/null").unwrap();
    let fds = [file.as_fd(), file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(&left, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
    assert!(matches!(receive_fd(right.as_fd()), Err(ScmError::Count { count: 2 })));

    drop(left);
    assert!(matches!(receive_fd(right.as_fd()), Err(ScmError::Closed)));
    let error = send_fd(right.as_fd(), b"x", file.as_fd()).unwrap_err();
    assert!(
        matches!(&error, ScmError::Send { source } if source.raw_os_error() == Some(libc::EPIPE)),
        "{error:?}"
    );
}

#[test]
fn a_path_longer_than_an_address_is_reached() {
    let folder = Folder::new("long");
    let deep = folder.0.join("d".repeat(90)).join("e".repeat(90));
    std::fs::create_dir_all(&deep).unwrap();
    let path = deep.join("console.sock");
    assert!(path.as_os_str().len() > ADDRESS_PATH_MAX);
    assert!(matches!(connect_stream(&path), Err(ScmError::OpenPath { .. })));

    let handle = rustix::fs::open(&deep, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let listener = UnixListener::bind(fd_path(handle.as_fd()).join("console.sock")).unwrap();
    let socket = connect_stream(&path).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    send_fd(socket.as_fd(), b"p", socket.as_fd()).unwrap();
    assert_eq!(receive_fd(accepted.as_fd()).unwrap().0, b"p");

    let notify = deep.join("notify.sock");
    let bound = bind_datagram(&notify).unwrap();
    let sender = connect_datagram(&notify).unwrap();
    rustix::io::write(&sender, b"READY=1").unwrap();
    let mut buffer = [0; 16];
    assert_eq!(rustix::io::read(&bound, &mut buffer).unwrap(), 7);
}

#[test]
fn nobody_listening_is_named_with_its_path() {
    let folder = Folder::new("short");
    let path = folder.0.join("none");
    assert_eq!(
        connect_stream(&path).unwrap_err().to_string(),
        format!("connect to socket {path:?}")
    );
}

#[test]
fn an_abstract_datagram_address_is_reached() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("nexcage-scm-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let bound = UnixDatagram::bind_addr(&address).unwrap();
    let sender = connect_datagram(Path::new(&format!("@{name}"))).unwrap();
    rustix::io::write(&sender, b"hi").unwrap();
    let mut buffer = [0; 16];
    assert_eq!(bound.recv(&mut buffer).unwrap(), 2);
}
