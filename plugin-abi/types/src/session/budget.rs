//! What one call may still cause.

use super::{Limits, SessionError};
use crate::frame::{Frame, Kind};

/// What is left of a call's limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    limits: Limits,
    frames: u32,
    bytes: usize,
    broker: u32,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            frames: limits.frames_per_call,
            bytes: limits.bytes_per_call,
            broker: limits.broker_per_call,
        }
    }

    /// Takes a frame out of what is left.
    pub(super) fn spend(&mut self, frame: &Frame) -> Result<(), SessionError> {
        let as_limit = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let frames = (
            self.frames.checked_sub(1),
            "frames",
            as_limit(self.limits.frames_per_call),
        );
        self.frames = left(frames)?;
        let bytes = self.bytes.checked_sub(frame.body.len());
        self.bytes = left((bytes, "bytes", self.limits.bytes_per_call))?;
        if frame.kind == Kind::BrokerCall {
            let broker = (
                self.broker.checked_sub(1),
                "broker calls",
                as_limit(self.limits.broker_per_call),
            );
            self.broker = left(broker)?;
        }
        Ok(())
    }
}

fn left<T>((left, what, limit): (Option<T>, &'static str, usize)) -> Result<T, SessionError> {
    left.ok_or(SessionError::Budget { what, limit })
}
