//! The runtime's end of a plugin host's socket.
//!
//! One caller at a time, no thread: while a call waits for its answer, what the plugin logs, measures and asks for is
//! passed to [`Effects`]. Every wait ends at the call's deadline, whatever the host does: says nothing, says one byte a
//! second, does not read. A host that breaks a rule or misses a deadline is not spoken to again; its process is for the
//! owner to end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nexcage_plugin_types::frame::{Decoder, Frame, FrameError, Kind, Method, PROTOCOL};
use nexcage_plugin_types::message::{self, BodyError, Failure, Hello, LogLine, Metric, Ready};
use nexcage_plugin_types::session::{Heard, Limits, Runtime, SessionError};
use nexcage_sys::poll::{self, Watch};
use nexcage_sys::scm;

#[cfg(test)]
mod tests;

/// How long a host may take to answer what was cancelled at its deadline. An answer keeps the host usable.
const CANCEL_GRACE: Duration = Duration::from_millis(5);

/// Bytes read at once.
const READ_MAX: usize = 64 << 10;

/// What a plugin causes while it works.
pub trait Effects {
    /// The plugin logged a line. Its texts are already harmless to print.
    fn log(&mut self, line: LogLine);

    /// The plugin measured something.
    fn metric(&mut self, metric: Metric);

    /// The plugin asks for an effect.
    ///
    /// * `method`: the number of the broker call.
    /// * `body`: what it asks, JSON of a stranger.
    /// * `deadline`: when the answer is of no more use.
    fn broker(&mut self, method: u32, body: &[u8], deadline: Instant) -> Answer;
}

/// What came of a broker call.
#[derive(Debug, Default)]
pub struct Answer {
    /// Zero, or the number of a plugin error.
    pub status: u32,
    /// JSON.
    pub body: Vec<u8>,
    /// A descriptor for the plugin.
    pub fd: Option<OwnedFd>,
}

/// A plugin's answer to a call.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// Zero, or the number of the plugin's error; then the body is a [`Failure`].
    pub status: u32,
    /// JSON.
    pub body: Vec<u8>,
}

/// Why a call has no answer. But for [`CallError::Deadline`] with `is_usable`, the host is not to be spoken to again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The deadline passed.
    #[error("no answer in {} ms", .after.as_millis())]
    Deadline {
        /// The time that the call was given.
        after: Duration,
        /// Whether the host took the cancellation and can be called again.
        is_usable: bool,
    },
    /// The host closed the socket: it crashed or was killed.
    #[error("plugin host ended without an answer")]
    Closed,
    /// The host ended the conversation.
    #[error("plugin host: {0}")]
    Failed(String),
    /// What came is no frame.
    #[error("read from plugin host")]
    Frame {
        /// What is wrong with it.
        #[source]
        source: FrameError,
    },
    /// What came breaks a rule of the conversation.
    #[error("plugin host broke the protocol")]
    Session {
        /// The rule.
        #[source]
        source: SessionError,
    },
    /// A body cannot be read.
    #[error("plugin host broke the protocol")]
    Body {
        /// What is wrong with it.
        #[source]
        source: BodyError,
    },
    /// The host speaks another protocol.
    #[error("plugin host speaks protocol {0}, this nexcage speaks {PROTOCOL}: install both from one release")]
    Protocol(u32),
    /// What is to be sent is too long or cannot be written as JSON.
    #[error(
        "write {what} of {len} bytes for the plugin host: at most {} are allowed",
        nexcage_plugin_types::frame::MAX_BODY
    )]
    TooLong {
        /// The kind of frame.
        what: Kind,
        /// Its length.
        len: usize,
    },
    /// The socket failed.
    #[error("speak with plugin host")]
    Socket {
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A descriptor could not be passed.
    #[error("pass a descriptor to plugin host")]
    Pass {
        /// The step that failed.
        #[source]
        source: scm::ScmError,
    },
}

/// A host that can be called.
#[derive(Debug)]
pub struct Connection {
    socket: UnixStream,
    decoder: Decoder,
    session: Runtime,
    is_broken: bool,
}

/// When a wait ends, and what is told of it.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    after: Duration,
}

