//! Boots guests with `xtask vm`. Needs root and Debian's packages user-mode-linux and debootstrap; where they are missing
//! each test says so and ends.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start the program under test as a shell would"
)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken assumption fails the test"
)]
#![expect(clippy::print_stderr, reason = "a test that cannot run says why")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

/// The program under test with the arguments that every test gives, or `None`, said aloud, where no guest can boot.
fn xtask(mode: &str) -> Option<Command> {
    let missing: Vec<_> = ["/usr/bin/linux.uml", "/usr/sbin/debootstrap"]
        .into_iter()
        .filter(|path| !fs::exists(path).unwrap())
        .collect();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t0"));
    if !missing.is_empty() || !root {
        eprintln!("NOT RUN: booting a guest needs root (here: {root}) and the missing {missing:?}");
        return None;
    }
    // The first boot ever makes the guest's root file system and says so on standard error.
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        let output = guest("--plain").args(["--", "true"]).output().unwrap();
        check(&output, 0, "");
    });
    Some(guest(mode))
}

fn guest(mode: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["vm", mode]).stdin(Stdio::null());
    command
}

/// Runs a shell script in a guest.
fn run(mode: &str, options: &[&str], script: &str) -> Option<Output> {
    Some(
        xtask(mode)?
            .args(options)
            .args(["--", "sh", "-c", script])
            .output()
            .unwrap(),
    )
}

#[track_caller]
fn check(output: &Output, status: i32, stdout: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "{stderr}");
}

#[test]
fn guest_has_systemd_cgroup_v2_and_read_only_shares() {
    let script = "
        stat -fc %T /sys/fs/cgroup
        cat /sys/fs/cgroup/cgroup.controllers /proc/self/cgroup
        systemctl is-system-running --wait
        for dir in /mnt/share /mnt/project; do touch $dir/file 2>/dev/null || echo $dir is read-only; done
        mknod /tmp/null c 1 3 && echo text >/tmp/null && echo device opened
        as-dev sh -c 'id -un; cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cgroup.controllers'";
    let Some(output) = run("--systemd", &[], script) else {
        return;
    };
    let expected = "cgroup2fs\ncpu io memory pids\n0::/system.slice/nexcage-command.service\nrunning\n\
        /mnt/share is read-only\n/mnt/project is read-only\ndevice opened\ndev\ncpu io memory pids\n";
    check(&output, 0, expected);
}

#[test]
fn guest_does_not_leave_its_directories() {
    let script = "
        mount -t hostfs host /media -o /../../etc 2>/dev/null || echo no etc
        mount -t hostfs host /srv -o /../proc/sys
        echo guest-was-here 2>/dev/null >/srv/kernel/hostname || echo settings are read-only
        mount -o remount,rw /mnt/project && touch /mnt/project/file 2>/dev/null || echo project is read-only";
    let Some(output) = run("--plain", &[], script) else {
        return;
    };
    assert_ne!(
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        "guest-was-here\n"
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "no etc\nsettings are read-only\nproject is read-only\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn rootless_podman_runs_a_container() {
    let script = "
        set -e
        cd /tmp
        tar -C / -chf image.tar bin/busybox
        as-dev podman import --quiet /tmp/image.tar localhost/box >/dev/null
        as-dev podman --runtime crun run --rm --network none --memory 64m localhost/box \
            /bin/busybox sh -c 'busybox id -u; busybox cat /sys/fs/cgroup/memory.max; exit 5'";
    let Some(output) = run("--systemd", &[], script) else {
        return;
    };
    check(&output, 5, "0\n67108864\n");
}

#[test]
fn exit_status_and_output_are_those_of_the_command() {
    for mode in ["--plain", "--systemd"] {
        for (script, status) in [("exit 7", 7), ("kill -TERM $$", 143)] {
            let Some(output) = run(mode, &[], &format!("echo out; echo err >&2; {script}")) else {
                return;
            };
            check(&output, status, "out\n");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n", "{mode}");
        }
    }
}

#[test]
fn long_output_arrives_whole_from_two_guests_at_once() {
    let guests: Vec<_> = (0..2)
        .map(|guest| thread::spawn(move || run("--plain", &[], &format!("seq {guest} 100000; sleep 100 & exit 0"))))
        .collect();
    for (first, guest) in guests.into_iter().enumerate() {
        let Some(output) = guest.join().unwrap() else { return };
        let expected: String = (first..=100_000).map(|number| format!("{number}\n")).collect();
        check(&output, 0, &expected);
    }
}

#[test]
fn command_that_is_not_done_in_time_is_ended() {
    let Some(output) = run("--plain", &["--timeout", "20"], "echo up; exec sleep 1000") else {
        return;
    };
    check(&output, 124, "up\n");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("run the command: not done after 20 s"), "{stderr}");
}

#[test]
fn panic_of_the_kernel_is_told_with_the_console() {
    let Some(output) = run("--plain", &[], "echo c >/proc/sysrq-trigger; sleep 1000") else {
        return;
    };
    check(&output, 125, "");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("its kernel panicked") && stderr.contains("sysrq triggered crash"),
        "{stderr}"
    );
}

#[test]
fn killed_xtask_leaves_no_process() {
    let Some(mut command) = xtask("--plain") else { return };
    let mut child = command
        .args(["--", "sh", "-c", "echo up; exec sleep 1000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let guest = descendants(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(line, "up\n");
    assert!(guest.len() > 3, "{guest:?}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while guest.iter().any(|process| process_of(process.0) == Some(*process)) {
        assert!(Instant::now() < deadline, "still there: {guest:?}");
        // A poll with a deadline: the kernel tells nobody when a process that is no child is gone.
        thread::sleep(Duration::from_millis(20));
    }
}

/// A pid and its start time: together they name one process for ever.
type Process = (u32, u64);

fn process_of(pid: u32) -> Option<Process> {
    Some((pid, stat(pid)?.1))
}

/// Reads the parent and the start time of a process.
fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields[1].parse().ok()?, fields[19].parse().ok()?))
}

fn descendants(pid: u32) -> BTreeSet<Process> {
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let children: Vec<u32> = pids
        .filter(|child| stat(*child).is_some_and(|(parent, _)| parent == pid))
        .collect();
    let below = children.iter().flat_map(|child| descendants(*child));
    below
        .chain(children.iter().filter_map(|child| process_of(*child)))
        .collect()
}
