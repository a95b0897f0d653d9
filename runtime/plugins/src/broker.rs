//! The broker: performs effects for plugins, as far as the operator granted them.
//!
//! A plugin's process can do nothing by itself; it asks here. Each question is hostile until it has been read strictly and
//! held against the grants. What is granted is in the audit log before it happens: an effect that cannot be recorded is
//! not performed.

use std::os::fd::OwnedFd;
use std::time::Instant;

use nexcage_plugin_types::broker::Effect;
use nexcage_plugin_types::message::{self, Failure};
use nexcage_plugin_types::{Capability, CapabilityName};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::audit::{Audit, Event, Kind};
use crate::connection::Answer;

mod command;
mod config;
mod container;
mod file;
mod network;
mod program;
mod stream;
mod system;
#[cfg(test)]
mod tests;

pub use command::Table;
pub use config::Settings;
pub use container::Containers;

/// Performs effects for one plugin.
#[derive(Debug)]
pub struct Broker<'a> {
    /// The plugin's name.
    pub plugin: &'a str,
    /// What the operator left of the manifest's capabilities.
    pub grants: &'a [Capability],
    /// The configuration that `config.read` answers from.
    pub config: &'a Value,
    /// The container that the plugin works for; empty where there is none.
    pub container: &'a str,
    /// Where it is all recorded.
    pub audit: &'a Audit,
    /// Whether it may have this process's standard streams.
    pub streams: Streams,
    /// Programs of the node that may be run for it; `None` where none can.
    pub commands: Option<Table<'a>>,
    /// Where its own configuration is kept; `None` where it cannot be changed.
    pub settings: Option<Settings<'a>>,
    /// The runtime that its containers are handed to; `None` where they are none of its business.
    pub containers: Option<&'a Containers>,
}

/// Whether a plugin may have the standard streams of the process that calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// It may: one of its commands runs.
    Open,
    /// It may not.
    Closed,
}

/// What came of an effect: JSON for the plugin, and a descriptor where it opened something.
#[derive(Debug)]
struct Done {
    json: Value,
    fd: Option<OwnedFd>,
}

/// Why an effect was not performed. Each has its number of the plugin interface.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// The question is not one.
    #[error("read what {effect} asks for: {source}")]
    Input { effect: Effect, source: serde_json::Error },
    /// An argument that cannot be used.
    #[error("{what}: {fix}")]
    Argument { what: String, fix: &'static str },
    /// No such effect here.
    #[error("effect {0} is not offered by this nexcage")]
    Unsupported(String),
    /// The operator did not grant it.
    #[error("capability {capability} is not granted for {what:?}")]
    NotGranted { capability: CapabilityName, what: String },
    /// What it names is not there.
    #[error("find {0:?}")]
    NotFound(String),
    /// The node refused.
    #[error("{what}: {source}")]
    Failed { what: String, source: std::io::Error },
    /// It did not succeed in time.
    #[error("{0}: no answer within the deadline of the call")]
    Late(String),
    /// The audit log cannot be written.
    #[error("record the effect: {0}")]
    Audit(String),
}

impl Refusal {
    /// The number in the plugin interface.
    fn status(&self) -> u32 {
        match self {
            Self::Input { .. } | Self::Argument { .. } => 1,
            Self::Unsupported(_) => 2,
            Self::NotGranted { .. } => 3,
            Self::NotFound(_) => 4,
            Self::Late(_) => 5,
            Self::Failed { .. } | Self::Audit(_) => 7,
        }
    }
}

impl Broker<'_> {
    /// Performs an effect, or refuses it.
    ///
    /// * `method`: its number on the wire.
    /// * `body`: what the plugin asks, JSON of a stranger.
    /// * `deadline`: when the answer is of no more use.
    ///
    /// The answer of a refusal carries its status and a text for the plugin's author.
    #[must_use]
    pub fn perform(&self, method: u32, body: &[u8], deadline: Instant) -> Answer {
        let effect = Effect::from_number(method);
        let question = Question {
            broker: self,
            effect: effect.map_or_else(|| format!("number {method}"), |effect| effect.to_string()),
            // The log shows what was asked for even if it is no JSON, but not a mebibyte of it.
            asked: message::printable(&String::from_utf8_lossy(body)),
        };
        let done = match effect {
            Some(effect) => question.perform(effect, body, deadline),
            None => Err(Refusal::Unsupported(question.effect.clone())),
        };
        match done {
            Ok(Done { json, fd }) => Answer {
                status: 0,
                body: serde_json::to_vec(&json).unwrap_or_default(),
                fd,
            },
            Err(refusal) => refuse(&question.record_refusal(refusal)),
        }
    }
}

