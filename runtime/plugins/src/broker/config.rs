//! `config.read` and `config.write`: values of the configuration, for `config_read` and `config_write`.

use std::path::Path;

use nexcage_plugin_types::text::JsonPointer;
use nexcage_plugin_types::{Capability, CapabilityName, Manifest};
use serde::Deserialize;
use serde_json::Value;

use super::{Done, Question, Refusal};
use crate::below::is_below;
use crate::causes::chain;
use crate::{configuration, schema};

/// `{"pointer": "/a/b"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    pointer: JsonPointer,
}

/// Where a plugin's own configuration is kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The file that the caller named, as for [`crate::configuration::load`].
    pub given: Option<&'a Path>,
    /// The plugin.
    pub manifest: &'a Manifest,
}

/// `{"pointer": "/plugins/hello/config/greeting", "value": "hi"}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Write {
    pointer: JsonPointer,
    value: Value,
}

/// Changes a member of the plugin's own configuration, which holds from its next load on.
pub(super) fn write(question: &Question<'_>, asked: &Write) -> Result<Done, Refusal> {
    let pointer = asked.pointer.as_str();
    question.check_granted(CapabilityName::ConfigWrite, pointer, |grant| match grant {
        Capability::ConfigWrite { pointers } => pointers.iter().any(|granted| is_below(pointer, granted.as_str())),
        _ => false,
    })?;
    let Some(settings) = &question.broker.settings else {
        return Err(Refusal::Unsupported(question.effect.clone()));
    };
    let own = format!("/plugins/{}/config/", settings.manifest.name);
    let member = pointer
        .strip_prefix(&own)
        .filter(|member| !member.is_empty() && !member.contains('/'));
    let Some(member) = member else {
        return Err(Refusal::Argument {
            what: format!("write {pointer:?}"),
            fix: "name a member of the plugin's own configuration, such as /plugins/NAME/config/MEMBER",
        });
    };
    let member = member.replace("~1", "/").replace("~0", "~");
    let failed = |error: &dyn std::error::Error| Refusal::Argument {
        what: chain(error),
        fix: "write what its schema takes, where the configuration can be written",
    };
    let loaded = configuration::load(settings.given).map_err(|error| failed(&error))?;
    let kept = loaded.configuration.plugins.get(&settings.manifest.name);
    let mut config = kept.map(|kept| kept.config.clone()).unwrap_or_default();
    config.insert(member.clone(), asked.value.clone());
    schema::check_configuration(settings.manifest, &Value::Object(config)).map_err(|error| failed(&error))?;
    let name = &settings.manifest.name;
    configuration::set_member(settings.given, name, member, asked.value.clone()).map_err(|error| failed(&error))?;
    Ok(Done::answer(Value::Null))
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
