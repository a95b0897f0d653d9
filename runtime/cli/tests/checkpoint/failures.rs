//! What is said, and what is left, when saving or restoring fails.

use serde_json::json;

use crate::common::{Fixture, Said};
use crate::stand_in::{Order, StandIn};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("failures::statuses_that_cannot_be_saved", statuses_that_cannot_be_saved),
    ("failures::rootless_is_refused", rootless_is_refused),
    ("failures::criu_is_missing", criu_is_missing),
    ("failures::criu_is_too_old", criu_is_too_old),
    (
        "failures::a_failed_dump_leaves_the_container_running",
        a_failed_dump_leaves_the_container_running,
    ),
    (
        "failures::a_killed_dump_leaves_the_container_running",
        a_killed_dump_leaves_the_container_running,
    ),
    (
        "failures::a_paused_container_stays_paused",
        a_paused_container_stays_paused,
    ),
    (
        "failures::a_failed_restore_leaves_nothing",
        a_failed_restore_leaves_nothing,
    ),
    (
        "failures::a_killed_restore_leaves_nothing",
        a_killed_restore_leaves_nothing,
    ),
    (
        "failures::a_failed_hook_undoes_a_restore",
        a_failed_hook_undoes_a_restore,
    ),
    (
        "failures::a_pid_file_that_cannot_be_written_undoes_a_restore",
        a_bad_pid_file_undoes_a_restore,
    ),
    (
        "failures::terminals_need_a_console_socket",
        terminals_need_a_console_socket,
    ),
];

fn run(f: &Fixture, stand_in: &StandIn, args: &[&str]) -> Said {
    let mut command = f.program();
    f.finish(stand_in.prepare(command.args(args)))
}

fn statuses_that_cannot_be_saved() {
    let f = Fixture::new(&["true"]);
    f.write();
    let stand_in = StandIn::new(&f, Order::Obey);
    f.nexcage(&["create", "ckpt-st"]).check(0);
    run(&f, &stand_in, &["checkpoint", "ckpt-st"])
        .check(1)
        .check_err("Container cannot be checkpointed in created state");
    f.nexcage(&["start", "ckpt-st"]).check(0);
    crate::common::eventually("it has ended", || f.status("ckpt-st") == "stopped");
    run(&f, &stand_in, &["checkpoint", "ckpt-st"])
        .check(1)
        .check_err("Container cannot be checkpointed in stopped state");
    run(&f, &stand_in, &["checkpoint", "ckpt-none"])
        .check(1)
        .check_err("does not exist");
    run(&f, &stand_in, &["restore", "-d", "ckpt-st"])
        .check(1)
        .check_err("container with given ID already exists");
}

fn rootless_is_refused() {
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("ckpt-rl");
    let stand_in = StandIn::new(&f, Order::Obey);
    for command in ["checkpoint", "restore"] {
        run(&f, &stand_in, &["--rootless=true", command, "ckpt-rl"])
            .check(1)
            .check_err(&format!("{command} needs root"));
    }
    assert_eq!(f.status("ckpt-rl"), "running");
}

fn criu_is_missing() {
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("ckpt-miss");
    let text = "criu: executable file not found in $PATH: install the package \"criu\"";
    let empty = f.path("");
    let run = |args: &[&str]| f.finish(f.program().args(args).env("PATH", &empty));
    run(&["checkpoint", "ckpt-miss"]).check(1).check_err(text);
    assert_eq!(f.status("ckpt-miss"), "running");
    f.nexcage(&["delete", "--force", "ckpt-miss"]).check(0);
    run(&["restore", "-d", "ckpt-miss"]).check(1).check_err(text);
    f.check_nothing_left("ckpt-miss");
}

fn criu_is_too_old() {
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("ckpt-old");
    let stand_in = StandIn::new(&f, Order::BeOld);
    run(&f, &stand_in, &["checkpoint", "ckpt-old"])
        .check(1)
        .check_err("criu 3.14.0 is too old for checkpoint and restore: install 3.15 or later");
}

/// A container that counts.
fn counter() -> Fixture {
    Fixture::new(&[
        "sh",
        "-c",
        "i=0; while true; do i=$((i+1)); echo $i > /tmp/n; sleep 0.02; done",
    ])
}

#[track_caller]
fn check_counts(f: &Fixture) {
    let read = || std::fs::read_to_string(f.bundle().join("rootfs/tmp/n")).unwrap_or_default();
    let before = read();
    crate::common::eventually("it counts on", || !read().is_empty() && read() != before);
}

fn a_failed_dump_leaves_the_container_running() {
    let f = counter();
    f.start("ckpt-fail");
    let stand_in = StandIn::new(&f, Order::Fail);
    run(&f, &stand_in, &["checkpoint", "--work-path", "work", "ckpt-fail"])
        .check(1)
        .check_err("criu dump: failed: Error (criu/a.c:1): first trouble; Error (criu/b.c:2): second trouble (log: ")
        .check_err(&format!("{:?}", f.bundle().join("work/dump.log")));
    check_counts(&f);
    assert_eq!(f.status("ckpt-fail"), "running");
    run(&f, &stand_in, &["checkpoint", "ckpt-fail"])
        .check(1)
        .check_err(&format!("{:?}", f.bundle().join("checkpoint/dump.log")));
}

