//! With a CRIU that works here: containers go to disk and come back.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::common::{Fixture, eventually};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("real::a_counter_goes_on", a_counter_goes_on),
    ("real::left_running_and_paused", left_running_and_paused),
    ("real::pipes_are_taken_over", pipes_are_taken_over),
    ("real::foreground_has_the_exit_code_and_forwards_signals", foreground),
    ("real::a_terminal_comes_back", a_terminal_comes_back),
    (
        "real::a_network_namespace_is_joined_again",
        a_network_namespace_is_joined_again,
    ),
    (
        "real::a_failed_dump_leaves_the_container_running",
        a_failed_dump_leaves_the_container_running,
    ),
    ("real::a_failed_restore_leaves_nothing", a_failed_restore_leaves_nothing),
    ("real::a_user_namespace_comes_back", a_user_namespace_comes_back),
    (
        "real::a_killed_runtime_leaves_the_container_running",
        a_killed_runtime_leaves_the_container_running,
    ),
];

const COUNT: &str = "i=0; while true; do i=$((i+1)); echo $i > /tmp/n.new; mv /tmp/n.new /tmp/n; sleep 0.02; done";

fn counter() -> Fixture {
    let mut f = Fixture::new(&["sh", "-c", COUNT]);
    std::os::unix::fs::symlink("busybox", f.bundle().join("rootfs/bin/mv")).unwrap();
    // A limit above what this process may set would stop the container, not CRIU.
    f.config["process"].as_object_mut().unwrap().remove("rlimits");
    f
}

/// Starts a container whose descriptors CRIU can save.
#[track_caller]
fn start(f: &Fixture, id: &str) {
    f.write();
    let mut run = f.program();
    run.args(["run", "-d", id]).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(run.status().unwrap().success());
}

fn count(f: &Fixture) -> u64 {
    let path = f.bundle().join("rootfs/tmp/n");
    std::fs::read_to_string(path).map_or(0, |text| text.trim().parse().unwrap())
}

#[track_caller]
fn check_counts_from(f: &Fixture, before: u64) {
    eventually("it counts on", || count(f) > before);
}

/// What must be the same before and after.
#[track_caller]
fn facts(f: &Fixture, id: &str) -> String {
    let script = "grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid)' /proc/1/status; cat /proc/1/cgroup; hostname; \
                  grep -c . /proc/1/mountinfo; echo > /bound/x; echo > /proc/sys/kernel/hostname; \
                  for n in mnt net ipc uts pid; do [ \"$(readlink /proc/1/ns/$n)\" = \"$(readlink /proc/self/ns/$n)\" ] && echo $n; done; \
                  cat /masked | wc -c; tr '\\0' ' ' < /proc/1/environ";
    let said = f.nexcage(&["exec", id, "sh", "-c", script]);
    format!("{}{}", said.out, said.err)
}

fn a_counter_goes_on() {
    let id = "ckpt-real";
    let mut f = counter();
    let outside = f.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink("/real", f.bundle().join("rootfs/bound")).unwrap();
    std::fs::create_dir(f.bundle().join("rootfs/real")).unwrap();
    std::fs::write(f.bundle().join("rootfs/masked"), "secret").unwrap();
    f.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "destination": "/bound", "type": "bind", "source": outside, "options": ["bind", "ro"] }));
    f.config["linux"]["maskedPaths"]
        .as_array_mut()
        .unwrap()
        .push(json!("/masked"));
    f.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{ "names": ["swapon"], "action": "SCMP_ACT_ERRNO" }],
    });
    start(&f, id);
    check_counts_from(&f, 0);
    let before = facts(&f, id);
    assert!(
        before.contains("Seccomp:\t2") && before.contains("NoNewPrivs:\t1"),
        "{before}"
    );
    let dir = f.path("images");
    let images = dir.to_str().unwrap();
    for round in 0..2 {
        f.nexcage(&["checkpoint", "--image-path", images, id]).check(0);
        f.check_nothing_left(id);
        let saved = count(&f);
        let pid_file = f.path("pid");
        let pid_text = pid_file.to_str().unwrap();
        f.nexcage(&["restore", "-d", "--image-path", images, "--pid-file", pid_text, id])
            .check(0);
        assert_eq!(f.status(id), "running");
        assert_eq!(std::fs::read_to_string(&pid_file).unwrap(), f.pid(id).to_string());
        check_counts_from(&f, saved);
        assert_eq!(facts(&f, id), before, "round {round}");
    }
    let rootfs = f.bundle().join("rootfs").display().to_string();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&rootfs), "mounts left");
    f.nexcage(&["pause", id]).check(0);
    assert_eq!(f.status(id), "paused");
    f.nexcage(&["resume", id]).check(0);
    f.nexcage(&["delete", "--force", id]).check(0);
    f.check_nothing_left(id);
}

