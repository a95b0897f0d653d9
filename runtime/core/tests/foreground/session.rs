//! The caller's part: a terminal with a person at it, and the runtime started in it.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nexcage_sys::pidfd::PidFd;
use nexcage_sys::poll::{self, Watch};
use nexcage_sys::procfs::read_children;
use nexcage_sys::pty::{self, PtyPair, WindowSize};

/// Far more than a case needs, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Session {
    pub(crate) pty: PtyPair,
    child: Child,
    screen: Vec<u8>,
}

/// What of the caller's standard streams is the terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    All,
    ErrorOnly,
    AllButOutput,
}

impl Session {
    pub(crate) fn start(script: &str) -> Self {
        Self::start_with(script, Streams::All)
    }

    pub(crate) fn start_with(script: &str, streams: Streams) -> Self {
        let pty = pty::open_pair().unwrap();
        pty::write_window_size(pty.master.as_fd(), WindowSize { rows: 33, columns: 111 }).unwrap();
        let slave = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = runtime_command("terminal", script);
        command.stdin(slave()).stdout(slave()).stderr(slave());
        match streams {
            Streams::All => {}
            Streams::ErrorOnly => {
                command.stdin(Stdio::null()).stdout(Stdio::piped());
            }
            Streams::AllButOutput => {
                command.stdout(Stdio::piped());
            }
        }
        let child = command.spawn().unwrap();
        Self {
            pty,
            child,
            screen: Vec::new(),
        }
    }

    pub(crate) fn type_in(&self, text: &str) {
        assert_eq!(
            poll::write(self.pty.master.as_fd(), text.as_bytes()).unwrap(),
            Some(text.len())
        );
    }

    pub(crate) fn signal(&self, name: &str) {
        self.pidfd().send_signal(name.parse().unwrap()).unwrap();
    }

    fn pidfd(&self) -> PidFd {
        PidFd::open(self.pid()).unwrap()
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The shell that stands for the container.
    pub(crate) fn init(&self) -> PidFd {
        let children = read_children(self.pid()).unwrap();
        PidFd::open(*children.first().expect("the runtime has a child")).unwrap()
    }

    /// Reads the screen until a text is on it.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.screen().contains(text) {
            assert!(
                Instant::now() < deadline,
                "no {text:?} on the screen: {:?}",
                self.screen()
            );
            read_some(&self.pty.master, &mut self.screen, Duration::from_millis(50));
        }
    }

    pub(crate) fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen).into_owned()
    }

    /// What the runtime wrote to a standard output that is no terminal.
    pub(crate) fn take_output(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().expect("a piped output")
    }

    /// Reads the screen until the runtime has ended. Returns its exit code.
    pub(crate) fn finish(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            read_some(&self.pty.master, &mut self.screen, Duration::from_millis(50));
            if let Some(status) = self.child.try_wait().unwrap() {
                while read_some(&self.pty.master, &mut self.screen, Duration::ZERO) {}
                return status.code().unwrap_or(-1);
            }
            assert!(
                Instant::now() < deadline,
                "the runtime does not end; screen: {:?}",
                self.screen()
            );
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            for pid in read_children(self.pid()).unwrap_or_default() {
                drop(PidFd::open(pid).map(|child| child.send_signal("KILL".parse().unwrap())));
            }
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

pub(crate) fn runtime_command(mode: &str, script: &str) -> Command {
    // Tests in the background of a script, or below nohup, inherit ignored signals that the cases need.
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP,INT,QUIT");
    command.arg(std::env::current_exe().unwrap());
    command.args(["--runtime", mode, script]);
    command
}

fn read_some(master: &OwnedFd, into: &mut Vec<u8>, timeout: Duration) -> bool {
    let watch = [Watch {
        fd: master.as_fd(),
        read: true,
        write: false,
    }];
    let ready = poll::wait(&watch, Some(timeout)).unwrap();
    if !ready.iter().any(|ready| ready.readable) {
        return false;
    }
    let mut buffer = [0; 4096];
    let count = poll::read(master.as_fd(), &mut buffer).unwrap().unwrap_or(0);
    into.extend(buffer.iter().take(count));
    count > 0
}
