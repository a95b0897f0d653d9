use std::os::unix::net::UnixDatagram;

use nexcage_sys::scm::receive_fd;

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nexcage-notify-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> (UnixDatagram, NotifySocket) {
        let path = self.0.join("node.sock");
        let node = UnixDatagram::bind(&path).unwrap();
        let socket = NotifySocket::new(Some(&path), &self.0).unwrap();
        socket.make_folder().unwrap();
        (node, socket)
    }

    fn send(&self, message: &[u8]) {
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to(message, self.0.join("notify/notify.sock")).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn read(node: &UnixDatagram) -> String {
    let mut buffer = [0; 64];
    let length = node.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn me() -> PidFd {
    PidFd::open(i32::try_from(std::process::id()).unwrap()).unwrap()
}

#[test]
fn without_the_variable_there_is_no_socket() {
    assert!(NotifySocket::new(None, Path::new("/c")).is_none());
    assert!(NotifySocket::new(Some(Path::new("")), Path::new("/c")).is_none());
}

#[test]
fn the_config_gets_a_read_only_mount_and_one_variable() {
    let socket = NotifySocket::new(Some(Path::new("/run/systemd/notify")), Path::new("/run/nexcage/c")).unwrap();
    let mut spec = Spec::default();
    let env = vec!["NOTIFY_SOCKET=/old".to_owned(), "A=b".to_owned()];
    spec.process_mut().as_mut().unwrap().set_env(Some(env));
    socket.apply(&mut spec).unwrap();
    let mount = spec.mounts().as_ref().unwrap().last().unwrap();
    assert_eq!(mount.destination(), Path::new("/run/notify"));
    assert_eq!(mount.source().as_deref(), Some(Path::new("/run/nexcage/c/notify")));
    assert_eq!(
        mount.options().as_deref().unwrap(),
        ["bind", "nosuid", "noexec", "nodev", "ro"]
    );
    let env = spec.process().as_ref().unwrap().env().as_ref().unwrap();
    assert_eq!(env, &["A=b", "NOTIFY_SOCKET=/run/notify/notify.sock"]);
}

#[test]
fn readiness_is_told_with_main_pid_and_barrier_and_the_rest_is_dropped() {
    let folder = Folder::new("ready");
    let (node, socket) = folder.socket();
    let relay = socket.listen(77).unwrap();
    folder.send(b"STATUS=starting");
    folder.send(b"WATCHDOG=1\nREADY=1\nSTATUS=up");
    let waiting = std::thread::spawn(move || relay.wait(&me()));
    assert_eq!(read(&node), "READY=1\n");
    assert_eq!(read(&node), "MAINPID=77\n");
    let (payload, barrier) = receive_fd(node.as_fd()).unwrap();
    assert_eq!(payload, b"BARRIER=1");
    assert!(!waiting.is_finished(), "the barrier is not waited for");
    drop(barrier);
    assert_eq!(waiting.join().unwrap().unwrap(), Readiness::Ready);
}

#[test]
fn a_container_that_ends_first_ends_the_wait() {
    let folder = Folder::new("ended");
    let (_node, socket) = folder.socket();
    let relay = socket.listen(1).unwrap();
    folder.send(b"STOPPING=1");
    #[expect(clippy::disallowed_methods, reason = "the test needs a plain child")]
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pidfd = PidFd::open(i32::try_from(child.id()).unwrap()).unwrap();
    assert_eq!(relay.wait(&pidfd).unwrap(), Readiness::Ended);
    child.wait().unwrap();
}

#[test]
fn a_foreground_loop_is_told_once_the_line_has_come() {
    let folder = Folder::new("pass");
    let (node, socket) = folder.socket();
    let relay = socket.listen(5).unwrap();
    assert!(!relay.pass_on().unwrap());
    folder.send(b"READY=1");
    assert!(relay.pass_on().unwrap());
    assert_eq!(
        (read(&node).as_str(), read(&node).as_str()),
        ("READY=1\n", "MAINPID=5\n")
    );
}

#[test]
fn a_node_socket_that_is_gone_is_an_error_with_its_path() {
    let folder = Folder::new("gone");
    let (node, socket) = folder.socket();
    drop(node);
    std::fs::remove_file(folder.0.join("node.sock")).unwrap();
    let relay = socket.listen(5).unwrap();
    folder.send(b"READY=1");
    assert!(
        matches!(relay.pass_on(), Err(NotifyError::Connect { source }) if source.to_string().contains("node.sock"))
    );
}
