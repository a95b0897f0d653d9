use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::capability::CapabilityName;
use crate::hook::{FailureAction, HookPoint, When};

fn small() -> Value {
    json!({
        "name": "hello", "version": "1.2.3", "description": "says hello", "api": "^1", "nexcage_version": ">=0.1.0"
    })
}

/// Checks the error of the small manifest with one member set.
#[track_caller]
fn refused(member: &str, value: Value, expected: &str) {
    let mut manifest = small();
    manifest[member] = value;
    let error = Manifest::parse("m", manifest.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_small_manifest_gets_the_defaults() {
    let manifest = Manifest::parse("m", small().to_string().as_bytes()).unwrap();
    let limits = &manifest.resource_requirements;
    let values = [
        limits.max_memory_mb,
        limits.max_cpu_percent,
        limits.max_file_descriptors,
        limits.max_threads,
        limits.timeout_seconds,
    ];
    assert_eq!(values, [64, 5, 100, 10, 30]);
    assert!(manifest.capabilities.is_empty() && manifest.hooks.is_empty());
}

#[test]
fn a_fault_names_file_place_and_fix() {
    refused(
        "resource_requirements",
        json!({"max_threads": 0}),
        r#"read "m": at "/resource_requirements/max_threads": 0 leaves the plugin nothing: write 1 or more, or remove it for the default"#,
    );
    refused(
        "resource_requirements",
        json!([1, 2, 3, 4, 5]),
        r#"read "m": at "/resource_requirements": a list stands where an object is expected: write an object"#,
    );
    refused(
        "dependencies",
        json!({"hello": {"version": "*"}}),
        r#"read "m": at "/dependencies/hello": the plugin depends on itself: remove it"#,
    );
    refused(
        "conflicts",
        json!({"hello": "*"}),
        r#"read "m": at "/conflicts/hello": the plugin conflicts with itself: remove it"#,
    );
    refused(
        "capabilities",
        json!(["logging", "logging"]),
        r#"read "m": at "/capabilities/1": capability logging is there twice: put the parameters of both in one"#,
    );
    refused(
        "hooks",
        json!([{"point": "container.post_create", "write_set": ["/process"]}]),
        r#"read "m": at "/hooks/0/write_set": nothing can be changed at container.post_create: remove the write-set"#,
    );
    refused(
        "hooks",
        json!([{"point": "container.pre_start", "priority": "background"}]),
        r#"read "m": at "/hooks/0/priority": the answer at container.pre_start counts, so it cannot come later: choose another priority"#,
    );
    refused(
        "hooks",
        json!([{"point": "oci.poststop"}, {"point": "oci.poststop"}]),
        r#"read "m": at "/hooks/1/point": hook point oci.poststop is there twice: keep one of the two"#,
    );
    refused(
        "configuration_schema",
        json!(true),
        r#"read "m": at "/configuration_schema": the schema is no object: write a JSON Schema as an object"#,
    );
}

/// Checks where the small manifest with one member set is at fault.
#[track_caller]
fn fault_at(member: &str, value: Value, pointer: &str) {
    let mut manifest = small();
    manifest[member] = value;
    let error = Manifest::parse("m", manifest.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.pointer, pointer, "{error}");
}

#[test]
fn a_value_that_does_not_fit_is_named() {
    fault_at("surprise", json!(1), "/surprise");
    fault_at("version", json!("1"), "/version");
    fault_at("nexcage_version", json!("new"), "/nexcage_version");
    fault_at("name", json!("../x"), "/name");
    fault_at("kinds", json!(["other"]), "/kinds/0");
    fault_at("files", json!({"a": "0"}), "/files/a");
    fault_at(
        "hooks",
        json!([{"point": "container.pre_create", "write_set": ["x"]}]),
        "/hooks/0/write_set/0",
    );
    fault_at(
        "capabilities",
        json!([{"filesystem_read": {"paths": ["etc"]}}]),
        "/capabilities/0/filesystem_read/paths/0",
    );
}

fn legacy() -> Value {
    json!({
        "api_version": 1, "name": "hello", "version": "1.0.0", "description": "says hello",
        "nexcage_version": ">=0.7.0", "dependencies": ["log >=1, <2"],
        "capabilities": ["filesystem_read", "network_client:localhost:80", "logging"]
    })
}

#[test]
fn a_manifest_of_the_original_form_is_migrated() {
    let manifest = Manifest::parse("m", legacy().to_string().as_bytes()).unwrap();
    let printed: Vec<_> = manifest.capabilities.iter().map(ToString::to_string).collect();
    assert_eq!(
        printed,
        ["filesystem_read:[]", r#"network_client:["localhost:80"]"#, "logging"]
    );
    assert_eq!(manifest.nexcage_version.to_string(), ">=0.7.0");
    let log = manifest.dependencies.get(&"log".parse().unwrap()).unwrap();
    assert_eq!(log.version.to_string(), ">=1, <2");
    let again = Manifest::parse("m", manifest.print().unwrap().as_bytes()).unwrap();
    assert_eq!(again, manifest);
}

#[test]
fn a_fault_in_the_original_form_is_named() {
    for (member, value, pointer) in [
        ("api_version", json!(2), "/api_version"),
        ("capabilities", json!(["filesystem_read:etc"]), "/capabilities/0"),
        ("dependencies", json!(["log", "log"]), "/dependencies/1"),
        ("api", json!("^1"), "/api"),
    ] {
        let mut manifest = legacy();
        manifest[member] = value;
        let error = Manifest::parse("m", manifest.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.pointer, pointer, "{error}");
    }
}

fn capability() -> impl Strategy<Value = Capability> {
    let parts = prop::collection::vec("[a-z\"\\\\ ]{1,5}", 0..4);
    (prop::sample::select(CapabilityName::ALL.to_vec()), parts).prop_map(|(name, parts)| {
        let paths: Vec<_> = parts.iter().map(|part| format!("/{part}")).collect();
        name.with(&paths).or_else(|_other_form| name.with(&[])).unwrap()
    })
}

fn subscription() -> impl Strategy<Value = Subscription> {
    let action = prop::option::of(prop::sample::select(vec![
        FailureAction::Deny,
        FailureAction::Allow,
        FailureAction::Retry,
    ]));
    let image = prop::option::of(prop::option::of("\\PC{0,6}"));
    let point = prop::sample::select(HookPoint::ALL.to_vec());
    (point, action.clone(), action, image).prop_map(|(point, on_error, on_timeout, image)| Subscription {
        point,
        priority: Priority::Low,
        when: image.map(|image| When {
            image,
            ..When::default()
        }),
        write_set: if point.power() == Power::Mutate {
            vec!["/a~1b".parse().unwrap()]
        } else {
            Vec::new()
        },
        on_error,
        on_timeout,
        on_unavailable: None,
    })
}

proptest! {
    #[test]
    fn a_capability_reads_back_as_printed(capability in capability()) {
        prop_assert_eq!(capability.to_string().parse::<Capability>().unwrap(), capability);
    }

    #[test]
    fn a_manifest_reads_back_as_printed(
        description in "\\PC{0,20}",
        version in (0_u64..99, 0_u64..99),
        limit in 1_u32..,
        capabilities in prop::collection::vec(capability(), 0..4),
        hook in subscription(),
    ) {
        let mut manifest = Manifest::parse("m", small().to_string().as_bytes()).unwrap();
        manifest.description = description;
        manifest.version = Version::new(version.0, version.1, 0);
        manifest.resource_requirements.max_threads = limit;
        let mut seen = BTreeSet::new();
        manifest.capabilities = capabilities.into_iter().filter(|one| seen.insert(one.name())).collect();
        manifest.hooks = vec![hook];
        let again = Manifest::parse("m", manifest.print().unwrap().as_bytes()).unwrap();
        prop_assert_eq!(again, manifest);
    }
}

#[test]
fn a_name_with_a_line_end_stays_on_the_line_of_the_error() {
    let text = small().to_string().replace("\"name\"", r#""\name""#);
    let error = Manifest::parse("m", text.as_bytes()).unwrap_err().to_string();
    assert!(
        error.contains(r"unknown field `\u{a}ame`") && !error.contains('\n'),
        "{error}"
    );
}
