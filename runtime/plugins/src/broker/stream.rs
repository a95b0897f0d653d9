//! The caller's standard streams, for a command of the plugin.

use nexcage_sys::fds;
use serde::Deserialize;

use super::{Done, Question, Refusal, Streams};
use crate::audit::Kind;

/// A standard stream.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

/// `{"stream": "stdin"}`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    stream: Stream,
}

pub(super) fn open(question: &Question<'_>, input: &Input) -> Result<Done, Refusal> {
    if question.broker.streams == Streams::Closed {
        return Err(Refusal::Argument {
            what: "open a standard stream".into(),
            fix: "ask while a command of the plugin runs",
        });
    }
    question.record(Kind::Broker, &format!("{} for a command", question.effect))?;
    let number = match input.stream {
        Stream::Stdin => 0,
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    let copy = fds::copy_number(number).map_err(|source| Refusal::Failed {
        what: "copy a standard stream".into(),
        source,
    })?;
    Ok(Done::open(copy))
}
