//! The rules of a conversation: what may follow what, and how much of it.
//!
//! The runtime says HELLO, the host answers READY; then come calls, answered in the order in which they were made. A
//! plugin asks for effects by BROKER_CALL while one of its functions runs, one at a time, under the id of the call that
//! it works on; zero stands for its start and its end. Either side may end the conversation with ERROR, the
//! runtime with GOODBYE.
//!
//! Nothing here reads a clock or a socket. Whoever does gives each frame to [`Runtime::accept`] (what a host says is
//! hostile until it has passed) or to [`Host::accept`].

use std::time::{Duration, Instant};

use crate::frame::{Frame, Kind};

mod budget;
mod host;
mod runtime;
#[cfg(test)]
mod tests;

pub use host::{Asked, Host};
pub use runtime::{Heard, Runtime};

/// How much a host may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Frames of all kinds while one call runs; one more ends the conversation.
    pub frames_per_call: u32,
    /// Bytes of bodies while one call runs; one more ends the conversation.
    pub bytes_per_call: usize,
    /// Effects asked for while one call runs; one more ends the conversation.
    pub broker_per_call: u32,
    /// Lines of log and measurements a second, together. What is above is dropped and counted.
    pub reports_per_second: u32,
    /// How many of them may come at once after a silence.
    pub reports_burst: u32,
    /// How many may be dropped in all; one more ends the conversation, since each costs the runtime time to read.
    pub dropped: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frames_per_call: 4096,
            bytes_per_call: 8 << 20,
            broker_per_call: 256,
            reports_per_second: 200,
            reports_burst: 400,
            dropped: 20_000,
        }
    }
}

/// A rule that the other side broke. The conversation is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A frame of a kind that may not come now.
    #[error("{kind} while {stage}")]
    Unexpected {
        /// What came.
        kind: Kind,
        /// What was awaited.
        stage: &'static str,
    },
    /// An answer to what nobody asked.
    #[error("{kind} for call {id}, which is not open")]
    UnknownId {
        /// What came.
        kind: Kind,
        /// The id that it carries.
        id: u32,
    },
    /// An id that does not follow the one before.
    #[error("call {id} after call {last}: ids count up")]
    Id {
        /// The id of the new call.
        id: u32,
        /// The id of the call before it.
        last: u32,
    },
    /// More of something than a call may cause.
    #[error("more than {limit} {what} during one call")]
    Budget {
        /// What was counted.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// Reports far above the rate.
    #[error("more than {0} log lines and measurements above the rate")]
    Flood(u64),
}

/// Time and amount at which reports are let through.
#[derive(Clone, Copy, Debug)]
struct Rate {
    tokens: u32,
    burst: u32,
    interval: Duration,
    last: Instant,
}

impl Rate {
    fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            tokens: limits.reports_burst,
            burst: limits.reports_burst,
            interval: Duration::from_secs(1) / limits.reports_per_second.max(1),
            last: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.last).as_nanos();
        let earned = passed / self.interval.as_nanos().max(1);
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        let tokens = self.tokens.saturating_add(earned);
        if tokens >= self.burst {
            self.tokens = self.burst;
            self.last = now;
        } else {
            self.tokens = tokens;
            self.last += self.interval * earned;
        }
        let is_allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        is_allowed
    }
}

fn unexpected(frame: &Frame, stage: &'static str) -> SessionError {
    SessionError::Unexpected {
        kind: frame.kind,
        stage,
    }
}
