//! Freezing and thawing a container.
use std::time::{Duration, Instant};

use crate::cgroup::Cgroup;
use crate::dir::{Dir, find_value, is_gone};
use crate::error::CgroupError;
use crate::naming::Hierarchy;

/// How often v1 is asked to freeze: processes that are being born keep it in `FREEZING`.
const TRIES: u32 = 1000;

/// How long v2 may take to stop the last process, and v1 to leave `FREEZING`.
const LIMIT: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Stops every process of the container until [`Cgroup::thaw`].
    ///
    /// # Errors
    ///
    /// * [`CgroupError::NoFreezer`]: no freezer, or the cgroups are not there.
    /// * [`CgroupError::Freeze`]: it did not stop in time; it has been thawed again.
    ///
    /// Kernel: cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst cgroup.freeze.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        let dir = self.freezer()?.ok_or(CgroupError::NoFreezer)?;
        let frozen = if self.freezes_on_v1() {
            freeze_v1(&dir)
        } else {
            freeze_v2(&dir)
        };
        if frozen.is_err() {
            // Half frozen is worse than running; the first error is the one that counts.
            if let Err(error) = thaw(&dir, self.freezes_on_v1()) {
                tracing::warn!(%error, "container left half frozen");
            }
        }
        frozen
    }

    /// Lets the container run again. One that is not frozen, or has gone, is no error.
    ///
    /// # Errors
    ///
    /// [`CgroupError::Write`].
    pub fn thaw(&self) -> Result<(), CgroupError> {
        match self.freezer()? {
            Some(dir) => thaw(&dir, self.freezes_on_v1()),
            None => Ok(()),
        }
    }

    /// Whether the container itself is frozen, not merely a cgroup above it.
    ///
    /// # Errors
    ///
    /// [`CgroupError::Read`], [`CgroupError::Parse`].
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        let Some(dir) = self.freezer()? else { return Ok(false) };
        if self.freezes_on_v1() {
            is_frozen_v1(&dir)
        } else {
            is_frozen_v2(&dir)
        }
    }

    /// The cgroup that freezes.
    fn freezer(&self) -> Result<Option<Dir>, CgroupError> {
        self.find_dir("freezer")
    }

    /// Whether the freezer is a v1 one.
    fn freezes_on_v1(&self) -> bool {
        self.hierarchy("freezer")
            .is_some_and(|hierarchy: &Hierarchy| !hierarchy.is_v2())
    }
}

/// Freezes a v1 cgroup, with a pause now and then for machines that are slow to stop.
fn freeze_v1(dir: &Dir) -> Result<(), CgroupError> {
    let file = "freezer.state";
    for try_number in 1..=TRIES {
        if try_number % 50 == 0 {
            dir.write(file, "THAWED")?;
            std::thread::sleep(Duration::from_millis(10));
        }
        dir.write(file, "FROZEN")?;
        if try_number % 25 == 0 {
            std::thread::sleep(Duration::from_micros(10));
        }
        let text = dir.read(file)?;
        match text.trim() {
            "FROZEN" => return Ok(()),
            "FREEZING" => {}
            _ => return Err(dir.parse_error(file, &text)),
        }
    }
    Err(CgroupError::Freeze {
        path: dir.path().to_owned(),
    })
}

/// Freezes a v2 cgroup and waits for the kernel to say so.
fn freeze_v2(dir: &Dir) -> Result<(), CgroupError> {
    dir.write("cgroup.freeze", "1")?;
    let deadline = Instant::now() + LIMIT;
    while !is_frozen_now(dir)? {
        if Instant::now() >= deadline {
            return Err(CgroupError::Freeze {
                path: dir.path().to_owned(),
            });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Thaws a cgroup.
fn thaw(dir: &Dir, v1: bool) -> Result<(), CgroupError> {
    let (file, value) = if v1 {
        ("freezer.state", "THAWED")
    } else {
        ("cgroup.freeze", "0")
    };
    match dir.try_write(file, value) {
        Ok(()) => Ok(()),
        Err(error) if is_gone(&error) => Ok(()),
        Err(source) => Err(dir.write_error(file, value, source)),
    }
}

/// Whether a v1 cgroup is frozen by itself.
fn is_frozen_v1(dir: &Dir) -> Result<bool, CgroupError> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let Some(text) = dir.read_if_there("freezer.state")? else {
            return Ok(false);
        };
        match text.trim() {
            "THAWED" => return Ok(false),
            "FROZEN" => {
                let own = dir.read_if_there("freezer.self_freezing")?;
                return Ok(own.is_none_or(|own| own.trim() == "1"));
            }
            "FREEZING" if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            _ => return Err(dir.parse_error("freezer.state", &text)),
        }
    }
}

/// Whether a v2 cgroup is frozen by itself.
fn is_frozen_v2(dir: &Dir) -> Result<bool, CgroupError> {
    let asked = dir.read_if_there("cgroup.freeze")?;
    Ok(asked.is_some_and(|text| text.trim() == "1") && is_frozen_now(dir)?)
}

/// Whether all processes of a v2 cgroup have stopped.
fn is_frozen_now(dir: &Dir) -> Result<bool, CgroupError> {
    let events = dir.read_if_there("cgroup.events")?.unwrap_or_default();
    Ok(find_value(&events, "frozen") == Some(1))
}
