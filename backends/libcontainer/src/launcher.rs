//! The forked process that drives libcontainer, and the runtime's conversation with it.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use libcgroups::common::CgroupConfig;
use libcontainer::container::{Container as LcContainer, ContainerStatus, State as LcState};
use libcontainer::notify_socket::{NotifyListener, NotifySocket};
use libcontainer::process::args::{ContainerArgs, ContainerType};
use libcontainer::process::container_main_process::container_main_process;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::user_ns::UserNamespaceConfig;
use nexcage_backend::{Console, Error, KeyringUse, Process};
use nexcage_cgroups::{Cgroup, SubCgroup};
use nexcage_oci::ContainerId;
use nexcage_sys::fork::{Child, fork_child};
use nexcage_sys::pidfd::PidFd;
use nexcage_sys::process as sys_process;
use nexcage_sys::signals::{self, Signal, SignalSet};
use nexcage_sys::{dumpable, fds, keyring, oom};
use nix::fcntl::OFlag;
use nix::unistd::{Pid, getppid};
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::executor::{Kind, Runner};
use crate::link::{self, FromContainer, ToContainer};
use crate::report::{self, FirstError, chain};
use crate::{cover, relay, userns};

/// File in the container's directory where libcontainer writes the init's id, for the runtime hooks.
pub(crate) const INIT_PID: &str = "init.pid";

/// What the launcher needs, the same for create and exec.
pub(crate) struct Launch<'a> {
    pub(crate) id: &'a ContainerId,
    pub(crate) bundle: &'a Path,
    pub(crate) rootfs: &'a Path,
    /// Directory of the sockets.
    pub(crate) dir: &'a Path,
    /// Name of libcontainer's start socket in it.
    pub(crate) notify_socket: String,
    /// The normalised config.
    pub(crate) spec: Spec,
    /// The process as configured.
    pub(crate) process: oci_spec::runtime::Process,
    pub(crate) kind: Kind,
    pub(crate) cgroup: &'a Cgroup,
    pub(crate) sub_cgroup: Option<&'a SubCgroup>,
    /// Init of the container, for an exec.
    pub(crate) init: Option<i32>,
    pub(crate) console: Console<'a>,
    pub(crate) preserve_fds: u32,
    pub(crate) no_pivot: bool,
    pub(crate) keyring: KeyringUse,
    pub(crate) rootless: bool,
    /// The container has mounts of its own, so the launcher may have some too.
    pub(crate) hide_cgroups: bool,
    /// The launcher enters the container's user namespace before libcontainer does anything.
    pub(crate) enter_userns: bool,
    /// Further descriptors that the launcher needs.
    pub(crate) keep_fds: Vec<i32>,
}

/// Answers what the container's side asks for while it is built.
pub(crate) trait Conversation {
    /// The cgroup has to be made around the launcher.
    fn place(&mut self, launcher: i32) -> Result<(), Error>;
    /// libcontainer reached the prestart and createRuntime hooks.
    fn runtime_hooks(&mut self, init: i32) -> Result<(), Error>;
    /// The relay asks for createContainer hooks.
    fn container_hooks(&mut self) -> ToContainer;
    /// Init is complete.
    fn ready(&mut self, init: Process) -> Result<(), Error>;
}

