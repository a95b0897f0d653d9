//! [`Backend`] for libcontainer.

use std::io;
use std::os::fd::AsRawFd;

use libcontainer::validator::Validator;
use nexcage_backend::{
    Backend, Checkpoint, Container, Create, Error, Exec, Process, Restore, RootChange, Supervisor, Target, Trait,
    Traits,
};
use nexcage_cgroups::Stats;
use nexcage_sys::pidfd::PidFd;
use nexcage_sys::process as sys_process;
use nexcage_sys::signals::Signal;
use nix::errno::Errno;
use nix::sys::stat::stat;
use nix::unistd::{Uid, chown};
use oci_spec::runtime::{LinuxNamespaceType, LinuxResources, Spec};

use crate::executor::{InitPlan, Kind};
use crate::launch::Launch;
use crate::launcher::{Conversation, INIT_PID, launch};
use crate::link::{HookOrder, ToContainer};
use crate::mend::{Mend, mend};
use crate::normalise::Views;
use crate::{criu, namespaces, normalise, rootfs, start, userns, workdir};

/// The libcontainer backend.
#[derive(Debug, Default, Clone, Copy)]
pub struct Libcontainer;

impl Libcontainer {
    /// Its name in state and configuration.
    pub const NAME: &'static str = "libcontainer";
}

const TRAITS: Traits = Traits::new(&[
    Trait::Exec,
    Trait::Pause,
    Trait::Update,
    Trait::Userns,
    Trait::Seccomp,
    Trait::Hooks,
    Trait::Devices,
    Trait::Checkpoint,
]);

impl Backend for Libcontainer {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn traits(&self) -> Traits {
        TRAITS
    }

    fn create(&self, request: &Create<'_>, supervisor: &mut dyn Supervisor) -> Result<Process, Error> {
        let enter_userns = userns::must_be_entered(request.spec, request.cgroup);
        let views = if enter_userns { Views::Bound } else { Views::Mended };
        let mut normal = normalise::for_create(request.spec, request.cgroup, views).map_err(oci)?;
        // The crate checks configs in its builders only: sysctls of the node, mappings without a namespace.
        Validator::validate_spec(&normal.spec).map_err(|e| Error::Init(e.to_string()))?;
        rootfs::check(request.spec, request.rootfs)?;
        workdir::make(request.spec, request.rootfs)?;
        normalise::set_rootfs(&mut normal.spec, request.rootfs);
        let process = configured_process(request.spec)?;
        let socket = start::listen(request.dir).map_err(launch_error("listen for start"))?;
        let floor = i32::try_from(request.preserve_fds).unwrap_or(0).saturating_add(3);
        let socket = nexcage_sys::fds::move_above(socket, floor).map_err(launch_error("move the start socket"))?;
        let hooks = request.spec.hooks();
        let init = InitPlan {
            start_socket: socket.as_raw_fd(),
            hooks: hooks
                .as_ref()
                .and_then(|h| h.start_container().clone())
                .unwrap_or_default(),
            state: request.state.clone(),
            open_to_runtime: nexcage_sys::userns::euid() != 0
                && namespaces::makes(request.spec, LinuxNamespaceType::Pid),
        };
        let mut launch_request = Launch {
            id: request.id,
            bundle: &request.state.bundle,
            rootfs: request.rootfs,
            dir: request.dir,
            notify_socket: start::NOTIFY_SOCKET.to_owned(),
            spec: normal.spec,
            process: process.clone(),
            kind: Kind::Init(Box::new(init)),
            cgroup: request.cgroup,
            sub_cgroup: None,
            init: None,
            console: request.console,
            preserve_fds: request.preserve_fds,
            no_pivot: request.root_change == RootChange::Move,
            keyring: request.keyring,
            rootless: request.rootless,
            hide_cgroups: namespaces::has(request.spec, LinuxNamespaceType::Mount),
            enter_userns,
            keep_fds: Vec::new(),
        };
        let mut creation = Creation {
            request,
            supervisor,
            mends: normal.mends,
            ready: None,
        };
        let made = launch(&mut launch_request, &mut creation);
        remove_if_there(&request.dir.join(INIT_PID))?;
        made.inspect_err(|_| creation.undo())
    }

    fn start(&self, container: &Container<'_>) -> Result<(), Error> {
        start::start(container.dir)
    }

