//! A plugin host's process: started with its two descriptors, never outliving the command that started it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nexcage_plugin_types::manifest::ResourceRequirements;
use nexcage_plugin_types::message::{Hello, Ready};
use nexcage_plugin_types::sandbox::{Identity, MAX, Mechanism, Report, Sandbox};
use nexcage_plugin_types::session::Limits;
use nexcage_sys::launch::{Launch, LaunchError, Launched, Namespaces};
use nexcage_sys::pidfd::ExitStatus;

use crate::connection::{CallError, Connection, Effects};

/// The first of the users that hosts run as, one a process: above what systems and containers hand out.
pub(crate) const FIRST_USER: u32 = 0x7000_0000;

/// How long a host that is about to end by itself is given for it.
const ENDING: Duration = Duration::from_secs(1);

/// A host that serves one plugin. Dropping it kills and reaps its process.
#[derive(Debug)]
pub struct HostProcess {
    /// Before the process, so that the socket is closed first.
    connection: Connection,
    process: Launched,
}

/// What the caller may do on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileges {
    /// All: the host gets a user of its own.
    Root,
    /// A user's, or those of root in a user namespace: the host gets a user namespace of its own.
    User,
}

/// How a host is confined.
#[derive(Clone, Debug)]
pub struct Confinement {
    /// The plugin's shared object, an absolute path.
    pub object: PathBuf,
    /// Whether it is confined at all; the operator's word.
    pub is_enabled: bool,
    /// What it may use.
    pub limits: ResourceRequirements,
    /// Libraries of the C runtime that it needs.
    pub libraries: Vec<String>,
    /// Mechanisms without which it is not loaded.
    pub required: Vec<Mechanism>,
    /// What this process may do.
    pub privileges: Privileges,
}

/// How a host is started.
#[derive(Debug)]
pub struct Start<'a> {
    /// The plugin host's program.
    pub program: &'a Path,
    /// Its arguments, its name first.
    pub argv: &'a [&'a str],
    /// How it confines itself.
    pub confinement: Confinement,
    /// What is said to it first.
    pub hello: &'a Hello,
    /// How much it may say.
    pub limits: Limits,
    /// For the whole start.
    pub timeout: Duration,
}

/// A host that does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The sockets between the two ends, or `/dev/null`, cannot be opened.
    #[error("open the descriptors of plugin host")]
    Socket {
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The process cannot be made.
    #[error("start plugin host")]
    Launch {
        /// The step.
        #[source]
        source: LaunchError,
    },
    /// It ended, or was silent, before it had confined itself.
    #[error("confine plugin {plugin:?}: no report of its host{}", print(.ended))]
    NoReport {
        /// The plugin.
        plugin: String,
        /// How the process ended, if it ended by itself.
        ended: Option<ExitStatus>,
        /// The kernel's answer, or what cannot be read.
        #[source]
        source: io::Error,
    },
    /// It could not confine itself, so it loaded nothing.
    #[error("confine plugin {plugin:?}: {reason}")]
    Sandbox {
        /// The plugin.
        plugin: String,
        /// The step.
        reason: String,
    },
    /// It started and did not come as far as READY. Its process is gone.
    #[error("start plugin {plugin:?}{}", print(.ended))]
    Plugin {
        /// The plugin.
        plugin: String,
        /// How the process ended, if it ended by itself.
        ended: Option<ExitStatus>,
        /// What went wrong.
        #[source]
        source: CallError,
    },
}