impl Connection {
    /// Greets a new host and waits until its plugin has loaded.
    ///
    /// * `socket`: a stream socket; made non-blocking.
    /// * `timeout`: for the whole start.
    ///
    /// # Errors
    ///
    /// [`CallError`]; [`CallError::Failed`] tells why a plugin could not be loaded.
    pub fn open(
        socket: UnixStream,
        hello: &Hello,
        limits: Limits,
        timeout: Duration,
        effects: &mut dyn Effects,
    ) -> Result<(Self, Ready), CallError> {
        poll::set_nonblocking(socket.as_fd()).map_err(|source| CallError::Socket { source })?;
        let mut connection = Self {
            socket,
            decoder: Decoder::default(),
            session: Runtime::new(limits, Instant::now()),
            is_broken: false,
        };
        let deadline = Deadline::new(timeout);
        let body = serde_json::to_vec(hello).unwrap_or_default();
        connection.send(&Frame::new(Kind::Hello, 0, body), deadline)?;
        let frame = connection.until(Heard::Ready, deadline, effects)?;
        let ready: Ready = message::parse(&frame).map_err(|source| CallError::Body { source })?;
        match ready.protocol {
            PROTOCOL => Ok((connection, ready)),
            other => Err(CallError::Protocol(other)),
        }
    }

