//! A plugin host's process: started with its two descriptors, never outliving the command that started it.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use nexcage_plugin_types::message::{Hello, Ready};
use nexcage_plugin_types::session::Limits;
use nexcage_sys::command::{DeathSignal, Program, Running};

use crate::connection::{CallError, Connection, Effects};

/// A host that serves one plugin. Dropping it kills and reaps its process.
#[derive(Debug)]
pub struct HostProcess {
    /// Before the process, so that the socket is closed first.
    connection: Connection,
    running: Running,
}

/// How a host is started.
#[derive(Debug)]
pub struct Start<'a> {
    /// The plugin host's program.
    pub program: &'a Path,
    /// Its arguments, its name first.
    pub argv: &'a [&'a str],
    /// What it reads to confine itself.
    pub description: io::PipeReader,
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
    /// The socket between the two ends cannot be made.
    #[error("make the socket of plugin host")]
    Socket {
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The program cannot be executed.
    #[error("execute plugin host {program:?}")]
    Execute {
        /// The program.
        program: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// It started and did not come as far as READY. Its process is gone.
    #[error("start plugin {plugin:?}{}", .ended.map(|status| format!(" ({status})")).unwrap_or_default())]
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
    /// It gets the socket as stdin, the description as stdout, an empty environment and nothing else; it is killed when
    /// the calling thread ends.
    ///
    /// # Errors
    ///
    /// [`StartError`]; no process is left.
    pub fn start(start: Start<'_>, effects: &mut dyn Effects) -> Result<(Self, Ready), StartError> {
        let (ours, theirs) = UnixStream::pair().map_err(|source| StartError::Socket { source })?;
        let mut program = Program::new(start.program);
        program.argv(start.argv).death_signal(DeathSignal::SIGKILL);
        program.streams(theirs.into(), start.description.into());
        let mut running = program.spawn().map_err(|source| StartError::Execute {
            program: start.program.to_owned(),
            source,
        })?;
        match Connection::open(ours, start.hello, start.limits, start.timeout, effects) {
            Ok((connection, ready)) => Ok((Self { connection, running }, ready)),
            Err(source) => Err(StartError::Plugin {
                plugin: start.hello.plugin.clone(),
                ended: running.end(matches!(source, CallError::Closed)),
                source,
            }),
        }
    }

    /// The host's socket.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The host's process id.
    ///
    /// # Errors
    ///
    /// A number beyond what the kernel hands out.
    pub fn pid(&self) -> io::Result<i32> {
        self.running.pid().map(|pid| pid.as_raw())
    }

    /// Lets the plugin take itself down; what has not ended then is killed.
    ///
    /// # Errors
    ///
    /// [`CallError`]; the process is gone all the same.
    pub fn close(self, timeout: Duration, effects: &mut dyn Effects) -> Result<(), CallError> {
        let Self { connection, running } = self;
        let closed = connection.close(timeout, effects);
        drop(running);
        closed
    }
}
