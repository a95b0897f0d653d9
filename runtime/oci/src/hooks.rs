//! Runs the OCI hooks of a config: programs that read the container's state from stdin.
//!
//! It knows how one list of hooks is run and how a failure reads; the caller knows when, in which namespace, and what a
//! failure means for the container.
//!
//! Spec: [POSIX-platform Hooks](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#posix-platform-hooks).

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nexcage_sys::command::{DeathSignal, Program};
use oci_spec::runtime::{Hook, Hooks};

use crate::state::OciState;

/// Bytes of a hook's stderr that an error quotes.
const STDERR_TAIL: usize = 4096;

/// One of the six moments at which a config can have programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookStage {
    /// Deprecated: as [`HookStage::CreateRuntime`], before it.
    Prestart,
    /// In create, in the runtime namespace, before `pivot_root`.
    CreateRuntime,
    /// In create, in the container namespace, before `pivot_root`.
    CreateContainer,
    /// In start, in the container namespace, before the user's program.
    StartContainer,
    /// After the user's program was started, in the runtime namespace.
    Poststart,
    /// After the container was deleted, in the runtime namespace.
    Poststop,
}

impl HookStage {
    /// The field of `hooks` in the config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The config's programs for this moment, in the order in which they run.
    #[must_use]
    pub fn select(self, hooks: &Hooks) -> &[Hook] {
        let list = match self {
            Self::Prestart => hooks.prestart(),
            Self::CreateRuntime => hooks.create_runtime(),
            Self::CreateContainer => hooks.create_container(),
            Self::StartContainer => hooks.start_container(),
            Self::Poststart => hooks.poststart(),
            Self::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for HookStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the config does not say about how its hooks are run.
#[derive(Clone, Copy, Debug, Default)]
pub struct HookOptions<'a> {
    /// Working directory: the bundle for the runtime namespace; `None` keeps the caller's.
    pub cwd: Option<&'a Path>,
    /// Environment of a hook that has no `env`, or an empty one; `None` gives it an empty environment.
    ///
    /// runc gives a startContainer hook the environment of the container's process, and lets any other hook without
    /// `env` inherit the runtime's own.
    pub default_env: Option<&'a [String]>,
}

/// Which hook failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookName {
    /// The moment it belongs to.
    pub stage: HookStage,
    /// Its index in the config's list, from 0.
    pub index: usize,
    /// Its program.
    pub path: PathBuf,
}

impl fmt::Display for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hook {} of {} {:?}", self.index, self.stage, self.path)
    }
}

/// Why a hook failed. `stderr` is the end of what it wrote there, escaped to one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// The spec wants an absolute path; nothing was run.
    #[error("{name}: path is not absolute: write the program's full path into config.json")]
    RelativePath {
        /// The hook.
        name: HookName,
    },
    /// The spec wants a timeout above zero; nothing was run.
    #[error("{name}: timeout of {seconds} s: give a number of seconds above 0, or none")]
    BadTimeout {
        /// The hook.
        name: HookName,
        /// What the config says.
        seconds: i64,
    },
    /// The state could not be turned into JSON; nothing was run.
    #[error("{name}: print the container's state")]
    State {
        /// The hook.
        name: HookName,
        /// What cannot be printed.
        source: serde_json::Error,
    },
    /// The program could not be started.
    #[error("{name}: start the program")]
    Spawn {
        /// The hook.
        name: HookName,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The program ran, but its pipes or its end could not be followed; it was killed.
    #[error("{name}: wait for the program")]
    Wait {
        /// The hook.
        name: HookName,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It ended with a code other than 0.
    #[error("{name}: exit status {code}{}", quote(stderr))]
    Exit {
        /// The hook.
        name: HookName,
        /// Its exit code.
        code: i32,
        /// The end of its stderr.
        stderr: String,
    },
    /// A signal ended it.
    #[error("{name}: killed by signal {signal}{}", quote(stderr))]
    Signal {
        /// The hook.
        name: HookName,
        /// The signal's number.
        signal: i32,
        /// The end of its stderr.
        stderr: String,
    },
    /// It ran past its timeout; it and its process group were killed.
    #[error("{name}: no end within its timeout of {seconds} s, killed{}", quote(stderr))]
    Timeout {
        /// The hook.
        name: HookName,
        /// The config's timeout.
        seconds: i64,
        /// The end of its stderr.
        stderr: String,
    },
}

fn quote(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!(": {stderr}")
    }
}

