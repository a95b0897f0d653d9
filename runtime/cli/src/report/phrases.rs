//! Words of runc's that clients search for in our error texts. They are an interface: change none.

/// `kill` and `exec` on a container whose init is gone: containerd takes it as already stopped.
pub const CONTAINER_NOT_RUNNING: &str = "container not running";
/// The same, of a process.
pub const PROCESS_ALREADY_FINISHED: &str = "process already finished";
/// The kernel's ESRCH in lower case, as Go prints it.
pub const NO_SUCH_PROCESS: &str = "no such process";
/// Part of the answer for an unknown id: containerd takes a delete as done.
pub const DOES_NOT_EXIST: &str = "does not exist";
/// The whole answer for an unknown id.
pub const CONTAINER_DOES_NOT_EXIST: &str = "container does not exist";
/// `create` of an id that is taken.
pub const CONTAINER_EXISTS: &str = "container with given ID already exists";
/// An id of a wrong form.
pub const INVALID_ID: &str = "invalid container ID format";
/// `resume` of a container that runs: Docker goes on.
pub const CONTAINER_NOT_PAUSED: &str = "container not paused";
/// `start` of a container that runs.
pub const START_RUNNING: &str = "cannot start an already running container";
/// `start` of a container that has stopped.
pub const START_STOPPED: &str = "cannot start a container that has stopped";
/// `exec` in a container that has stopped.
pub const EXEC_STOPPED: &str = "cannot exec in a stopped container";
/// `exec` in a paused container.
pub const EXEC_PAUSED: &str = "cannot exec in a paused container (use --ignore-paused to override)";
/// Podman and Docker turn it into exit code 127.
pub const NOT_FOUND_IN_PATH: &str = "executable file not found in $PATH";
/// Podman and Docker turn it into exit code 127.
pub const NO_SUCH_FILE: &str = "no such file or directory";
/// Podman and Docker turn it into exit code 126.
pub const PERMISSION_DENIED: &str = "permission denied";
/// Podman turns it into exit code 126.
pub const NOT_PERMITTED: &str = "operation not permitted";

/// Says that a program without a slash is in no directory of the container's PATH.
#[must_use]
pub fn program_not_in_path(program: &str) -> String {
    format!("exec: {program:?}: {NOT_FOUND_IN_PATH}")
}

/// Says that a program given by path is not in the container.
#[must_use]
pub fn program_not_found(program: &str) -> String {
    format!("exec: {program:?}: stat {program}: {NO_SUCH_FILE}")
}

/// Says that a program may not be run: no execute bit, a directory, or a filesystem without exec.
#[must_use]
pub fn program_not_executable(program: &str) -> String {
    format!("exec: {program:?}: {PERMISSION_DENIED}")
}

/// Says that a container cannot be deleted while it runs or is paused.
#[must_use]
pub fn delete_not_stopped(id: &str, status: &str) -> String {
    format!("cannot delete container {id} that is not stopped: {status}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spelled out a second time on purpose: these bytes are what clients match.
    #[test]
    fn phrases_are_runcs() {
        let golden = [
            (CONTAINER_NOT_RUNNING, "container not running"),
            (PROCESS_ALREADY_FINISHED, "process already finished"),
            (NO_SUCH_PROCESS, "no such process"),
            (DOES_NOT_EXIST, "does not exist"),
            (CONTAINER_DOES_NOT_EXIST, "container does not exist"),
            (CONTAINER_EXISTS, "container with given ID already exists"),
            (INVALID_ID, "invalid container ID format"),
            (CONTAINER_NOT_PAUSED, "container not paused"),
            (START_RUNNING, "cannot start an already running container"),
            (START_STOPPED, "cannot start a container that has stopped"),
            (EXEC_STOPPED, "cannot exec in a stopped container"),
            (
                EXEC_PAUSED,
                "cannot exec in a paused container (use --ignore-paused to override)",
            ),
            (NOT_FOUND_IN_PATH, "executable file not found in $PATH"),
            (NO_SUCH_FILE, "no such file or directory"),
            (PERMISSION_DENIED, "permission denied"),
            (NOT_PERMITTED, "operation not permitted"),
        ];
        for (phrase, expected) in golden {
            assert_eq!(phrase, expected);
        }
    }

    #[test]
    fn missing_programs_are_told_in_runcs_words() {
        assert_eq!(
            program_not_in_path("nosuch"),
            "exec: \"nosuch\": executable file not found in $PATH"
        );
        assert_eq!(
            program_not_found("/no/such"),
            "exec: \"/no/such\": stat /no/such: no such file or directory"
        );
        assert_eq!(program_not_executable("/x"), "exec: \"/x\": permission denied");
        assert_eq!(
            delete_not_stopped("c", "running"),
            "cannot delete container c that is not stopped: running"
        );
    }
}
