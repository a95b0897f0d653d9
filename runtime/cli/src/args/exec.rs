//! Flags of `exec`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::lifecycle::ProcessFiles;

/// A user and, if given, a group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecUser {
    /// User id in the container.
    pub uid: u32,
    /// Group id in the container; `None` leaves config.json's.
    pub gid: Option<u32>,
}

fn parse_user(text: &str) -> Result<ExecUser, String> {
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    let number = |what: &str, text: &str| {
        text.parse().map_err(|error: std::num::ParseIntError| {
            format!("bad {what} {text:?} ({error}): want numbers, as in 1000 or 1000:1000")
        })
    };
    Ok(ExecUser {
        uid: number("uid", uid)?,
        gid: gid.map(|gid| number("gid", gid)).transpose()?,
    })
}

/// Flags of `exec`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExecArgs {
    /// where the terminal and the process id go
    #[command(flatten)]
    pub files: ProcessFiles,
    /// socket that gets a pidfd of the new process
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// working directory in the container
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<String>,
    /// set an environment variable; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// give the process a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// run as this user
    #[arg(short, long, value_name = "UID[:GID]", value_parser = parse_user)]
    pub user: Option<ExecUser>,
    /// add a supplementary group; may be repeated
    #[arg(short = 'g', long, value_name = "GID")]
    pub additional_gids: Vec<u32>,
    /// read the process object from this JSON file
    #[arg(short, long, value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// return as soon as the process runs
    #[arg(short, long)]
    pub detach: bool,
    /// SELinux label of the process
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// keep the process from gaining privileges; "=false" overrides config.json
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub no_new_privs: Option<bool>,
    /// add a Linux capability; may be repeated
    #[arg(short, long, value_name = "CAP")]
    pub cap: Vec<String>,
    /// pass N more file descriptors on, after stdio and $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// run in an existing sub-cgroup; may be repeated
    #[arg(long, value_name = "[CONTROLLERS:]CGROUP")]
    pub cgroup: Vec<String>,
    /// run in a paused container, too
    #[arg(long)]
    pub ignore_paused: bool,
    /// id of the container
    #[arg(value_name = "container-id")]
    pub id: String,
    /// command and its arguments
    #[arg(value_name = "command", num_args = 0.., trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// The sub-cgroups that `--cgroup` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubCgroup {
    /// One path for every controller.
    All(String),
    /// A path for each controller named.
    Each(BTreeMap<String, String>),
}

/// A `--cgroup` that cannot be meant.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubCgroupError {
    /// Nothing stands before the colon, or between two commas.
    #[error("invalid --cgroup argument: {0} (empty <controller> prefix)")]
    EmptyController(String),
    /// One controller is given two paths.
    #[error("invalid --cgroup argument(s): controller {0} specified multiple times")]
    Repeated(String),
    /// A path for all controllers stands beside other arguments.
    #[error("invalid --cgroup argument: {0} (missing <controller>: prefix)")]
    NoController(String),
}

impl ExecArgs {
    /// Reads the `--cgroup` flags; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`SubCgroupError`]: the flags contradict each other or lack a controller.
    pub fn sub_cgroup(&self) -> Result<Option<SubCgroup>, SubCgroupError> {
        match self.cgroup.as_slice() {
            [] => return Ok(None),
            [only] if !only.contains(':') => return Ok(Some(SubCgroup::All(only.clone()))),
            _ => {}
        }
        let mut paths = BTreeMap::new();
        for argument in &self.cgroup {
            let (controllers, path) = argument
                .split_once(':')
                .ok_or_else(|| SubCgroupError::NoController(argument.clone()))?;
            for controller in controllers.split(',') {
                if controller.is_empty() {
                    return Err(SubCgroupError::EmptyController(argument.clone()));
                }
                if paths.insert(controller.to_owned(), path.to_owned()).is_some() {
                    return Err(SubCgroupError::Repeated(controller.to_owned()));
                }
            }
        }
        Ok(Some(SubCgroup::Each(paths)))
    }
}
