//! Bringing a container back.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nexcage_backend::{Console, Error, Process, Restore, Supervisor};
use nexcage_sys::pidfd::PidFd;
use nexcage_sys::signals::Signal;
use nexcage_sys::{fds, file, process as sys_process, scm};
use oci_spec::runtime::LinuxNamespaceType;
use rust_criu::rust_criu_protobuf::rpc::{
    Cgroup_root, Criu_notify, Criu_opts, Criu_req, Criu_req_type, Inherit_fd, Join_namespace,
};

use super::checkpoint::STDIO_FILE;
use super::explain;
use super::mount_points::{self, Root};
use super::options::{self, Folders, text};
use super::version::{self, Feature};
use super::worker::{Setup, Stdio, Worker};

const LOG: &str = "restore.log";
/// Longest list of standard descriptors; it holds three names.
const STDIO_FILE_MAX: u64 = 16 * 1024;
/// What goes with the terminal over the console socket.
const TERMINAL_NAME: &[u8] = b"orphan-pts-master";

/// Restores the container, which runs when this returns. On failure its processes are gone.
pub(crate) fn restore(request: &Restore<'_>, supervisor: &mut dyn Supervisor) -> Result<Process, Error> {
    let version = version::require()?;
    if request.lsm_profile.is_some() {
        version.check_lsm("--lsm-profile")?;
    }
    if request.lsm_mount_context.is_some() {
        version.check_lsm("--lsm-mount-context")?;
    }
    if request.criu.lazy_pages {
        version::require_feature(Feature::LazyPages)?;
    }
    let folders = Folders::open(&request.criu, LOG)?;
    let mut opts = options::common(request.create.spec, &request.criu, &folders, LOG);
    let namespaces = where_it_comes_back(&mut opts, request)?;
    how_it_comes_back(&mut opts, request);
    let inherit: Vec<RawFd> = namespaces.iter().map(AsRawFd::as_raw_fd).chain(folders.fds()).collect();
    let bundle = &request.create.state.bundle;
    let mounts = request.create.spec.mounts().clone().unwrap_or_default();
    let setup = Setup {
        stdio: match request.create.console {
            Console::Inherit => Stdio::Inherit,
            Console::Socket(_) => Stdio::Null,
        },
        inherit: &inherit,
        prepare: &|| {
            mount_points::prepare(request.create.rootfs, &mounts, bundle)?;
            folders
                .reopen()
                .map_err(|e| format!("open the directories for criu: {e}"))
        },
    };
    let worker = Worker::start(&setup)?;
    place(&worker, request, supervisor)?;
    opts.cg_root = cgroup_roots(worker.pid())?;
    let mut message = Criu_req::new();
    message.set_type(Criu_req_type::RESTORE);
    message.opts = Some(opts).into();
    let mut return_of = Return {
        request,
        supervisor,
        init: None,
    };
    let outcome = worker.converse(&message, &mut |notify, fds| return_of.hear(notify, fds));
    let init = return_of.init;
    match (outcome, init) {
        (Ok(_), Some(init)) => Ok(init),
        (Ok(response), None) => {
            abandon(open(response.restore.pid()).ok());
            Err(Error::Criu {
                action: "restore",
                reason: "it did not say that the processes are there (post-restore)".to_owned(),
            })
        }
        (Err(failure), init) => {
            abandon(init);
            Err(explain("restore", failure, &folders.log))
        }
    }
}

/// Root, mounts, namespaces and descriptors. Returns what must stay open until CRIU has it.
fn where_it_comes_back(opts: &mut Criu_opts, request: &Restore<'_>) -> Result<Vec<OwnedFd>, Error> {
    let create = &request.create;
    opts.set_root(text(create.rootfs)?);
    let root = Root::open(create.rootfs).map_err(|error| Error::Launch {
        step: "open the root filesystem",
        source: io::Error::other(error),
    })?;
    for external in options::externals(create.spec, &root, &create.state.bundle, create.cgroup) {
        let map = external.to_restore()?;
        opts.ext_mnt.push(map);
    }
    let masked = options::masked_source(create.spec)?;
    if let Some(masked) = masked.filter(|masked| !opts.ext_mnt.iter().any(|map| map.key() == masked.key())) {
        opts.ext_mnt.push(masked);
    }
    if let Console::Inherit = create.console {
        opts.inherit_fd = standard_pipes(request)?;
    }
    join_namespaces(opts, request)
}

fn join_namespaces(opts: &mut Criu_opts, request: &Restore<'_>) -> Result<Vec<OwnedFd>, Error> {
    let mut opened = Vec::new();
    for namespace in options::joined(request.create.spec) {
        if namespace.typ == LinuxNamespaceType::Cgroup {
            return Err(Error::Criu {
                action: "restore",
                reason: format!("criu cannot join the cgroup namespace {:?}", namespace.path),
            });
        }
        if namespace.is_external() {
            let file = File::open(namespace.path)
                .map(OwnedFd::from)
                .and_then(|fd| fds::move_above(fd, 3))
                .map_err(|source| Error::Launch {
                    step: "open the namespace that the config joins",
                    source,
                })?;
            opts.inherit_fd.push(inherit(namespace.key(), file.as_raw_fd()));
            opened.push(file);
        } else {
            let mut join = Join_namespace::new();
            join.set_ns(namespace.name().to_owned());
            join.set_ns_file(text(namespace.path)?);
            opts.join_ns.push(join);
        }
    }
    Ok(opened)
}

