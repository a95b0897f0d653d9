//! The operator's configuration of a plugin, held against the schema in its manifest.
//!
//! The schema is a stranger's: it may name no other document, and its patterns are matched in linear time.

use jsonschema::{PatternOptions, ValidationOptions, Validator};
use nexcage_plugin_types::Manifest;
use nexcage_plugin_types::message::printable;
use serde_json::Value;

/// A configuration that a plugin does not take, or a schema that is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The schema in the manifest is none.
    #[error("read configuration_schema of plugin {plugin:?}: at {pointer:?}: {detail}: correct its manifest")]
    Schema {
        /// The plugin.
        plugin: String,
        /// The place in the schema.
        pointer: String,
        /// What is wrong there.
        detail: String,
    },
    /// The configuration is not as the schema wants it.
    #[error("configure plugin {plugin:?}: at {pointer:?} of plugins.{plugin}.config: {detail}")]
    Configuration {
        /// The plugin.
        plugin: String,
        /// The place in the configuration.
        pointer: String,
        /// What is wrong there.
        detail: String,
    },
}

/// Checks that a manifest's schema is one.
///
/// # Errors
///
/// [`SchemaError::Schema`].
pub fn check_schema(manifest: &Manifest) -> Result<(), SchemaError> {
    compile(manifest).map(drop)
}

/// Checks a plugin's configuration; without a schema it takes any.
///
/// # Errors
///
/// [`SchemaError`], for the first fault.
pub fn check_configuration(manifest: &Manifest, config: &Value) -> Result<(), SchemaError> {
    let Some(validator) = compile(manifest)? else {
        return Ok(());
    };
    validator.validate(config).map_err(|error| SchemaError::Configuration {
        plugin: manifest.name.to_string(),
        pointer: printable(&error.instance_path().to_string()),
        detail: printable(&error.to_string()),
    })
}

fn compile(manifest: &Manifest) -> Result<Option<Validator>, SchemaError> {
    let Some(schema) = &manifest.configuration_schema else {
        return Ok(None);
    };
    let options: ValidationOptions = jsonschema::options().with_pattern_options(PatternOptions::regex());
    options.build(schema).map(Some).map_err(|error| SchemaError::Schema {
        plugin: manifest.name.to_string(),
        pointer: printable(&error.instance_path().to_string()),
        detail: printable(&error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest(schema: &Value) -> Manifest {
        let text = json!({
            "name": "hello", "version": "1.0.0", "description": "d", "api": "^1", "nexcage_version": "*",
            "configuration_schema": schema,
        });
        Manifest::parse("m", text.to_string().as_bytes()).unwrap()
    }

    #[track_caller]
    fn check(schema: &Value, config: &Value, expected: &str) {
        let checked = check_configuration(&manifest(schema), config);
        assert_eq!(
            checked
                .map_err(|error| error.to_string())
                .err()
                .as_deref()
                .unwrap_or(""),
            expected
        );
    }

    #[test]
    fn a_configuration_is_held_against_the_schema() {
        let schema = json!({
            "type": "object",
            "properties": {"greeting": {"type": "string", "maxLength": 3}},
            "additionalProperties": false,
        });
        check(&schema, &json!({"greeting": "hi"}), "");
        check(
            &schema,
            &json!({"greeting": 7}),
            "configure plugin \"hello\": at \"/greeting\" of plugins.hello.config: 7 is not of type \"string\"",
        );
        check(
            &schema,
            &json!({"greetin": "hi"}),
            "configure plugin \"hello\": at \"\" of plugins.hello.config: Additional properties are not allowed \
             ('greetin' was unexpected)",
        );
    }

    #[test]
    fn a_schema_that_is_none_is_the_manifests_fault() {
        let error = check_schema(&manifest(&json!({"type": "objekt"})))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("read configuration_schema of plugin \"hello\": at \"/type\": "),
            "{error}"
        );
        check_schema(&manifest(&json!({"$ref": "#/$defs/a", "$defs": {"a": true}}))).unwrap();
    }

    #[test]
    fn a_schema_names_no_other_document() {
        for other in ["https://example.com/schema.json", "file:///etc/hosts", "/etc/hosts"] {
            let schema = manifest(&json!({"$ref": other}));
            assert!(check_schema(&schema).is_err(), "{other}");
        }
    }

    #[test]
    fn a_pattern_takes_no_time() {
        let schema = json!({"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}});
        let long = format!("{}b", "a".repeat(100_000));
        assert!(check_configuration(&manifest(&schema), &json!({"a": long})).is_err());
    }
}
