//! What makes a container real: the [`Backend`] trait, its requests and replies.
//!
//! A backend turns an in-memory, validated config into processes. It knows nothing of command lines, state files,
//! pid-files, consoles, waiting or the naming of cgroups: the runtime core owns those and hands over what is open and
//! named. What a backend cannot do it declares in its [`Traits`]; the core refuses such a config at plan time.
#![forbid(unsafe_code)]

mod criu;
mod error;
mod request;
mod traits;

pub use criu::{Checkpoint, CriuOptions, ManageCgroups, Restore};
pub use error::Error;
pub use request::{Console, Container, Create, Exec, KeyringUse, Process, RootChange, Supervisor, Target};
pub use traits::{Trait, Traits};

use nexcage_cgroups::Stats;
use nexcage_sys::signals::Signal;
use oci_spec::runtime::LinuxResources;

/// Makes containers real and acts on them.
///
/// Every call is synchronous and is made under the container's lock.
pub trait Backend {
    /// Name by which state and configuration refer to this backend.
    fn name(&self) -> &'static str;

    /// What this backend can do on this kernel.
    fn traits(&self) -> Traits;

    /// Creates the container and its init process, which waits for [`Backend::start`].
    ///
    /// * `request`: everything that was planned and opened.
    /// * `supervisor`: the core, called back at the moments that belong to it.
    ///
    /// Returns the init process, a child of the caller. On error nothing that the backend made is left.
    ///
    /// # Errors
    ///
    /// [`Error`], naming the step.
    fn create(&self, request: &Create<'_>, supervisor: &mut dyn Supervisor) -> Result<Process, Error>;

    /// Lets a created container's init execute the configured program.
    ///
    /// Returns once the program runs. The container must be `created`.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] with the reason when a startContainer hook or the execution failed; the init is gone then.
    fn start(&self, container: &Container<'_>) -> Result<(), Error>;

    /// Runs another process in a running container and returns it, a child of the caller.
    ///
    /// # Errors
    ///
    /// [`Error`], naming the step; no process is left.
    fn exec(&self, request: &Exec<'_>) -> Result<Process, Error>;

    /// Sends a signal to the init process, or to every process of the container.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] when there is no process to signal.
    fn signal(&self, container: &Container<'_>, signal: Signal, target: Target) -> Result<(), Error>;

    /// Suspends every process of the container.
    ///
    /// # Errors
    ///
    /// [`Error::Cgroup`] when the freezer refuses.
    fn pause(&self, container: &Container<'_>) -> Result<(), Error>;

    /// Resumes a paused container.
    ///
    /// # Errors
    ///
    /// [`Error::Cgroup`] when the freezer refuses.
    fn resume(&self, container: &Container<'_>) -> Result<(), Error>;

    /// Changes the resource limits of a container; absent and zero values are left alone.
    ///
    /// # Errors
    ///
    /// [`Error::Cgroup`] naming the limit; earlier limits of the same request may have been written.
    fn update(&self, container: &Container<'_>, resources: &LinuxResources) -> Result<(), Error>;

    /// Reads the usage counters of a container.
    ///
    /// # Errors
    ///
    /// [`Error::Cgroup`] when a counter cannot be read.
    fn stats(&self, container: &Container<'_>) -> Result<Stats, Error>;

    /// Saves the processes of a running or paused container to disk. Unless it is asked to leave them, they are gone
    /// then.
    ///
    /// # Errors
    ///
    /// [`Error::Criu`] with the log's path and its last errors: the container goes on as before. [`Error::CriuMissing`].
    fn checkpoint(&self, container: &Container<'_>, request: Checkpoint<'_>) -> Result<(), Error>;

    /// Brings saved processes back as a new container, which runs when this returns.
    ///
    /// [`Supervisor::runtime_hooks`] is called when the namespaces exist, [`Supervisor::ready`] when all processes are
    /// there and wait for the last step.
    ///
    /// # Errors
    ///
    /// [`Error::Criu`] with the log's path and its last errors, [`Error::CriuMissing`]; nothing is left.
    fn restore(&self, request: &Restore<'_>, supervisor: &mut dyn Supervisor) -> Result<Process, Error>;

    /// Ends every process of the container and removes what the backend made. Idempotent.
    ///
    /// # Errors
    ///
    /// [`Error`] when something could not be removed; calling again continues.
    fn delete(&self, container: &Container<'_>) -> Result<(), Error>;
}
