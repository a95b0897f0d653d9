//! Flags of the commands that make, signal and remove containers.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Signal;

/// What `create`, `run` and `restore` share.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ProcessFiles {
    /// socket that gets the terminal's master descriptor
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// file that gets the process id
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
}

/// Flags of `create`.
#[derive(Clone, Debug, clap::Args)]
pub struct CreateArgs {
    /// bundle directory [default: current directory]
    #[arg(short, long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// where the terminal and the process id go
    #[command(flatten)]
    pub files: ProcessFiles,
    /// socket that gets a pidfd of the init process
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// move the root mount instead of pivoting; for a root filesystem on a ramdisk
    #[arg(long)]
    pub no_pivot: bool,
    /// keep the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
    /// pass N more file descriptors on, after stdio and $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// id of the new container
    #[arg(value_name = "container-id")]
    pub id: String,
}

/// Flags of `run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// bundle directory [default: current directory]
    #[arg(short, long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// run a command in this root filesystem, without a bundle; with ":O" at its end changes are thrown away
    #[arg(long, value_name = "DIR")]
    pub rootfs: Option<PathBuf>,
    /// run a command in this image: an OCI layout directory or tar, or the tar of "podman save" or "docker save"
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<PathBuf>,
    /// directory for unpacked layers and temporary bundles
    /// [default: /var/lib/nexcage; rootless: $XDG_DATA_HOME/nexcage or ~/.local/share/nexcage]
    #[arg(long, value_name = "DIR")]
    pub image_cache: Option<PathBuf>,
    /// most bytes that an image may unpack to [default: 64g]
    #[arg(long, value_name = "SIZE", value_parser = super::units::parse_bytes)]
    pub image_limit: Option<i64>,
    /// container id for --rootfs and --image [default: a new one]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// return as soon as the process runs
    #[arg(short, long)]
    pub detach: bool,
    /// do not delete the container when it exits
    #[arg(long)]
    pub keep: bool,
    /// do not adopt orphans of the container
    #[arg(long)]
    pub no_subreaper: bool,
    /// where the terminal and the process id go
    #[command(flatten)]
    pub files: ProcessFiles,
    /// socket that gets a pidfd of the init process
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// move the root mount instead of pivoting; for a root filesystem on a ramdisk
    #[arg(long)]
    pub no_pivot: bool,
    /// keep the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
    /// pass N more file descriptors on, after stdio and $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// container id; with --rootfs or --image the command
    #[arg(value_name = "container-id | command", required = false, num_args = 0.., trailing_var_arg = true)]
    pub arguments: Vec<OsString>,
}

/// Where a container of `run` comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunSource {
    /// A bundle directory, the current one when `None`.
    Bundle {
        /// The directory.
        bundle: Option<PathBuf>,
        /// The id of the new container.
        id: String,
    },
    /// A root filesystem for one command.
    Rootfs {
        /// The directory.
        rootfs: PathBuf,
        /// The command and its arguments.
        command: Vec<OsString>,
    },
    /// An image for one command.
    Image {
        /// A layout directory or a tar file.
        image: PathBuf,
        /// The command and its arguments; empty is the image's own.
        command: Vec<OsString>,
    },
}

/// Flags of `run` that do not go together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RunSourceError {
    /// Two places for the root filesystem.
    #[error("--bundle, --rootfs and --image are given together: keep one")]
    Several,
    /// `--rootfs` without anything to run.
    #[error("--rootfs is given without a command: add it at the end, as in \"-- sh\"")]
    NoCommand,
    /// `--id` beside a bundle.
    #[error("--id is for --rootfs and --image: with a bundle the container id is the argument")]
    IdBesideBundle,
    /// Nobody would remove the temporary bundle.
    #[error(
        "--{0} does not go with --rootfs and --image: their bundle is removed when the container exits; make a bundle with `nexcage spec`"
    )]
    Outlives(&'static str),
    /// The id of a bundle's container is not text.
    #[error("container id {0:?} is not valid UTF-8")]
    Id(OsString),
}

impl RunArgs {
    /// Returns the id the user chose, if any.
    #[must_use]
    pub fn container_id(&self) -> Option<&str> {
        match (&self.rootfs, &self.image) {
            (None, None) => self.arguments.first().and_then(|id| id.to_str()),
            _ => self.id.as_deref(),
        }
    }

    /// Decides where the container comes from.
    ///
    /// # Errors
    ///
    /// [`RunSourceError`]: the flags contradict each other, or something is missing.
    pub fn source(&self) -> Result<RunSource, RunSourceError> {
        let command = self.arguments.clone();
        match (self.bundle.clone(), self.rootfs.clone(), self.image.clone()) {
            (bundle, None, None) => self.bundle_source(bundle),
            (None, Some(_), None) | (None, None, Some(_)) if self.detach => Err(RunSourceError::Outlives("detach")),
            (None, Some(_), None) | (None, None, Some(_)) if self.keep => Err(RunSourceError::Outlives("keep")),
            (None, Some(_), None) if command.is_empty() => Err(RunSourceError::NoCommand),
            (None, Some(rootfs), None) => Ok(RunSource::Rootfs { rootfs, command }),
            (None, None, Some(image)) => Ok(RunSource::Image { image, command }),
            _ => Err(RunSourceError::Several),
        }
    }

    fn bundle_source(&self, bundle: Option<PathBuf>) -> Result<RunSource, RunSourceError> {
        if self.id.is_some() {
            return Err(RunSourceError::IdBesideBundle);
        }
        let id = self.arguments.first().cloned().unwrap_or_default();
        Ok(RunSource::Bundle {
            bundle,
            id: id.into_string().map_err(RunSourceError::Id)?,
        })
    }
}

/// Flags of `kill`.
#[derive(Clone, Debug, clap::Args)]
pub struct KillArgs {
    /// signal every process of the container; a container that is gone is then no failure
    #[arg(short, long)]
    pub all: bool,
    /// id of the container
    #[arg(value_name = "container-id")]
    pub id: String,
    /// number or name of the signal
    #[arg(value_name = "signal", default_value = "SIGTERM", value_parser = parse_signal)]
    pub signal: Signal,
}

/// An empty signal is the default one, as with runc.
fn parse_signal(text: &str) -> Result<Signal, String> {
    if text.is_empty() {
        return Ok(Signal::default());
    }
    text.parse()
        .map_err(|error: super::signal::UnknownSignal| error.to_string())
}

/// Flags of `delete`.
#[derive(Clone, Debug, clap::Args)]
pub struct DeleteArgs {
    /// kill the container first if it still runs; no such container is then no failure
    #[arg(short, long)]
    pub force: bool,
    /// id of the container
    #[arg(value_name = "container-id")]
    pub id: String,
}
