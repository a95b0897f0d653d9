//! Loading a system call filter.

use std::io;

/// One instruction of a filter: `struct sock_filter` of the kernel's `linux/filter.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip when a comparison holds.
    pub jump_true: u8,
    /// How many to skip when it does not.
    pub jump_false: u8,
    /// The operand.
    pub operand: u32,
}

/// Whose system calls the filter sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread's, and those of threads that it makes later.
    Calling,
    /// Those of all threads of this process: they are changed in one step or not at all.
    All,
}

/// A filter that is not in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeccompError {
    /// The process could not give up privileges gained by `execve`, without which the kernel takes no filter.
    #[error("set no_new_privs")]
    NoNewPrivs {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The program is longer than the kernel's field for its length.
    #[error("load seccomp filter of {length} instructions: 65535 are allowed")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// The kernel refused: `ENOSYS` or `EINVAL` without seccomp, `EINVAL` for a bad program.
    #[error("load seccomp filter")]
    Load {
        /// The kernel's answer.
        source: io::Error,
    },
    /// A thread has filters that are no prefix of ours, so that none was changed.
    #[error("load seccomp filter in thread {thread}: it has other filters")]
    Thread {
        /// Its id.
        thread: i64,
    },
}

/// Sets `no_new_privs` on the calling thread and loads a filter. Neither can be taken back.
///
/// * `program`: the kernel copies it. An earlier filter stays, and the stricter answer counts.
/// * `threads`: [`Threads::All`] sets `no_new_privs` on the other threads too.
///
/// # Errors
///
/// See [`SeccompError`].
///
/// Kernel: `seccomp(2)`, `SECCOMP_SET_MODE_FILTER`, `SECCOMP_FILTER_FLAG_TSYNC`; `PR_SET_NO_NEW_PRIVS`.
pub fn install(program: &[Instruction], threads: Threads) -> Result<(), SeccompError> {
    rustix::thread::set_no_new_privs(true).map_err(|errno| SeccompError::NoNewPrivs { source: errno.into() })?;
    let mut code: Vec<libc::sock_filter> = program.iter().map(raw).collect();
    let length = u16::try_from(code.len()).map_err(|_too_long| SeccompError::TooLong { length: code.len() })?;
    let filter = libc::sock_fprog {
        len: length,
        filter: code.as_mut_ptr(),
    };
    let flags = match threads {
        Threads::Calling => 0,
        Threads::All => libc::SECCOMP_FILTER_FLAG_TSYNC,
    };
    let pointer: *const libc::sock_fprog = &raw const filter;
    // SAFETY: `filter` and the `len` instructions that it points to live through the call, and the kernel only reads them.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, pointer) };
    match result {
        0 => Ok(()),
        thread if thread > 0 => Err(SeccompError::Thread { thread }),
        _ => Err(SeccompError::Load {
            source: io::Error::last_os_error(),
        }),
    }
}

fn raw(instruction: &Instruction) -> libc::sock_filter {
    libc::sock_filter {
        code: instruction.code,
        jt: instruction.jump_true,
        jf: instruction.jump_false,
        k: instruction.operand,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_return_is_refused() {
        let load = Instruction {
            code: 0x20,
            jump_true: 0,
            jump_false: 0,
            operand: 0,
        };
        let refused = std::thread::spawn(move || install(&[load], Threads::Calling))
            .join()
            .unwrap();
        assert!(matches!(refused, Err(SeccompError::Load { source }) if source.raw_os_error() == Some(libc::EINVAL)));
    }

    #[test]
    fn a_program_longer_than_its_length_field_is_refused() {
        let give = Instruction {
            code: 0x06,
            jump_true: 0,
            jump_false: 0,
            operand: 0,
        };
        let program = vec![give; 65_536];
        let refused = std::thread::spawn(move || install(&program, Threads::Calling))
            .join()
            .unwrap();
        assert!(matches!(refused, Err(SeccompError::TooLong { length: 65_536 })));
    }
}