/// Forks the launcher and talks to the container's side until the process is made.
///
/// Returns its process. On error every process of the launch has ended.
pub(crate) fn launch(request: &mut Launch<'_>, conversation: &mut dyn Conversation) -> Result<Process, Error> {
    let failed = |step| move |source| Error::Launch { step, source };
    let (ours, theirs) = link::pair().map_err(failed("make a socket pair"))?;
    link::pass_credentials(&ours).map_err(failed("ask for sender credentials"))?;
    let theirs = raise(theirs, request.preserve_fds).map_err(failed("move the link's descriptor"))?;
    let hooks = relay::replace(request.spec.hooks().as_ref(), theirs.as_raw_fd())
        .map_err(|e| Error::Init(format!("prepare the hooks: {e}")))?;
    request.spec.set_hooks(hooks);
    let runtime = nix::unistd::getpid();
    let launcher = fork_launcher(request, &theirs, runtime)?;
    drop(theirs);
    let placed = if request.cgroup.needs_place() {
        conversation.place(launcher.pid)
    } else {
        Ok(())
    };
    let outcome = placed.and_then(|()| {
        link::send(ours.as_fd(), &ToContainer::Go).map_err(failed("start the launcher"))?;
        Dialogue {
            conversation,
            link: ours.as_fd(),
            dir: request.dir,
            spec: &request.spec,
            launcher: launcher.pid,
            failure: None,
            detail: None,
            init: None,
        }
        .hold()
    });
    // Closing the link ends whoever still waits on it.
    drop(ours);
    if outcome.is_err() {
        // It has not been reaped, so the signal reaches it or its zombie.
        launcher
            .pidfd
            .send_signal(Signal::KILL)
            .map_err(failed("end the launcher"))?;
    }
    let ended = launcher.pidfd.reap().map_err(failed("reap the launcher"))?;
    match outcome {
        Ok(Some(process)) => Ok(process),
        Ok(None) => Err(Error::InitGone {
            how: format!("code {}", ended.code()),
            hint: oom_hint(request.cgroup),
        }),
        Err(error) => Err(error),
    }
}

/// Forks the launcher into its v2 cgroup where the kernel lets it be born there.
fn fork_launcher(request: &Launch<'_>, link: &OwnedFd, runtime: Pid) -> Result<Child, Error> {
    let birthplace = match request.sub_cgroup {
        None => request.cgroup.birthplace().map_err(Error::cgroup("open the cgroup"))?,
        Some(_) => None,
    };
    let body = || in_launcher(request, link, runtime);
    let born = match &birthplace {
        Some(dir) => fork_child(Some(dir.as_fd()), body).or_else(|_refused| fork_child(None, body)),
        None => fork_child(None, body),
    };
    born.map_err(|e| Error::Launch {
        step: "fork",
        source: io::Error::other(e),
    })
}

fn oom_hint(cgroup: &Cgroup) -> &'static str {
    match cgroup.oom_kill_count() {
        Ok(count) if count > 0 => ": container init was OOM-killed (memory limit too low?)",
        _ => "",
    }
}

/// Moves a descriptor above those that the container inherits.
fn raise(fd: OwnedFd, preserve_fds: u32) -> io::Result<OwnedFd> {
    fds::move_above(fd, i32::try_from(preserve_fds).unwrap_or(0).saturating_add(3))
}

/// One conversation over the link.
struct Dialogue<'a> {
    conversation: &'a mut dyn Conversation,
    link: BorrowedFd<'a>,
    dir: &'a Path,
    spec: &'a Spec,
    launcher: i32,
    /// The first failure that has its own words.
    failure: Option<Error>,
    /// libcontainer's first logged error.
    detail: Option<String>,
    init: Option<Process>,
}

