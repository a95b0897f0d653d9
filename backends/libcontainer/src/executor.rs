//! What init and exec'd processes do last: find the program, report ready, wait for start, run the startContainer
//! hooks, execute. Runs as the container's user, inside the container, under its seccomp filter.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nexcage_oci::hooks::{self, HookOptions, HookStage};
use nexcage_oci::{OciState, Status};
use nexcage_sys::dumpable::set_dumpable;
use nexcage_sys::fds;
use nexcage_sys::process::{end_on, kill_me_with_parent, set_comm};
use nexcage_sys::pty::WindowSize;
use nix::sys::signal::Signal;
use nix::sys::stat::fstat;
use nix::unistd::{dup2, execve};
use oci_spec::runtime::{Hook, Process, Spec};

use crate::link::{self, FromContainer, ToContainer};
use crate::program::{self, Program};
use crate::report::chain;
use crate::rootfs::{self, is_null_device};
use crate::start;

/// Signals that end a program by default: a created container ends on them, as one of runc's does.
const TERMINATING: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGALRM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Executes the program of a container or of an exec.
#[derive(Clone)]
pub(crate) struct Runner {
    kind: Kind,
    /// The container's end of the link, a descriptor inherited by fork.
    link: i32,
    /// The process as configured: libcontainer's copy has placeholders in its environment.
    process: Process,
    program: RefCell<Option<Program>>,
}

/// What is executed.
#[derive(Clone)]
pub(crate) enum Kind {
    /// The container's init: waits for start.
    Init(Box<InitPlan>),
    /// One more process of a running container: executes at once.
    Exec,
}

/// What init still has to do when it is started.
#[derive(Clone)]
pub(crate) struct InitPlan {
    /// Listening start socket, a descriptor inherited by fork.
    pub(crate) start_socket: i32,
    /// startContainer hooks.
    pub(crate) hooks: Vec<Hook>,
    /// What they read on standard input, but for the pid.
    pub(crate) state: OciState,
    /// A runtime without privileges may enter init's namespaces only while init is dumpable.
    pub(crate) open_to_runtime: bool,
}

impl Runner {
    pub(crate) fn new(kind: Kind, link: i32, process: Process) -> Self {
        Self {
            kind,
            link,
            process,
            program: RefCell::new(None),
        }
    }

    fn tell(&self, message: &FromContainer) -> std::io::Result<()> {
        link::send(self.link()?, message)
    }

