//! What `/proc` tells about other processes. It knows nothing of containers.

use std::path::PathBuf;
use std::{fs, io};

use serde::{Deserialize, Serialize};

/// One process, told apart from a later one that got the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessIdentity {
    /// The pid, in the pid namespace of the mounted `/proc`.
    pub pid: i32,
    /// When it started, in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub start_time: u64,
}

impl ProcessIdentity {
    /// The identity of a process that exists.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none; otherwise the step that failed.
    pub fn of(pid: i32) -> io::Result<Self> {
        read_identity(pid)
            .map_err(io::Error::other)?
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The calling process's identity.
    ///
    /// # Errors
    ///
    /// As [`ProcessIdentity::of`].
    pub fn of_self() -> io::Result<Self> {
        Self::of(nix::unistd::getpid().as_raw())
    }

    /// Whether this very process still runs; a zombie, or one that cannot be looked at, does not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        is_alive(self).unwrap_or(false)
    }
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStat {
    /// The process.
    pub identity: ProcessIdentity,
    /// Its command name, at most 15 bytes; any byte can be in it.
    pub comm: String,
    /// The state letter: `R`, `S`, `D`, `T`, `t`, `Z`, `X`, `I`.
    pub state: char,
    /// The pid of its parent.
    pub ppid: i32,
    /// The process group.
    pub pgrp: i32,
    /// The session.
    pub session: i32,
}

impl ProcessStat {
    /// Tells whether the process still runs: neither a zombie nor dead.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// A question to `/proc` that got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcError {
    /// The file could not be read, for another reason than that the process is gone.
    #[error("read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The file is not in the kernel's format.
    #[error("parse {path:?}: no {field}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The field that is missing or no number.
        field: &'static str,
    },
}

/// Reads a process's stat line.
///
/// * `pid`: in the pid namespace of the mounted `/proc`.
///
/// Returns `None` when there is no such process.
///
/// # Errors
///
/// * [`ProcError::Read`]: the file is there and cannot be read.
/// * [`ProcError::Parse`]: a field is missing.
///
/// Kernel: `proc_pid_stat(5)`.
pub fn read_stat(pid: i32) -> Result<Option<ProcessStat>, ProcError> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    match fs::read(&path) {
        Ok(bytes) => match parse_stat(&bytes) {
            Ok(stat) => Ok(Some(stat)),
            Err(field) => Err(ProcError::Parse { path, field }),
        },
        Err(error) if is_gone(&error) => Ok(None),
        Err(source) => Err(ProcError::Read { path, source }),
    }
}

/// Reads who a pid is now, to recognise it later.
///
/// Returns `None` when there is no such process; a zombie still has an identity.
///
/// # Errors
///
/// As [`read_stat`].
pub fn read_identity(pid: i32) -> Result<Option<ProcessIdentity>, ProcError> {
    Ok(read_stat(pid)?.map(|stat| stat.identity))
}

/// Tells whether exactly this process still runs.
///
/// A zombie, a dead process, and another process that got the pid all count as not alive.
///
/// # Errors
///
/// As [`read_stat`].
pub fn is_alive(identity: ProcessIdentity) -> Result<bool, ProcError> {
    Ok(read_stat(identity.pid)?.is_some_and(|stat| stat.identity == identity && stat.is_alive()))
}

/// Reads the pid of a process's parent; `None` when there is no such process.
///
/// # Errors
///
/// As [`read_stat`].
pub fn read_ppid(pid: i32) -> Result<Option<i32>, ProcError> {
    Ok(read_stat(pid)?.map(|stat| stat.ppid))
}

/// Reads the pids of a process's children, those of all its threads, sorted.
///
/// The list is a snapshot: a child can be gone, or another be born, before the caller looks at it.
/// Returns an empty list when there is no such process.
///
/// # Errors
///
/// * [`ProcError::Read`]: the task folder or a children file cannot be read; a kernel without
///   `CONFIG_PROC_CHILDREN` has none.
/// * [`ProcError::Parse`]: an entry is no number.
///
/// Kernel: `proc_tid_children(5)`.
pub fn read_children(pid: i32) -> Result<Vec<i32>, ProcError> {
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    let entries = match fs::read_dir(&tasks) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(source) => return Err(ProcError::Read { path: tasks, source }),
    };
    let mut children = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => append_children(&entry.path(), &mut children)?,
            Err(error) if is_gone(&error) => {}
            Err(source) => return Err(ProcError::Read { path: tasks, source }),
        }
    }
    children.sort_unstable();
    Ok(children)
}

fn append_children(task: &std::path::Path, children: &mut Vec<i32>) -> Result<(), ProcError> {
    let path = task.join("children");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        // The thread has ended since it was listed; a missing file under a live thread is a kernel without the list.
        Err(error) if is_gone(&error) && !task.exists() => return Ok(()),
        Err(source) => return Err(ProcError::Read { path, source }),
    };
    for word in text.split_ascii_whitespace() {
        let child = word
            .parse()
            .map_err(|_not_a_number: std::num::ParseIntError| ProcError::Parse {
                path: path.clone(),
                field: "child pid",
            })?;
        children.push(child);
    }
    Ok(())
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// Splits at the last `)`: the command name before it can hold spaces, parentheses and newlines.
fn parse_stat(bytes: &[u8]) -> Result<ProcessStat, &'static str> {
    let open = bytes.iter().position(|byte| *byte == b'(').ok_or("command name")?;
    let close = bytes.iter().rposition(|byte| *byte == b')').ok_or("command name")?;
    let pid = parse_word(bytes.get(..open)).ok_or("pid")?;
    let comm = bytes.get(open + 1..close).ok_or("command name")?;
    let rest = bytes.get(close + 1..).unwrap_or_default();
    let words: Vec<&[u8]> = rest
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    let state = words.first().and_then(|word| word.first()).ok_or("state")?;
    Ok(ProcessStat {
        identity: ProcessIdentity {
            pid,
            start_time: parse_word(words.get(19).copied()).ok_or("start time")?,
        },
        comm: String::from_utf8_lossy(comm).into_owned(),
        state: char::from(*state),
        ppid: parse_word(words.get(1).copied()).ok_or("parent pid")?,
        pgrp: parse_word(words.get(2).copied()).ok_or("process group")?,
        session: parse_word(words.get(3).copied()).ok_or("session")?,
    })
}

fn parse_word<T: std::str::FromStr>(word: Option<&[u8]>) -> Option<T> {
    std::str::from_utf8(word?).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
