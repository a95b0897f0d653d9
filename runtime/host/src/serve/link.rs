//! The socket to the runtime, shared by the serving thread and the plugin's.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nexcage_plugin_abi::host::{Answer, Failure, Host as Offered};
use nexcage_plugin_abi::status::{Level, Status};
use nexcage_plugin_types::broker::Effect;
use nexcage_plugin_types::frame::{Decoder, Frame, Kind};
use nexcage_plugin_types::message::{self, LogLevel, LogLine, Metric, MetricKind};
use nexcage_plugin_types::session::{Asked, Host as Session};
use nexcage_sys::poll::{self, Watch};
use nexcage_sys::scm;

use super::ServeError;

/// Bytes read at once.
const READ_MAX: usize = 16 << 10;

/// One conversation's socket and state.
pub(super) struct Link {
    socket: UnixStream,
    /// Held for a whole frame, so that those of several threads do not mix.
    writing: Mutex<()>,
    reader: Mutex<Reader>,
    /// The running call was cancelled, or nobody waits for it any more.
    cancelled: AtomicBool,
    /// The call that runs; zero for start and end.
    running: AtomicU32,
    deadline: Mutex<Option<Instant>>,
    /// The least important lines that are wanted.
    log_level: AtomicU8,
}

/// What only one thread at a time may have: frames are answered in order.
struct Reader {
    decoder: Decoder,
    session: Session,
    /// Descriptors that came and belong to the next answer.
    descriptors: Vec<OwnedFd>,
}

