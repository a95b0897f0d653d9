//! `start`: the configured program runs, then the poststart hooks.

use std::path::Path;

use nexcage_oci::Status;
use nexcage_oci::hooks::{self, HookOptions, HookStage};

use crate::error::Error;
use crate::lifecycle::Operation;
use crate::notify::{NotifyRelay, NotifySocket};
use crate::runtime::{Held, Runtime};

impl Runtime {
    /// Starts a created container.
    ///
    /// Returns once its program runs and the poststart hooks are done. When the program cannot run, or a startContainer
    /// or poststart hook fails, the container is stopped and destroyed.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] when it is not `created`; [`Error::Start`], [`Error::Hook`].
    pub fn start(&self, id: &str) -> Result<(), Error> {
        let mut held = self.hold(id, Operation::Start)?;
        let outcome = self.run_program(&mut held).and_then(|()| self.poststart(&held));
        if outcome.is_err() {
            self.destroy_after_failure(held);
        }
        outcome
    }

    /// Listens for the readiness of a created container, if it was created with a socket for it.
    ///
    /// * `value`: the value of `NOTIFY_SOCKET`.
    /// * `main_pid`: what is reported as `MAINPID`; `None`: init.
    ///
    /// Call it before [`Runtime::start`].
    ///
    /// # Errors
    ///
    /// [`Error::Notify`], [`Error::Store`].
    pub fn listen_for_ready(
        &self,
        id: &str,
        value: Option<&Path>,
        main_pid: Option<i32>,
    ) -> Result<Option<NotifyRelay>, Error> {
        let Some(value) = value else { return Ok(None) };
        let snapshot = self.snapshot(id)?;
        let socket = NotifySocket::new(Some(value), &self.store.dir(&snapshot.record.id)).filter(NotifySocket::is_made);
        let listen = |socket: NotifySocket| socket.listen(main_pid.unwrap_or_else(|| snapshot.pid()));
        socket.map(listen).transpose().map_err(Error::Notify)
    }

    fn run_program(&self, held: &mut Held) -> Result<(), Error> {
        self.backend.start(&held.container()).map_err(Error::Start)?;
        held.record.status = Status::Running;
        Ok(held.locked.save(&held.record)?)
    }

    fn poststart(&self, held: &Held) -> Result<(), Error> {
        let spec = self.config_of(&held.record.id)?;
        let Some(hooks) = spec.hooks() else { return Ok(()) };
        let state = held.record.oci_state(Status::Running);
        let options = HookOptions {
            cwd: Some(&held.record.bundle),
            ..HookOptions::default()
        };
        hooks::run(
            HookStage::Poststart,
            HookStage::Poststart.select(hooks),
            &state,
            &options,
        )
        .map_err(|e| Error::Hook(crate::hooks_text(&e)))
    }

    fn destroy_after_failure(&self, held: Held) {
        let id = held.record.id.clone();
        if let Err(error) = self.destroy(held) {
            tracing::warn!(container = %id, error = %crate::chain(&error), "undo of a failed start is incomplete");
        }
    }
}
