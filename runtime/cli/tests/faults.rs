//! System calls that fail: one clear error, nothing left, and the next command works.
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

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::process::{Command, Stdio};

use common::{Fixture, Said, can_run, eventually};

/// The system calls that are made to fail, with the errors that the kernel gives in practice; `EPERM` where none is said.
const CALLS: [(&str, &[&str]); 54] = [
    ("accept4", &[]),
    ("bind", &["ENOSPC"]),
    ("capset", &[]),
    ("chdir", &["EACCES"]),
    ("chown", &[]),
    ("chroot", &[]),
    ("clone", &["ENOMEM"]),
    ("clone3", &["EAGAIN"]),
    ("close_range", &[]),
    ("connect", &["ECONNREFUSED"]),
    ("dup2", &["EMFILE"]),
    ("execveat", &["ENOMEM"]),
    ("fchdir", &["EACCES"]),
    ("fchmod", &["EROFS"]),
    ("fcntl", &["EMFILE"]),
    ("flock", &["ENOLCK"]),
    ("fsconfig", &["EPERM"]),
    ("fsmount", &["EPERM"]),
    ("fsopen", &["ENODEV"]),
    ("fstatfs", &["EIO"]),
    ("getdents64", &["EIO"]),
    ("keyctl", &["EDQUOT"]),
    ("listen", &[]),
    ("mkdir", &["ENOSPC"]),
    ("mkdirat", &["ENOSPC"]),
    ("mknodat", &["EPERM"]),
    ("mount", &["EPERM"]),
    ("mount_setattr", &["EPERM"]),
    ("move_mount", &["EPERM"]),
    ("newfstatat", &["EACCES"]),
    ("open_tree", &["EPERM"]),
    ("openat", &["EMFILE", "EACCES"]),
    ("openat2", &["EMFILE"]),
    ("pidfd_open", &["EMFILE"]),
    ("pidfd_send_signal", &[]),
    ("pipe2", &["EMFILE"]),
    ("pivot_root", &["EINVAL"]),
    ("prctl", &[]),
    ("read", &["EIO"]),
    ("recvmsg", &["ENOMEM"]),
    ("renameat", &["ENOSPC"]),
    ("sendmsg", &["ENOBUFS"]),
    ("sethostname", &[]),
    ("setns", &[]),
    ("setresuid", &["EAGAIN"]),
    ("setsid", &[]),
    ("socket", &["EMFILE"]),
    ("socketpair", &["EMFILE"]),
    ("statx", &["EACCES"]),
    ("symlink", &["ENOSPC"]),
    ("umount2", &[]),
    ("unlinkat", &["EIO"]),
    ("unshare", &["ENOSPC"]),
    ("write", &["ENOSPC", "EIO"]),
];

/// How often a call is made to fail, at most: its first times, its last, and some between.
const SAMPLES: u32 = 6;

/// Whether processes can be traced here; says why not.
fn can_trace() -> bool {
    if !can_run() {
        return false;
    }
    let tried = common::command("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    let can = tried.is_ok_and(|status| status.success());
    if !can {
        eprintln!("NOT RUN: needs strace and the right to trace");
    }
    can
}

/// One call that fails at its `nth` time in each process.
#[derive(Clone)]
struct Fault {
    call: &'static str,
    error: &'static str,
    nth: u32,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:error={}:when={}", self.call, self.error, self.nth)
    }
}

/// `strace` around the program; it stays with init for as long as that lives, so it is no parent of the program.
fn traced(f: &Fixture, options: &[&str], args: &[&str]) -> Command {
    let mut command = common::command("timeout");
    command.args(["-k", "5", "60", "strace", "-D", "-f"]).args(options);
    command
        .arg(env!("CARGO_BIN_EXE_nexcage"))
        .arg("--root")
        .arg(f.state_dir());
    command.args(args).current_dir(f.bundle()).stdin(Stdio::null());
    command
}

