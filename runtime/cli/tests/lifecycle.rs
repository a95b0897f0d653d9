//! Containers from creation to deletion, driven through the program.
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

use std::io::Write;
use std::process::Stdio;

use common::{Fixture, can_run, eventually};
use serde_json::{Value, json};

#[test]
fn a_container_goes_through_every_status() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.write();
    let pid_file = f.path("pid");
    f.nexcage(&["create", "--pid-file", pid_file.to_str().unwrap(), "life"])
        .check(0);
    assert_eq!(f.status("life"), "created");
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap(), f.pid("life").to_string());
    f.nexcage(&["start", "life"]).check(0);
    assert_eq!(f.status("life"), "running");
    f.nexcage(&["pause", "life"]).check(0);
    assert_eq!(f.status("life"), "paused");
    f.nexcage(&["exec", "life", "true"])
        .check(255)
        .check_err("cannot exec in a paused container");
    f.nexcage(&["resume", "life"]).check(0);
    f.nexcage(&["resume", "life"])
        .check(1)
        .check_err("container not paused");
    f.nexcage(&["delete", "life"])
        .check(1)
        .check_err("is not stopped: running");
    f.nexcage(&["kill", "life", "KILL"]).check(0);
    eventually("the container stops", || f.status("life") == "stopped");
    f.nexcage(&["kill", "life"]).check(1).check_err("container not running");
    f.nexcage(&["delete", "life"]).check(0);
    f.nexcage(&["state", "life"]).check(1).check_err("does not exist");
    f.nexcage(&["delete", "life"]).check(1).check_err("does not exist");
    f.nexcage(&["delete", "--force", "life"]).check(0);
    f.check_nothing_left("life");
}

#[test]
fn run_returns_the_exit_code_and_leaves_nothing() {
    if !can_run() {
        return;
    }
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("sh -c 'kill -TERM $$'; exit 7", 7)] {
        let f = Fixture::new(&["sh", "-c", script]);
        f.write();
        f.nexcage(&["run", "code"]).check(code);
        f.check_nothing_left("code");
    }
}

