//! `--debug`: every tracing event as a line, to the log if there is one, else to standard error.
//!
//! Without `--debug` no subscriber exists, so that a normal start pays nothing.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};

use anyhow::Context as _;
use tracing::field::{Field, Visit};
use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::{line, text};
use crate::args::{Globals, LogFormat};

/// Starts writing debug lines.
///
/// # Errors
///
/// The log cannot be opened.
pub fn enable(globals: &Globals) -> anyhow::Result<()> {
    let log = match &globals.log {
        Some(path) => {
            let open = File::options().append(true).create(true).open(path);
            Some(open.with_context(|| format!("open log {path:?}"))?)
        }
        None => None,
    };
    let lines = DebugLines {
        log,
        format: globals.log_format,
    };
    tracing::subscriber::set_global_default(lines).context("start debug log")
}

struct DebugLines {
    log: Option<File>,
    format: LogFormat,
}

impl Subscriber for DebugLines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::DEBUG
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = match *event.metadata().level() {
            // Only the report of a failed command is an error: clients take the last one for it.
            Level::ERROR | Level::WARN => "warning",
            Level::INFO => "info",
            _ => "debug",
        };
        let mut rest = vec![("target", event.metadata().target().to_owned())];
        rest.append(&mut fields.rest);
        let line = line::render(self.format, level, &fields.message, &rest);
        let written = match &self.log {
            Some(log) => {
                let mut shared = log;
                shared.write_all(line.as_bytes())
            }
            None => io::stderr().write_all(line.as_bytes()),
        };
        // A full disk must not stop a container for the sake of its debug log.
        written.unwrap_or_default();
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, String)>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: &str) {
        let value = text::one_line(value);
        match field.name() {
            "message" => self.message = value,
            name => self.rest.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_lines_and_never_errors() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let lines = DebugLines {
            log: Some(log.reopen().unwrap()),
            format: LogFormat::Json,
        };
        tracing::subscriber::with_default(lines, || {
            tracing::debug!(container = %"c\n1", step = 3, "cgroup made");
            tracing::error!("library is loud");
            tracing::trace!("not this one");
        });
        let text = std::fs::read_to_string(log.path()).unwrap();
        let records: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.len(), 2);
        assert_eq!(
            (&records[0]["level"], &records[0]["msg"]),
            (&"debug".into(), &"cgroup made".into())
        );
        assert_eq!(
            (&records[0]["container"], &records[0]["step"]),
            (&"c\\n1".into(), &"3".into())
        );
        assert_eq!(records[1]["level"], "warning");
    }
}