fn with_fault(f: &Fixture, fault: &Fault, args: &[&str]) -> Said {
    let (trace, inject) = (format!("trace={}", fault.call), format!("inject={fault}"));
    let said = f.finish(&mut traced(f, &["-o", "/dev/null", "-e", &trace, "-e", &inject], args));
    assert_ne!(said.code, 124, "{fault}: {args:?} does not end");
    said
}

/// The faults for a command, from how often a run without faults makes each call in one process.
fn plan(f: &Fixture, args: &[&str]) -> Vec<Fault> {
    let trace = f.path("trace");
    f.finish(&mut traced(f, &["-o", trace.to_str().unwrap()], args))
        .check(0);
    let mut counts: HashMap<(String, String), u32> = HashMap::new();
    for line in String::from_utf8_lossy(&fs::read(&trace).unwrap()).lines() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        if let Some((call, _)) = rest.trim_start().split_once('(') {
            *counts.entry((pid.to_owned(), call.to_owned())).or_default() += 1;
        }
    }
    let mut most: BTreeMap<String, u32> = BTreeMap::new();
    for ((_, call), count) in counts {
        let entry = most.entry(call).or_default();
        *entry = count.max(*entry);
    }
    let mut faults = Vec::new();
    for (call, errors) in CALLS {
        let Some(most) = most.get(call) else { continue };
        for error in if errors.is_empty() { &["EPERM"] } else { errors } {
            faults.extend(samples(*most).into_iter().map(|nth| Fault { call, error, nth }));
        }
    }
    assert!(faults.len() > 20, "the trace of {args:?} shows its calls");
    faults
}

fn samples(most: u32) -> Vec<u32> {
    if most <= SAMPLES {
        return (1..=most).collect();
    }
    (0..SAMPLES).map(|i| 1 + i * (most - 1) / (SAMPLES - 1)).collect()
}

/// Checks a command's end: success without a word, or one line of error.
#[track_caller]
fn check_said(said: &Said, what: &str) {
    let lines = said.err.lines().count();
    if said.code == 0 {
        assert_eq!(said.err, "", "{what}: succeeded with an error text");
    } else {
        // The call that failed may be the one that prints the line.
        let silent = what.starts_with("write:") && lines == 0;
        assert!(lines == 1 || silent, "{what}: code {}: {:?}", said.code, said.err);
        assert!(silent || said.err.starts_with("nexcage: "), "{what}: {:?}", said.err);
    }
}

/// Processes of the program itself that still run for this fixture.
fn runtimes(f: &Fixture) -> Vec<String> {
    let root = f.state_dir().display().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            (line.contains(&root) && line.starts_with(env!("CARGO_BIN_EXE_nexcage"))).then_some(line)
        })
        .collect()
}

#[track_caller]
fn check_no_runtime(f: &Fixture, what: &str) {
    eventually(&format!("{what}: no runtime process is left"), || {
        runtimes(f).is_empty()
    });
}

#[test]
fn a_call_that_fails_in_create_leaves_nothing() {
    if !can_trace() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.write();
    let faults = plan(&f, &["create", "fc"]);
    f.nexcage(&["delete", "--force", "fc"]).check(0);
    let (mut failed, mut passed) = (0, 0);
    for fault in faults {
        let what = fault.to_string();
        let said = with_fault(&f, &fault, &["create", "fc"]);
        check_said(&said, &what);
        if said.code == 0 {
            // The call was not needed, or failed in init after it was complete: then start says so.
            assert_eq!(f.nexcage(&["state", "fc"]).code, 0, "{what}");
            let started = f.nexcage(&["start", "fc"]);
            check_said(&started, &what);
            assert_eq!(f.nexcage(&["delete", "--force", "fc"]).code, 0, "{what}");
            passed += 1;
        } else {
            failed += 1;
        }
        f.check_nothing_left("fc");
        check_no_runtime(&f, &what);
    }
    f.nexcage(&["create", "fc"]).check(0);
    assert!(
        failed > 50 && passed > 10,
        "the faults happened: {failed} failed, {passed} passed"
    );
}

