use nexcage_plugin_types::configuration::{Allowance, Security};
use nexcage_plugin_types::{Capability, CapabilityName, Manifest};
use serde_json::{Value, json};

use super::{HARMLESS, NOT_OFFERED};

fn policy(allowed: Option<&[&str]>, whole: &[CapabilityName], denied: &[CapabilityName]) -> Security {
    let within = |text: &&str| Allowance::Within(text.parse().unwrap());
    let whole = whole.iter().map(|name| Allowance::Whole(*name));
    Security {
        allowed_capabilities: allowed.map(|texts| texts.iter().map(within).chain(whole).collect()),
        denied_capabilities: denied.to_vec(),
    }
}

fn grants(security: &Security, asked: &Value) -> Result<Vec<Capability>, String> {
    let manifest = json!({
        "name": "hello", "version": "1.0.0", "description": "a plugin", "api": "^1", "nexcage_version": "*",
        "capabilities": asked,
    });
    let manifest = Manifest::parse("m", manifest.to_string().as_bytes()).unwrap();
    super::grants(security, &manifest).map_err(|error| error.to_string())
}

#[track_caller]
fn check_refused(policy: &Security, asked: &Value, what: &str) {
    let text = format!(
        "load plugin \"hello\": capability {what} is not allowed: add it to security.allowed_capabilities, if you trust \
         the plugin with it"
    );
    assert_eq!(grants(policy, asked), Err(text));
}

#[test]
fn without_a_word_of_the_operator_a_plugin_is_heard_and_no_more() {
    let nothing = policy(None, &[], &[]);
    let heard = json!(["logging", "metrics", "tracing"]);
    let expected = [Capability::Logging, Capability::Metrics, Capability::Tracing];
    assert_eq!(grants(&nothing, &heard).unwrap(), expected);
    let is_harmful = |name: &&CapabilityName| !HARMLESS.contains(name) && !NOT_OFFERED.contains(name);
    for name in CapabilityName::ALL.iter().filter(is_harmful) {
        let capability = name.with(&[]).unwrap();
        check_refused(&nothing, &json!([capability]), name.as_str());
    }
    check_refused(
        &nothing,
        &json!([{"filesystem_read": {"paths": ["/etc"]}}]),
        "filesystem_read",
    );
}

#[test]
fn what_is_not_offered_nobody_has() {
    for name in NOT_OFFERED {
        let allowed = policy(Some(&[name.as_str()]), &[], &[]);
        let text = format!("load plugin \"hello\": capability {name} is not offered by this nexcage");
        assert_eq!(grants(&allowed, &json!([name.with(&[]).unwrap()])), Err(text));
    }
}

#[test]
fn a_list_of_the_operator_is_the_whole_list() {
    let only_info = policy(Some(&["system_info"]), &[], &[]);
    assert_eq!(
        grants(&only_info, &json!(["system_info"])).unwrap(),
        [Capability::SystemInfo]
    );
    check_refused(&only_info, &json!(["system_info", "logging"]), "logging");
}

#[test]
fn paths_are_allowed_at_or_below_those_of_the_operator() {
    let etc = policy(Some(&["filesystem_read:/etc/app"]), &[], &[]);
    let read = |path: &str| json!([{"filesystem_read": {"paths": [path]}}]);
    assert!(grants(&etc, &read("/etc/app")).is_ok());
    assert!(grants(&etc, &read("/etc/app/x")).is_ok());
    check_refused(&etc, &read("/etc"), "filesystem_read:/etc");
    check_refused(&etc, &read("/etc/apple"), "filesystem_read:/etc/apple");
    let both = json!([{"filesystem_read": {"paths": ["/etc/app", "/root"]}}]);
    check_refused(&etc, &both, "filesystem_read:/root");
    check_refused(
        &etc,
        &json!([{"filesystem_write": {"paths": ["/etc/app"]}}]),
        "filesystem_write:/etc/app",
    );
}

#[test]
fn endpoints_and_commands_are_allowed_letter_by_letter() {
    let some = policy(Some(&["network_client:10.0.0.1:80", "host_command:ip"]), &[], &[]);
    let dial = |endpoint: &str| json!([{"network_client": {"endpoints": [endpoint]}}]);
    assert!(grants(&some, &dial("10.0.0.1:80")).is_ok());
    check_refused(&some, &dial("10.0.0.1:8080"), "network_client:10.0.0.1:8080");
    assert!(grants(&some, &json!([{"host_command": {"commands": ["ip"]}}])).is_ok());
    check_refused(
        &some,
        &json!([{"host_command": {"commands": ["iptables"]}}]),
        "host_command:iptables",
    );
}

#[test]
fn a_whole_capability_has_all_parameters() {
    let whole = policy(Some(&[]), &[CapabilityName::FilesystemRead], &[]);
    assert!(grants(&whole, &json!([{"filesystem_read": {"paths": ["/", "/root"]}}])).is_ok());
}

#[test]
fn what_is_denied_is_denied_whatever_else_is_said() {
    let denied = policy(
        Some(&["logging"]),
        &[CapabilityName::Logging],
        &[CapabilityName::Logging],
    );
    let text = "load plugin \"hello\": capability logging is denied by security.denied_capabilities";
    assert_eq!(grants(&denied, &json!(["logging"])), Err(text.to_owned()));
}
