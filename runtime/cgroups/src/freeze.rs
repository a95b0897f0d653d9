//! The freezer.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::cgroup::Cgroup;
use crate::error::Error;
use crate::hierarchy::Layout;
use crate::write;

/// How long a cgroup may take to settle.
const SETTLE: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Suspends every process of the cgroup, and returns when they are.
    ///
    /// # Errors
    ///
    /// [`Error::Freeze`] when it does not settle; it is thawed again then.
    pub fn freeze(&self) -> Result<(), Error> {
        let path = self.freezer()?;
        let frozen = self.settle(path, true);
        if frozen.is_err() {
            self.thaw()?;
        }
        frozen
    }

    /// Lets them run again.
    ///
    /// # Errors
    ///
    /// [`Error::Write`].
    pub fn thaw(&self) -> Result<(), Error> {
        let path = self.freezer()?;
        match self.layout {
            Layout::Unified => write::write(&path.join("cgroup.freeze"), "0"),
            Layout::Legacy | Layout::Hybrid => write::write(&path.join("freezer.state"), "THAWED"),
        }
    }

    /// Whether the processes are suspended, or about to be.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::NoController`].
    pub fn is_frozen(&self) -> Result<bool, Error> {
        let path = self.freezer()?;
        Ok(match self.layout {
            Layout::Unified => write::read(&path.join("cgroup.freeze"))? == "1",
            Layout::Legacy | Layout::Hybrid => write::read(&path.join("freezer.state"))? != "THAWED",
        })
    }

    fn freezer(&self) -> Result<&Path, Error> {
        self.path_of("freezer").ok_or(Error::NoController {
            limit: "pause",
            controller: "freezer",
        })
    }

    /// A v1 cgroup whose processes fork can stay FREEZING: writing again, after a thaw, catches the new ones.
    fn settle(&self, path: &Path, frozen: bool) -> Result<(), Error> {
        let deadline = Instant::now() + SETTLE;
        let mut round = 0_u32;
        loop {
            let settled = match self.layout {
                Layout::Unified => {
                    write::write(&path.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
                    write::keyed(&write::read(&path.join("cgroup.events"))?, "frozen") == Some(u64::from(frozen))
                }
                Layout::Legacy | Layout::Hybrid => {
                    let state = path.join("freezer.state");
                    if round % 50 == 49 {
                        write::write(&state, "THAWED")?;
                    }
                    write::write(&state, "FROZEN")?;
                    write::read(&state)? == "FROZEN"
                }
            };
            if settled {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let state = if self.layout == Layout::Unified {
                    "not frozen"
                } else {
                    "FREEZING"
                };
                return Err(Error::Freeze {
                    path: path.to_owned(),
                    state: state.to_owned(),
                });
            }
            round += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
