//! Adopting orphans: processes below this one whose own parent has died.

use std::io;

use rustix::process::{child_subreaper, getpid, set_child_subreaper};

/// Makes this process the new parent of every orphan below it, or stops that.
///
/// * `on`: whether to adopt. The setting is not inherited by children and survives `execve`.
///
/// # Errors
///
/// The kernel's answer to `PR_SET_CHILD_SUBREAPER`.
///
/// Kernel: `prctl(2)`, `PR_SET_CHILD_SUBREAPER`.
pub fn set_subreaper(on: bool) -> io::Result<()> {
    Ok(set_child_subreaper(on.then(getpid))?)
}

/// Tells whether this process adopts orphans.
///
/// # Errors
///
/// The kernel's answer to `PR_GET_CHILD_SUBREAPER`.
pub fn is_subreaper() -> io::Result<bool> {
    Ok(child_subreaper()?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subreaper_is_set_and_cleared() {
        set_subreaper(true).unwrap();
        let on = is_subreaper().unwrap();
        set_subreaper(false).unwrap();
        assert!(on && !is_subreaper().unwrap());
    }
}
