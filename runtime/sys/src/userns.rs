//! Which user this process is, and in which kind of user namespace.

use std::io;

/// The effective user id, in this process's user namespace.
#[must_use]
pub fn euid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The effective group id, in this process's user namespace.
#[must_use]
pub fn egid() -> u32 {
    rustix::process::getegid().as_raw()
}

/// Tells whether this process runs in a user namespace that is not the initial one.
///
/// A kernel without user namespaces has no `uid_map` file; then the answer is no.
///
/// # Errors
///
/// Reading `/proc/self/uid_map`.
///
/// Kernel: `user_namespaces(7)`; only the initial namespace maps the whole range onto itself in one line.
pub fn is_in_user_namespace() -> io::Result<bool> {
    match std::fs::read_to_string("/proc/self/uid_map") {
        Ok(map) => Ok(!is_initial_map(&map)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_initial_map(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(map: &str, initial: bool) {
        assert_eq!(is_initial_map(map), initial, "{map:?}");
    }

    #[test]
    fn only_the_full_identity_map_is_initial() {
        check("         0          0 4294967295\n", true);
        check("0 1000 1\n", false);
        check("0 0 65536\n", false);
        check("0 1000 1\n1 100000 65536\n", false);
        check("", false);
    }
}
