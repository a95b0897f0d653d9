//! `exec`: one more process has what the container has.
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
use serde_json::json;

#[track_caller]
fn exec(f: &Fixture, args: &[&str]) -> common::Said {
    f.nexcage(&[&["exec"], args].concat())
}

#[test]
fn exec_returns_the_exit_code_and_the_clients_error_texts() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("e1");
    assert_eq!(exec(&f, &["e1", "echo", "hi"]).check(0).out, "hi\n");
    exec(&f, &["e1", "sh", "-c", "exit 9"]).check(9);
    exec(&f, &["e1", "nosuch"])
        .check(255)
        .check_err(r#"exec: "nosuch": executable file not found in $PATH"#);
    exec(&f, &["e1", "/no/such"])
        .check(255)
        .check_err(r#"exec: "/no/such": stat /no/such: no such file or directory"#);
    exec(&f, &["e1", "/etc/passwd"])
        .check(255)
        .check_err(r#"exec: "/etc/passwd": permission denied"#);
}

#[test]
fn exec_takes_user_directory_and_variables() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("e2");
    let said = exec(
        &f,
        &[
            "--user",
            "1000:7",
            "--cwd",
            "/tmp",
            "-e",
            "A=b",
            "e2",
            "sh",
            "-c",
            "id -u; id -g; pwd; echo $A $HOME",
        ],
    );
    assert_eq!(said.check(0).out, "1000\n7\n/tmp\nb /home/user\n");
}

#[test]
fn exec_has_the_seccomp_filter_and_no_new_privileges_of_the_container() {
    if !can_run() {
        return;
    }
    for no_new_privileges in [true, false] {
        let mut f = Fixture::new(&["sleep", "1000"]);
        f.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        f.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 }],
        });
        f.start("e3");
        let said = exec(
            &f,
            &[
                "e3",
                "sh",
                "-c",
                "mkdir /tmp/x; grep -E 'Seccomp:|NoNewPrivs' /proc/self/status",
            ],
        )
        .check(0);
        assert!(said.err.contains("Operation not permitted"), "{}", said.err);
        let expected = format!("NoNewPrivs:\t{}\nSeccomp:\t2\n", u8::from(no_new_privileges));
        assert_eq!(said.out, expected);
    }
}

#[test]
fn exec_joins_the_containers_user_namespace() {
    if !can_run() {
        return;
    }
    let mut f = Fixture::new(&["sleep", "1000"]);
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    f.config["linux"]["uidMappings"] = map.clone();
    f.config["linux"]["gidMappings"] = map;
    f.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "user" }));
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(f.path("."), open).unwrap();
    f.start("e4");
    let own = std::fs::read_link("/proc/self/ns/user").unwrap();
    let inside = exec(&f, &["e4", "readlink", "/proc/self/ns/user"]).check(0).out;
    assert_ne!(inside.trim(), own.to_str().unwrap());
    assert_eq!(inside, exec(&f, &["e4", "readlink", "/proc/1/ns/user"]).check(0).out);
    let map = exec(&f, &["e4", "cat", "/proc/self/uid_map"]).check(0).out;
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
}

#[test]
fn exec_has_the_containers_capabilities_limits_and_umask() {
    if !can_run() {
        return;
    }
    let mut f = Fixture::new(&["sleep", "1000"]);
    f.config["process"]["user"]["umask"] = json!(0o27);
    f.config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 123, "hard": 456 }]);
    f.start("e5");
    let script = "umask; ulimit -n; grep CapBnd /proc/self/status";
    let said = exec(&f, &["e5", "sh", "-c", script]).check(0);
    assert_eq!(said.out, "0027\n123\nCapBnd:\t0000000020000420\n");
    let said = exec(
        &f,
        &[
            "--cap",
            "CAP_NET_ADMIN",
            "--no-new-privs",
            "e5",
            "grep",
            "CapEff",
            "/proc/self/status",
        ],
    )
    .check(0);
    assert_eq!(said.out, "CapEff:\t0000000020001420\n");
}

#[test]
fn exec_is_in_the_containers_cgroup() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("e6");
    let init = std::fs::read_to_string(format!("/proc/{}/cgroup", f.pid("e6"))).unwrap();
    let process = f.path("process.json");
    let described =
        json!({ "args": ["sleep", "1000"], "cwd": "/", "user": { "uid": 0, "gid": 0 }, "env": ["PATH=/bin"] });
    std::io::Write::write_all(
        &mut std::fs::File::options()
            .write(true)
            .create_new(true)
            .open(&process)
            .unwrap(),
        described.to_string().as_bytes(),
    )
    .unwrap();
    let pid_file = f.path("exec.pid");
    exec(
        &f,
        &[
            "--detach",
            "--process",
            process.to_str().unwrap(),
            "--pid-file",
            pid_file.to_str().unwrap(),
            "e6",
        ],
    )
    .check(0);
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap(), init);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .nth(3)
        .unwrap()
        .to_owned();
    assert_eq!(session, pid, "it leads a session");
}

#[test]
fn exec_joins_the_containers_session_keyring() {
    if !can_run() {
        return;
    }
    let Ok(keys) = std::fs::read_to_string("/proc/keys") else {
        eprintln!("NOT RUN: this kernel has no keyrings");
        return;
    };
    drop(keys);
    let mut f = Fixture::new(&["sleep", "1000"]);
    // The list of keys is masked by default.
    f.config["linux"]["maskedPaths"] = json!([]);
    f.start("ring");
    // Another user sees the keyring of root only where its process possesses it.
    let list = exec(&f, &["--user", "1000:1000", "ring", "cat", "/proc/keys"])
        .check(0)
        .out;
    assert!(list.contains("_ses.ring"), "{list}");
}
