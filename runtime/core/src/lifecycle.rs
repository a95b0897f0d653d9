//! Which operation is allowed in which status, and what is said when it is not.

use nexcage_oci::Status;

use crate::error::Error;
use crate::phrases;

/// An operation on an existing container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `start`.
    Start,
    /// `kill`.
    Kill,
    /// `kill --all`.
    KillAll,
    /// `exec`.
    Exec,
    /// `exec --ignore-paused`.
    ExecIgnorePaused,
    /// `pause`.
    Pause,
    /// `resume`.
    Resume,
    /// `update`.
    Update,
    /// `ps`.
    Ps,
    /// `events`.
    Events,
    /// `checkpoint`.
    Checkpoint,
    /// `delete`.
    Delete,
    /// `delete --force`.
    ForceDelete,
}

impl Operation {
    /// Every operation, for tests that walk the whole table.
    pub const ALL: [Self; 13] = [
        Self::Start,
        Self::Kill,
        Self::KillAll,
        Self::Exec,
        Self::ExecIgnorePaused,
        Self::Pause,
        Self::Resume,
        Self::Update,
        Self::Ps,
        Self::Events,
        Self::Checkpoint,
        Self::Delete,
        Self::ForceDelete,
    ];

    /// Checks that the operation may be done on a container of this status.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] with runc's words.
    pub fn check(self, status: Status, id: &str) -> Result<(), Error> {
        match self.refusal(status, id) {
            None => Ok(()),
            Some(text) => Err(Error::not_allowed(text, status)),
        }
    }

    fn refusal(self, status: Status, id: &str) -> Option<String> {
        use Status::{Created, Creating, Paused, Running, Stopped};
        let no = |text: &str| Some(text.to_owned());
        match (self, status) {
            (Self::ForceDelete | Self::KillAll, _) => None,
            (Self::Start, Created)
            | (Self::Kill, Created | Running | Paused)
            | (Self::Exec, Running | Created)
            | (Self::ExecIgnorePaused, Running | Created | Paused)
            | (Self::Pause, Running | Created)
            | (Self::Resume, Paused)
            | (Self::Update | Self::Events | Self::Ps, Created | Running | Paused)
            | (Self::Checkpoint, Running | Paused)
            | (Self::Delete, Stopped | Created) => None,

            (Self::Start, Stopped) => no("cannot start a container that has stopped"),
            (Self::Start, Running | Paused) => no("cannot start an already running container"),
            (Self::Start, Creating) => no("cannot start a container that is being created"),
            (Self::Kill, Stopped | Creating) => no(phrases::NOT_RUNNING),
            (Self::Exec | Self::ExecIgnorePaused, Stopped) => no("cannot exec in a stopped container"),
            (Self::Exec, Paused) => no("cannot exec in a paused container (use --ignore-paused to override)"),
            (Self::Exec | Self::ExecIgnorePaused, Creating) => no("cannot exec in a container that is being created"),
            (Self::Resume, _) => no(phrases::NOT_PAUSED),
            (Self::Pause, Paused) => no("container already paused"),
            (Self::Checkpoint, _) => Some(format!("Container cannot be checkpointed in {status} state")),
            (Self::Pause | Self::Update | Self::Events | Self::Ps, _) => {
                Some(format!("{}: container {id:?} is {status}", phrases::NOT_RUNNING))
            }
            (Self::Delete, _) => Some(format!("cannot delete container {id} that is not stopped: {status}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUSES: [Status; 5] = [
        Status::Creating,
        Status::Created,
        Status::Running,
        Status::Paused,
        Status::Stopped,
    ];

    /// One row an operation: the statuses that allow it, in the order of [`STATUSES`].
    const ALLOWED: [(Operation, [bool; 5]); 13] = [
        (Operation::Start, [false, true, false, false, false]),
        (Operation::Kill, [false, true, true, true, false]),
        (Operation::KillAll, [true, true, true, true, true]),
        (Operation::Exec, [false, true, true, false, false]),
        (Operation::ExecIgnorePaused, [false, true, true, true, false]),
        (Operation::Pause, [false, true, true, false, false]),
        (Operation::Resume, [false, false, false, true, false]),
        (Operation::Update, [false, true, true, true, false]),
        (Operation::Ps, [false, true, true, true, false]),
        (Operation::Events, [false, true, true, true, false]),
        (Operation::Checkpoint, [false, false, true, true, false]),
        (Operation::Delete, [false, true, false, false, true]),
        (Operation::ForceDelete, [true, true, true, true, true]),
    ];

    #[test]
    fn every_operation_in_every_status() {
        for (operation, allowed) in ALLOWED {
            for (status, expected) in STATUSES.into_iter().zip(allowed) {
                assert_eq!(
                    operation.check(status, "c").is_ok(),
                    expected,
                    "{operation:?} when {status}"
                );
            }
        }
        assert_eq!(ALLOWED.map(|row| row.0), Operation::ALL);
    }

    #[track_caller]
    fn check_text(operation: Operation, status: Status, expected: &str) {
        assert_eq!(operation.check(status, "c1").unwrap_err().to_string(), expected);
    }

    #[test]
    fn refusals_have_the_phrases_that_clients_search() {
        check_text(Operation::Kill, Status::Stopped, "container not running");
        check_text(Operation::Resume, Status::Running, "container not paused");
        check_text(
            Operation::Delete,
            Status::Running,
            "cannot delete container c1 that is not stopped: running",
        );
        check_text(
            Operation::Checkpoint,
            Status::Created,
            "Container cannot be checkpointed in created state",
        );
        check_text(
            Operation::Start,
            Status::Stopped,
            "cannot start a container that has stopped",
        );
    }
}
