//! One `criu swrk` process: starting it, one request, its notifications, its end.

use std::convert::Infallible;
use std::env;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nexcage_backend::Error;
use nexcage_sys::fork::{Child, fork_child};
use nexcage_sys::pidfd::ExitStatus;
use nexcage_sys::poll::{self, Watch};
use nexcage_sys::signals::{self, Signal, SignalSet};
use nexcage_sys::{fds, packet, scm};
use nix::errno::Errno;
use nix::unistd::{AccessFlags, access, dup2, execv};
use protobuf::Message;
use rust_criu::rust_criu_protobuf::rpc::{Criu_notify, Criu_req, Criu_req_type, Criu_resp};

/// Longest message of CRIU; its own buffers are smaller.
const MESSAGE_MAX: usize = 64 * 1024;
/// How long a worker may take to end after its socket was closed.
const END_WAIT: Duration = Duration::from_secs(10);
/// Where programs are looked for without PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// With its own short words, which its log repeats.
    #[error("failed")]
    Refused(String),
    #[error("it ended early ({0})")]
    Gone(String),
    #[error("speak to it")]
    Speak(#[source] io::Error),
    #[error("understand its message")]
    Parse(#[source] protobuf::Error),
    #[error("unexpected answer {0:?}")]
    Unexpected(Criu_req_type),
    /// Not CRIU's failure, but that of what was called back.
    #[error("called back")]
    Callback(Box<Error>),
}

/// What the worker's standard descriptors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stdio {
    /// The null device.
    Null,
    /// The caller's.
    Inherit,
}

/// How a worker is started.
pub(super) struct Setup<'a> {
    pub(super) stdio: Stdio,
    /// Descriptors that it gets, under the same numbers.
    pub(super) inherit: &'a [RawFd],
    /// Runs in its process first.
    pub(super) prepare: &'a dyn Fn() -> Result<(), String>,
}

impl Setup<'_> {
    /// A worker that needs nothing but its socket.
    pub(super) const PLAIN: Setup<'static> = Setup {
        stdio: Stdio::Null,
        inherit: &[],
        prepare: &|| Ok(()),
    };
}

/// What is called at each notification, with the descriptors that came along.
pub(super) type Listener<'a> = dyn FnMut(&Criu_notify, Vec<OwnedFd>) -> Result<(), Error> + 'a;

/// A running worker; dropping it closes its socket, which ends it.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    link: Option<OwnedFd>,
    reaped: bool,
}

fn launch(step: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Launch { step, source }
}

/// The program in PATH.
pub(super) fn find_program() -> Result<PathBuf, Error> {
    let path = env::var_os("PATH")
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| DEFAULT_PATH.into());
    env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join("criu"))
        .find(|program| program.is_file() && access(program, AccessFlags::X_OK).is_ok())
        .ok_or(Error::CriuMissing)
}

impl Worker {
    /// Starts a worker, which waits for its request.
    pub(super) fn start(setup: &Setup<'_>) -> Result<Self, Error> {
        let program = find_program()?;
        let (ours, theirs) = packet::open_pair().map_err(launch("make a socket pair for criu"))?;
        let theirs = fds::move_above(theirs, 3).map_err(launch("move criu's socket"))?;
        let child = fork_child(None, || in_child(&program, setup, &theirs))
            .map_err(|error| launch("fork for criu")(io::Error::other(error)))?;
        drop(theirs);
        let mut worker = Self {
            child,
            link: None,
            reaped: false,
        };
        let hear = |max| packet::receive(ours.as_fd(), max).map_err(launch("wait for the start of criu"));
        let (link, mut text) = match hear(MESSAGE_MAX)? {
            Some(mut packet) => (packet.fds.pop(), packet.bytes),
            None => (None, b"the process for criu ended early".to_vec()),
        };
        if link.is_some() {
            // The program's start closes the other end.
            text = hear(MESSAGE_MAX)?.map_or_else(Vec::new, |packet| packet.bytes);
        }
        if link.is_some() && text.is_empty() {
            worker.link = link;
            return Ok(worker);
        }
        worker.end().map_err(launch("reap the process for criu"))?;
        Err(Error::Init(String::from_utf8_lossy(&text).into_owned()))
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.pid
    }

    /// Sends the request, answers the notifications, and returns the answer once the worker has ended.
    pub(super) fn converse(mut self, request: &Criu_req, listener: &mut Listener<'_>) -> Result<Criu_resp, Failure> {
        self.send(request)?;
        let mut called_back = None;
        let response = loop {
            let (response, fds) = self.receive()?;
            if response.type_() != Criu_req_type::NOTIFY {
                break response;
            }
            let outcome = match called_back {
                // CRIU undoes what it did; nothing more is asked of us.
                Some(_) => Ok(()),
                None => listener(&response.notify, fds),
            };
            called_back = called_back.or(outcome.err());
            let mut answer = Criu_req::new();
            answer.set_type(Criu_req_type::NOTIFY);
            answer.set_notify_success(called_back.is_none());
            self.send(&answer)?;
        };
        let ended = self.end().map_err(Failure::Speak)?;
        if let Some(error) = called_back {
            return Err(Failure::Callback(Box::new(error)));
        }
        check(request.type_(), &response, ended)?;
        Ok(response)
    }