    fn exec(&self, request: &Exec<'_>) -> Result<Process, Error> {
        let container = &request.container;
        let init = container.init.as_ref().ok_or(Error::NotRunning)?;
        let opened =
            namespaces::open(init.pid, request.spec).map_err(launch_error("open the container's namespaces"))?;
        let process = configured_process(request.spec)?;
        let spec = normalise::for_exec(request.spec, opened.as_config().map_err(oci)?);
        let enter_userns = userns::must_be_entered(&spec, container.cgroup);
        let mut launch_request = Launch {
            id: container.id,
            bundle: container.bundle,
            rootfs: container.rootfs,
            dir: container.dir,
            notify_socket: format!("exec-{}.sock", std::process::id()),
            spec,
            process: process.clone(),
            kind: Kind::Exec,
            cgroup: container.cgroup,
            sub_cgroup: request.sub_cgroup,
            init: Some(init.pid),
            console: request.console,
            preserve_fds: request.preserve_fds,
            no_pivot: false,
            keyring: request.keyring,
            rootless: request.rootless,
            hide_cgroups: namespaces::has(request.spec, LinuxNamespaceType::Mount),
            enter_userns,
            keep_fds: opened.fds().collect(),
        };
        let socket = container.dir.join(&launch_request.notify_socket);
        // An exec of the same process id may have been killed.
        remove_if_there(&socket)?;
        let made = launch(&mut launch_request, &mut ExecConversation)
            // Only a failed one leaves it, and its own error says more than that of the removal.
            .inspect_err(|_failed| remove_if_there(&socket).unwrap_or_default())?;
        own_stdio(&made, request.spec)?;
        Ok(made)
    }

    fn signal(&self, container: &Container<'_>, signal: Signal, target: Target) -> Result<(), Error> {
        match target {
            Target::All => container
                .cgroup
                .signal_all(signal.as_raw())
                .map_err(Error::cgroup("signal every process")),
            Target::Init => {
                let init = container.init.as_ref().ok_or(Error::NotRunning)?;
                let failed = |source: io::Error| match source.raw_os_error() {
                    Some(code) if code == Errno::ESRCH as i32 => Error::NotRunning,
                    _ => Error::Signal {
                        signal: signal.to_string(),
                        pid: init.pid,
                        source,
                    },
                };
                let pidfd = PidFd::open(init.pid).map_err(failed)?;
                if !init.is_alive() {
                    return Err(Error::NotRunning);
                }
                pidfd.send_signal(signal).map_err(failed)
            }
        }
    }

    fn pause(&self, container: &Container<'_>) -> Result<(), Error> {
        container.cgroup.freeze().map_err(Error::cgroup("freeze"))
    }

    fn resume(&self, container: &Container<'_>) -> Result<(), Error> {
        container.cgroup.thaw().map_err(Error::cgroup("thaw"))
    }

    fn update(&self, container: &Container<'_>, resources: &LinuxResources) -> Result<(), Error> {
        container
            .cgroup
            .update(resources)
            .map_err(Error::cgroup("update limits"))
    }

    fn stats(&self, container: &Container<'_>) -> Result<Stats, Error> {
        container.cgroup.stats().map_err(Error::cgroup("read statistics"))
    }

    fn checkpoint(&self, container: &Container<'_>, request: Checkpoint<'_>) -> Result<(), Error> {
        criu::checkpoint(container, request)
    }

    fn restore(&self, request: &Restore<'_>, supervisor: &mut dyn Supervisor) -> Result<Process, Error> {
        criu::restore(request, supervisor)
    }

    fn delete(&self, container: &Container<'_>) -> Result<(), Error> {
        for socket in [start::START_SOCKET, start::NOTIFY_SOCKET, INIT_PID] {
            remove_if_there(&container.dir.join(socket))?;
        }
        Ok(())
    }
}

fn remove_if_there(path: &std::path::Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::Launch {
            step: "remove a socket",
            source: e,
        }),
        _ => Ok(()),
    }
}

fn launch_error(step: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Launch { step, source }
}

fn oci(error: oci_spec::OciSpecError) -> Error {
    Error::Init(format!("prepare the config: {error}"))
}

fn configured_process(spec: &Spec) -> Result<&oci_spec::runtime::Process, Error> {
    spec.process()
        .as_ref()
        .ok_or_else(|| Error::Init("config has no process: add one to run".to_owned()))
}