fn inherit(key: &str, fd: RawFd) -> Inherit_fd {
    let mut inherit = Inherit_fd::new();
    inherit.set_key(key.to_owned());
    inherit.set_fd(fd);
    inherit
}

/// Pipes of the saved container's standard descriptors: ours take their place.
fn standard_pipes(request: &Restore<'_>) -> Result<Vec<Inherit_fd>, Error> {
    let path = request.criu.image_path.join(STDIO_FILE);
    let failed = |reason: String| Error::Criu {
        action: "restore",
        reason: format!("{path:?} of the checkpoint cannot be used: {reason}"),
    };
    let bytes = file::read_capped(&path, STDIO_FILE_MAX).map_err(|e| failed(crate::report::chain(&e)))?;
    let names: Vec<String> = serde_json::from_slice(&bytes).map_err(|e| failed(e.to_string()))?;
    Ok((0..)
        .zip(names)
        .filter(|(_, name)| name.contains("pipe:"))
        .map(|(fd, name)| inherit(&name, fd))
        .collect())
}

fn how_it_comes_back(opts: &mut Criu_opts, request: &Restore<'_>) {
    opts.set_rst_sibling(true);
    opts.set_evasive_devices(true);
    opts.set_tcp_close(request.tcp_close);
    opts.lsm_profile = request.lsm_profile.map(str::to_owned);
    opts.lsm_mount_context = request.lsm_mount_context.map(str::to_owned);
}

/// Moves the worker into the container's cgroup: the processes are born there.
fn place(worker: &Worker, request: &Restore<'_>, supervisor: &mut dyn Supervisor) -> Result<(), Error> {
    if request.create.cgroup.needs_place() {
        supervisor.place(worker.pid()).map_err(Error::Supervisor)?;
    }
    request
        .create
        .cgroup
        .add(worker.pid())
        .map_err(Error::cgroup("join cgroup"))
}

/// Where the cgroups of the saved container are now, by controller: those of the worker.
fn cgroup_roots(worker: i32) -> Result<Vec<Cgroup_root>, Error> {
    let table = std::fs::read_to_string(format!("/proc/{worker}/cgroup")).map_err(|source| Error::Launch {
        step: "read the cgroups of criu",
        source,
    })?;
    Ok(roots_of(&table))
}

fn roots_of(table: &str) -> Vec<Cgroup_root> {
    let mut roots = Vec::new();
    for line in table.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        for controller in controllers.split(',') {
            let mut root = Cgroup_root::new();
            root.set_ctrl(controller.to_owned());
            root.set_path(path.to_owned());
            roots.push(root);
        }
    }
    roots
}

/// The core's and our part while CRIU restores.
struct Return<'a, 'b> {
    request: &'a Restore<'b>,
    supervisor: &'a mut dyn Supervisor,
    init: Option<Process>,
}

impl Return<'_, '_> {
    fn hear(&mut self, notify: &Criu_notify, fds: Vec<OwnedFd>) -> Result<(), Error> {
        match notify.script() {
            "setup-namespaces" => self.supervisor.runtime_hooks(notify.pid()).map_err(Error::Supervisor),
            "post-restore" => {
                let pidfd = open(notify.pid())?;
                self.init = Some(open(notify.pid())?);
                self.supervisor.ready(&pidfd).map_err(Error::Supervisor)
            }
            "orphan-pts-master" => self.send_terminal(fds),
            _ => Ok(()),
        }
    }

    fn send_terminal(&self, fds: Vec<OwnedFd>) -> Result<(), Error> {
        let (Some(master), Console::Socket(socket)) = (fds.first(), self.request.create.console) else {
            return Err(Error::Criu {
                action: "restore",
                reason: "the saved container has a terminal, but the config of the bundle has none (process.terminal)"
                    .to_owned(),
            });
        };
        scm::send_fd(socket, TERMINAL_NAME, master.as_fd()).map_err(|error| Error::Launch {
            step: "send the container's terminal to the console socket",
            source: io::Error::other(error),
        })
    }
}

fn open(pid: i32) -> Result<Process, Error> {
    let pidfd = PidFd::open(pid).map_err(|source| Error::Launch {
        step: "open the restored init's pidfd",
        source,
    })?;
    Ok(Process { pid, pidfd })
}

/// Ends the restored init. It is our child; CRIU may have ended it already.
fn abandon(init: Option<Process>) {
    if let Some(init) = init {
        drop(init.pidfd.send_signal(Signal::KILL).and_then(|()| init.pidfd.reap()));
    }
    sys_process::reap_zombies();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_controller_gets_its_root() {
        let roots = roots_of("3:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c:d\n");
        let pairs: Vec<_> = roots.iter().map(|r| (r.ctrl(), r.path())).collect();
        assert_eq!(
            pairs,
            [("cpu", "/a"), ("cpuacct", "/a"), ("name=systemd", "/b"), ("", "/c:d")]
        );
    }
}
