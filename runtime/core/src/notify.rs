//! Readiness messages (`sd_notify`) from a container to whoever waits for them on the node.
//!
//! The container never sees the node's socket: it gets one of its own, and only the readiness line passes on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nexcage_sys::pidfd::PidFd;
use nexcage_sys::poll::{self, Watch};
use nexcage_sys::scm::{self, ScmError};
use oci_spec::runtime::{Mount, MountBuilder, Spec};

const SOCKET_NAME: &str = "notify.sock";
const CONTAINER_FOLDER: &str = "/run/notify";
const CONTAINER_SOCKET: &str = "/run/notify/notify.sock";
/// As long as `sd_notify_barrier` callers wait for a service manager that knows the barrier.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(30);

/// A step of the notification that went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// The folder of the container's socket could not be made.
    #[error("make folder of the notify socket {path:?}")]
    MakeFolder {
        /// The folder.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The container's socket could not be made.
    #[error("listen for the container's notification")]
    Bind {
        /// The step.
        source: ScmError,
    },
    /// The container's user could not be let in.
    #[error("open the notify socket {path:?} to the container's user")]
    Permit {
        /// The socket.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The mount of the socket's folder could not be described.
    #[error("describe the mount of the notify socket")]
    DescribeMount {
        /// The builder's answer.
        source: oci_spec::OciSpecError,
    },
    /// Nobody listens on the node's socket.
    #[error("reach the notify socket of the node")]
    Connect {
        /// The step.
        source: ScmError,
    },
    /// A message was not read.
    #[error("read the container's notification")]
    Read {
        /// The kernel's answer.
        source: io::Error,
    },
    /// A message did not go out.
    #[error("send the notification")]
    Send {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The barrier did not go out.
    #[error("send the notification's barrier")]
    Barrier {
        /// The step.
        source: ScmError,
    },
    /// Waiting failed.
    #[error("wait for the container's notification")]
    Wait {
        /// The kernel's answer.
        source: io::Error,
    },
}

/// The socket that a container gets when the runtime was started with `NOTIFY_SOCKET`.
#[derive(Debug, Clone)]
pub struct NotifySocket {
    node_socket: PathBuf,
    folder: PathBuf,
}

impl NotifySocket {
    /// Takes the value of `NOTIFY_SOCKET`.
    ///
    /// * `value`: a path, or `@name`; `None` and empty mean that nobody waits.
    /// * `container_dir`: the container's private folder; the socket's folder is made in it.
    #[must_use]
    pub fn new(value: Option<&Path>, container_dir: &Path) -> Option<Self> {
        let node_socket = value.filter(|value| !value.as_os_str().is_empty())?;
        Some(Self {
            node_socket: node_socket.to_owned(),
            folder: container_dir.join("notify"),
        })
    }

    /// The read-only bind mount that shows the socket's folder to the container.
    ///
    /// # Errors
    ///
    /// [`NotifyError::DescribeMount`].
    pub fn plan_mount(&self) -> Result<Mount, NotifyError> {
        MountBuilder::default()
            .destination(CONTAINER_FOLDER)
            .source(&self.folder)
            .typ("bind")
            .options(["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned))
            .build()
            .map_err(|source| NotifyError::DescribeMount { source })
    }

    /// Adds the mount, and the variable that names the socket, to a container's config.
    ///
    /// # Errors
    ///
    /// [`NotifyError::DescribeMount`]; then the config is as it was.
    pub fn apply(&self, spec: &mut Spec) -> Result<(), NotifyError> {
        let mount = self.plan_mount()?;
        spec.mounts_mut().get_or_insert_default().push(mount);
        if let Some(process) = spec.process_mut() {
            let env = process.env_mut().get_or_insert_default();
            env.retain(|line| !line.starts_with("NOTIFY_SOCKET="));
            env.push(format!("NOTIFY_SOCKET={CONTAINER_SOCKET}"));
        }
        Ok(())
    }

    /// Makes the folder that is mounted: at creation, before the container's mounts.
    ///
    /// # Errors
    ///
    /// [`NotifyError::MakeFolder`].
    pub fn make_folder(&self) -> Result<(), NotifyError> {
        let result = std::fs::create_dir(&self.folder).and_then(|()| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&self.folder, mode)
        });
        result.map_err(|source| NotifyError::MakeFolder {
            path: self.folder.clone(),
            source,
        })
    }

    /// Whether the container was created with its folder.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.folder.is_dir()
    }

    /// Starts to listen: before the container's program runs, in `run` and in `start`.
    ///
    /// * `main_pid`: what is reported as `MAINPID`: init for `start` and detached `run`, the runtime itself in the
    ///   foreground, where it stands for the container.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Bind`], [`NotifyError::Permit`].
    pub fn listen(&self, main_pid: i32) -> Result<NotifyRelay, NotifyError> {
        let path = self.folder.join(SOCKET_NAME);
        let socket = scm::bind_datagram(&path).map_err(|source| NotifyError::Bind { source })?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&path, mode).map_err(|source| NotifyError::Permit { path, source })?;
        Ok(NotifyRelay {
            socket,
            node_socket: self.node_socket.clone(),
            main_pid,
        })
    }
}