/// The runtime's side of a creation.
struct Creation<'a, 'b> {
    request: &'a Create<'b>,
    supervisor: &'a mut dyn Supervisor,
    mends: Vec<Mend>,
    ready: Option<Process>,
}

impl Creation<'_, '_> {
    /// Ends the init that is there. It dies with its parent until it was committed, but this caller lives on.
    fn undo(&self) {
        if let Some(init) = &self.ready {
            // It may have died by itself; reaping finds it either way.
            drop(init.pidfd.send_signal(Signal::KILL).and_then(|()| init.pidfd.reap()));
        }
        // Init and the process before it are our children, since libcontainer makes siblings.
        sys_process::reap_zombies();
    }

    fn finish_init(&self, init: &Process) -> Result<(), Error> {
        let userns = namespaces::has(self.request.spec, LinuxNamespaceType::User);
        mend(init.pid, &self.mends, userns)?;
        rootfs::check_proc(init.pid, self.request.spec, self.request.rootless)?;
        own_stdio(init, self.request.spec)
    }
}

impl Conversation for Creation<'_, '_> {
    fn place(&mut self, launcher: i32) -> Result<(), Error> {
        self.supervisor.place(launcher).map_err(Error::Supervisor)
    }

    fn runtime_hooks(&mut self, init: i32) -> Result<(), Error> {
        self.supervisor.runtime_hooks(init).map_err(Error::Supervisor)
    }

    fn container_hooks(&mut self) -> ToContainer {
        let hooks = self
            .request
            .spec
            .hooks()
            .as_ref()
            .and_then(|h| h.create_container().clone())
            .unwrap_or_default();
        let mut state = self.request.state.clone();
        let written = std::fs::read_to_string(self.request.dir.join(INIT_PID)).ok();
        state.pid = written.and_then(|t| t.trim().parse().ok()).unwrap_or(0);
        self.supervisor.container_hooks();
        ToContainer::Hooks(Box::new(HookOrder { hooks, state }))
    }

    fn ready(&mut self, init: Process) -> Result<(), Error> {
        let outcome = self
            .finish_init(&init)
            .and_then(|()| self.supervisor.ready(&init).map_err(Error::Supervisor));
        self.ready = Some(init);
        outcome
    }
}

struct ExecConversation;

impl Conversation for ExecConversation {
    fn place(&mut self, _launcher: i32) -> Result<(), Error> {
        Ok(())
    }

    fn runtime_hooks(&mut self, _init: i32) -> Result<(), Error> {
        Ok(())
    }

    fn container_hooks(&mut self) -> ToContainer {
        ToContainer::Stop
    }

    fn ready(&mut self, _init: Process) -> Result<(), Error> {
        Ok(())
    }
}

/// Gives the container's user its standard descriptors, so that it can open them again through `/proc/self/fd`.
fn own_stdio(process: &Process, spec: &Spec) -> Result<(), Error> {
    let Some(configured) = spec.process() else {
        return Ok(());
    };
    let uid = host_uid(spec, configured.user().uid());
    for fd in 0..3 {
        let path = format!("/proc/{}/fd/{fd}", process.pid);
        let Ok(found) = stat(path.as_str()) else { continue };
        if found.st_uid == uid || rootfs::is_null_device(&found) {
            continue;
        }
        match chown(path.as_str(), Some(Uid::from_raw(uid)), None) {
            // A pipe of a client's user namespace, or a file on a read-only or foreign file system: it works as it is.
            Ok(()) | Err(Errno::EINVAL | Errno::EPERM | Errno::EROFS | Errno::ENOENT | Errno::EACCES) => {}
            Err(errno) => {
                return Err(Error::Launch {
                    step: "own standard descriptors",
                    source: errno.into(),
                });
            }
        }
    }
    Ok(())
}

fn host_uid(spec: &Spec, uid: u32) -> u32 {
    let mappings = spec.linux().as_ref().and_then(|l| l.uid_mappings().as_ref());
    mappings
        .into_iter()
        .flatten()
        .find_map(|m| {
            let offset = uid.checked_sub(m.container_id())?;
            (offset < m.size()).then(|| m.host_id() + offset)
        })
        .unwrap_or(uid)
}