#[test]
fn signals_pass_through_a_foreground_run() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&[
        "sh",
        "-c",
        "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done",
    ]);
    f.write();
    let mut run = f.program().args(["run", "sig"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = std::io::BufReader::new(run.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let pidfd = nexcage_sys::pidfd::PidFd::open(i32::try_from(run.id()).unwrap()).unwrap();
    pidfd.send_signal(nexcage_sys::signals::Signal::TERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(5));
    f.check_nothing_left("sig");
}

#[test]
fn init_holds_the_standard_descriptors_and_nothing_of_the_runtime() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("fds");
    let fds = std::fs::read_dir(format!("/proc/{}/fd", f.pid("fds"))).unwrap();
    let mut numbers: Vec<_> = fds.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    numbers.sort();
    assert_eq!(numbers, ["0", "1", "2"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", f.pid("fds"))).unwrap();
    for line in ["SigBlk:\t0000000000000000", "Groups:\t \n"] {
        assert!(status.contains(line), "{line:?} in {status}");
    }
    let ignored = status.lines().find_map(|l| l.strip_prefix("SigIgn:\t")).unwrap();
    let pipe = 1_u64 << 12;
    assert_eq!(
        u64::from_str_radix(ignored, 16).unwrap() & pipe,
        0,
        "SIGPIPE ends the container's processes"
    );
}

#[test]
fn a_preserved_descriptor_that_is_closed_is_an_error() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["true"]);
    f.write();
    f.nexcage(&["create", "--preserve-fds", "3", "pres"])
        .check(1)
        .check_err("unable to stat preserved-fd 0 (of 3)");
    f.check_nothing_left("pres");
}

#[test]
fn writing_to_a_null_device_works_when_the_caller_has_one() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sh", "-c", "echo x && echo y >&2"]);
    f.write();
    let status = f
        .program()
        .args(["run", "null"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn limits_are_in_the_cgroup_and_update_changes_them() {
    if !can_run() {
        return;
    }
    if !std::path::Path::new("/sys/fs/cgroup/memory").exists() {
        eprintln!("NOT RUN: needs cgroup v1; the v2 limits are tested in a guest");
        return;
    }
    let mut f = Fixture::new(&["sleep", "1000"]);
    f.config["linux"]["cgroupsPath"] = json!("/nexcage-test/lim");
    f.config["linux"]["resources"] = json!({
        "memory": { "limit": 67_108_864, "swap": 134_217_728 },
        "cpu": { "shares": 512, "quota": 50_000, "period": 100_000 },
        "pids": { "limit": 1 },
    });
    f.start("lim");
    let read = |file: &str| {
        let (controller, _) = file.split_once('.').unwrap();
        let path = format!("/sys/fs/cgroup/{controller}/nexcage-test/lim/{file}");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    };
    assert_eq!(read("memory.limit_in_bytes"), "67108864");
    assert_eq!(read("cpu.shares"), "512");
    assert_eq!(read("cpu.cfs_quota_us"), "50000");
    assert_eq!(
        read("pids.max"),
        "1",
        "a limit of one process leaves room for init alone"
    );
    f.nexcage(&[
        "update",
        "--memory",
        "96M",
        "--memory-swap",
        "-1",
        "--pids-limit",
        "-1",
        "lim",
    ])
    .check(0);
    assert_eq!(read("memory.limit_in_bytes"), (96 << 20).to_string());
    assert_eq!(read("pids.max"), "max");
    // Docker writes zeros for what stays.
    let mut update = f
        .program()
        .args(["update", "--resources", "-", "lim"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    update
        .stdin
        .take()
        .unwrap()
        .write_all(br#"{"memory":{"limit":0},"cpu":{"shares":0,"quota":60000}}"#)
        .unwrap();
    assert!(update.wait().unwrap().success());
    assert_eq!(
        (read("cpu.shares").as_str(), read("cpu.cfs_quota_us").as_str()),
        ("512", "60000")
    );
    let said = f.nexcage(&["events", "--stats", "lim"]).check(0);
    let stats: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], json!(96 << 20));
    f.nexcage(&["delete", "--force", "lim"]).check(0);
    f.check_nothing_left("lim");
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        drop(std::fs::remove_dir(hierarchy.path().join("nexcage-test")));
    }
}

#[test]
fn a_frozen_container_can_be_deleted() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("ice");
    f.nexcage(&["pause", "ice"]).check(0);
    f.nexcage(&["delete", "--force", "ice"]).check(0);
    f.check_nothing_left("ice");
}

#[test]
fn a_created_container_is_not_running_after_a_signal_that_is_ignored() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.write();
    f.nexcage(&["create", "winch"]).check(0);
    f.nexcage(&["kill", "winch", "WINCH"]).check(0);
    assert_eq!(f.status("winch"), "created");
    f.nexcage(&["start", "winch"]).check(0);
    assert_eq!(f.status("winch"), "running");
}

#[test]
fn a_created_container_can_be_terminated() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.write();
    f.nexcage(&["create", "term"]).check(0);
    f.nexcage(&["kill", "term", "TERM"]).check(0);
    eventually("init ends", || f.status("term") == "stopped");
    f.nexcage(&["delete", "term"]).check(0);
    f.check_nothing_left("term");
}

#[test]
fn state_is_whole_at_every_moment() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("whole");
    let path = f.state_dir().join("whole/state.json");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let bytes = std::fs::read(&path).unwrap();
                serde_json::from_slice::<Value>(&bytes).expect("a reader sees a whole record");
            }
        });
        for _ in 0..10 {
            f.nexcage(&["pause", "whole"]).check(0);
            f.nexcage(&["resume", "whole"]).check(0);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn list_and_ps_show_the_container() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    assert_eq!(
        f.nexcage(&["list"]).check(0).out,
        "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
    );
    f.start("shown");
    let list: Value = serde_json::from_str(&f.nexcage(&["list", "-f", "json"]).check(0).out).unwrap();
    assert_eq!(list[0]["id"], "shown");
    assert_eq!(f.nexcage(&["list", "-q"]).check(0).out, "shown\n");
    let pids: Vec<i64> = serde_json::from_str(&f.nexcage(&["ps", "--format", "json", "shown"]).check(0).out).unwrap();
    assert_eq!(pids, [f.pid("shown")]);
    assert!(f.nexcage(&["ps", "shown"]).check(0).out.contains("sleep 1000"));
}