/// Listens to one container until it says that it is ready.
#[derive(Debug)]
pub struct NotifyRelay {
    socket: OwnedFd,
    node_socket: PathBuf,
    main_pid: i32,
}

/// How waiting for readiness ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// The container said so, and the node has been told.
    Ready,
    /// The container ended before.
    Ended,
}

impl NotifyRelay {
    /// Sets what is reported as `MAINPID`, when init is known only after listening began.
    pub fn set_main_pid(&mut self, main_pid: i32) {
        self.main_pid = main_pid;
    }

    /// Waits until the container is ready or has ended, and tells the node.
    ///
    /// * `init`: the container's init.
    ///
    /// # Errors
    ///
    /// [`NotifyError`].
    pub fn wait(&self, init: &PidFd) -> Result<Readiness, NotifyError> {
        let watches = [
            Watch {
                fd: self.socket.as_fd(),
                read: true,
                write: false,
            },
            Watch {
                fd: init.as_fd(),
                read: true,
                write: false,
            },
        ];
        loop {
            let ready = poll::wait(&watches, None).map_err(|source| NotifyError::Wait { source })?;
            // A message sent just before the end still counts: the socket comes first.
            if let Some(line) = self.read_ready_line()? {
                let node = self.tell(&line)?;
                wait_barrier(node.as_fd())?;
                return Ok(Readiness::Ready);
            }
            if ready.get(1).is_some_and(|init| init.readable) {
                return Ok(Readiness::Ended);
            }
        }
    }

    /// Passes on the readiness line if it has come; for a loop that watches the socket along with others.
    ///
    /// Returns whether the node has been told. The barrier is left out: a runtime in the foreground stays anyway.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Read`], [`NotifyError::Connect`], [`NotifyError::Send`].
    pub fn pass_on(&self) -> Result<bool, NotifyError> {
        match self.read_ready_line()? {
            Some(line) => self.tell(&line).map(|_node| true),
            None => Ok(false),
        }
    }

    /// Reads the messages that are there, up to one with a readiness line. The others are dropped, as runc does.
    fn read_ready_line(&self) -> Result<Option<Vec<u8>>, NotifyError> {
        let mut message = [0_u8; 4096];
        while let Some(length) =
            poll::read(self.socket.as_fd(), &mut message).map_err(|source| NotifyError::Read { source })?
        {
            if let Some(line) = find_ready_line(message.get(..length).unwrap_or_default()) {
                return Ok(Some(line.to_vec()));
            }
        }
        Ok(None)
    }

    fn tell(&self, line: &[u8]) -> Result<OwnedFd, NotifyError> {
        let node = scm::connect_datagram(&self.node_socket).map_err(|source| NotifyError::Connect { source })?;
        let main_pid = format!("MAINPID={}\n", self.main_pid);
        for message in [[line, b"\n"].concat().as_slice(), main_pid.as_bytes()] {
            poll::write(node.as_fd(), message).map_err(|source| NotifyError::Send { source })?;
        }
        Ok(node)
    }
}

impl AsFd for NotifyRelay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn find_ready_line(message: &[u8]) -> Option<&[u8]> {
    message
        .split(|byte| *byte == b'\n')
        .find(|line| line.starts_with(b"READY="))
}

/// Waits until the service manager has read what was sent: it closes the pipe end that comes with the barrier.
fn wait_barrier(node: BorrowedFd<'_>) -> Result<(), NotifyError> {
    let (reader, writer) = io::pipe().map_err(|source| NotifyError::Wait { source })?;
    scm::send_fd(node, b"BARRIER=1", writer.as_fd()).map_err(|source| NotifyError::Barrier { source })?;
    drop(writer);
    let watch = [Watch {
        fd: reader.as_fd(),
        read: true,
        write: false,
    }];
    let ready = poll::wait(&watch, Some(BARRIER_TIMEOUT)).map_err(|source| NotifyError::Wait { source })?;
    if ready.iter().all(|ready| !ready.hung_up && !ready.readable) {
        tracing::warn!(
            seconds = BARRIER_TIMEOUT.as_secs(),
            "service manager does not answer the notify barrier"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
