//! Finding the program to execute and the environment to give it, as Go's `exec.LookPath` and runc do.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, stat};
use nix::unistd::{AccessFlags, access};
use oci_spec::runtime::Process;

/// A program that is ready to be executed.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Absolute or slash-containing path.
    pub(crate) path: CString,
    /// Arguments, `argv[0]` first.
    pub(crate) args: Vec<CString>,
    /// Environment in the config's order.
    pub(crate) env: Vec<CString>,
}

/// Why there is no program to execute. The texts are an interface: clients derive exit codes 126 and 127 from them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ProgramError {
    /// `process.args` is empty.
    #[error("process.args is empty: name a program to run")]
    NoArgs,
    /// No directory of `$PATH` holds the program.
    #[error("exec: {0:?}: executable file not found in $PATH")]
    NotInPath(String),
    /// A path that cannot be looked at.
    #[error("exec: {name:?}: stat {name}: {reason}")]
    Stat {
        /// As configured.
        name: String,
        /// The kernel's words.
        reason: String,
    },
    /// A directory or a file without an execute bit.
    #[error("exec: {name:?}: {reason}")]
    NotExecutable {
        /// As configured.
        name: String,
        /// The kernel's words.
        reason: String,
    },
    /// A NUL byte in an argument or variable.
    #[error("process.{0} holds a NUL byte")]
    Nul(&'static str),
}

/// Finds the program of `process` from inside the container, as its user.
pub(crate) fn find(process: &Process) -> Result<Program, ProgramError> {
    let args = process.args().as_deref().unwrap_or_default();
    let name = args.first().ok_or(ProgramError::NoArgs)?;
    let env = environment(process);
    let path = look_up(name, search_path(&env))?;
    Ok(Program {
        path: CString::new(path.as_os_str().as_bytes()).map_err(|_nul| ProgramError::Nul("args"))?,
        args: c_strings(args, "args")?,
        env: c_strings(&env, "env")?,
    })
}

/// The kernel's words for an errno, in the lower case that clients search for.
pub(crate) fn reason(errno: Errno) -> String {
    errno.desc().to_lowercase()
}

fn c_strings(strings: &[String], field: &'static str) -> Result<Vec<CString>, ProgramError> {
    strings
        .iter()
        .map(|s| CString::new(s.as_bytes()).map_err(|_nul| ProgramError::Nul(field)))
        .collect()
}

/// The config's environment; of a variable that is set twice the last value holds, at the first one's place.
/// `HOME` is added from the container's own passwd file when it is missing or empty.
fn environment(process: &Process) -> Vec<String> {
    let mut env: Vec<String> = Vec::new();
    for entry in process.env().as_deref().unwrap_or_default() {
        let name = entry.split('=').next().unwrap_or_default();
        match env.iter_mut().find(|e| e.split('=').next() == Some(name)) {
            Some(earlier) => entry.clone_into(earlier),
            None => env.push(entry.clone()),
        }
    }
    if !env
        .iter()
        .any(|e| e.strip_prefix("HOME=").is_some_and(|home| !home.is_empty()))
    {
        env.retain(|e| !e.starts_with("HOME="));
        env.push(format!("HOME={}", home(process.user().uid())));
    }
    env
}

/// Home directory of a user of the container; `/` for one that its passwd file does not name.
fn home(uid: u32) -> String {
    read_regular(Path::new("/etc/passwd"))
        .ok()
        .and_then(|passwd| nexcage_oci::users::home_of(&passwd, uid))
        .unwrap_or_else(|| "/".to_owned())
}

/// Longest user database that is read.
const MAX_PASSWD: u64 = 1 << 20;

/// Reads the start of a file of the image, which may be a pipe or a device that never ends: nothing is read of those.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let mut bytes = Vec::new();
    if file.metadata()?.is_file() {
        file.take(MAX_PASSWD).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn search_path(env: &[String]) -> &str {
    env.iter()
        .rev()
        .find_map(|e| e.strip_prefix("PATH="))
        .unwrap_or_default()
}

fn look_up(name: &str, search: &str) -> Result<PathBuf, ProgramError> {
    if name.contains('/') {
        return check(Path::new(name))
            .map(|()| PathBuf::from(name))
            .map_err(|refused| refused.for_path(name));
    }
    search
        .split(':')
        .filter(|_| !name.is_empty() && !search.is_empty())
        .map(|dir| Path::new(if dir.is_empty() { "." } else { dir }).join(name))
        .find(|path| check(path).is_ok())
        .ok_or_else(|| ProgramError::NotInPath(name.to_owned()))
}

/// Why one candidate was refused.
enum Refused {
    Stat(Errno),
    Mode(Errno),
}

impl Refused {
    fn for_path(self, name: &str) -> ProgramError {
        let name = name.to_owned();
        match self {
            Self::Stat(errno) => ProgramError::Stat {
                name,
                reason: reason(errno),
            },
            Self::Mode(errno) => ProgramError::NotExecutable {
                name,
                reason: reason(errno),
            },
        }
    }
}

fn check(path: &Path) -> Result<(), Refused> {
    let found = stat(path).map_err(Refused::Stat)?;
    if found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits() {
        return Err(Refused::Mode(Errno::EISDIR));
    }
    if found.st_mode & 0o111 == 0 {
        return Err(Refused::Mode(Errno::EACCES));
    }
    access(path, AccessFlags::X_OK).map_err(Refused::Mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::ProcessBuilder;

    fn process(args: &[&str], env: &[&str]) -> Process {
        ProcessBuilder::default()
            .args(args.iter().map(ToString::to_string).collect::<Vec<_>>())
            .env(env.iter().map(ToString::to_string).collect::<Vec<_>>())
            .build()
            .unwrap()
    }

    #[track_caller]
    fn check_text(args: &[&str], env: &[&str], expected: &str) {
        assert_eq!(find(&process(args, env)).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_missing_program_has_the_text_that_gives_exit_code_127() {
        check_text(
            &["nosuch"],
            &["PATH=/bin"],
            r#"exec: "nosuch": executable file not found in $PATH"#,
        );
        check_text(
            &["nosuch"],
            &[],
            r#"exec: "nosuch": executable file not found in $PATH"#,
        );
        check_text(
            &["/no/such"],
            &[],
            r#"exec: "/no/such": stat /no/such: no such file or directory"#,
        );
    }

    #[test]
    fn a_file_that_cannot_be_executed_has_the_text_that_gives_exit_code_126() {
        check_text(&["/etc/passwd"], &[], r#"exec: "/etc/passwd": permission denied"#);
        check_text(&["/etc"], &[], r#"exec: "/etc": is a directory"#);
    }

    #[test]
    fn the_program_is_found_in_path_order() {
        let found = find(&process(&["sh", "-c"], &["PATH=/nowhere:/bin:/usr/bin"])).unwrap();
        assert_eq!(found.path.to_str().unwrap(), "/bin/sh");
        assert_eq!(found.args.len(), 2);
    }

    #[test]
    fn the_last_value_of_a_repeated_variable_holds_and_home_is_added() {
        let env = environment(&process(&["x"], &["A=1", "B=2", "A=3", "HOME="]));
        assert_eq!(env.first().unwrap(), "A=3");
        assert_eq!(env.get(1).unwrap(), "B=2");
        assert!(env.iter().any(|e| e.starts_with("HOME=/")));
        assert_eq!(env.iter().filter(|e| e.starts_with("HOME=")).count(), 1);
    }

    #[test]
    fn a_given_home_is_kept() {
        assert!(environment(&process(&["x"], &["HOME=/x"])).contains(&"HOME=/x".to_owned()));
    }
}
