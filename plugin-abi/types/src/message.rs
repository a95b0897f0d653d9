//! The bodies of frames.
//!
//! What comes from a host is read strictly: an unknown field is an error, a text that is too long is cut.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Bytes of a text for people: a line of log, a reason. Longer ones are cut.
pub const TEXT_MAX: usize = 4096;

/// HELLO: what the host is to load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The oldest and the newest wire protocol that the runtime speaks.
    pub protocol: [u32; 2],
    /// The version of nexcage.
    pub nexcage: String,
    /// The name in the plugin's manifest.
    pub plugin: String,
    /// The plugin's part of the configuration, as JSON; `null` without one.
    pub config: serde_json::Value,
    /// The least important lines of log that are wanted.
    pub log_level: LogLevel,
}

/// READY: what has been loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// The wire protocol that will be spoken.
    pub protocol: u32,
    /// The version of the plugin ABI that the plugin was built for: major in the upper 16 bits, minor in the lower.
    pub api: u32,
    /// The extensions that the plugin has, for example `nexcage.cli_command/1`.
    pub extensions: Vec<String>,
}

/// How important a line of log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// The plugin's operation failed.
    Error,
    /// It goes on with less.
    Warn,
    /// A status changed.
    Info,
    /// Steps.
    Debug,
    /// Everything.
    Trace,
}

/// LOG: one line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// Its importance.
    pub level: LogLevel,
    /// The part of the plugin that says it.
    #[serde(default)]
    pub target: String,
    /// The text. It is data of a stranger: never a format, escaped before it is printed.
    pub message: String,
}

/// What a measurement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// To be added to what was counted before.
    Counter,
    /// The value of now.
    Gauge,
    /// One observation of a distribution.
    Histogram,
}

/// METRIC: one measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Letters, digits and underscores, as Prometheus has it.
    pub name: String,
    /// What it means.
    pub kind: MetricKind,
    /// In the unit that the name ends with.
    pub value: f64,
    /// What it belongs to.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The input of `trace.span`: a piece of work of the plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// What was done.
    pub name: String,
    /// When it began, in nanoseconds since the epoch.
    pub start_ns: u64,
    /// How long it took, in nanoseconds.
    pub duration_ns: u64,
    /// What it was done with.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// The body of ERROR, and of an answer whose status is not zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What went wrong, for people.
    pub message: String,
}

/// Why a body was refused.
#[derive(Debug, thiserror::Error)]
#[error("read body of {kind}")]
pub struct BodyError {
    /// The kind of the frame.
    pub kind: crate::frame::Kind,
    /// What the JSON lacks, or has too much.
    pub source: serde_json::Error,
}

/// Reads the body of a frame.
///
/// # Errors
///
/// [`BodyError`]: not JSON, an unknown or missing field, a wrong type.
pub fn parse<'a, T: Deserialize<'a>>(frame: &'a crate::frame::Frame) -> Result<T, BodyError> {
    serde_json::from_slice(&frame.body).map_err(|source| BodyError {
        kind: frame.kind,
        source,
    })
}

impl LogLine {
    /// The same line, its texts cut to [`TEXT_MAX`] and free of control characters, which could forge lines of a log or
    /// drive a terminal.
    #[must_use]
    pub fn to_printable(&self) -> Self {
        Self {
            level: self.level,
            target: printable(&self.target),
            message: printable(&self.message),
        }
    }
}

impl Span {
    /// The same span, its texts as those of [`LogLine::to_printable`].
    #[must_use]
    pub fn to_printable(&self) -> Self {
        let attributes = self
            .attributes
            .iter()
            .map(|(key, value)| (printable(key), printable(value)));
        Self {
            name: printable(&self.name),
            attributes: attributes.collect(),
            ..self.clone()
        }
    }
}

/// A stranger's text made harmless: control characters escaped, cut at [`TEXT_MAX`] bytes.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_MAX));
    for c in text.chars() {
        let before = out.len();
        match c {
            c if c.is_control() || is_direction(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
        if out.len() > TEXT_MAX {
            out.truncate(before);
            out.push('…');
            break;
        }
    }
    out
}

/// Characters that change the direction of what follows, so that a text reads as another.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, Kind};

    #[test]
    fn texts_of_strangers_become_harmless() {
        assert_eq!(printable("a\nb\u{1b}[31m\u{202e}x"), "a\\u{a}b\\u{1b}[31m\\u{202e}x");
        assert_eq!(printable("grün"), "grün");
        let long = printable(&"ä".repeat(TEXT_MAX));
        assert!(long.len() <= TEXT_MAX + '…'.len_utf8(), "{}", long.len());
        assert!(long.ends_with("ä…"));
    }

    #[test]
    fn bodies_are_read_strictly() {
        let check = |body: &str, expected: Result<&str, &str>| {
            let frame = Frame::new(Kind::Log, 0, body.into());
            let read = parse::<LogLine>(&frame).map(|line| line.message);
            let read = read.map_err(|error| format!("{error}: {}", error.source));
            assert_eq!(read.as_deref().map_err(String::as_str), expected);
        };
        check(r#"{"level":"info","message":"m"}"#, Ok("m"));
        check(
            r#"{"level":"info","message":"m","x":1}"#,
            Err(
                "read body of LOG: unknown field `x`, expected one of `level`, `target`, `message` at line 1 column 33",
            ),
        );
        check(
            "",
            Err("read body of LOG: EOF while parsing a value at line 1 column 0"),
        );
    }
}
