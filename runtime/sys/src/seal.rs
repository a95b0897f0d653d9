//! Keeps a container from writing to the runtime's own program (CVE-2019-5736).
//!
//! A process of the container can open `/proc/PID/exe` of a runtime process that has entered the container, keep that
//! descriptor, and write to it when the runtime has ended. So the runtime never runs from the installed file: it starts
//! itself again from a read-only clone of the file's mount that is attached nowhere, or from a sealed copy in memory.
//! Whether that has happened is asked of the kernel, never of an environment variable or an argument.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};

use crate::mount::{self, Attributes};

const SELF_EXE: &str = "/proc/self/exe";
const MEMFD_NAME: &str = "nexcage";
const MEMFD_LINK: &[u8] = b"/memfd:nexcage";

/// How the running program is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// It runs from a detached read-only clone of its mount.
    ReadOnlyClone,
    /// It runs from a copy in memory that nobody can change any more.
    SealedMemfd,
}

/// The program could not be protected, so it must not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// `/proc` is missing, or not the kernel's.
    #[error("look up {SELF_EXE:?}: mount /proc")]
    Inspect {
        /// The kernel's answer.
        source: io::Error,
    },
    /// We already run from a clone or a copy, but it can be written to. Starting again would not end.
    #[error("protect {SELF_EXE:?}: {link:?} is neither read-only nor sealed")]
    Unprotected {
        /// What the running program's link says.
        link: PathBuf,
    },
    /// An argument holds a NUL byte.
    #[error("argument {argument:?} holds a NUL byte")]
    Argument {
        /// The argument.
        argument: String,
    },
    /// No copy in memory could be made; the read-only clone was refused before that.
    #[error("copy {SELF_EXE:?} to a sealed memory file (a read-only clone was refused: {clone})")]
    Copy {
        /// Why there is no clone.
        clone: io::Error,
        /// The kernel's answer to the copy.
        source: io::Error,
    },
    /// The kernel would not run the protected program.
    #[error("run the protected copy of {SELF_EXE:?}")]
    Execute {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The process name could not be put back.
    #[error("set process name {name:?}")]
    Name {
        /// The name.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Makes sure that this program runs from a file that no container can write to.
///
/// * `argv`: the arguments to start again with, the program's name first; the environment is passed on as it is.
///
/// Returns how the program is protected. When it was not, this call does not return: the program starts again from
/// its protected image, with the same pid and descriptors, and comes here once more. It never starts a third time.
/// Call it in `create`, `run` and `exec`, before anything is opened or made, in a process with one thread.
///
/// Afterwards `/proc/self/exe` is the protected image, and stays usable to start the program again in any namespace.
///
/// # Errors
///
/// [`SealError`]: go no further, the protection is not there.
///
/// Kernel: `open_tree(2)`, `mount_setattr(2)`, `execveat(2)`; needs `CAP_SYS_ADMIN` and Linux 5.12, else
/// `memfd_create(2)` with all seals.
pub fn ensure_sealed<S: AsRef<OsStr>>(argv: &[S]) -> Result<Sealed, SealError> {
    if let Some(sealed) = read_protection()? {
        restore_name(argv.first().map(AsRef::as_ref))?;
        return Ok(sealed);
    }
    let arguments = to_c_strings(argv)?;
    let program = match open_read_only_clone() {
        Ok(clone) => clone,
        Err(clone) => open_sealed_copy().map_err(|source| SealError::Copy { clone, source })?,
    };
    Err(execute(program.as_fd(), &arguments))
}

/// Tells how the running program is protected; `None` when it runs from an ordinary file.
///
/// # Errors
///
/// [`SealError::Inspect`], [`SealError::Unprotected`].
pub fn read_protection() -> Result<Option<Sealed>, SealError> {
    let inspect = |error: rustix::io::Errno| SealError::Inspect { source: error.into() };
    let link = rustix::fs::readlink(SELF_EXE, Vec::new())
        .map_err(inspect)?
        .into_bytes();
    // The root of a mount that is attached nowhere, when that root is the program itself, has no other name than "/".
    let is_detached = link == b"/";
    if !is_detached && !link.starts_with(MEMFD_LINK) {
        return Ok(None);
    }
    let found = if is_detached {
        is_on_read_only_mount()
            .map_err(inspect)?
            .then_some(Sealed::ReadOnlyClone)
    } else {
        has_all_seals().map_err(inspect)?.then_some(Sealed::SealedMemfd)
    };
    match found {
        Some(sealed) => Ok(Some(sealed)),
        None => Err(SealError::Unprotected {
            link: PathBuf::from(std::ffi::OsString::from_vec(link)),
        }),
    }
}

fn is_on_read_only_mount() -> rustix::io::Result<bool> {
    let file = rustix::fs::open(SELF_EXE, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::fs::fstatvfs(&file)?
        .f_flag
        .contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

fn needed_seals() -> SealFlags {
    SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE
}

fn has_all_seals() -> rustix::io::Result<bool> {
    let file = rustix::fs::open(SELF_EXE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    match rustix::fs::fcntl_get_seals(&file) {
        Ok(seals) => Ok(seals.contains(needed_seals())),
        // A file of that name on an ordinary file system.
        Err(rustix::io::Errno::INVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

fn open_read_only_clone() -> io::Result<OwnedFd> {
    let clone = mount::clone_tree(Path::new(SELF_EXE))?;
    mount::set_attributes(clone.as_fd(), Attributes::READ_ONLY)?;
    Ok(clone)
}

fn open_sealed_copy() -> io::Result<OwnedFd> {
    let mut program = File::open(SELF_EXE)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = match rustix::fs::memfd_create(MEMFD_NAME, flags | MemfdFlags::EXEC) {
        // Before Linux 6.3 every memory file could be run, and the flag is unknown.
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create(MEMFD_NAME, flags)?,
        result => result?,
    };
    let mut copy = File::from(copy);
    let copied = io::copy(&mut program, &mut copy)?;
    if copied != program.metadata()?.len() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    rustix::fs::fcntl_add_seals(&copy, needed_seals())?;
    if !rustix::fs::fcntl_get_seals(&copy)?.contains(needed_seals()) {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    // Run through a read-only descriptor: the kernel refuses to run a file that is open for writing.
    let read_only = rustix::fs::open(
        format!("/proc/self/fd/{}", copy.as_raw_fd()),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    Ok(read_only)
}

fn to_c_strings<S: AsRef<OsStr>>(argv: &[S]) -> Result<Vec<CString>, SealError> {
    let convert = |argument: &S| {
        let argument = argument.as_ref();
        CString::new(argument.as_bytes()).map_err(|_has_nul| SealError::Argument {
            argument: argument.to_string_lossy().into_owned(),
        })
    };
    argv.iter().map(convert).collect()
}

/// Returns only when the kernel refuses.
fn execute(program: BorrowedFd<'_>, argv: &[CString]) -> SealError {
    // SAFETY: one thread runs here (the caller's promise), so nothing changes the environment during the call.
    let environment = unsafe { libc::environ };
    let mut pointers: Vec<*const libc::c_char> = argv.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: `pointers` and `environ` are null-terminated arrays of NUL-terminated strings that outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            pointers.as_ptr(),
            environment,
            libc::AT_EMPTY_PATH,
        )
    };
    SealError::Execute {
        source: io::Error::last_os_error(),
    }
}

/// The kernel named the process after the descriptor number, or `memfd:...`: people look for the program's name.
fn restore_name(argv0: Option<&OsStr>) -> Result<(), SealError> {
    let base = argv0
        .and_then(|argv0| Path::new(argv0).file_name())
        .filter(|base| *base != "exe");
    let name: Vec<u8> = base
        .unwrap_or(OsStr::new(MEMFD_NAME))
        .as_bytes()
        .iter()
        .copied()
        .take(15)
        .collect();
    let name = CString::new(name).unwrap_or_default();
    rustix::thread::set_name(&name).map_err(|error| name_error(&name, error))
}

fn name_error(name: &CStr, error: rustix::io::Errno) -> SealError {
    SealError::Name {
        name: name.to_string_lossy().into_owned(),
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_program_is_not_protected() {
        assert_eq!(read_protection().unwrap(), None);
    }

    #[test]
    fn a_sealed_copy_cannot_be_written_by_anyone() {
        let copy = open_sealed_copy().unwrap();
        let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        let mut writer = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        let error = io::Write::write(&mut writer, b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        assert_eq!(writer.set_len(0).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn an_argument_with_nul_is_refused() {
        assert!(matches!(to_c_strings(&["a\0b"]), Err(SealError::Argument { .. })));
    }
}