impl Dialogue<'_> {
    /// Returns the process, or `None` when the other side ended without a word.
    fn hold(mut self) -> Result<Option<Process>, Error> {
        loop {
            let received = link::receive_from::<FromContainer>(self.link).map_err(|source| Error::Launch {
                step: "hear from the container process",
                source,
            })?;
            let Some((message, sender)) = received else {
                return self.failure.map_or(Ok(None), Err);
            };
            match message {
                FromContainer::Done(Ok(pid)) => return self.finish(pid).map(Some),
                FromContainer::Done(Err(text)) => return Err(self.explain(text)),
                other => self.answer(other, sender)?,
            }
        }
    }

    fn answer(&mut self, message: FromContainer, sender: i32) -> Result<(), Error> {
        let reply = match message {
            FromContainer::RuntimeHooks => {
                let outcome = self
                    .written_pid()
                    .and_then(|init| self.conversation.runtime_hooks(init));
                Some(self.go_or_stop(outcome))
            }
            FromContainer::MapUsers => {
                let outcome = userns::map(self.spec, self.launcher);
                Some(self.go_or_stop(outcome))
            }
            FromContainer::ContainerHooks => Some(self.conversation.container_hooks()),
            FromContainer::ContainerHooksDone(outcome) => Some(self.go_or_stop(outcome.map_err(Error::Init))),
            FromContainer::Ready => {
                let outcome = self.commit(sender);
                Some(self.go_or_stop(outcome))
            }
            FromContainer::Refused(text) => {
                self.failure.get_or_insert(Error::Init(text));
                None
            }
            FromContainer::Detail(text) => {
                self.detail.get_or_insert(text);
                None
            }
            FromContainer::Done(_) => None,
        };
        match reply {
            Some(reply) => link::send(self.link, &reply).map_err(|source| Error::Launch {
                step: "answer the container process",
                source,
            }),
            None => Ok(()),
        }
    }

    /// The init's id, as libcontainer wrote it: its own hooks run in a child of the launcher, not in init.
    fn written_pid(&self) -> Result<i32, Error> {
        let failed = |source| Error::Launch {
            step: "read the init's pid",
            source,
        };
        let text = fs::read_to_string(self.dir.join(INIT_PID)).map_err(failed)?;
        text.trim()
            .parse()
            .map_err(|e| failed(io::Error::new(io::ErrorKind::InvalidData, e)))
    }

    fn commit(&mut self, sender: i32) -> Result<(), Error> {
        let open = |pid| {
            let pidfd = PidFd::open(pid).map_err(|source| Error::Launch {
                step: "open the init's pidfd",
                source,
            })?;
            Ok::<_, Error>(Process { pid, pidfd })
        };
        self.init = Some(open(sender)?);
        self.conversation.ready(open(sender)?)
    }

    fn go_or_stop(&mut self, outcome: Result<(), Error>) -> ToContainer {
        match outcome {
            Ok(()) => ToContainer::Go,
            Err(error) => {
                self.failure.get_or_insert(error);
                ToContainer::Stop
            }
        }
    }

    fn finish(self, pid: i32) -> Result<Process, Error> {
        match self.init {
            Some(process) => Ok(process),
            None => Ok(Process {
                pid,
                pidfd: PidFd::open(pid).map_err(|source| Error::Launch {
                    step: "open the process's pidfd",
                    source,
                })?,
            }),
        }
    }

    fn explain(self, text: String) -> Error {
        self.failure.unwrap_or_else(|| match self.detail {
            Some(detail) if !text.contains(&detail) => Error::Init(format!("{}: {detail}", shorten(&text))),
            _ => Error::Init(shorten(&text).to_owned()),
        })
    }
}

/// Drops the wrappers that libcontainer puts around every error of its processes.
fn shorten(text: &str) -> &str {
    let wrappers = [
        "exec process failed with error ",
        "error in executing process : ",
        "failed to ",
    ];
    let mut rest = text;
    while let Some(inner) = wrappers.iter().find_map(|w| rest.strip_prefix(w)) {
        rest = inner;
    }
    rest
}

// ---- in the launcher ----

fn in_launcher(request: &Launch<'_>, link: &OwnedFd, runtime: Pid) -> i32 {
    sys_process::kill_me_with_parent(true);
    if getppid() != runtime {
        // It died before the line above.
        return 1;
    }
    // The runtime places the launcher in a scope, where that is needed, before it says go.
    if !matches!(link::receive::<ToContainer>(link.as_fd()), Ok(Some(ToContainer::Go))) {
        return 1;
    }
    let outcome = ExecPipe::open(request).and_then(|pipe| {
        let args = prepare(request, link, pipe.as_ref())?;
        build(request, &args, pipe)
    });
    let code = i32::from(outcome.is_err());
    if link::send(link.as_fd(), &FromContainer::Done(outcome)).is_err() {
        return 1;
    }
    code
}