#[test]
fn a_call_that_fails_in_start_or_delete_leaves_nothing() {
    if !can_trace() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.write();
    f.nexcage(&["create", "fs"]).check(0);
    let start = plan(&f, &["start", "fs"]);
    let delete = plan(&f, &["delete", "--force", "fs"]);
    let mut failed = 0;
    for (args, faults) in [(&["start", "fs"][..], start), (&["delete", "--force", "fs"], delete)] {
        for fault in faults {
            let what = format!("{fault} in {}", args[0]);
            f.nexcage(&["create", "fs"]).check(0);
            let said = with_fault(&f, &fault, args);
            check_said(&said, &what);
            failed += u32::from(said.code != 0);
            let deleted = f.nexcage(&["delete", "--force", "fs"]);
            assert_eq!(deleted.code, 0, "{what}: {}", deleted.err);
            assert!(common::cgroups_of("fs").is_empty(), "{what}: cgroups left by {said:?}");
            f.check_nothing_left("fs");
        }
    }
    check_no_runtime(&f, "start and delete");
    assert!(failed > 20, "the faults happened: {failed}");
}

#[test]
fn a_call_that_fails_in_exec_leaves_nothing_and_the_next_exec_works() {
    if !can_trace() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("fe");
    let files = || {
        let mut names: Vec<_> = fs::read_dir(f.state_dir().join("fe"))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = files();
    let mut failed = 0;
    for fault in plan(&f, &["exec", "fe", "true"]) {
        let what = format!("{fault} in exec");
        let said = with_fault(&f, &fault, &["exec", "fe", "true"]);
        check_said(&said, &what);
        check_no_runtime(&f, &what);
        if said.code != 0 {
            failed += 1;
            assert_eq!(said.code, 255, "{what}");
            let next = f.nexcage(&["exec", "fe", "true"]);
            assert_eq!(next.code, 0, "{what}: {}", next.err);
            assert_eq!(files(), before, "{what}");
        }
    }
    assert!(failed > 30, "the faults happened: {failed}");
    f.nexcage(&["delete", "--force", "fe"]).check(0);
    f.check_nothing_left("fe");
}

/// The descriptor table is full at every place where one is opened.
#[test]
fn too_few_descriptors_are_an_error_that_leaves_nothing() {
    if !can_run() {
        return;
    }
    let mut f = Fixture::new(&["sleep", "1000"]);
    // The container's own limit is above these.
    f.config["process"]["rlimits"] = serde_json::json!([]);
    f.write();
    let (mut refused, mut named) = (0, 0);
    for limit in 3..128 {
        let mut command = common::command("/bin/sh");
        let line = format!("ulimit -n {limit} && exec \"$0\" --root \"$1\" create fd");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_nexcage")]);
        command.arg(f.state_dir()).current_dir(f.bundle()).stdin(Stdio::null());
        let said = f.finish(&mut command);
        let what = format!("{limit} descriptors");
        check_said(&said, &what);
        if said.code == 0 {
            // A defect of a library that libcontainer uses hides the kernel's words for a few of them.
            assert!(
                refused > 5 && named * 2 > refused,
                "{refused} limits were too low, {named} said so"
            );
            f.nexcage(&["start", "fd"]).check(0);
            f.nexcage(&["delete", "--force", "fd"]).check(0);
            f.check_nothing_left("fd");
            return;
        }
        named += u32::from(said.err.contains("Too many open files"));
        f.check_nothing_left("fd");
        check_no_runtime(&f, &what);
        refused += 1;
    }
    panic!("128 descriptors are not enough");
}

/// Creates a container whose state root, or the folder of its pid-file, is a file system without space or inodes, in a
/// mount namespace of its own. The script prints what is left of the container in the root.
const FULL: &str = r#"
options=$1 fill=$2
root=$3/full
mkdir -p "$root" && mount -t tmpfs -o "$options" tmpfs "$root" || exit 99
[ "$fill" = 0 ] || head -c "$fill" /dev/zero > "$root/filler" || exit 98
"$0" --root "$root/state" create --pid-file "$4" full 2> "$3/full.err"
code=$?
left=$(ls -A "$root/state" 2> /dev/null)
if [ $code = 0 ]; then
    # A start that cannot write the new status destroys the container.
    "$0" --root "$root/state" start full 2> "$3/full.err"
    code=$?
    [ $code != 0 ] || "$0" --root "$root/state" delete --force full || exit 97
    left=$(ls -A "$root/state")
fi
umount "$root"
echo "left=$left"
exit $code
"#;

fn create_on_full(f: &Fixture, options: &str, fill: u32, pid_file: &str) -> Said {
    let mut command = common::command("unshare");
    command.args([
        "--mount",
        "/bin/sh",
        "-c",
        FULL,
        env!("CARGO_BIN_EXE_nexcage"),
        options,
        &fill.to_string(),
    ]);
    command
        .arg(f.path(""))
        .arg(pid_file)
        .current_dir(f.bundle())
        .stdin(Stdio::null());
    let said = f.finish(&mut command);
    let err = fs::read_to_string(f.path("full.err")).unwrap();
    assert_eq!(said.err, "", "the script itself");
    assert_eq!(said.out, "left=\n", "{options} {fill}: {err}");
    Said { err, ..said }
}

#[test]
fn a_full_file_system_is_an_error_that_leaves_nothing() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.write();
    let page = 4096;
    let pid_file = f.path("pid").display().to_string();
    let on_full = f.path("full/pid").display().to_string();
    let inodes = (2..16).map(|n| (format!("nr_inodes={n}"), 0, &pid_file));
    let space = (0..8).map(|free| (format!("size={}k", 64), (16 - free) * page, &pid_file));
    let pids = [(3, &on_full), (4, &on_full)].map(|(free, path)| ("size=64k".to_owned(), (16 - free) * page, path));
    let (mut refused, mut created) = (0, 0);
    for (options, fill, pid_file) in inodes.chain(space).chain(pids) {
        let what = format!("{options} with {fill} filled");
        let said = create_on_full(&f, &options, fill, pid_file);
        check_said(&said, &what);
        if said.code == 0 {
            created += 1;
        } else {
            assert!(said.err.contains("No space left on device"), "{what}: {}", said.err);
            refused += 1;
        }
        f.check_nothing_left("full");
        check_no_runtime(&f, &what);
    }
    assert!(refused > 5 && created > 2, "{refused} {created}");
}