/// Runs hooks in order and stops at the first one that fails.
///
/// * `hooks`: the config's list for `stage`, see [`HookStage::select`].
/// * `state`: what each one reads from its stdin.
///
/// Each hook gets exactly its own environment, no descriptor but 0-2, and a process group of its own. Its stdout is
/// thrown away. At its timeout the whole group is killed. The call returns when the hook itself has ended, also if it
/// left a process in the background. It starts no thread: it may be called in a process that was just forked.
///
/// # Errors
///
/// [`HookError`] of the first hook that failed; later ones were not run.
pub fn run(stage: HookStage, hooks: &[Hook], state: &OciState, opts: &HookOptions<'_>) -> Result<(), HookError> {
    attempts(stage, hooks, state, opts).collect()
}

/// Runs every hook in order, also after one has failed, as the spec asks for poststop.
///
/// The parameters are those of [`run`]. Returns what failed, in order.
pub fn run_all(stage: HookStage, hooks: &[Hook], state: &OciState, opts: &HookOptions<'_>) -> Vec<HookError> {
    attempts(stage, hooks, state, opts).filter_map(Result::err).collect()
}

fn attempts<'a>(
    stage: HookStage,
    hooks: &'a [Hook],
    state: &'a OciState,
    opts: &'a HookOptions<'a>,
) -> impl Iterator<Item = Result<(), HookError>> + 'a {
    hooks.iter().enumerate().map(move |(index, hook)| {
        let name = HookName {
            stage,
            index,
            path: hook.path().clone(),
        };
        tracing::debug!(hook = %name, "oci hook started");
        run_one(name, hook, state, opts)
    })
}

fn run_one(name: HookName, hook: &Hook, state: &OciState, opts: &HookOptions<'_>) -> Result<(), HookError> {
    if !hook.path().is_absolute() {
        return Err(HookError::RelativePath { name });
    }
    let seconds = hook.timeout();
    let deadline = match seconds.map(u64::try_from) {
        None => None,
        Some(Ok(seconds)) if seconds > 0 => Instant::now().checked_add(Duration::from_secs(seconds)),
        Some(_) => {
            return Err(HookError::BadTimeout {
                name,
                seconds: seconds.unwrap_or_default(),
            });
        }
    };
    let input = match serde_json::to_vec(state) {
        Ok(input) => input,
        Err(source) => return Err(HookError::State { name, source }),
    };
    let running = match program(hook, opts).spawn() {
        Ok(running) => running,
        Err(source) => return Err(HookError::Spawn { name, source }),
    };
    let finished = match running.finish(&input, deadline, STDERR_TAIL) {
        Ok(finished) => finished,
        Err(source) => return Err(HookError::Wait { name, source }),
    };
    let stderr = one_line(&finished.stderr_tail);
    match seconds {
        Some(seconds) if finished.timed_out => Err(HookError::Timeout { name, seconds, stderr }),
        _ => check_status(name, finished.status, stderr),
    }
}

fn program(hook: &Hook, opts: &HookOptions<'_>) -> Program {
    let mut program = Program::new(hook.path());
    let own_env = hook.env().as_deref().filter(|env| !env.is_empty());
    program.env(own_env.or(opts.default_env).unwrap_or_default());
    program.argv(hook.args().as_deref().unwrap_or_default());
    program.death_signal(DeathSignal::SIGKILL);
    if let Some(dir) = opts.cwd {
        program.cwd(dir);
    }
    program
}

fn check_status(name: HookName, status: ExitStatus, stderr: String) -> Result<(), HookError> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(HookError::Exit { name, code, stderr }),
        (None, signal) => Err(HookError::Signal {
            name,
            signal: signal.unwrap_or_default(),
            stderr,
        }),
    }
}

/// Turns a program's output into text that fits one line: ends trimmed, control characters escaped.
fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut line = String::with_capacity(text.len());
    for character in text.trim().chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests;