/// Puts the launcher in the state that the container's processes inherit.
fn prepare(request: &Launch<'_>, link: &OwnedFd, pipe: Option<&ExecPipe>) -> Result<ContainerArgs, String> {
    let say = |what: &'static str| move |e: io::Error| format!("{what}: {e}");
    close_others(request, link, pipe).map_err(say("close inherited descriptors"))?;
    relay::inheritable(link.as_fd()).map_err(say("hand the link on"))?;
    if let Some(score) = request.process.oom_score_adj() {
        set_oom_score(score, request.rootless).map_err(say("set oom_score_adj"))?;
    }
    join_cgroup(request)?;
    if request.keyring == KeyringUse::New {
        join_keyring(request)?;
    }
    if !request.rootless {
        sys_process::clear_groups().map_err(say("drop supplementary groups"))?;
    }
    // A foreground runtime blocks signals; the container starts with none blocked and SIGPIPE as the kernel has it.
    signals::restore_for_child(&SignalSet::empty()).map_err(say("restore signals"))?;
    sys_process::forget_listen_fds();
    log_to(link)?;
    let args = container_args(request, link, pipe)?;
    // Entering a user namespace may have dropped it.
    sys_process::kill_me_with_parent(true);
    dumpable::set_dumpable(false).map_err(say("become undumpable"))?;
    Ok(args)
}

fn close_others(request: &Launch<'_>, link: &OwnedFd, pipe: Option<&ExecPipe>) -> io::Result<()> {
    let mut keep = vec![link.as_raw_fd()];
    keep.extend(pipe.iter().flat_map(|p| [p.read.as_raw_fd(), p.write.as_raw_fd()]));
    keep.extend(3..3 + i32::try_from(request.preserve_fds).unwrap_or(0));
    keep.extend(&request.keep_fds);
    if let Console::Socket(socket) = request.console {
        keep.push(socket.as_raw_fd());
    }
    if let Kind::Init(plan) = &request.kind {
        keep.push(plan.start_socket);
    }
    fds::close_all_except(&keep)
}

