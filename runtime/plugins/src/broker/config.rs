//! `config.read`: a value of the configuration, for `config_read`.

use nexcage_plugin_types::text::JsonPointer;
use nexcage_plugin_types::{Capability, CapabilityName};
use serde::Deserialize;

use super::{Done, Question, Refusal};
use crate::below::is_below;

/// `{"pointer": "/a/b"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    pointer: JsonPointer,
}

pub(super) fn read(question: &Question<'_>, asked: &Read) -> Result<Done, Refusal> {
    let pointer = asked.pointer.as_str();
    question.check_granted(CapabilityName::ConfigRead, pointer, |grant| match grant {
        Capability::ConfigRead { pointers } => pointers.iter().any(|granted| is_below(pointer, granted.as_str())),
        _ => false,
    })?;
    let value = question.broker.config.pointer(pointer);
    let value = value.ok_or_else(|| Refusal::NotFound(pointer.to_owned()))?;
    Ok(Done::answer(value.clone()))
}
