//! `--debug`: every step on standard error. Without it nothing is installed.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

struct ToStderr;

/// Sends every event to standard error from now on.
pub(crate) fn install() {
    let installed = tracing::subscriber::set_global_default(ToStderr);
    debug_assert!(installed.is_ok(), "it is installed once, first thing");
}

impl Subscriber for ToStderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("level={}", event.metadata().level().as_str().to_lowercase()));
        event.record(&mut line);
        drop(writeln!(io::stderr().lock(), "{}", line.0));
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        let written = write!(self.0, " {name}={value:?}");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
}
