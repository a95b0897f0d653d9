//! OCI hooks, as the runtime-spec says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::excessive_nesting,
    clippy::disallowed_methods,
    reason = "test code"
)]

#[path = "support/common.rs"]
mod common;

use common::{Fixture, can_run};
use serde_json::{Value, json};

fn hook(script: &str) -> Value {
    json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }])
}

#[test]
fn every_hook_sees_its_moment() {
    if !can_run() {
        return;
    }
    let mut f = Fixture::new(&["true"]);
    let dir = f.path("seen");
    std::fs::create_dir(&dir).unwrap();
    let record = |name: &str| {
        hook(&format!(
            "cat > {0}/{name}; pwd > {0}/{name}.pwd; readlink /proc/self/ns/mnt > {0}/{name}.ns",
            dir.display()
        ))
    };
    f.config["annotations"] = json!({ "a": "b" });
    f.config["hooks"] = json!({
        "prestart": record("prestart"),
        "createRuntime": record("createRuntime"),
        "createContainer": record("createContainer"),
        "startContainer": hook("cat > /tmp/startContainer"),
        "poststart": record("poststart"),
        "poststop": record("poststop"),
    });
    f.write();
    f.nexcage(&["run", "h1"]).check(0);
    let state = |path: &std::path::Path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    let own = std::fs::read_link("/proc/self/ns/mnt").unwrap();
    let bundle = f.bundle().canonicalize().unwrap();
    for (name, status, has_pid, in_container) in [
        ("prestart", "creating", true, false),
        ("createRuntime", "creating", true, false),
        ("createContainer", "creating", true, true),
        ("poststart", "running", true, false),
        ("poststop", "stopped", false, false),
    ] {
        let seen = state(&dir.join(name));
        assert_eq!(seen["status"], status, "{name}");
        assert_eq!(seen["pid"].as_i64().unwrap_or(0) > 0, has_pid, "{name}");
        assert_eq!(seen["bundle"], json!(bundle), "{name}");
        assert_eq!(seen["annotations"]["a"], "b", "{name}");
        let ns = std::fs::read_to_string(dir.join(format!("{name}.ns"))).unwrap();
        assert_eq!(ns.trim() != own.to_str().unwrap(), in_container, "{name}");
        if !in_container {
            assert_eq!(
                std::fs::read_to_string(dir.join(format!("{name}.pwd"))).unwrap().trim(),
                bundle.to_str().unwrap()
            );
        }
    }
    let inside = state(&f.bundle().join("rootfs/tmp/startContainer"));
    assert_eq!(
        (inside["status"].as_str(), inside["pid"].as_i64()),
        (Some("created"), Some(1))
    );
    f.check_nothing_left("h1");
}

#[test]
fn a_failing_hook_stops_and_destroys_the_container_and_is_named() {
    if !can_run() {
        return;
    }
    for stage in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
    ] {
        let mut f = Fixture::new(&["sleep", "1000"]);
        let told = f.path("told");
        f.config["hooks"] = json!({
            (stage): hook("echo oops >&2; exit 3"),
            "poststop": hook(&format!("echo stopped > {}", told.display())),
        });
        f.write();
        let said = f.nexcage(&["run", "h2"]).check(1);
        let expected = format!(r#"hook 0 of {stage} "/bin/sh": exit status 3: oops"#);
        assert!(said.err.contains(&expected), "{expected:?} in {:?}", said.err);
        assert!(told.exists(), "poststop hooks run after a failing {stage}");
        f.check_nothing_left("h2");
    }
}

#[test]
fn a_failing_poststop_hook_is_a_warning_and_the_next_runs() {
    if !can_run() {
        return;
    }
    let mut f = Fixture::new(&["true"]);
    let told = f.path("told");
    let second = hook(&format!("echo stopped > {}", told.display()));
    f.config["hooks"] = json!({ "poststop": [{ "path": "/bin/false" }, second[0]] });
    f.write();
    f.nexcage(&["run", "h3"]).check(0);
    assert!(told.exists());
    f.check_nothing_left("h3");
}

#[test]
fn a_hook_past_its_timeout_is_killed() {
    if !can_run() {
        return;
    }
    let mut f = Fixture::new(&["true"]);
    f.config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", "sleep 1000"], "env": ["PATH=/bin:/usr/bin"], "timeout": 1 }] });
    f.write();
    f.nexcage(&["run", "h4"])
        .check(1)
        .check_err("no end within its timeout of 1 s");
    f.check_nothing_left("h4");
}