/// SIGKILL of start, exec and delete at moments of their run; the same for create is in `bad_input.rs`.
#[test]
fn a_killed_command_leaves_nothing_after_a_forced_delete() {
    if !can_run() {
        return;
    }
    let f = Fixture::new(&["sleep", "1000"]);
    f.write();
    for step in 0..12_u64 {
        for args in [
            &["start", "fk"][..],
            &["exec", "fk", "true"],
            &["delete", "--force", "fk"],
        ] {
            f.nexcage(&["create", "fk"]).check(0);
            if args[0] == "exec" {
                f.nexcage(&["start", "fk"]).check(0);
            }
            let mut command = f.program().args(args).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_micros(step * 1500));
            command.kill().unwrap();
            command.wait().unwrap();
            let what = format!("{} killed after {step}", args[0]);
            check_no_runtime_but_init(&f, &what);
            let deleted = f.nexcage(&["delete", "--force", "fk"]);
            assert_eq!(deleted.code, 0, "{what}: {}", deleted.err);
            f.check_nothing_left("fk");
        }
    }
}

/// A created container's init is the program until it is started.
#[track_caller]
fn check_no_runtime_but_init(f: &Fixture, what: &str) {
    eventually(&format!("{what}: no runtime process is left"), || {
        let others: Vec<_> = runtimes(f)
            .into_iter()
            .filter(|line| !line.contains(" create "))
            .collect();
        others.is_empty()
    });
}

#[test]
fn faults_are_spread_over_all_calls() {
    assert_eq!(samples(3), [1, 2, 3]);
    assert_eq!(samples(6), [1, 2, 3, 4, 5, 6]);
    assert_eq!(samples(101), [1, 21, 41, 61, 81, 101]);
}