    fn send(&mut self, request: &Criu_req) -> Result<(), Failure> {
        let bytes = request.write_to_bytes().map_err(Failure::Parse)?;
        let sent = match &self.link {
            Some(link) => packet::send(link.as_fd(), &bytes),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(self.gone()),
            other => other.map_err(Failure::Speak),
        }
    }

    fn receive(&mut self) -> Result<(Criu_resp, Vec<OwnedFd>), Failure> {
        let received = match &self.link {
            Some(link) if self.wait_for_message(link)? => {
                packet::receive(link.as_fd(), MESSAGE_MAX).map_err(Failure::Speak)?
            }
            _ => None,
        };
        let Some(packet) = received else {
            return Err(self.gone());
        };
        let response = Criu_resp::parse_from_bytes(&packet.bytes).map_err(Failure::Parse)?;
        Ok((response, packet.fds))
    }

    /// Whether a message comes. Processes that a killed worker was restoring keep its end of the socket open, so its own
    /// end has to be watched.
    fn wait_for_message(&self, link: &OwnedFd) -> Result<bool, Failure> {
        let read = |fd| Watch {
            fd,
            read: true,
            write: false,
        };
        loop {
            let watches = [read(link.as_fd()), read(self.child.pidfd.as_fd())];
            let ready = poll::wait(&watches, None).map_err(Failure::Speak)?;
            match ready.as_slice() {
                [link, _] if link.readable || link.hung_up => return Ok(true),
                [_, worker] if worker.readable => return Ok(false),
                _ => {}
            }
        }
    }

    fn gone(&mut self) -> Failure {
        match self.end() {
            Ok(ExitStatus::Signaled(signal)) => Failure::Gone(format!("signal {signal}")),
            Ok(status) => Failure::Gone(format!("code {}", status.code())),
            Err(error) => Failure::Speak(error),
        }
    }

    /// Closes the socket, which makes the worker end, and takes its status. One that does not end is killed: it must not
    /// outlive us with the container in its hands.
    fn end(&mut self) -> io::Result<ExitStatus> {
        self.link = None;
        self.reaped = true;
        if !self.child.pidfd.poll_exit(Some(END_WAIT))? {
            self.child.pidfd.send_signal(Signal::KILL)?;
        }
        self.child.pidfd.reap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.reaped
            && let Err(error) = self.end()
        {
            tracing::warn!(pid = self.child.pid, %error, "criu not reaped");
        }
    }
}

fn check(wanted: Criu_req_type, response: &Criu_resp, ended: ExitStatus) -> Result<(), Failure> {
    if !response.success() {
        return Err(Failure::Refused(match (response.cr_errmsg(), response.cr_errno()) {
            ("", 0) => String::new(),
            ("", number) => Errno::from_raw(number.saturating_abs()).desc().to_owned(),
            (text, _) => text.trim_end().replace('\n', "; "),
        }));
    }
    if response.type_() != wanted {
        return Err(Failure::Unexpected(response.type_()));
    }
    match ended {
        ExitStatus::Exited(0) => Ok(()),
        // It waits for the next pre-dump, and takes the end of the conversation for a failure.
        _ if wanted == Criu_req_type::PRE_DUMP => Ok(()),
        ExitStatus::Exited(code) => Err(Failure::Gone(format!("code {code}"))),
        ExitStatus::Signaled(signal) => Err(Failure::Gone(format!("signal {signal}"))),
    }
}

// ---- in the worker's process ----

fn in_child(program: &Path, setup: &Setup<'_>, report: &OwnedFd) -> i32 {
    let Err(text) = become_criu(program, setup, report);
    // Nobody is left to hear of a failure here.
    drop(packet::send(report.as_fd(), text.as_bytes()));
    1
}

fn become_criu(program: &Path, setup: &Setup<'_>, report: &OwnedFd) -> Result<Infallible, String> {
    let say = |what: &'static str| move |e: io::Error| format!("{what}: {e}");
    (setup.prepare)()?;
    // CRIU looks for the descriptors that a request names in the process that made the socket: in itself, so that they
    // can lie in a mount namespace of its own.
    let (theirs, link) = packet::open_pair().map_err(say("make criu's socket"))?;
    let link = fds::move_above(link, 3).map_err(say("move criu's socket"))?;
    scm::send_fd(report.as_fd(), b"link", theirs.as_fd()).map_err(|e| crate::report::chain(&e))?;
    let mut keep = vec![link.as_raw_fd(), report.as_raw_fd()];
    keep.extend(setup.inherit);
    drop(theirs);
    fds::close_all_except(&keep).map_err(say("close inherited descriptors"))?;
    for fd in setup.inherit.iter().copied().chain([link.as_raw_fd()]) {
        fds::set_cloexec(fd, false).map_err(say("hand descriptors on to criu"))?;
    }
    if setup.stdio == Stdio::Null {
        null_stdio().map_err(say("open /dev/null"))?;
    }
    signals::restore_for_child(&SignalSet::empty()).map_err(say("restore signals"))?;
    let path = CString::new(program.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
    let number = CString::new(link.as_raw_fd().to_string()).map_err(|e| e.to_string())?;
    execv(&path, &[c"criu", c"swrk", number.as_c_str()]).map_err(|e| format!("execute {program:?}: {}", e.desc()))
}

fn null_stdio() -> io::Result<()> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    for fd in 0..3 {
        dup2(null.as_raw_fd(), fd)?;
    }
    Ok(())
}