impl HostProcess {
    /// Starts a host and waits until its plugin has loaded.
    ///
    /// It gets two sockets as stdin and stdout, an empty environment and nothing else; it is killed when the calling
    /// thread ends. No byte of it is believed before it has reported that it is confined.
    ///
    /// Returns the host, what it loaded, and how it is confined.
    ///
    /// # Errors
    ///
    /// [`StartError`]; no process is left.
    pub fn start(start: Start<'_>, effects: &mut dyn Effects) -> Result<(Self, Ready, Report), StartError> {
        let deadline = Instant::now() + start.timeout;
        let pair = || UnixStream::pair().map_err(|source| StartError::Socket { source });
        let ((ours, theirs), (channel, their_channel)) = (pair()?, pair()?);
        let launch = Launch {
            program: start.program,
            argv: start.argv,
            streams: [theirs.into(), their_channel.into(), null()?.into()],
            namespaces: start.confinement.namespaces(),
        };
        let mut process = launch.start().map_err(|source| StartError::Launch { source })?;
        let plugin = &start.hello.plugin;
        let sandbox = start.confinement.sandbox(process.pid());
        let report = match exchange(channel, &sandbox, deadline) {
            Ok(Report::Failed(reason)) => {
                return Err(StartError::Sandbox {
                    plugin: plugin.clone(),
                    reason,
                });
            }
            Ok(report) => report,
            Err(source) => {
                let is_ending = source.kind() == io::ErrorKind::UnexpectedEof;
                return Err(StartError::NoReport {
                    plugin: plugin.clone(),
                    ended: process.wait_or_kill(if is_ending { ENDING } else { Duration::ZERO }),
                    source,
                });
            }
        };
        let left = deadline.saturating_duration_since(Instant::now());
        match Connection::open(ours, start.hello, start.limits, left, effects) {
            Ok((connection, ready)) => Ok((Self { connection, process }, ready, report)),
            Err(source) => {
                let is_ending = matches!(source, CallError::Closed);
                Err(StartError::Plugin {
                    plugin: plugin.clone(),
                    ended: process.wait_or_kill(if is_ending { ENDING } else { Duration::ZERO }),
                    source,
                })
            }
        }
    }

    /// The host's socket.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The host's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Ends the host, which is given a moment if it is about to end by itself.
    ///
    /// Returns how it ended by itself; `None` when it was killed.
    pub fn end(mut self) -> Option<ExitStatus> {
        let is_ending = !self.connection.is_usable();
        self.process
            .wait_or_kill(if is_ending { ENDING } else { Duration::ZERO })
    }

    /// Lets the plugin take itself down; what has not ended then is killed.
    ///
    /// # Errors
    ///
    /// [`CallError`]; the process is gone all the same.
    pub fn close(self, timeout: Duration, effects: &mut dyn Effects) -> Result<(), CallError> {
        let Self { connection, process } = self;
        let closed = connection.close(timeout, effects);
        drop(process);
        closed
    }
}

impl Confinement {
    fn namespaces(&self) -> Namespaces {
        match (self.is_enabled, self.privileges) {
            (false, _) => Namespaces::NONE,
            (true, Privileges::Root) => Namespaces::ALL,
            (true, Privileges::User) => Namespaces::ALL_AS_USER,
        }
    }

    /// For the process of this number; no other that lives has the same user.
    fn sandbox(&self, pid: i32) -> Sandbox {
        Sandbox {
            object: self.object.to_string_lossy().into_owned(),
            is_enabled: self.is_enabled,
            identity: match self.privileges {
                Privileges::Root => Identity::Own(FIRST_USER + pid.unsigned_abs()),
                Privileges::User => Identity::Mapped,
            },
            limits: self.limits.clone(),
            libraries: self.libraries.clone(),
            required: self.required.clone(),
        }
    }
}

fn null() -> Result<File, StartError> {
    let opened = File::options().read(true).write(true).open("/dev/null");
    opened.map_err(|source| StartError::Socket { source })
}

/// Tells a host how to confine itself, and hears what came of it.
fn exchange(mut channel: UnixStream, sandbox: &Sandbox, deadline: Instant) -> io::Result<Report> {
    let description = serde_json::to_vec(sandbox)?;
    channel.write_all(&description)?;
    channel.shutdown(Shutdown::Write)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() > MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        channel.set_read_timeout(Some(left))?;
        let count = channel.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    if bytes.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&bytes)?)
}

fn print(ended: &Option<ExitStatus>) -> String {
    match ended {
        Some(ExitStatus::Exited(code)) => format!(" (exit code {code})"),
        Some(ExitStatus::Signaled(signal)) => format!(" (signal {signal})"),
        None => String::new(),
    }
}