fn left_running_and_paused() {
    let id = "ckpt-leave";
    let f = counter();
    start(&f, id);
    f.nexcage(&["checkpoint", "--leave-running", id]).check(0);
    check_counts_from(&f, count(&f));
    f.nexcage(&["pause", id]).check(0);
    f.nexcage(&["checkpoint", "--leave-running", id]).check(0);
    assert_eq!(f.status(id), "paused");
    f.nexcage(&["checkpoint", id]).check(0);
    f.check_nothing_left(id);
    f.nexcage(&["restore", "-d", id]).check(0);
    check_counts_from(&f, count(&f));
}

fn pipes_are_taken_over() {
    let id = "ckpt-pipes";
    let mut f = Fixture::new(&["sh", "-c", "while read x; do echo got $x; done; echo end >&2; exit 0"]);
    f.config["process"].as_object_mut().unwrap().remove("rlimits");
    f.write();
    let pipes = || {
        let (in_r, in_w) = std::io::pipe().unwrap();
        let (out_r, out_w) = std::io::pipe().unwrap();
        let (err_r, err_w) = std::io::pipe().unwrap();
        ((in_r, out_w, err_w), (in_w, BufReader::new(out_r), err_r))
    };
    let ((stdin, stdout, stderr), (mut input, mut output, _errors)) = pipes();
    let mut run = f.program();
    run.args(["run", "-d", id]).stdin(stdin).stdout(stdout).stderr(stderr);
    assert!(run.status().unwrap().success());
    drop(run);
    let mut line = String::new();
    input.write_all(b"one\n").unwrap();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "got one\n");
    f.nexcage(&["checkpoint", id]).check(0);
    let ((stdin, stdout, stderr), (mut input, mut output, mut errors)) = pipes();
    let mut restore = f.program();
    restore
        .args(["restore", "-d", id])
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    let status = restore.status().unwrap();
    drop(restore);
    input.write_all(b"two\n").unwrap();
    drop(input);
    let (mut out, mut err) = (String::new(), String::new());
    output.read_to_string(&mut out).unwrap();
    errors.read_to_string(&mut err).unwrap();
    assert!(status.success(), "{err}");
    assert!(out == "got two\n" && err.ends_with("end\n"), "{out:?} {err:?}");
    eventually("it has ended", || f.status(id) == "stopped");
}

fn foreground() {
    let id = "ckpt-front";
    let mut f = Fixture::new(&["sh", "-c", "trap 'exit 9' TERM; while true; do sleep 0.02; done"]);
    f.config["process"].as_object_mut().unwrap().remove("rlimits");
    start(&f, id);
    f.nexcage(&["checkpoint", id]).check(0);
    let mut restore = f.program();
    let mut restore = restore
        .args(["restore", id])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("it runs", || f.nexcage(&["state", id]).out.contains("\"running\""));
    nexcage_sys::cgroupfs::kill(i32::try_from(restore.id()).unwrap(), 15).unwrap();
    assert_eq!(restore.wait().unwrap().code(), Some(9));
    f.check_nothing_left(id);
}

/// The master that a console socket gets.
fn receive_terminal(listener: &UnixListener) -> OwnedFd {
    let (stream, _) = listener.accept().unwrap();
    nexcage_sys::scm::receive_fd(stream.as_fd()).unwrap().1
}

