//! Frames: what crosses the socket between the runtime and a plugin host.
//!
//! A frame is a header of [`HEADER_LEN`] bytes, little-endian, and a body of at most [`MAX_BODY`] bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | length of the body |
//! | 4 | 2 | type ([`Kind`]) |
//! | 6 | 2 | flags: none is defined, so zero |
//! | 8 | 4 | id: of the call or broker call that this belongs to; zero where there is none |
//! | 12 | 4 | method ([`Method`], or the number of a broker call) |
//! | 16 | 4 | status: zero, or the number of a plugin error |
//! | 20 | 4 | deadline: microseconds from now; zero where there is none |
//!
//! This module knows single frames. What may follow what is in [`session`](crate::session).

use std::fmt;
use std::time::Duration;

mod decoder;
mod method;
#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use method::Method;

/// Bytes in a header.
pub const HEADER_LEN: usize = 24;

/// Bytes in the longest body.
pub const MAX_BODY: usize = 1 << 20;

/// The version of the wire protocol that this code speaks, told in HELLO and READY.
pub const PROTOCOL: u32 = 1;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Kind {
    /// Runtime to host, first: protocol versions, what to load, its configuration.
    Hello = 1,
    /// Host to runtime, once: the plugin has loaded; what it offers and what confines it.
    Ready = 2,
    /// Runtime to host: one call of the plugin.
    Call = 3,
    /// Host to runtime: the answer to a call.
    Reply = 4,
    /// Runtime to host: the answer to a call is no longer wanted.
    Cancel = 5,
    /// Host to runtime: one line of the plugin's log.
    Log = 6,
    /// Host to runtime: one measurement.
    Metric = 7,
    /// Host to runtime: an effect that the plugin asks for.
    BrokerCall = 8,
    /// Runtime to host: what came of it. Descriptors travel with this kind only.
    BrokerReply = 9,
    /// Runtime to host: are you there? Answered by the same frame.
    Ping = 10,
    /// Runtime to host: end. Answered by the same frame when the plugin has been taken down.
    Goodbye = 11,
    /// Either way, last: the conversation is over, the body says why.
    Error = 12,
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// The call that it belongs to; zero where there is none.
    pub id: u32,
    /// What a call asks for; zero where nothing is asked.
    pub method: u32,
    /// Zero, or the number of a plugin error.
    pub status: u32,
    /// Time left for the answer.
    pub deadline: Option<Duration>,
    /// Bytes of the body that follows.
    pub len: usize,
}

/// A whole frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The call that it belongs to; zero where there is none.
    pub id: u32,
    /// What a call asks for; zero where nothing is asked.
    pub method: u32,
    /// Zero, or the number of a plugin error.
    pub status: u32,
    /// Time left for the answer.
    pub deadline: Option<Duration>,
    /// JSON, or nothing.
    pub body: Vec<u8>,
}

/// Why bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The body is longer than any may be; nothing of it was kept.
    #[error("frame body of {0} bytes: at most {MAX_BODY} are allowed")]
    TooLong(usize),
    /// A type that this version does not know.
    #[error("frame type {0}: this side knows 1 to 12")]
    Kind(u16),
    /// A flag that this version does not know, so that its meaning cannot be kept.
    #[error("frame flags {0:#06x}: none is defined")]
    Flags(u16),
    /// The stream ended within a frame.
    #[error("stream ends within a frame, after {0} of its bytes")]
    Truncated(usize),
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Hello,
        Self::Ready,
        Self::Call,
        Self::Reply,
        Self::Cancel,
        Self::Log,
        Self::Metric,
        Self::BrokerCall,
        Self::BrokerReply,
        Self::Ping,
        Self::Goodbye,
        Self::Error,
    ];

    fn parse(number: u16) -> Result<Self, FrameError> {
        let found = Self::ALL.into_iter().find(|kind| *kind as u16 == number);
        found.ok_or(FrameError::Kind(number))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello => "HELLO",
            Self::Ready => "READY",
            Self::Call => "CALL",
            Self::Reply => "REPLY",
            Self::Cancel => "CANCEL",
            Self::Log => "LOG",
            Self::Metric => "METRIC",
            Self::BrokerCall => "BROKER_CALL",
            Self::BrokerReply => "BROKER_REPLY",
            Self::Ping => "PING",
            Self::Goodbye => "GOODBYE",
            Self::Error => "ERROR",
        })
    }
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// [`FrameError`]: a body that would be too long, an unknown type, a flag.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, FrameError> {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |index: usize| words.get(index).copied().map_or(0, u32::from_le_bytes);
        let len = usize::try_from(word(0)).unwrap_or(usize::MAX);
        if len > MAX_BODY {
            return Err(FrameError::TooLong(len));
        }
        let [kind_low, kind_high, flags_low, flags_high] = word(1).to_le_bytes();
        let flags = u16::from_le_bytes([flags_low, flags_high]);
        if flags != 0 {
            return Err(FrameError::Flags(flags));
        }
        let deadline = word(5);
        Ok(Self {
            kind: Kind::parse(u16::from_le_bytes([kind_low, kind_high]))?,
            id: word(2),
            method: word(3),
            status: word(4),
            deadline: (deadline > 0).then(|| Duration::from_micros(deadline.into())),
            len,
        })
    }
}

impl Frame {
    /// A frame of a kind that belongs to a call; everything else is zero and empty.
    #[must_use]
    pub fn new(kind: Kind, id: u32, body: Vec<u8>) -> Self {
        Self {
            kind,
            id,
            method: 0,
            status: 0,
            deadline: None,
            body,
        }
    }

    /// The bytes to send.
    ///
    /// A deadline is rounded down to microseconds, but to one at least: zero would mean that there is none. One that is
    /// longer than 71 minutes becomes the longest.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLong`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, FrameError> {
        let len = u32::try_from(self.body.len()).ok();
        let len = len.filter(|_| self.body.len() <= MAX_BODY);
        let len = len.ok_or(FrameError::TooLong(self.body.len()))?;
        let micros = self
            .deadline
            .map_or(0, |left| u32::try_from(left.as_micros().max(1)).unwrap_or(u32::MAX));
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.body.len());
        bytes.extend(len.to_le_bytes());
        bytes.extend((self.kind as u16).to_le_bytes());
        bytes.extend(0_u16.to_le_bytes());
        for word in [self.id, self.method, self.status, micros] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(&self.body);
        Ok(bytes)
    }
}

impl fmt::Debug for Frame {
    /// Without the body: it may hold secrets, and a mebibyte.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} id={} method={} status={} deadline={:?} body={} bytes",
            self.kind,
            self.id,
            self.method,
            self.status,
            self.deadline,
            self.body.len()
        )
    }
}
