//! Notice of OOM kills, and their number.
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::cgroup::Cgroup;
use crate::dir::{Dir, find_value};
use crate::error::CgroupError;
use crate::naming::Hierarchy;

/// What an [`OomWatch`] has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OomEvent {
    /// A process of the container met the memory limit.
    Oom,
    /// The container has no process any more, or its cgroup is gone: nothing more will come.
    Gone,
    /// The time was up first.
    Timeout,
}

/// A watch on a container's OOM kills.
#[derive(Debug)]
pub struct OomWatch {
    hierarchy: Hierarchy,
    source: Source,
}

/// Where the notice comes from.
#[derive(Debug)]
enum Source {
    /// v1: the kernel counts up an eventfd. The file must stay open.
    Event { event: EventFd, _control: File },
    /// v2: the kernel marks two files as modified.
    Watch { inotify: Inotify, seen: u64 },
}

impl AsFd for OomWatch {
    /// A descriptor that becomes readable when [`OomWatch::wait`] has something to say; for a poll loop.
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.source {
            Source::Event { event, .. } => event.as_fd(),
            Source::Watch { inotify, .. } => inotify.as_fd(),
        }
    }
}

impl Cgroup {
    /// Starts to watch for OOM kills.
    ///
    /// # Errors
    ///
    /// * [`CgroupError::NoMemory`]: no memory controller.
    /// * [`CgroupError::Watch`] and the errors of opening.
    ///
    /// Kernel: cgroup-v1/memory.rst OOM Control; cgroup-v2.rst memory.events.
    pub fn oom_watch(&self) -> Result<OomWatch, CgroupError> {
        let hierarchy = self.hierarchy("memory").ok_or(CgroupError::NoMemory)?;
        let dir = Dir::open(hierarchy)?;
        let source = if hierarchy.is_v2() {
            watch_v2(&dir)?
        } else {
            watch_v1(&dir)?
        };
        Ok(OomWatch {
            hierarchy: hierarchy.clone(),
            source,
        })
    }

    /// How many processes of the container were killed for lack of memory.
    ///
    /// Returns 0 without a memory controller.
    ///
    /// # Errors
    ///
    /// [`CgroupError::Read`].
    pub fn oom_kill_count(&self) -> Result<u64, CgroupError> {
        let Some(dir) = self.find_dir("memory")? else {
            return Ok(0);
        };
        let v2 = self.hierarchy("memory").is_some_and(Hierarchy::is_v2);
        let text = dir.read_if_there(if v2 { "memory.events" } else { "memory.oom_control" })?;
        Ok(find_value(&text.unwrap_or_default(), "oom_kill").unwrap_or(0))
    }
}

/// An error of one step.
fn failed(dir: &Dir, step: &'static str, source: impl Into<std::io::Error>) -> CgroupError {
    CgroupError::Watch {
        path: dir.path().to_owned(),
        step,
        source: source.into(),
    }
}

/// Registers an eventfd with the v1 controller.
fn watch_v1(dir: &Dir) -> Result<Source, CgroupError> {
    let control = dir
        .open_file("memory.oom_control", libc::O_RDONLY)
        .map_err(|error| failed(dir, "open memory.oom_control", error))?;
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let event = EventFd::from_flags(flags).map_err(|errno| failed(dir, "make an eventfd", errno))?;
    let line = format!("{} {}", event.as_fd().as_raw_fd(), control.as_raw_fd());
    dir.write("cgroup.event_control", &line)?;
    Ok(Source::Event {
        event,
        _control: control,
    })
}

/// Watches the v2 files.
fn watch_v2(dir: &Dir) -> Result<Source, CgroupError> {
    let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
    let inotify = Inotify::init(flags).map_err(|errno| failed(dir, "make an inotify", errno))?;
    let watch = |file: &'static str| {
        inotify
            .add_watch(&dir.path().join(file), AddWatchFlags::IN_MODIFY)
            .map_err(|errno| failed(dir, file, errno))
    };
    watch("memory.events")?;
    watch("cgroup.events")?;
    let seen = find_value(&dir.read("memory.events")?, "oom_kill").unwrap_or(0);
    Ok(Source::Watch { inotify, seen })
}

impl OomWatch {
    /// Waits for the next event.
    ///
    /// * `timeout`: how long; `None` means until something happens.
    ///
    /// # Errors
    ///
    /// [`CgroupError::Watch`].
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<OomEvent, CgroupError> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            if let Some(event) = self.take()? {
                return Ok(event);
            }
            let left = match deadline {
                None => PollTimeout::NONE,
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(OomEvent::Timeout);
                    }
                    // Rounded up, so that the last part of a millisecond is no busy loop.
                    PollTimeout::try_from(left.saturating_add(Duration::from_millis(1))).unwrap_or(PollTimeout::MAX)
                }
            };
            let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, left) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(self.failed("poll", errno)),
            }
        }
    }

    /// Takes what has come in, without waiting.
    fn take(&mut self) -> Result<Option<OomEvent>, CgroupError> {
        let dir = Dir::find(&self.hierarchy)?;
        match &mut self.source {
            Source::Event { event, .. } => match (event.read(), dir) {
                // The kernel also counts up when the cgroup is removed.
                (Ok(_) | Err(nix::errno::Errno::EAGAIN), None) => Ok(Some(OomEvent::Gone)),
                (Ok(_), Some(_)) => Ok(Some(OomEvent::Oom)),
                (Err(nix::errno::Errno::EAGAIN), Some(_)) => Ok(None),
                (Err(errno), _) => Err(self.failed("read the eventfd", errno)),
            },
            Source::Watch { inotify, seen } => {
                let Some(dir) = dir else {
                    return Ok(Some(OomEvent::Gone));
                };
                // The kernel holds the notice of a kill back for some milliseconds, so that of the end may overtake it: the
                // files alone say what has happened.
                match inotify.read_events() {
                    Ok(_) | Err(nix::errno::Errno::EAGAIN) => {}
                    Err(errno) => return Err(self.failed("read the inotify", errno)),
                }
                let text = |file: &str| dir.try_read(file).unwrap_or_default();
                // In this order: whoever has ended by the first look was counted before the second.
                let populated = find_value(&text("cgroup.events"), "populated").unwrap_or(0) > 0;
                let now = find_value(&text("memory.events"), "oom_kill").unwrap_or(*seen);
                if now > *seen {
                    *seen = now;
                    return Ok(Some(OomEvent::Oom));
                }
                Ok((!populated).then_some(OomEvent::Gone))
            }
        }
    }

    /// An error of one step.
    fn failed(&self, step: &'static str, errno: nix::errno::Errno) -> CgroupError {
        CgroupError::Watch {
            path: self.hierarchy.full(),
            step,
            source: errno.into(),
        }
    }
}