/// Without privileges over the node the score cannot be lowered; runc goes on there too.
fn set_oom_score(score: i32, rootless: bool) -> io::Result<()> {
    match oom::write_oom_score_adj(score) {
        Err(e) if rootless && e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// Init joins a new keyring, which an exec finds by its name.
fn join_keyring(request: &Launch<'_>) -> Result<(), String> {
    if matches!(request.kind, Kind::Exec) {
        let name = keyring::session_name(request.id.as_str());
        return keyring::join_session(&name).map(drop).map_err(|e| chain(&e));
    }
    let userns = request.spec.linux().as_ref().and_then(|l| l.namespaces().as_ref());
    let mapped = userns
        .into_iter()
        .flatten()
        .any(|ns| ns.typ() == LinuxNamespaceType::User);
    let searchable = if mapped {
        keyring::Searchable::ByOthers
    } else {
        keyring::Searchable::ByOwner
    };
    keyring::join_new_session(request.id.as_str(), searchable)
        .map(drop)
        .map_err(|e| chain(&e))
}

fn join_cgroup(request: &Launch<'_>) -> Result<(), String> {
    let joined = match (request.sub_cgroup, request.init) {
        (None, None) if request.cgroup.needs_place() => Ok(()),
        (None, None) => request.cgroup.join(),
        (sub, init) => request.cgroup.join_sub(&sub.cloned().unwrap_or_default(), init),
    };
    joined.map_err(|e| format!("join cgroup: {}", chain(&e)))
}

fn log_to(link: &OwnedFd) -> Result<(), String> {
    let copy = link.try_clone().map_err(|e| format!("copy the link: {e}"))?;
    // A second subscriber in one process is a defect of ours, and only the details of an error would be lost.
    drop(tracing::subscriber::set_global_default(FirstError::new(copy)));
    let copy = link.try_clone().map_err(|e| format!("copy the link: {e}"))?;
    report::send_panics(copy);
    Ok(())
}

fn container_args(request: &Launch<'_>, link: &OwnedFd, pipe: Option<&ExecPipe>) -> Result<ContainerArgs, String> {
    let notify = request.dir.join(&request.notify_socket);
    let listener = NotifyListener::new(&notify).map_err(|e| chain(&e))?;
    let container_type = match pipe {
        None => ContainerType::InitContainer,
        Some(pipe) => ContainerType::TenantContainer {
            exec_notify_fd: pipe.write.as_raw_fd(),
        },
    };
    let mut spec = request.spec.clone();
    if request.enter_userns {
        userns::enter(&mut spec, link)?;
    }
    let cgroup_path = cover::inert_cgroup(request, &mut spec).map_err(|e| format!("cover the cgroups: {e}"))?;
    let user_ns_config = match request.kind {
        Kind::Init(_) => UserNamespaceConfig::new(&spec).map_err(|e| chain(&e))?,
        Kind::Exec => None,
    };
    Ok(ContainerArgs {
        container_type,
        syscall: SyscallType::default(),
        pid_file: spec.hooks().is_some().then(|| request.dir.join(INIT_PID)),
        spec: Rc::new(spec),
        rootfs: request.rootfs.to_owned(),
        console_socket: match request.console {
            Console::Socket(socket) => Some(socket.as_raw_fd()),
            Console::Inherit => None,
        },
        notify_listener: listener,
        preserve_fds: i32::try_from(request.preserve_fds).map_err(|e| e.to_string())?,
        container: Some(lc_container(request)),
        user_ns_config,
        cgroup_config: CgroupConfig {
            cgroup_path,
            systemd_cgroup: false,
            container_name: request.id.to_string(),
        },
        detached: true,
        executor: Box::new(Runner::new(
            request.kind.clone(),
            link.as_raw_fd(),
            request.process.clone(),
        )),
        no_pivot: request.no_pivot,
        stdin: None,
        stdout: None,
        stderr: None,
        // Init and the process between become the runtime's children, not the launcher's.
        as_sibling: true,
    })
}

/// The container as libcontainer's seccomp listener and hooks see it.
fn lc_container(request: &Launch<'_>) -> LcContainer {
    let id = request.id.to_string();
    let state = LcState::new(&id, ContainerStatus::Creating, None, request.bundle.to_owned());
    LcContainer {
        state,
        root: request.dir.to_owned(),
    }
}

fn build(request: &Launch<'_>, args: &ContainerArgs, pipe: Option<ExecPipe>) -> Result<i32, String> {
    let pid = container_main_process(args).map_err(|e| chain(&e))?.as_raw();
    if let Some(pipe) = pipe {
        let notify = request.dir.join(&request.notify_socket);
        let woken = NotifySocket::new(&notify)
            .notify_container_start()
            .map_err(|e| chain(&e));
        // The socket has served; a leftover is removed with the directory.
        drop(fs::remove_file(&notify));
        woken?;
        pipe.executed()?;
    }
    Ok(pid)
}

/// A pipe that an exec'd process closes by executing its program; before that, libcontainer writes a failure to it.
struct ExecPipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl ExecPipe {
    fn open(request: &Launch<'_>) -> Result<Option<Self>, String> {
        if matches!(request.kind, Kind::Init(_)) {
            return Ok(None);
        }
        let failed = |e: io::Error| format!("make a pipe: {e}");
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| failed(e.into()))?;
        let read = raise(read, request.preserve_fds).map_err(failed)?;
        let write = raise(write, request.preserve_fds).map_err(failed)?;
        Ok(Some(Self { read, write }))
    }

    /// Waits until the process has executed its program, or says why it has not.
    fn executed(self) -> Result<(), String> {
        drop(self.write);
        let mut text = String::new();
        fs::File::from(self.read)
            .read_to_string(&mut text)
            .map_err(|e| format!("wait for the program to run: {e}"))?;
        if text.is_empty() { Ok(()) } else { Err(text) }
    }
}
