use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Allowance, Configuration, Layer};
use crate::CapabilityName;

fn layer(value: &Value) -> Layer {
    Layer::parse("config.json", value.to_string().as_bytes()).unwrap()
}

#[track_caller]
fn check_refused(value: &Value, expected: &str) {
    let error = Layer::parse("config.json", value.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn nothing_said_is_the_default() {
    let merged = Configuration::merge([layer(&json!({}))]);
    assert_eq!(merged, Configuration::default());
    let manager = merged.plugin_manager;
    assert_eq!(
        (manager.max_plugins, manager.memory_limit_mb, manager.cpu_limit_percent),
        (100, 512, 10)
    );
    assert!(manager.require_signatures && manager.sandbox_enabled && !manager.enable_hot_reload);
    assert!(Configuration::default().is_enabled(&"hello".parse().unwrap()));
}

#[test]
fn later_layers_win_member_by_member() {
    let merged = Configuration::merge([
        layer(&json!({
            "plugin_manager": {"max_plugins": 5, "plugin_dir": "/a"},
            "plugins": {"hello": {"enabled": false, "config": {"a": 1, "b": 1}}},
            "hooks": {"container.pre_create": {"timeout_ms": 100}},
            "security": {"allowed_capabilities": ["logging"]},
        })),
        layer(&json!({
            "plugin_manager": {"plugin_dir": "/b"},
            "plugins": {"hello": {"config": {"b": 2}}},
            "hooks": {"container.pre_create": {"enabled": false}},
            "security": {"allowed_capabilities": ["metrics"]},
        })),
    ]);
    assert_eq!(
        serde_json::to_value(&merged).unwrap(),
        json!({
            "plugin_manager": {
                "plugin_dir": "/b", "max_plugins": 5, "enable_hot_reload": false, "require_signatures": true,
                "sandbox_enabled": true, "sandbox_required": [], "memory_limit_mb": 512, "cpu_limit_percent": 10,
            },
            "plugins": {"hello": {"enabled": false, "config": {"a": 1, "b": 2}}},
            "hooks": {"container.pre_create": {"enabled": false, "timeout_ms": 100}},
            "security": {"allowed_capabilities": ["metrics"], "denied_capabilities": []},
            "commands": {},
        })
    );
    assert!(!merged.is_enabled(&"hello".parse().unwrap()));
}

#[test]
fn no_layer_takes_a_denial_back() {
    let denied = |name: &str| layer(&json!({"security": {"denied_capabilities": [name]}}));
    let nothing = layer(&json!({"security": {"denied_capabilities": []}}));
    let merged = Configuration::merge([
        denied("host_mount"),
        denied("host_device"),
        denied("host_mount"),
        nothing,
    ]);
    let expected = [CapabilityName::HostMount, CapabilityName::HostDevice];
    assert_eq!(merged.security.denied_capabilities, expected);
}

#[test]
fn capabilities_are_allowed_whole_or_within_parameters() {
    let value = json!({"security": {"allowed_capabilities": [
        "filesystem_read", {"filesystem_write": {"paths": ["/var/lib/app"]}},
    ]}});
    let allowed = layer(&value).security.unwrap().allowed_capabilities.unwrap();
    let within = "filesystem_write:/var/lib/app".parse().unwrap();
    assert_eq!(
        allowed,
        [
            Allowance::Whole(CapabilityName::FilesystemRead),
            Allowance::Within(within)
        ]
    );
    assert_eq!(serde_json::to_value(layer(&value)).unwrap(), value);
}

#[test]
fn faults_name_file_and_place() {
    check_refused(
        &json!({"plugin_manager": {"max_plugins": 0}}),
        r#"read "config.json": at "/plugin_manager/max_plugins": 0 leaves plugins nothing: write 1 or more, or remove it for the default"#,
    );
    check_refused(
        &json!({"hooks": {"container.pre_create": {"timeout_ms": 0}}}),
        r#"read "config.json": at "/hooks/container.pre_create/timeout_ms": 0 leaves plugins nothing: write 1 or more, or remove it for the default"#,
    );
    for (bad, place) in [
        (
            json!({"plugin_manager": {"plugin_dir": "plugins"}}),
            "/plugin_manager/plugin_dir",
        ),
        (json!({"plugins": {"Hello": {}}}), "/plugins"),
        (json!({"hooks": {"container.created": {}}}), "/hooks"),
        (
            json!({"security": {"denied_capabilities": ["root"]}}),
            "/security/denied_capabilities/0",
        ),
        (
            json!({"security": {"allowed_capabilities": ["root"]}}),
            "/security/allowed_capabilities/0",
        ),
        (json!({"plugin_managers": {}}), ""),
        (json!([]), ""),
    ] {
        let error = Layer::parse("config.json", bad.to_string().as_bytes()).unwrap_err();
        assert!(error.pointer.starts_with(place), "{bad}: {error}");
    }
}

fn any_layer() -> impl Strategy<Value = Value> {
    let number = prop::option::of(1_u32..1000);
    let flag = prop::option::of(any::<bool>());
    let denied = prop::collection::vec(prop::sample::select(CapabilityName::ALL.to_vec()), 0..3);
    (number.clone(), flag.clone(), number, flag, denied).prop_map(|(count, reload, timeout, enabled, denied)| {
        let mut value = json!({"security": {"denied_capabilities": denied}});
        value["plugin_manager"] = json!({"max_plugins": count, "enable_hot_reload": reload});
        value["hooks"] = json!({"container.pre_create": {"timeout_ms": timeout}});
        value["plugins"] = json!({"hello": {"enabled": enabled, "config": {"count": count}}});
        value
    })
}

proptest! {
    #[test]
    fn a_layer_reads_back_as_it_was(value in any_layer()) {
        let layer = layer(&value);
        let printed = serde_json::to_vec(&layer).unwrap();
        prop_assert_eq!(Layer::parse("again", &printed).unwrap(), layer);
    }

    #[test]
    fn the_last_word_counts_and_all_denials_do(values in prop::collection::vec(any_layer(), 0..5)) {
        let merged = Configuration::merge(values.iter().map(layer));
        let last = values.iter().rev().find_map(|value| value["plugin_manager"]["max_plugins"].as_u64());
        prop_assert_eq!(u64::from(merged.plugin_manager.max_plugins), last.unwrap_or(100));
        for value in &values {
            for denied in layer(value).security.unwrap().denied_capabilities {
                prop_assert!(merged.security.denied_capabilities.contains(&denied));
            }
        }
    }
}