    fn link(&self) -> std::io::Result<BorrowedFd<'static>> {
        fds::borrow_inherited(self.link).ok_or_else(|| std::io::Error::from_raw_os_error(libc_ebadf()))
    }

    fn refuse(&self, text: String) -> ExecutorValidationError {
        // Without the runtime there is nobody to tell; the error below ends this process all the same.
        drop(self.tell(&FromContainer::Refused(text.clone())));
        ExecutorValidationError::ArgValidationError(text)
    }

    fn prepare(&self) -> Result<Program, String> {
        reopen_null().map_err(|e| format!("reopen /dev/null: {e}"))?;
        let found = program::find(&self.process).map_err(|e| e.to_string())?;
        if let Some(size) = self
            .process
            .console_size()
            .filter(|_| self.process.terminal() == Some(true))
        {
            let (rows, columns) = (size.height(), size.width());
            let size = WindowSize {
                rows: clamp(rows),
                columns: clamp(columns),
            };
            nexcage_sys::pty::write_window_size(std::io::stdin().as_fd(), size)
                .map_err(|e| format!("set the console size: {e}"))?;
        }
        Ok(found)
    }

    /// Reports ready and waits until the runtime has recorded the process. Until then the runtime's death is ours; that
    /// of an exec'd process it stays until the program runs.
    fn commit(&self) -> std::io::Result<()> {
        let open = matches!(&self.kind, Kind::Init(plan) if plan.open_to_runtime);
        kill_me_with_parent(true);
        if open {
            set_dumpable(true)?;
        }
        let answer = link::ask(&self.link()?, &FromContainer::Ready)?;
        if open {
            set_dumpable(false)?;
        }
        if matches!(self.kind, Kind::Init(_)) {
            kill_me_with_parent(false);
        }
        match answer {
            ToContainer::Go => Ok(()),
            _ => Err(std::io::ErrorKind::ConnectionAborted.into()),
        }
    }

    fn execute(&self) -> Result<(), String> {
        let program = self.program.borrow().clone().ok_or("the program was not looked up")?;
        if let Some(label) = self.process.selinux_label().as_deref().filter(|l| !l.is_empty()) {
            set_exec_label(label).map_err(|e| format!("set SELinux label {label:?}: {e}"))?;
        }
        kill_me_with_parent(false);
        let Err(errno) = execve(&program.path, &program.args, &program.env);
        Err(format!(
            "exec {}: {}",
            program.path.to_string_lossy(),
            program::reason(errno)
        ))
    }

    fn start(&self, plan: &InitPlan) -> Result<(), String> {
        let mut starter = start::accept(plan.start_socket).map_err(|e| format!("accept start: {e}"))?;
        let outcome = self.run_hooks(plan).and_then(|()| self.execute());
        if let Err(text) = &outcome {
            start::refuse(&mut starter, text);
        }
        outcome
    }

    fn run_hooks(&self, plan: &InitPlan) -> Result<(), String> {
        if plan.hooks.is_empty() {
            return Ok(());
        }
        let mut state = plan.state.clone();
        state.pid = i32::try_from(std::process::id()).unwrap_or(0);
        state.status = Status::Created;
        let options = HookOptions {
            default_env: self.process.env().as_deref(),
            ..HookOptions::default()
        };
        hooks::run(HookStage::StartContainer, &plan.hooks, &state, &options).map_err(|e| chain(&e))
    }
}

impl Executor for Runner {
    fn validate(&self, _normalised: &Spec) -> Result<(), ExecutorValidationError> {
        set_comm(c"nexcage:init");
        if matches!(self.kind, Kind::Init(_)) {
            // Init of a pid namespace ignores what it does not handle; the execution resets this.
            end_on(&TERMINATING).map_err(|e| self.refuse(format!("handle signals: {e}")))?;
        }
        let program = self.prepare().map_err(|text| self.refuse(text))?;
        *self.program.borrow_mut() = Some(program);
        Ok(())
    }

    /// The environment is passed to `execve` directly, in the config's order; this is the last moment before
    /// libcontainer reports that init is ready, so the commit happens here.
    fn setup_envs(&self, _unordered: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        self.commit()
            .map_err(|e| ExecutorSetEnvsError::Other(format!("commit: {e}")))
    }

    fn exec(&self, _normalised: &Spec) -> Result<(), ExecutorError> {
        match &self.kind {
            Kind::Init(plan) => self.start(plan),
            Kind::Exec => self.execute().inspect_err(|text| {
                // The pipe that libcontainer writes to carries the same text, wrapped.
                drop(self.tell(&FromContainer::Refused(text.clone())));
            }),
        }
        .map_err(ExecutorError::Other)
    }
}

/// libcontainer puts the container's `/dev/null` on standard descriptors that were the node's, but opened for reading
/// only: writing to it would fail.
fn reopen_null() -> std::io::Result<()> {
    for fd in 0..3 {
        let Ok(found) = fstat(fd) else { continue };
        if !is_null_device(&found) {
            continue;
        }
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        // The container may have put something else there: then the descriptor stays as it is.
        if is_null_device(&fstat(null.as_raw_fd())?) {
            dup2(null.as_raw_fd(), fd)?;
        }
    }
    Ok(())
}

const fn libc_ebadf() -> i32 {
    nix::errno::Errno::EBADF as i32
}

fn clamp(cells: u64) -> u16 {
    u16::try_from(cells).unwrap_or(u16::MAX)
}

/// Labels what this process executes next. Only called when the config has a label, which is refused at plan time on
/// a kernel without SELinux.
fn set_exec_label(label: &str) -> std::io::Result<()> {
    rootfs::open_proc("thread-self/attr/exec")?.write_all(label.as_bytes())
}