impl Link {
    /// Makes no kernel call: the sandbox is in force already.
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            writing: Mutex::new(()),
            reader: Mutex::new(Reader {
                decoder: Decoder::default(),
                session: Session::default(),
                descriptors: Vec::new(),
            }),
            cancelled: AtomicBool::new(false),
            running: AtomicU32::new(0),
            deadline: Mutex::new(None),
            log_level: AtomicU8::new(LogLevel::Trace as u8),
        }
    }

    pub(super) fn set_log_level(&self, level: LogLevel) {
        self.log_level.store(level as u8, Ordering::Relaxed);
    }

    /// Sends a frame whole.
    pub(super) fn send(&self, frame: &Frame) -> Result<(), ServeError> {
        let bytes = frame.to_bytes().map_err(|source| ServeError::Frame { source })?;
        let _whole = lock(&self.writing);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            // Not by std, which sends by a system call that the sandbox does not allow.
            let count = poll::write(self.socket.as_fd(), rest).map_err(|source| ServeError::Socket { source })?;
            rest = rest.get(count.unwrap_or(0)..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends the conversation, though this value is never dropped. In the sandbox the end of the process does it.
    pub(super) fn close(&self) {
        // A socket that the runtime has closed first is as closed as it can be.
        let _closed = self.socket.shutdown(Shutdown::Both);
    }

    /// Waits for the next frame.
    pub(super) fn receive(&self) -> Result<(Asked, Frame), ServeError> {
        lock(&self.reader).receive(&self.socket)
    }

    /// A call begins.
    pub(super) fn begin(&self, id: u32, deadline: Option<Instant>) {
        self.cancelled.store(false, Ordering::Relaxed);
        *lock(&self.deadline) = deadline;
        self.running.store(id, Ordering::Relaxed);
    }

    /// A call has ended; this is its answer.
    pub(super) fn reply(&self, frame: &Frame) -> Result<(), ServeError> {
        self.running.store(0, Ordering::Relaxed);
        *lock(&self.deadline) = None;
        let mut reader = lock(&self.reader);
        reader.session.reply();
        self.send(frame)
    }

    pub(super) fn warn(&'static self, text: &str) {
        Offered::log(&self, Level::Warn, "plugin-host", text);
    }

    fn say(&self, kind: Kind, body: &impl serde::Serialize) {
        let Ok(body) = serde_json::to_vec(body) else { return };
        // A runtime that has gone is noticed by the next read; a line of log has nobody else to go to.
        let _sent = self.send(&Frame::new(kind, self.running.load(Ordering::Relaxed), body));
    }

    /// Asks the runtime for an effect, and waits for what comes of it.
    fn ask(&self, effect: Effect, input: &[u8]) -> Result<(Frame, Vec<OwnedFd>), ServeError> {
        let mut reader = lock(&self.reader);
        reader.session.ask();
        reader.descriptors.clear();
        let frame = Frame {
            method: effect.number(),
            ..Frame::new(Kind::BrokerCall, self.running.load(Ordering::Relaxed), input.to_vec())
        };
        self.send(&frame)?;
        loop {
            match reader.receive(&self.socket)? {
                (Asked::Answer, frame) => return Ok((frame, std::mem::take(&mut reader.descriptors))),
                (Asked::Failed, _) => return Err(ServeError::Ended),
                (Asked::Cancel, _) => self.cancelled.store(true, Ordering::Relaxed),
                _ => {}
            }
        }
    }

    /// Looks whether a cancellation has come. While another thread reads, it is that one's to find.
    fn look(&self) {
        let Ok(mut reader) = self.reader.try_lock() else { return };
        while !self.cancelled.load(Ordering::Relaxed) && has_more(&self.socket) {
            if !matches!(reader.receive(&self.socket), Ok((Asked::Done | Asked::Ping, _))) {
                // Cancelled, or nobody is there any more.
                self.cancelled.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Reader {
    fn receive(&mut self, socket: &UnixStream) -> Result<(Asked, Frame), ServeError> {
        loop {
            let frame = self.decoder.next_frame();
            if let Some(frame) = frame.map_err(|source| ServeError::Frame { source })? {
                let asked = self.session.accept(&frame);
                return Ok((asked.map_err(|source| ServeError::Session { source })?, frame));
            }
            let mut buffer = [0; READ_MAX];
            let (count, fds) =
                scm::receive_stream(socket.as_fd(), &mut buffer).map_err(|error| ServeError::Socket {
                    source: io::Error::other(error),
                })?;
            if count == 0 {
                let source = io::ErrorKind::UnexpectedEof.into();
                return Err(ServeError::Socket { source });
            }
            self.descriptors.extend(fds);
            self.decoder.push(buffer.get(..count).unwrap_or_default());
        }
    }
}

/// Whether a read would not wait.
fn has_more(socket: &UnixStream) -> bool {
    let watch = Watch {
        fd: socket.as_fd(),
        read: true,
        write: false,
    };
    let ready = poll::wait(&[watch], Some(Duration::ZERO));
    ready.is_ok_and(|ready| ready.iter().any(|ready| ready.readable || ready.hung_up))
}

impl Offered for &'static Link {
    fn log(&self, level: Level, target: &str, message: &str) {
        let level = match level {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
            Level::Trace => LogLevel::Trace,
        };
        if level as u8 > self.log_level.load(Ordering::Relaxed) {
            return;
        }
        let line = LogLine {
            level,
            target: target.to_owned(),
            message: message.to_owned(),
        };
        self.say(Kind::Log, &line.to_printable());
    }

    fn metric(&self, name: &str, value: f64, labels: &[u8]) {
        let metric = Metric {
            name: message::printable(name),
            kind: MetricKind::Gauge,
            value,
            labels: serde_json::from_slice(labels).unwrap_or_default(),
        };
        self.say(Kind::Metric, &metric);
    }

    fn broker_call(&self, call: u64, method: &str, input: &[u8]) -> Result<Answer, Failure> {
        let refuse = |status, text: String| Err(Failure { status, text });
        if call != u64::from(self.running.load(Ordering::Relaxed)) {
            return refuse(Status::InvalidArgument, format!("call {call} does not run"));
        }
        let Some(effect) = Effect::from_name(method) else {
            let method = message::printable(method);
            return refuse(Status::Unsupported, format!("broker call {method:?} is unknown"));
        };
        let (frame, descriptors) = match self.ask(effect, input) {
            Ok(answer) => answer,
            Err(ServeError::Frame { source }) => return refuse(Status::ResourceLimit, source.to_string()),
            Err(error) => return refuse(Status::Internal, error.to_string()),
        };
        match i32::try_from(frame.status).map(Status::from_code) {
            Ok(None) => Ok(Answer {
                json: frame.body,
                descriptors,
            }),
            Ok(Some(status)) => refuse(status, reason(&frame)),
            Err(_) => refuse(Status::Internal, reason(&frame)),
        }
    }

    fn is_cancelled(&self, call: u64) -> bool {
        if call != u64::from(self.running.load(Ordering::Relaxed)) {
            return true;
        }
        self.look();
        self.cancelled.load(Ordering::Relaxed)
    }

    fn time_left(&self, call: u64) -> Option<Duration> {
        let deadline = (*lock(&self.deadline)).filter(|_| call == u64::from(self.running.load(Ordering::Relaxed)));
        deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

/// What the runtime says of an effect that it did not perform.
fn reason(frame: &Frame) -> String {
    match message::parse::<message::Failure>(frame) {
        Ok(failure) => failure.message,
        Err(_) => "the runtime gives no reason".to_owned(),
    }
}

/// A thread of the plugin that panicked while it held a lock left a whole value behind: every change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
