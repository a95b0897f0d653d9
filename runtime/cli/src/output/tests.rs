//! Byte for byte what runc 1.1.5 printed for the same rows.

use std::collections::BTreeMap;

use super::state::ContainerState;
use super::{events, list, ps, state};

fn row(id: &str, bundle: &str) -> ContainerState {
    ContainerState {
        oci_version: "1.0.2-dev".into(),
        id: id.into(),
        pid: 4242,
        status: "running".into(),
        bundle: bundle.into(),
        rootfs: format!("{bundle}/rootfs"),
        created: "2026-11-24T14:57:12.123456789Z".into(),
        annotations: BTreeMap::new(),
        owner: "root".into(),
    }
}

#[test]
fn empty_list_is_the_head_line() {
    assert_eq!(
        list::table(&[]),
        "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
    );
    assert_eq!(list::json(&[]).unwrap(), "null\n");
    assert_eq!(list::ids(&[]), "");
}

#[test]
fn columns_grow_with_their_widest_cell() {
    let rows = [row("a", "/b"), row("a-long-container-name", "/some/where/élan")];
    let expected = "\
ID                      PID         STATUS      BUNDLE             CREATED                          OWNER
a                       4242        running     /b                 2026-11-24T14:57:12.123456789Z   root
a-long-container-name   4242        running     /some/where/élan   2026-11-24T14:57:12.123456789Z   root
";
    assert_eq!(list::table(&rows), expected);
    assert_eq!(list::ids(&rows), "a\na-long-container-name\n");
}

#[test]
fn control_characters_do_not_break_the_table() {
    assert!(list::table(&[row("a", "/x\ty\u{1b}[2J")]).contains("/x\\ty\\u{1b}[2J   "));
}

#[test]
fn list_json_is_one_line() {
    assert_eq!(
        list::json(&[row("a", "/b")]).unwrap(),
        "[{\"ociVersion\":\"1.0.2-dev\",\"id\":\"a\",\"pid\":4242,\"status\":\"running\",\"bundle\":\"/b\",\
         \"rootfs\":\"/b/rootfs\",\"created\":\"2026-11-24T14:57:12.123456789Z\",\"owner\":\"root\"}]\n"
    );
}

#[test]
fn state_is_indented_and_ends_without_a_newline() {
    let mut row = row("a", "/b");
    row.owner.clear();
    row.annotations.insert("k".into(), "v".into());
    let expected = r#"{
  "ociVersion": "1.0.2-dev",
  "id": "a",
  "pid": 4242,
  "status": "running",
  "bundle": "/b",
  "rootfs": "/b/rootfs",
  "created": "2026-11-24T14:57:12.123456789Z",
  "annotations": {
    "k": "v"
  },
  "owner": ""
}"#;
    assert_eq!(state::pretty(&row).unwrap(), expected);
}

#[test]
fn ps_keeps_the_containers_lines() {
    let text = "UID          PID    PPID  C STIME TTY          TIME CMD\nroot           1       0  0 10:00 ?        00:00:01 init\n\
                root          42       1  0 10:00 ?        00:00:00 sh -c 1\n\n";
    let expected = "UID          PID    PPID  C STIME TTY          TIME CMD\n\
                    root          42       1  0 10:00 ?        00:00:00 sh -c 1\n";
    assert_eq!(ps::table(text, &[42, 7]).unwrap(), expected);
    assert_eq!(ps::table("USER COMMAND\n", &[1]), Err(ps::PsError::NoPidColumn));
    assert_eq!(ps::table("PID\nx\n", &[1]), Err(ps::PsError::NoPid("x".into())));
    assert_eq!((ps::json(&[1, 2]), ps::json(&[])), ("[1,2]\n".into(), "[]\n".into()));
}

#[test]
fn events_are_json_lines() {
    let stats = serde_json::json!({ "pids": { "current": 3 } });
    assert_eq!(
        events::stats("c", &stats).unwrap(),
        "{\"type\":\"stats\",\"id\":\"c\",\"data\":{\"pids\":{\"current\":3}}}\n"
    );
    assert_eq!(events::oom("c").unwrap(), "{\"type\":\"oom\",\"id\":\"c\"}\n");
}

#[test]
fn owners_have_names_or_numbers() {
    let passwd = "root:x:0:0:root:/root:/bin/sh\n\n:x:7:7::/:\nbad\nalice:x:1000:100::/home/alice:/bin/sh\n";
    let owners = [0, 7, 100, 1000].map(|uid| list::owner(uid, passwd));
    assert_eq!(owners, ["root", "#7", "#100", "alice"]);
}
