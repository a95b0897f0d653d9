//! Whether other processes may look into this one through `/proc/PID` and ptrace.

use std::io;

use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};

/// Makes this process dumpable or not.
///
/// * `dumpable`: `false` gives `/proc/self/*` to the root user of the initial user namespace and refuses ptrace, so
///   that a process of the container cannot open the descriptors of a runtime process that has joined it.
///
/// The kernel sets it back to `true` on `execve` of an ordinary program.
///
/// # Errors
///
/// The kernel's answer to `PR_SET_DUMPABLE`.
///
/// Kernel: `prctl(2)`, `PR_SET_DUMPABLE`.
pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    let behavior = if dumpable {
        DumpableBehavior::Dumpable
    } else {
        DumpableBehavior::NotDumpable
    };
    Ok(set_dumpable_behavior(behavior)?)
}

/// Tells whether this process is dumpable.
///
/// # Errors
///
/// The kernel's answer to `PR_GET_DUMPABLE`.
///
/// Kernel: `prctl(2)`, `PR_GET_DUMPABLE`.
pub fn is_dumpable() -> io::Result<bool> {
    Ok(dumpable_behavior()? == DumpableBehavior::Dumpable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumpable_is_set_and_read_back() {
        set_dumpable(false).unwrap();
        let off = is_dumpable().unwrap();
        set_dumpable(true).unwrap();
        assert!(!off && is_dumpable().unwrap());
    }
}
