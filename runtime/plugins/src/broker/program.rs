//! Programs that run for a plugin: to their end or a deadline, what they write kept as far as it goes.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nexcage_sys::file;
use nexcage_sys::launch::{Launch, Namespaces};
use nexcage_sys::pidfd::ExitStatus;
use nexcage_sys::poll::{self, Watch};
use serde_json::json;

use super::Done;

/// Bytes that are kept of what a program writes, of each stream.
const OUTPUT_MAX: usize = 1 << 20;

/// Bytes of each stream that are in the answer itself, which holds both even if each has to be escaped. All that is kept
/// comes as a descriptor.
const TEXT_MAX: usize = 64 << 10;

/// A program that is to run.
pub(super) struct Program<'a> {
    /// Absolute.
    pub(super) program: &'a Path,
    /// Its arguments, its name first.
    pub(super) argv: &'a [&'a str],
    /// What it reads.
    pub(super) stdin: OwnedFd,
    /// What it has of its own.
    pub(super) namespaces: Namespaces,
}

/// A program that has ended.
pub(super) struct Ended {
    status: ExitStatus,
    outputs: [Output; 2],
}

/// What a program wrote to a stream.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Program<'_> {
    /// Runs it; `None` when it was killed at the deadline.
    ///
    /// * `begun`: done once it has started.
    pub(super) fn run(self, deadline: Instant, begun: impl FnOnce() -> io::Result<()>) -> io::Result<Option<Ended>> {
        let (out, out_end) = io::pipe()?;
        let (err, err_end) = io::pipe()?;
        let launch = Launch {
            program: self.program,
            argv: self.argv,
            streams: [self.stdin, out_end.into(), err_end.into()],
            namespaces: self.namespaces,
        };
        let mut process = launch.start().map_err(io::Error::other)?;
        begun()?;
        let Some(outputs) = collect([out.into(), err.into()], deadline)? else {
            return Ok(None);
        };
        let status = process.wait_or_kill(deadline.saturating_duration_since(Instant::now()));
        Ok(status.map(|status| Ended { status, outputs }))
    }

    /// Runs a program that leaves others behind: they get its streams, so it writes to files that nobody waits for.
    pub(super) fn run_detached(self, deadline: Instant) -> io::Result<Option<Ended>> {
        let (mut out, mut err) = (file::in_memory()?, file::in_memory()?);
        let launch = Launch {
            program: self.program,
            argv: self.argv,
            streams: [self.stdin, out.try_clone()?.into(), err.try_clone()?.into()],
            namespaces: self.namespaces,
        };
        let mut process = launch.start().map_err(io::Error::other)?;
        let status = process.wait_or_kill(deadline.saturating_duration_since(Instant::now()));
        let Some(status) = status else { return Ok(None) };
        let outputs = [Output::of_file(&mut out)?, Output::of_file(&mut err)?];
        Ok(Some(Ended { status, outputs }))
    }
}

impl Ended {
    /// What a plugin hears of it.
    pub(super) fn answer(self, took: Duration) -> io::Result<Done> {
        let (exit_code, signal) = match self.status {
            ExitStatus::Exited(code) => (Some(code), None),
            ExitStatus::Signaled(signal) => (None, Some(signal)),
        };
        let [out, err] = &self.outputs;
        let json = json!({
            "exit_code": exit_code,
            "signal": signal,
            "stdout": out.text(),
            "stderr": err.text(),
            "stdout_bytes": out.bytes.len(),
            "stderr_bytes": err.bytes.len(),
            "stdout_truncated": out.is_cut,
            "stderr_truncated": err.is_cut,
            "duration_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        Ok(Done {
            json,
            fd: Some(keep(&self.outputs)?.into()),
        })
    }
}

/// All that was kept of both streams, one after the other, to be read from the beginning.
fn keep(outputs: &[Output; 2]) -> io::Result<File> {
    let mut file = file::in_memory()?;
    for output in outputs {
        file.write_all(&output.bytes)?;
    }
    file.rewind()?;
    Ok(file)
}

/// Reads two streams to their ends; `None` at the deadline.
fn collect(streams: [OwnedFd; 2], deadline: Instant) -> io::Result<Option<[Output; 2]>> {
    let mut outputs = [Output::default(), Output::default()];
    let mut open = [true, true];
    for stream in &streams {
        poll::set_nonblocking(stream.as_fd())?;
    }
    while open.contains(&true) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let pairs = || streams.iter().zip(open).filter(|(_, is_open)| *is_open);
        let watches: Vec<Watch<'_>> = pairs()
            .map(|(stream, _)| Watch {
                fd: stream.as_fd(),
                read: true,
                write: false,
            })
            .collect();
        poll::wait(&watches, Some(left))?;
        for ((stream, output), is_open) in streams.iter().zip(&mut outputs).zip(&mut open) {
            *is_open = *is_open && output.take(stream)?;
        }
    }
    Ok(Some(outputs))
}

impl Output {
    fn of_file(file: &mut File) -> io::Result<Self> {
        let mut bytes = Vec::new();
        file.rewind()?;
        let limit = u64::try_from(OUTPUT_MAX).unwrap_or(u64::MAX);
        file.take(limit).read_to_end(&mut bytes)?;
        let is_cut = file.metadata()?.len() > limit;
        Ok(Self { bytes, is_cut })
    }

    /// The beginning, as text.
    fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes.get(..TEXT_MAX).unwrap_or(&self.bytes))
    }

    /// Takes what is there; `false` at the end.
    fn take(&mut self, stream: &OwnedFd) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        let count = match poll::read(stream.as_fd(), &mut buffer)? {
            None => return Ok(true),
            Some(0) => return Ok(false),
            Some(count) => count,
        };
        let room = OUTPUT_MAX.saturating_sub(self.bytes.len());
        self.is_cut |= count > room;
        self.bytes
            .extend_from_slice(buffer.get(..count.min(room)).unwrap_or_default());
        Ok(true)
    }
}