fn a_terminal_comes_back() {
    let id = "ckpt-tty";
    let mut f = Fixture::new(&["sh", "-c", "while read x; do echo got $x; done"]);
    f.config["process"].as_object_mut().unwrap().remove("rlimits");
    f.config["process"]["terminal"] = json!(true);
    f.write();
    let socket = f.path("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let socket = socket.to_str().unwrap();
    f.nexcage(&["run", "-d", "--console-socket", socket, id]).check(0);
    let first = receive_terminal(&listener);
    f.nexcage(&["checkpoint", id]).check(0);
    drop(first);
    f.nexcage(&["restore", "-d", "--console-socket", socket, id]).check(0);
    let mut master = std::fs::File::from(receive_terminal(&listener));
    master.write_all(b"hello\n").unwrap();
    let mut said = String::new();
    eventually("it answers", || {
        let mut buffer = [0; 256];
        let length = master.read(&mut buffer).unwrap();
        said.push_str(&String::from_utf8_lossy(&buffer[..length]));
        said.contains("got hello")
    });
}

fn a_network_namespace_is_joined_again() {
    let id = "ckpt-net";
    let mut helper = Command::new("unshare").args(["-n", "sleep", "1000"]).spawn().unwrap();
    let path = format!("/proc/{}/ns/net", helper.id());
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    eventually("the namespace is there", || {
        std::fs::read_link(&path).is_ok_and(|link| link != own)
    });
    let mut f = counter();
    for ns in f.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if ns["type"] == "network" {
            ns["path"] = json!(path);
        }
    }
    start(&f, id);
    let checkpoint = f.nexcage(&["checkpoint", id]);
    let restore = f.nexcage(&["restore", "-d", id]);
    let joined = std::fs::read_link(format!("/proc/{}/ns/net", f.pid(id)));
    let wanted = std::fs::read_link(&path).unwrap();
    helper.kill().unwrap();
    helper.wait().unwrap();
    checkpoint.check(0);
    restore.check(0);
    assert_eq!(joined.unwrap(), wanted);
}

fn a_failed_dump_leaves_the_container_running() {
    let id = "ckpt-bad";
    let f = counter();
    f.write();
    // CRIU cannot save a file that lies outside of the container.
    let file = std::fs::File::options()
        .append(true)
        .create(true)
        .open(f.path("log"))
        .unwrap();
    let mut run = f.program();
    run.args(["run", "-d", id]).stdout(file).stderr(Stdio::null());
    assert!(run.status().unwrap().success());
    let said = f.nexcage(&["checkpoint", id]).check(1);
    let log = f.bundle().join("checkpoint/dump.log");
    said.check_err("criu dump: failed: Error (criu/")
        .check_err(&format!("(log: {log:?})"));
    assert_eq!(f.status(id), "running");
    check_counts_from(&f, count(&f));
}

fn a_failed_restore_leaves_nothing() {
    let id = "ckpt-none";
    let f = counter();
    start(&f, id);
    f.nexcage(&["checkpoint", id]).check(0);
    std::fs::remove_file(f.bundle().join("checkpoint/inventory.img")).unwrap();
    let log = f.bundle().join("checkpoint/restore.log");
    f.nexcage(&["restore", "-d", id])
        .check(1)
        .check_err("criu restore: failed: Error (criu/")
        .check_err(&format!("(log: {log:?})"));
    f.check_nothing_left(id);
}

fn a_user_namespace_comes_back() {
    let id = "ckpt-user";
    let mut f = counter();
    f.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    f.config["linux"]["uidMappings"] = map.clone();
    f.config["linux"]["gidMappings"] = map;
    start(&f, id);
    f.nexcage(&["checkpoint", id]).check(0);
    let saved = count(&f);
    f.nexcage(&["restore", "-d", id]).check(0);
    check_counts_from(&f, saved);
    f.nexcage(&["exec", id, "true"]).check(0);
}

/// At whatever moment the runtime dies, CRIU gives the container back.
fn a_killed_runtime_leaves_the_container_running() {
    let id = "ckpt-killed";
    let f = counter();
    start(&f, id);
    check_counts_from(&f, 0);
    for millis in [5, 20, 40, 60] {
        let mut checkpoint = f.program();
        let mut checkpoint = checkpoint
            .args(["checkpoint", "--leave-running", id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The moments spread over the dump; the test holds at each of them.
        std::thread::sleep(std::time::Duration::from_millis(millis));
        checkpoint.kill().unwrap();
        checkpoint.wait().unwrap();
        eventually("it runs", || f.status(id) == "running");
        check_counts_from(&f, count(&f));
    }
    f.nexcage(&["checkpoint", id]).check(0);
    f.check_nothing_left(id);
}
