//! The host's end: what the runtime may say to it.

use super::{SessionError, unexpected};
use crate::frame::{Frame, Kind};

/// What a frame of the runtime is to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asked {
    /// Load the plugin and say READY.
    Load,
    /// Call the plugin.
    Call,
    /// Tell the running function of the plugin to stop.
    Cancel,
    /// A cancelled call has already been answered.
    Done,
    /// The answer to the open broker call.
    Answer,
    /// Say PING too.
    Ping,
    /// Take the plugin down, say GOODBYE, end.
    Leave,
    /// The runtime ends the conversation; the body says why.
    Failed,
}

/// The host's side of a conversation.
#[derive(Debug, Default)]
pub struct Host {
    is_greeted: bool,
    last: u32,
    running: Option<u32>,
    asking: Option<u32>,
}

impl Host {
    /// The call that runs; zero while there is none.
    #[must_use]
    pub fn call(&self) -> u32 {
        self.running.unwrap_or(0)
    }

    /// The answer to the running call is on its way.
    pub fn reply(&mut self) {
        self.running = None;
    }

    /// A BROKER_CALL is on its way. It carries the id of the running call.
    pub fn ask(&mut self) {
        self.asking = Some(self.call());
    }

    /// Checks what the runtime says.
    ///
    /// # Errors
    ///
    /// [`SessionError`]: the runtime broke a rule, or is none.
    pub fn accept(&mut self, frame: &Frame) -> Result<Asked, SessionError> {
        match frame.kind {
            Kind::Hello if !self.is_greeted => {
                self.is_greeted = true;
                Ok(Asked::Load)
            }
            _ if !self.is_greeted => Err(unexpected(frame, "the host awaits HELLO")),
            Kind::Call if self.running.is_none() => self.open(frame.id),
            Kind::Cancel if self.running == Some(frame.id) => Ok(Asked::Cancel),
            // The cancel and the answer have crossed.
            Kind::Cancel if frame.id > 0 && frame.id <= self.last => Ok(Asked::Done),
            Kind::BrokerReply if self.asking == Some(frame.id) => {
                self.asking = None;
                Ok(Asked::Answer)
            }
            Kind::BrokerReply | Kind::Cancel => Err(SessionError::UnknownId {
                kind: frame.kind,
                id: frame.id,
            }),
            Kind::Ping => Ok(Asked::Ping),
            Kind::Goodbye if self.running.is_none() => Ok(Asked::Leave),
            Kind::Error => Ok(Asked::Failed),
            _ => Err(unexpected(frame, "a call runs, or the host serves")),
        }
    }

    fn open(&mut self, id: u32) -> Result<Asked, SessionError> {
        if id <= self.last {
            return Err(SessionError::Id { id, last: self.last });
        }
        self.last = id;
        self.running = Some(id);
        Ok(Asked::Call)
    }
}
