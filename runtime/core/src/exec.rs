//! `exec`: one more process in a running container.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use nexcage_backend::{Console, Exec, KeyringUse, Process};
use nexcage_cgroups::SubCgroup;
use oci_spec::runtime::{Capability, LinuxCapabilities, Process as OciProcess, Spec};

use crate::error::Error;
use crate::lifecycle::Operation;
use crate::pidfile::PidfdOf;
use crate::runtime::Runtime;

/// Where the process to run is described.
#[derive(Debug)]
pub enum ProcessSource {
    /// A parsed `--process` file.
    File(Box<OciProcess>),
    /// The container's own process with these changes.
    Changes(Box<ProcessChanges>),
}

/// Changes to the container's process, as the options of `exec` name them.
#[derive(Debug, Default)]
pub struct ProcessChanges {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// Variables to add, `NAME=VALUE`.
    pub env: Vec<String>,
    /// User and group.
    pub user: Option<(u32, Option<u32>)>,
    /// Additional groups.
    pub additional_gids: Vec<u32>,
    /// Allocate a terminal.
    pub tty: bool,
    /// `AppArmor` profile.
    pub apparmor: Option<String>,
    /// `SELinux` label.
    pub process_label: Option<String>,
    /// Set or clear no_new_privileges.
    pub no_new_privs: Option<bool>,
    /// Capabilities to add, all sets.
    pub capabilities: Vec<Capability>,
}

/// How the process is run.
#[derive(Debug)]
pub struct ExecOptions<'a> {
    /// Connected console socket.
    pub console: Option<BorrowedFd<'a>>,
    /// Descriptors above 2 to hand on.
    pub preserve_fds: u32,
    /// Run it although the container is paused.
    pub ignore_paused: bool,
    /// Cgroup below the container's.
    pub sub_cgroup: Option<&'a SubCgroup>,
    /// File that gets its pid.
    pub pid_file: Option<&'a Path>,
    /// Socket that gets its pidfd.
    pub pidfd_socket: Option<&'a Path>,
}

impl Runtime {
    /// The process that an exec would run: parsed from a file, or the container's own with changes.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], [`Error::Bundle`].
    pub fn plan_process(&self, id: &str, source: ProcessSource) -> Result<OciProcess, Error> {
        match source {
            ProcessSource::File(process) => Ok(*process),
            ProcessSource::Changes(changes) => {
                let snapshot = self.snapshot(id)?;
                let spec = self.config_of(&snapshot.record.id)?;
                Ok(apply_changes(spec.process().clone().unwrap_or_default(), *changes))
            }
        }
    }

    /// Runs a process in a running container.
    ///
    /// Returns it, a child of this process that already executes its program.
    ///
    /// # Errors
    ///
    /// [`Error::Status`], [`Error::Start`].
    pub fn exec(&self, id: &str, process: &OciProcess, options: &ExecOptions<'_>) -> Result<Process, Error> {
        let operation = if options.ignore_paused {
            Operation::ExecIgnorePaused
        } else {
            Operation::Exec
        };
        let snapshot = self.snapshot(id)?;
        operation.check(snapshot.status, id)?;
        let dir = self.store.dir(&snapshot.record.id);
        let container = crate::runtime::container_of(&snapshot.record, &dir);
        if container.init.is_none() {
            return Err(Self::not_running());
        }
        let spec = with_process(self.config_of(&snapshot.record.id)?, process);
        let request = Exec {
            container,
            spec: &spec,
            sub_cgroup: options.sub_cgroup,
            console: options.console.map_or(Console::Inherit, Console::Socket),
            preserve_fds: options.preserve_fds,
            keyring: if snapshot.record.own_keyring {
                KeyringUse::New
            } else {
                KeyringUse::Inherit
            },
            rootless: self.rootless,
        };
        let made = self.backend.exec(&request).map_err(Error::Start)?;
        match publish(&made, options) {
            Ok(()) => Ok(made),
            Err(error) => {
                // Without its pid-file nobody could find it; it may also have ended by itself.
                drop(made.pidfd.send_signal(nexcage_sys::signals::Signal::KILL));
                Err(error)
            }
        }
    }
}

fn publish(process: &Process, options: &ExecOptions<'_>) -> Result<(), Error> {
    if let Some(path) = options.pidfd_socket {
        crate::pidfile::send_pidfd(path, &process.pidfd, PidfdOf::Exec).map_err(Error::PidfdSocket)?;
    }
    if let Some(path) = options.pid_file {
        crate::pidfile::write(path, process.pid).map_err(Error::PidFile)?;
    }
    Ok(())
}

/// The container's config with this process: seccomp, cgroup and namespaces stay the container's.
fn with_process(mut spec: Spec, process: &OciProcess) -> Spec {
    let mut process = process.clone();
    // What the process file does not name is the container's.
    if let Some(own) = spec.process() {
        if process.exec_cpu_affinity().is_none() {
            process.set_exec_cpu_affinity(own.exec_cpu_affinity().clone());
        }
        if process.oom_score_adj().is_none() {
            process.set_oom_score_adj(own.oom_score_adj());
        }
    }
    spec.set_process(Some(process));
    spec
}

fn apply_changes(mut process: OciProcess, changes: ProcessChanges) -> OciProcess {
    process
        .set_args(Some(changes.args))
        .set_terminal(Some(changes.tty))
        .set_console_size(None);
    if let Some(cwd) = changes.cwd {
        process.set_cwd(cwd);
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(changes.env);
    process.set_env(Some(env));
    if let Some((uid, gid)) = changes.user {
        process.user_mut().set_uid(uid);
        if let Some(gid) = gid {
            process.user_mut().set_gid(gid);
        }
    }
    if !changes.additional_gids.is_empty() {
        let mut gids = process.user().additional_gids().clone().unwrap_or_default();
        gids.extend(changes.additional_gids);
        process.user_mut().set_additional_gids(Some(gids));
    }
    if changes.apparmor.is_some() {
        process.set_apparmor_profile(changes.apparmor);
    }
    if changes.process_label.is_some() {
        process.set_selinux_label(changes.process_label);
    }
    if changes.no_new_privs.is_some() {
        process.set_no_new_privileges(changes.no_new_privs);
    }
    add_capabilities(&mut process, &changes.capabilities);
    process
}

/// As runc: into bounding, effective and permitted; into ambient only when the container has inheritable ones.
fn add_capabilities(process: &mut OciProcess, added: &[Capability]) {
    if added.is_empty() {
        return;
    }
    let mut sets = process.capabilities().clone().unwrap_or_else(no_capabilities);
    let with = |set: &Option<HashSet<Capability>>| {
        let mut set = set.clone().unwrap_or_default();
        set.extend(added.iter().copied());
        Some(set)
    };
    let inheritable = sets.inheritable().as_ref().is_some_and(|set| !set.is_empty());
    let (bounding, effective, permitted) = (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
    sets.set_bounding(bounding)
        .set_effective(effective)
        .set_permitted(permitted);
    if inheritable {
        let ambient = with(sets.ambient());
        sets.set_ambient(ambient);
    }
    process.set_capabilities(Some(sets));
}

fn no_capabilities() -> LinuxCapabilities {
    let mut none = LinuxCapabilities::default();
    none.set_bounding(None)
        .set_effective(None)
        .set_permitted(None)
        .set_inheritable(None)
        .set_ambient(None);
    none
}
