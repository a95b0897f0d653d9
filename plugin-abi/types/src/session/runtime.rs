//! The runtime's end: what a host may say to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::budget::Budget;
use super::{Limits, Rate, SessionError, unexpected};
use crate::frame::{Frame, Kind};

/// What a frame of a host is to the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard {
    /// The plugin has loaded.
    Ready,
    /// The answer to an open call, which is closed now.
    Reply,
    /// The answer to a call that was cancelled: nobody waits for it.
    Late,
    /// A line of log, or a measurement.
    Report,
    /// A report above the rate: to be dropped.
    Dropped,
    /// An effect asked for; answer it with [`Runtime::answer`].
    Broker,
    /// The answer to a PING.
    Pong,
    /// The host has taken the plugin down and ends.
    Gone,
    /// The host ends the conversation; the body says why.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Serving,
    Leaving,
    Over,
}

/// The runtime's side of a conversation.
#[derive(Debug)]
pub struct Runtime {
    limits: Limits,
    stage: Stage,
    last: u32,
    /// Calls without an answer, the plugin's start and end (zero) among them.
    open: BTreeMap<u32, Budget>,
    cancelled: BTreeSet<u32>,
    /// The call whose function waits for a broker.
    asking: Option<u32>,
    pings: u32,
    rate: Rate,
    dropped: u64,
}

impl Runtime {
    /// A conversation whose HELLO is on its way.
    ///
    /// * `now`: the moment from which reports are counted.
    #[must_use]
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            stage: Stage::Starting,
            last: 0,
            open: BTreeMap::from([(0, Budget::new(limits))]),
            cancelled: BTreeSet::new(),
            asking: None,
            pings: 0,
            rate: Rate::new(&limits, now),
            dropped: 0,
        }
    }

    /// The id of a new call. After four thousand million calls a host has to be replaced.
    ///
    /// # Errors
    ///
    /// [`SessionError::Unexpected`]: the host is not ready, or is no more.
    pub fn open_call(&mut self) -> Result<u32, SessionError> {
        let id = self.last.checked_add(1).filter(|_| self.stage == Stage::Serving);
        let id = id.ok_or(SessionError::Unexpected {
            kind: Kind::Call,
            stage: self.stage.text(),
        })?;
        self.last = id;
        self.open.insert(id, Budget::new(self.limits));
        Ok(id)
    }

    /// Gives up a call. Its answer may still come, so that what it costs is still counted.
    pub fn cancel(&mut self, id: u32) {
        if self.open.contains_key(&id) {
            self.cancelled.insert(id);
        }
    }

    /// A PING is on its way.
    pub fn ping(&mut self) {
        self.pings = self.pings.saturating_add(1);
    }

    /// GOODBYE is on its way: the plugin may still write log lines and ask for effects.
    pub fn leave(&mut self) {
        self.stage = Stage::Leaving;
        self.open.insert(0, Budget::new(self.limits));
    }

    /// The broker's answer is on its way: the plugin may ask again.
    pub fn answer(&mut self) {
        self.asking = None;
    }

    /// Reports dropped until now.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Checks what a host says.
    ///
    /// * `now`: the moment at which it came.
    ///
    /// # Errors
    ///
    /// [`SessionError`]: the host broke a rule; every later frame is refused too.
    pub fn accept(&mut self, frame: &Frame, now: Instant) -> Result<Heard, SessionError> {
        let heard = self.check(frame, now);
        match heard {
            Err(_) | Ok(Heard::Gone | Heard::Failed) => self.stage = Stage::Over,
            Ok(_) => {}
        }
        heard
    }

    fn check(&mut self, frame: &Frame, now: Instant) -> Result<Heard, SessionError> {
        if self.stage == Stage::Over {
            return Err(unexpected(frame, self.stage.text()));
        }
        self.spend(frame)?;
        match (frame.kind, self.stage) {
            (Kind::Error, _) => Ok(Heard::Failed),
            (Kind::Ready, Stage::Starting) if self.asking.is_none() => {
                self.open.remove(&0);
                self.stage = Stage::Serving;
                Ok(Heard::Ready)
            }
            (Kind::Reply, Stage::Serving) => self.close(frame.id),
            (Kind::Log | Kind::Metric, _) => self.report(now),
            (Kind::BrokerCall, _) if self.asking.is_none() => {
                self.asking = Some(frame.id);
                Ok(Heard::Broker)
            }
            (Kind::Ping, Stage::Serving) if self.pings > 0 => {
                self.pings -= 1;
                Ok(Heard::Pong)
            }
            (Kind::Goodbye, Stage::Leaving) if self.asking.is_none() => Ok(Heard::Gone),
            _ => Err(unexpected(frame, self.stage.text())),
        }
    }

    /// Everything but the answer to a PING costs the call that it names.
    fn spend(&mut self, frame: &Frame) -> Result<(), SessionError> {
        let is_free = match frame.kind {
            Kind::Ping | Kind::Error => true,
            // Zero stands for the start and the end, but between them threads of a plugin may write log lines.
            Kind::Log | Kind::Metric => frame.id == 0 && self.stage == Stage::Serving,
            _ => false,
        };
        match self.open.get_mut(&frame.id) {
            _ if is_free => Ok(()),
            Some(budget) => budget.spend(frame),
            None => Err(SessionError::UnknownId {
                kind: frame.kind,
                id: frame.id,
            }),
        }
    }

    fn close(&mut self, id: u32) -> Result<Heard, SessionError> {
        if self.asking == Some(id) {
            return Err(SessionError::Unexpected {
                kind: Kind::Reply,
                stage: "a broker call is open",
            });
        }
        self.open.remove(&id);
        Ok(if self.cancelled.remove(&id) {
            Heard::Late
        } else {
            Heard::Reply
        })
    }

    fn report(&mut self, now: Instant) -> Result<Heard, SessionError> {
        if self.rate.take(now) {
            return Ok(Heard::Report);
        }
        self.dropped += 1;
        if self.dropped > self.limits.dropped {
            return Err(SessionError::Flood(self.limits.dropped));
        }
        Ok(Heard::Dropped)
    }
}

impl Stage {
    fn text(self) -> &'static str {
        match self {
            Self::Starting => "the plugin starts",
            Self::Serving => "the plugin serves",
            Self::Leaving => "the plugin ends",
            Self::Over => "nothing may follow",
        }
    }
}
