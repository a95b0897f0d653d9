//! What a plugin causes while it is called, held against its grants.
//!
//! Lines of log and measurements pass with `logging` and `metrics`; without them the first of each is recorded as a
//! violation, and all are dropped. Effects go to the broker.

use std::time::Instant;

use nexcage_plugin_types::CapabilityName;
use nexcage_plugin_types::broker::Effect;
use nexcage_plugin_types::message::{Failure, LogLine, Metric, Span};

use crate::audit::{Event, Kind};
use crate::broker::Broker;
use crate::connection::{Answer, Effects};

#[cfg(test)]
mod tests;

/// Where a plugin's lines and measurements go.
pub trait Sink {
    /// A line of log. Its texts are harmless to print.
    fn log(&mut self, plugin: &str, line: LogLine);

    /// A measurement.
    fn metric(&mut self, plugin: &str, metric: Metric);

    /// A span. Its texts are harmless to print.
    fn span(&mut self, plugin: &str, span: Span);
}

/// The effects of one plugin's calls.
pub struct Granted<'a> {
    broker: Broker<'a>,
    sink: &'a mut dyn Sink,
    /// Capabilities that were used without a grant, each recorded once.
    violated: Vec<CapabilityName>,
    dropped: u64,
}

impl<'a> Granted<'a> {
    /// For the calls of one host.
    #[must_use]
    pub fn new(broker: Broker<'a>, sink: &'a mut dyn Sink) -> Self {
        Self {
            broker,
            sink,
            violated: Vec::new(),
            dropped: 0,
        }
    }

    /// How many lines and measurements were dropped for want of a grant.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn has(&mut self, capability: CapabilityName, what: &str) -> bool {
        if self.broker.grants.iter().any(|grant| grant.name() == capability) {
            return true;
        }
        self.dropped = self.dropped.saturating_add(1);
        if self.violated.contains(&capability) {
            return false;
        }
        self.violated.push(capability);
        let text = format!("{what} without capability {capability}");
        let event = Event {
            kind: Kind::Violation,
            plugin: self.broker.plugin,
            container: self.broker.container,
            text: &text,
            detail: serde_json::Value::Null,
        };
        if let Err(error) = self.broker.audit.append(&event) {
            tracing::warn!(plugin = self.broker.plugin, %error, lost = "record of a violation", "audit log not written");
        }
        false
    }
}

impl Granted<'_> {
    /// A span goes where lines of log go; there is nothing to perform.
    fn span(&mut self, body: &[u8]) -> Answer {
        let refuse = |status, message: String| Answer {
            status,
            body: serde_json::to_vec(&Failure { message }).unwrap_or_default(),
            fd: None,
        };
        if !self.has(CapabilityName::Tracing, "span") {
            return refuse(3, "capability tracing is not granted".to_owned());
        }
        match serde_json::from_slice::<Span>(body) {
            Ok(span) => {
                self.sink.span(self.broker.plugin, span.to_printable());
                Answer {
                    body: b"null".to_vec(),
                    ..Answer::default()
                }
            }
            Err(error) => refuse(1, format!("read what trace.span asks for: {error}")),
        }
    }
}

impl Effects for Granted<'_> {
    fn log(&mut self, line: LogLine) {
        if self.has(CapabilityName::Logging, "line of log") {
            self.sink.log(self.broker.plugin, line);
        }
    }

    fn metric(&mut self, metric: Metric) {
        if self.has(CapabilityName::Metrics, "measurement") {
            self.sink.metric(self.broker.plugin, metric);
        }
    }

    fn broker(&mut self, method: u32, body: &[u8], deadline: Instant) -> Answer {
        if method == Effect::TraceSpan.number() {
            return self.span(body);
        }
        self.broker.perform(method, body, deadline)
    }
}