    /// Calls the plugin.
    ///
    /// * `body`: JSON.
    /// * `timeout`: until the answer. Afterwards the call is cancelled; a host that answers the cancellation at once can be
    ///   called again.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub fn call(
        &mut self,
        method: Method,
        body: Vec<u8>,
        timeout: Duration,
        effects: &mut dyn Effects,
    ) -> Result<Reply, CallError> {
        let result = self.try_call(method, body, Deadline::new(timeout), effects);
        match &result {
            Ok(_) | Err(CallError::Deadline { is_usable: true, .. } | CallError::TooLong { .. }) => {}
            Err(_) => self.is_broken = true,
        }
        result
    }

    /// Asks whether the host answers.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub fn ping(&mut self, timeout: Duration, effects: &mut dyn Effects) -> Result<(), CallError> {
        let deadline = Deadline::new(timeout);
        self.check_usable()?;
        self.session.ping();
        self.send(&Frame::new(Kind::Ping, 0, Vec::new()), deadline)
            .and_then(|()| self.until(Heard::Pong, deadline, effects))
            .inspect_err(|_| self.is_broken = true)
            .map(drop)
    }

    /// Lets the plugin take itself down.
    ///
    /// # Errors
    ///
    /// [`CallError`]: the host's process has to be killed.
    pub fn close(mut self, timeout: Duration, effects: &mut dyn Effects) -> Result<(), CallError> {
        let deadline = Deadline::new(timeout);
        self.check_usable()?;
        self.session.leave();
        self.send(&Frame::new(Kind::Goodbye, 0, Vec::new()), deadline)?;
        self.until(Heard::Gone, deadline, effects).map(drop)
    }

    /// Whether the host can be called: it has broken no rule and missed no deadline.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.is_broken
    }

    /// How many lines of log and measurements were dropped since they came too fast.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.session.dropped()
    }

    fn check_usable(&self) -> Result<(), CallError> {
        if self.is_broken { Err(CallError::Closed) } else { Ok(()) }
    }

    fn try_call(
        &mut self,
        method: Method,
        body: Vec<u8>,
        deadline: Deadline,
        effects: &mut dyn Effects,
    ) -> Result<Reply, CallError> {
        self.check_usable()?;
        let id = self
            .session
            .open_call()
            .map_err(|source| CallError::Session { source })?;
        let frame = Frame {
            method: method.number(),
            deadline: Some(deadline.left()),
            ..Frame::new(Kind::Call, id, body)
        };
        let sent = self.send(&frame, deadline);
        let answer = sent.and_then(|()| self.until(Heard::Reply, deadline, effects));
        match answer {
            Ok(frame) => Ok(Reply {
                status: frame.status,
                body: frame.body,
            }),
            Err(CallError::Deadline { after, .. }) => Err(CallError::Deadline {
                after,
                is_usable: self.cancel(id, effects).is_ok(),
            }),
            Err(error) => Err(error),
        }
    }

    fn cancel(&mut self, id: u32, effects: &mut dyn Effects) -> Result<(), CallError> {
        let deadline = Deadline::new(CANCEL_GRACE);
        self.session.cancel(id);
        self.send(&Frame::new(Kind::Cancel, id, Vec::new()), deadline)?;
        self.until(Heard::Late, deadline, effects).map(drop)
    }

    /// Reads until what is wanted comes; everything else on the way is dealt with.
    fn until(&mut self, wanted: Heard, deadline: Deadline, effects: &mut dyn Effects) -> Result<Frame, CallError> {
        loop {
            let frame = self.receive(deadline)?;
            let heard = self.session.accept(&frame, Instant::now());
            match heard.map_err(|source| CallError::Session { source })? {
                heard if heard == wanted => return Ok(frame),
                Heard::Report => report(&frame, effects)?,
                Heard::Broker => self.answer(&frame, deadline, effects)?,
                Heard::Failed => return Err(failed(&frame)),
                // A late answer to an earlier call, or a report above the rate.
                _ => {}
            }
        }
    }

    fn answer(&mut self, asked: &Frame, deadline: Deadline, effects: &mut dyn Effects) -> Result<(), CallError> {
        let Answer { status, body, fd } = effects.broker(asked.method, &asked.body, deadline.at);
        self.session.answer();
        let frame = Frame {
            status,
            method: asked.method,
            ..Frame::new(Kind::BrokerReply, asked.id, body)
        };
        let bytes = to_bytes(&frame)?;
        let Some(fd) = fd else {
            return self.write(&bytes, deadline);
        };
        // The descriptor goes with the first byte, so that it is there when the frame is.
        let (first, rest) = bytes.split_at(1);
        self.wait(false, deadline)?;
        scm::send_fd(self.socket.as_fd(), first, fd.as_fd()).map_err(|source| CallError::Pass { source })?;
        self.write(rest, deadline)
    }

    fn send(&mut self, frame: &Frame, deadline: Deadline) -> Result<(), CallError> {
        self.write(&to_bytes(frame)?, deadline)
    }

    fn write(&mut self, mut bytes: &[u8], deadline: Deadline) -> Result<(), CallError> {
        while !bytes.is_empty() {
            match poll::write(self.socket.as_fd(), bytes) {
                Ok(Some(count)) => bytes = bytes.get(count..).unwrap_or_default(),
                Ok(None) => deadline.check().and_then(|()| self.wait(false, deadline))?,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(self.last_word(deadline)),
                Err(source) => return Err(CallError::Socket { source }),
            }
        }
        Ok(())
    }

    /// A host that ended before it was spoken to may have said why.
    fn last_word(&mut self, deadline: Deadline) -> CallError {
        match self.receive(deadline) {
            Ok(frame) if frame.kind == Kind::Error => failed(&frame),
            _ => CallError::Closed,
        }
    }

    fn receive(&mut self, deadline: Deadline) -> Result<Frame, CallError> {
        loop {
            // A frame that is there counts even if it is looked at late.
            let frame = self.decoder.next_frame();
            if let Some(frame) = frame.map_err(|source| CallError::Frame { source })? {
                return Ok(frame);
            }
            deadline.check()?;
            let mut buffer = [0; READ_MAX];
            // Without room for control messages: descriptors that a host sends never arrive.
            match poll::read(self.socket.as_fd(), &mut buffer) {
                Ok(Some(0)) => return Err(CallError::Closed),
                Ok(Some(count)) => self.decoder.push(buffer.get(..count).unwrap_or_default()),
                Ok(None) => self.wait(true, deadline)?,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(CallError::Closed),
                Err(source) => return Err(CallError::Socket { source }),
            }
        }
    }

    fn wait(&self, read: bool, deadline: Deadline) -> Result<(), CallError> {
        let watch = Watch {
            fd: self.socket.as_fd(),
            read,
            write: !read,
        };
        poll::wait(&[watch], Some(deadline.left()))
            .map(drop)
            .map_err(|source| CallError::Socket { source })
    }
}

impl Deadline {
    fn new(after: Duration) -> Self {
        Self {
            at: Instant::now() + after,
            after,
        }
    }

    fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    fn check(self) -> Result<(), CallError> {
        if self.left().is_zero() {
            return Err(CallError::Deadline {
                after: self.after,
                is_usable: false,
            });
        }
        Ok(())
    }
}

fn to_bytes(frame: &Frame) -> Result<Vec<u8>, CallError> {
    frame.to_bytes().map_err(|_source| CallError::TooLong {
        what: frame.kind,
        len: frame.body.len(),
    })
}

fn report(frame: &Frame, effects: &mut dyn Effects) -> Result<(), CallError> {
    let body = |source| CallError::Body { source };
    match frame.kind {
        Kind::Log => effects.log(message::parse::<LogLine>(frame).map_err(body)?.to_printable()),
        _ => effects.metric(message::parse(frame).map_err(body)?),
    }
    Ok(())
}

fn failed(frame: &Frame) -> CallError {
    let text = match message::parse::<Failure>(frame) {
        Ok(failure) => message::printable(&failure.message),
        Err(_) => "ended the conversation without a reason".to_owned(),
    };
    CallError::Failed(text)
}