fn a_killed_dump_leaves_the_container_running() {
    let f = counter();
    f.start("ckpt-die");
    let stand_in = StandIn::new(&f, Order::Die);
    run(&f, &stand_in, &["checkpoint", "ckpt-die"])
        .check(1)
        .check_err("criu dump: it ended early (signal 9) (no log at ");
    assert_eq!(f.status("ckpt-die"), "running");
    check_counts(&f);
}

fn a_paused_container_stays_paused() {
    let f = counter();
    f.start("ckpt-pau");
    f.nexcage(&["pause", "ckpt-pau"]).check(0);
    let stand_in = StandIn::new(&f, Order::Die);
    run(&f, &stand_in, &["checkpoint", "ckpt-pau"]).check(1);
    assert_eq!(f.status("ckpt-pau"), "paused");
    stand_in.order(Order::Obey);
    run(&f, &stand_in, &["checkpoint", "--leave-running", "ckpt-pau"]).check(0);
    assert_eq!(f.status("ckpt-pau"), "paused");
    f.nexcage(&["resume", "ckpt-pau"]).check(0);
    check_counts(&f);
}

/// A bundle with images that look saved.
fn saved(id: &str) -> Fixture {
    let mut f = Fixture::new(&["sleep", "1000"]);
    f.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "destination": "/bound", "type": "bind", "source": "rootfs/etc", "options": ["bind"] }));
    f.start(id);
    run(&f, &StandIn::new(&f, Order::Obey), &["checkpoint", id]).check(0);
    f
}

fn a_failed_restore_leaves_nothing() {
    let f = saved("ckpt-rf");
    let stand_in = StandIn::new(&f, Order::Fail);
    run(&f, &stand_in, &["restore", "-d", "--pid-file", "pid", "ckpt-rf"])
        .check(1)
        .check_err("criu restore: failed: Error (criu/a.c:1): first trouble; ")
        .check_err(&format!("{:?}", f.bundle().join("checkpoint/restore.log")));
    assert!(!f.bundle().join("pid").exists());
    f.check_nothing_left("ckpt-rf");
    std::fs::remove_file(f.bundle().join("checkpoint/descriptors.json")).unwrap();
    run(&f, &stand_in, &["restore", "-d", "ckpt-rf"])
        .check(1)
        .check_err("descriptors.json");
    run(&f, &stand_in, &["restore", "-d", "--image-path", "none", "ckpt-rf"])
        .check(1)
        .check_err("open the directory of --image-path");
    f.check_nothing_left("ckpt-rf");
}

fn a_killed_restore_leaves_nothing() {
    let f = saved("ckpt-rd");
    let stand_in = StandIn::new(&f, Order::Die);
    run(&f, &stand_in, &["restore", "-d", "ckpt-rd"])
        .check(1)
        .check_err("criu restore: it ended early (signal 9)");
    f.check_nothing_left("ckpt-rd");
}

fn a_failed_hook_undoes_a_restore() {
    let mut f = saved("ckpt-rh");
    let poststop = f.path("poststop");
    let hook =
        |script: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }]);
    f.config["hooks"] = json!({
        "createRuntime": hook("echo no >&2; exit 3"),
        "poststop": hook(&format!("touch {}", poststop.display())),
    });
    f.write();
    let stand_in = StandIn::new(&f, Order::Obey);
    run(&f, &stand_in, &["restore", "-d", "ckpt-rh"])
        .check(1)
        .check_err("createRuntime");
    assert_eq!(stand_in.heard().lines().last(), Some("setup-namespaces false"));
    assert!(poststop.exists());
    f.check_nothing_left("ckpt-rh");
}

fn a_bad_pid_file_undoes_a_restore() {
    let f = saved("ckpt-rp");
    let stand_in = StandIn::new(&f, Order::Obey);
    run(
        &f,
        &stand_in,
        &["restore", "-d", "--pid-file", "/no/such/pid", "ckpt-rp"],
    )
    .check(1)
    .check_err("write the pid-file");
    assert_eq!(stand_in.heard().lines().last(), Some("post-restore false"));
    f.check_nothing_left("ckpt-rp");
}

fn terminals_need_a_console_socket() {
    let mut f = saved("ckpt-rt");
    f.config["process"]["terminal"] = json!(true);
    f.write();
    let stand_in = StandIn::new(&f, Order::Obey);
    run(&f, &stand_in, &["restore", "-d", "ckpt-rt"])
        .check(1)
        .check_err("cannot allocate tty if runc will detach without setting console socket");
    f.check_nothing_left("ckpt-rt");
}
