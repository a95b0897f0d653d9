//! Out-of-memory events.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::cgroup::Cgroup;
use crate::error::Error;
use crate::hierarchy::Layout;
use crate::write;

/// A descriptor that becomes readable when the memory limit was hit.
#[derive(Debug)]
pub struct OomWatch {
    source: Source,
    events: PathBuf,
    seen: u64,
}

#[derive(Debug)]
enum Source {
    /// v1: the kernel counts on an eventfd; the control file stays open for as long.
    Event { fd: EventFd, _control: File },
    /// v2: the events file changes.
    Inotify(Inotify),
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.source {
            Source::Event { fd, .. } => fd.as_fd(),
            Source::Inotify(inotify) => inotify.as_fd(),
        }
    }
}

impl OomWatch {
    /// Takes what is readable, and says how many processes were killed since the last call.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`].
    pub fn take(&mut self) -> Result<u64, Error> {
        match &self.source {
            Source::Event { fd, .. } => fd.read().map_err(|e| Error::Watch(e.into())),
            Source::Inotify(inotify) => {
                inotify.read_events().map_err(|e| Error::Watch(e.into()))?;
                let now = kills_v2(&self.events);
                let new = now.saturating_sub(self.seen);
                self.seen = now;
                Ok(new)
            }
        }
    }
}

fn kills_v2(events: &std::path::Path) -> u64 {
    write::read(events)
        .ok()
        .and_then(|text| write::keyed(&text, "oom_kill"))
        .unwrap_or(0)
}

impl Cgroup {
    /// Watches for processes killed at the memory limit.
    ///
    /// # Errors
    ///
    /// [`Error::NoController`], [`Error::Watch`].
    pub fn oom_watch(&self) -> Result<OomWatch, Error> {
        let path = self.path_of("memory").ok_or(Error::NoController {
            limit: "events",
            controller: "memory",
        })?;
        let failed = |e: io::Error| Error::Watch(e);
        if self.layout == Layout::Unified {
            let events = path.join("memory.events");
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC).map_err(|e| failed(e.into()))?;
            inotify
                .add_watch(&events, AddWatchFlags::IN_MODIFY)
                .map_err(|e| failed(e.into()))?;
            let seen = kills_v2(&events);
            return Ok(OomWatch {
                source: Source::Inotify(inotify),
                events,
                seen,
            });
        }
        let control = File::open(path.join("memory.oom_control")).map_err(failed)?;
        let fd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).map_err(|e| failed(e.into()))?;
        let registration = format!("{} {}", fd.as_fd().as_raw_fd(), control.as_raw_fd());
        write::try_write(&path.join("cgroup.event_control"), &registration).map_err(failed)?;
        Ok(OomWatch {
            source: Source::Event { fd, _control: control },
            events: PathBuf::new(),
            seen: 0,
        })
    }

    /// How many processes were killed at the memory limit so far.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn oom_kill_count(&self) -> Result<u64, Error> {
        let Some(path) = self.path_of("memory") else {
            return Ok(0);
        };
        let file = if self.layout == Layout::Unified {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        Ok(write::keyed(&write::read(&path.join(file))?, "oom_kill").unwrap_or(0))
    }
}