/// One effect that is asked for.
struct Question<'a> {
    broker: &'a Broker<'a>,
    effect: String,
    asked: String,
}

impl Question<'_> {
    fn perform(&self, effect: Effect, body: &[u8], deadline: Instant) -> Result<Done, Refusal> {
        match effect {
            Effect::ConfigRead => config::read(self, &parse(effect, body)?),
            Effect::SystemInfo => system::info(self, &parse(effect, body)?),
            Effect::SystemMetrics => system::metrics(self, &parse(effect, body)?),
            Effect::FileOpen => file::open(self, &parse(effect, body)?),
            Effect::NetworkDial => network::dial(self, &parse(effect, body)?, deadline),
            Effect::NetworkListen => network::listen(self, &parse(effect, body)?),
            Effect::ConfigWrite => config::write(self, &parse(effect, body)?),
            Effect::CommandExecute => command::execute(self, &parse(effect, body)?, deadline),
            Effect::StreamOpen => stream::open(self, &parse(effect, body)?),
            Effect::ProgramExecute => command::execute_program(self, &parse(effect, body)?, deadline),
            Effect::DeviceOpen => file::open_device(self, &parse(effect, body)?),
            Effect::NetworkRaw => network::raw(self, &parse(effect, body)?),
            Effect::ContainerCreate => container::perform::<container::Create>(self, &parse(effect, body)?, deadline),
            Effect::ContainerStart => container::perform::<container::Start>(self, &parse(effect, body)?, deadline),
            Effect::ContainerStop => container::perform::<container::Stop>(self, &parse(effect, body)?, deadline),
            Effect::ContainerDelete => container::perform::<container::Delete>(self, &parse(effect, body)?, deadline),
            Effect::ContainerExec => container::perform::<container::Exec>(self, &parse(effect, body)?, deadline),
            other => Err(Refusal::Unsupported(other.to_string())),
        }
    }

    /// Finds the grant of a capability that covers what is asked for, and records it: the effect may follow.
    fn check_granted(
        &self,
        capability: CapabilityName,
        what: &str,
        covers: impl Fn(&Capability) -> bool,
    ) -> Result<(), Refusal> {
        let grants = self.broker.grants.iter();
        if grants.filter(|grant| grant.name() == capability).any(covers) {
            return self.record(Kind::Broker, &format!("{} by capability {capability}", self.effect));
        }
        Err(Refusal::NotGranted {
            capability,
            what: message::printable(what),
        })
    }

    /// Records why an effect was not performed; what cannot be recorded is told instead.
    fn record_refusal(&self, refusal: Refusal) -> Refusal {
        let kind = match refusal {
            Refusal::Audit(_) => return refusal,
            Refusal::NotGranted { .. } => Kind::Denial,
            _ => Kind::Broker,
        };
        match self.record(kind, &refusal.to_string()) {
            Ok(()) => refusal,
            Err(unrecorded) => unrecorded,
        }
    }

    fn record(&self, kind: Kind, text: &str) -> Result<(), Refusal> {
        let event = Event {
            kind,
            plugin: self.broker.plugin,
            container: self.broker.container,
            text,
            detail: json!({"effect": self.effect, "asked": self.asked}),
        };
        let recorded = self.broker.audit.append(&event);
        recorded.map(drop).map_err(|error| Refusal::Audit(error.to_string()))
    }
}

impl Done {
    fn answer(json: Value) -> Self {
        Self { json, fd: None }
    }

    fn open(fd: impl Into<OwnedFd>) -> Self {
        Self {
            json: Value::Null,
            fd: Some(fd.into()),
        }
    }
}

fn parse<T: DeserializeOwned>(effect: Effect, body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|source| Refusal::Input { effect, source })
}

fn refuse(refusal: &Refusal) -> Answer {
    let message = message::printable(&refusal.to_string());
    Answer {
        status: refusal.status(),
        body: serde_json::to_vec(&Failure { message }).unwrap_or_default(),
        fd: None,
    }
}
