//! Bad input: one clear error, and nothing left.
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

use common::{Fixture, can_run, cgroups_of, eventually};
use serde_json::{Value, json};

#[track_caller]
fn check_config(edit: impl FnOnce(&mut Value), text: &str) {
    if !can_run() {
        return;
    }
    let mut f = Fixture::new(&["true"]);
    edit(&mut f.config);
    f.write();
    f.nexcage(&["create", "bad"]).check(1).check_err(text);
    f.check_nothing_left("bad");
}

#[test]
fn configs_that_cannot_be_are_refused_by_name() {
    check_config(|c| c["ociVersion"] = json!("2.0.0"), "2.0.0");
    check_config(|c| c["root"]["path"] = json!("nosuch"), "nosuch");
    check_config(
        |c| c["process"]["args"] = json!(["nosuch"]),
        "executable file not found in $PATH",
    );
    check_config(
        |c| c["linux"]["resources"]["unified"] = json!({ "memory.max": "1" }),
        "unified",
    );
    check_config(|c| c["linux"]["rootfsPropagation"] = json!("nosuch"), "nosuch");
    check_config(
        |c| {
            c["mounts"].as_array_mut().unwrap().push(json!({
                "destination": "/x", "type": "bind", "source": "/nosuch/source", "options": ["rbind"]
            }))
        },
        "/nosuch/source",
    );
    check_config(
        |c| {
            c["mounts"].as_array_mut().unwrap().push(json!({
                "destination": "/x", "type": "bind", "source": "/tmp", "options": ["rbind", "idmap"]
            }))
        },
        r#"/mounts/7 needs backend trait "idmap""#,
    );
    check_config(
        |c| c["linux"]["intelRdt"] = json!({ "closID": "c", "schemata": ["MB:0=10"] }),
        r#"/linux/intelRdt needs backend trait "intel-rdt""#,
    );
}

#[test]
fn texts_that_are_no_config_are_refused() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["true"]);
    let whole = serde_json::to_vec(&f.config).unwrap();
    let huge = vec![b' '; 64 << 20];
    for bytes in [
        &b""[..],
        b"{",
        &whole[..whole.len() / 2],
        b"[]",
        br#"{"ociVersion":"1.0.0","ociVersion":"1.1.0"}"#,
        &huge,
    ] {
        f.write_raw(bytes);
        let said = f.nexcage(&["create", "badtext"]).check(1);
        assert!(said.err.contains("config.json"), "{}", said.err);
        f.check_nothing_left("badtext");
    }
    std::fs::remove_file(f.bundle().join("config.json")).unwrap();
    f.nexcage(&["create", "badtext"]).check(1).check_err("config.json");
}

#[test]
fn an_unknown_field_is_ignored() {
    if !can_run() {
        return;
    }
    let mut f = Fixture::new(&["true"]);
    f.config["nosuchField"] = json!({ "a": 1 });
    f.write();
    f.nexcage(&["run", "more"]).check(0);
}

#[test]
fn ids_cannot_leave_the_state_directory() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["true"]);
    f.write();
    for id in ["..", ".", "a/b", "../x", "a b", ""] {
        assert_eq!(f.nexcage(&["create", id]).code, 1, "{id:?}");
        assert_eq!(f.nexcage(&["delete", "--force", id]).code, 1, "{id:?}");
    }
    f.check_nothing_left("x");
}

#[test]
fn an_id_can_be_used_once() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("once");
    f.nexcage(&["create", "once"])
        .check(1)
        .check_err("container with given ID already exists");
    assert_eq!(f.status("once"), "running");
}

#[test]
fn a_killed_create_leaves_no_process_and_the_next_command_says_what_to_do() {
    if !can_run() {
        return;
    }
    let mut f = Fixture::new(&["sleep", "1000"]);
    let fifo = f.path("fifo");
    assert!(common::command("mkfifo").arg(&fifo).status().unwrap().success());
    let wait = format!("echo > {}; exec sleep 1000", fifo.display());
    f.config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", wait], "env": ["PATH=/bin:/usr/bin"], "timeout": 60 }] });
    f.write();
    let mut create = f.program().args(["create", "killed"]).spawn().unwrap();
    // The hook runs now: every namespace, mount and cgroup is there.
    drop(std::fs::read(&fifo).unwrap());
    assert_eq!(f.status("killed"), "creating");
    create.kill().unwrap();
    create.wait().unwrap();
    eventually("init dies with the runtime", || f.status("killed") == "stopped");
    f.nexcage(&["create", "killed"])
        .check(1)
        .check_err("remove it with `nexcage delete --force killed`");
    f.nexcage(&["delete", "--force", "killed"]).check(0);
    f.check_nothing_left("killed");
    assert!(cgroups_of("killed").is_empty());
}

#[test]
fn a_killed_create_at_any_moment_leaves_nothing_after_a_forced_delete() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.write();
    for step in 0..40_u64 {
        let mut create = f.program().args(["create", "step"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_micros(step * 1000));
        create.kill().unwrap();
        create.wait().unwrap();
        f.nexcage(&["delete", "--force", "step"]).check(0);
        f.check_nothing_left("step");
    }
}

#[test]
fn a_failed_command_writes_one_json_line() {
    if !can_run() {
        return;
    }
    let mut f = Fixture::new(&["nosuch"]);
    f.config["process"]["args"] = json!(["nosuch"]);
    f.write();
    let log = f.path("log.json");
    f.nexcage(&["--log", log.to_str().unwrap(), "--log-format", "json", "create", "log"])
        .check(1);
    let text = std::fs::read_to_string(&log).unwrap();
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "error");
    assert!(
        line["msg"]
            .as_str()
            .unwrap()
            .ends_with(r#"exec: "nosuch": executable file not found in $PATH"#)
    );
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    let f = common::command(env!("CARGO_BIN_EXE_nexcage"));
    drop(f);
    for (args, text) in [
        (&["--nosuch"][..], "flag provided but not defined: -nosuch"),
        (&["kill", "x", "NOSUCH"], "NOSUCH"),
        (&["create"], "requires exactly 1 argument(s)"),
        (&["update", "--memory", "x", "y"], "want a size such as"),
    ] {
        let said: common::Said = common::command(env!("CARGO_BIN_EXE_nexcage"))
            .args(args)
            .output()
            .unwrap()
            .into();
        said.check(1).check_err(text);
    }
}
