//! Whoever waits while an image is unpacked: a terminal that wants to see something, and signals that want an end.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nexcage_image::Observer;
use nexcage_sys::poll::{self, Watch};
use nexcage_sys::signals::{Signal, SignalFd, SignalSet};

use crate::report;

/// Signals that end the work before there is a container to get them.
const ENDING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// The user at work: shows a bar on a terminal, nothing elsewhere.
pub(super) struct Waiting {
    signals: SignalFd,
    stopped_by: Option<Signal>,
    bar: Option<ProgressBar>,
}

impl Waiting {
    /// Listens for signals, which must be blocked already.
    pub(super) fn open() -> io::Result<Self> {
        let mut set = SignalSet::empty();
        ENDING.into_iter().for_each(|signal| set.insert(signal));
        Ok(Self {
            signals: SignalFd::open(&set)?,
            stopped_by: None,
            bar: None,
        })
    }

    /// The signal that ended the work.
    pub(super) fn stopped_by(&self) -> Option<Signal> {
        self.stopped_by
    }

    fn read(&mut self, wait: Duration) -> io::Result<Option<Signal>> {
        if let Some(arrived) = self.signals.read_next()? {
            return Ok(Some(arrived.signal));
        }
        if wait.is_zero() {
            return Ok(None);
        }
        let watch = Watch {
            fd: self.signals.as_fd(),
            read: true,
            write: false,
        };
        poll::wait(&[watch], Some(wait))?;
        Ok(self.signals.read_next()?.map(|arrived| arrived.signal))
    }
}

impl Observer for Waiting {
    fn begin(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        // Draws on a terminal only, and never from a thread of its own.
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("unpacking image {bar:40} {bytes}/{total_bytes} {eta}");
        self.bar = Some(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())));
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn is_stopped(&mut self, wait: Duration) -> bool {
        if self.stopped_by.is_none() {
            // A descriptor for signals that cannot be read would leave no way to stop: so stop.
            self.stopped_by = self.read(wait).unwrap_or(Some(Signal::TERM));
        }
        self.stopped_by.is_some()
    }

    fn warn(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| report::warning(text)),
            None => report::warning(text),
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}