#[test]
fn readiness_of_the_container_reaches_whoever_started_it() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sh", "-c", "test -S $NOTIFY_SOCKET && touch /tmp/seen; sleep 1000"]);
    f.write();
    let node = f.path("node.sock");
    let waiting = std::os::unix::net::UnixDatagram::bind(&node).unwrap();
    waiting
        .set_read_timeout(Some(std::time::Duration::from_secs(30)))
        .unwrap();
    let with_socket = |args: &[&str]| {
        let mut command = f.program();
        command.args(args).env("NOTIFY_SOCKET", &node);
        command
    };
    assert!(with_socket(&["create", "ready"]).status().unwrap().success());
    let mut start = with_socket(&["start", "ready"]).spawn().unwrap();
    let seen = f.bundle().join("rootfs/tmp/seen");
    eventually("the program runs and sees its socket", || seen.exists());
    assert!(
        start.try_wait().unwrap().is_none(),
        "start waits until the container is ready"
    );
    let own = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let inside = f.state_dir().join("ready/notify/notify.sock");
    own.send_to(b"STATUS=up\nREADY=1\n", inside).unwrap();
    let mut buffer = [0; 256];
    let mut told = String::new();
    // The barrier comes last; its descriptor is closed with the message that is received here.
    while !told.contains("BARRIER=1") {
        let length = waiting.recv(&mut buffer).unwrap();
        told.push_str(&String::from_utf8_lossy(&buffer[..length]));
        told.push('\n');
    }
    assert!(told.contains("READY=1"), "{told}");
    assert!(told.contains(&format!("MAINPID={}", f.pid("ready"))), "{told}");
    assert!(start.wait().unwrap().success());
    f.nexcage(&["delete", "--force", "ready"]).check(0);
    f.check_nothing_left("ready");
}

/// On a v1 or hybrid node the cover of the hierarchies keeps what such a mount shows; the container's root is another user.
#[test]
fn a_user_namespace_can_have_the_nodes_sys() {
    if !can_run() {
        return;
    }
    let mut f = Fixture::new(&["sh", "-c", "id -u && ls /sys/fs/cgroup > /dev/null && echo shown"]);
    std::fs::set_permissions(f.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let linux = &mut f.config["linux"];
    linux["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "user" }));
    for mapping in ["uidMappings", "gidMappings"] {
        linux[mapping] = json!([{ "containerID": 0, "hostID": 65534, "size": 1 }]);
    }
    let mounts = f.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|m| m["destination"] != "/sys/fs/cgroup" && m["destination"] != "/dev/pts");
    let sys = mounts.iter_mut().find(|m| m["destination"] == "/sys").unwrap();
    *sys = json!({ "destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro"] });
    f.write();
    let said = f.nexcage(&["run", "usersys"]).check(0);
    assert_eq!(said.out, "0\nshown\n");
    f.check_nothing_left("usersys");
}

#[test]
fn a_tmpfs_that_copies_up_leaves_later_mounts_in_it_alone() {
    if !can_run() {
        return;
    }
    let script = "cat /run/plain /run/lock/inner /run/file; echo; ls /run/lock";
    let mut f = Fixture::new(&["sh", "-c", script]);
    let rootfs = f.bundle().join("rootfs");
    std::fs::create_dir_all(rootfs.join("run/lock")).unwrap();
    for (name, text) in [("plain", "plain,"), ("lock/covered", "covered"), ("file", "covered")] {
        std::fs::write(rootfs.join("run").join(name), text).unwrap();
    }
    std::fs::create_dir(f.path("volume")).unwrap();
    std::fs::write(f.path("volume").join("inner"), "inner,").unwrap();
    let volume = f.path("volume");
    let mounts = f.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({ "destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"] }));
    let bind = json!(["bind"]);
    mounts.push(json!({ "destination": "/run/lock", "type": "bind", "source": volume, "options": bind }));
    mounts.push(json!({ "destination": "/run/file", "type": "bind", "source": volume.join("inner"), "options": bind }));
    f.write();
    let said = f.nexcage(&["run", "copylater"]).check(0);
    assert_eq!(said.out, "plain,inner,inner,\ninner\n");
    assert_eq!(
        std::fs::read_dir(&volume).unwrap().count(),
        1,
        "nothing was copied into the volume"
    );
    f.check_nothing_left("copylater");
}

/// As a client asks for it that wants systemd in the container: the named hierarchy once more, and writable.
#[test]
fn a_mount_on_a_hierarchy_covers_its_view() {
    if !can_run() {
        return;
    }
    let controllers = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    if !controllers.contains("pids:/") {
        eprintln!("NOT RUN: the node has no cgroup v1");
        return;
    }
    let mut f = Fixture::new(&["sh", "-c", "cat /sys/fs/cgroup/pids/mine; ls -d /sys/fs/cgroup/cpu"]);
    std::fs::create_dir(f.path("volume")).unwrap();
    std::fs::write(f.path("volume").join("mine"), "mine\n").unwrap();
    let volume = f.path("volume");
    f.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "destination": "/sys/fs/cgroup/pids", "type": "bind", "source": volume, "options": ["bind"] }));
    f.write();
    let said = f.nexcage(&["run", "cover"]).check(0);
    assert_eq!(said.out, "mine\n/sys/fs/cgroup/cpu\n");
    f.check_nothing_left("cover");
}
