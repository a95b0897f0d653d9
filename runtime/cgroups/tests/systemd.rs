//! The systemd driver against a real systemd: one that manages units for this user.
//!
//! A systemd moves every process of its own cgroup. So it gets namespaces of its own for pids and mounts, and a
//! cgroup that holds nothing else: it cannot even name a process of the machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::exit,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    clippy::let_underscore_must_use,
    reason = "test code"
)]

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nexcage_cgroups::{Cgroup, CgroupError, Driver, Layout, Naming, Stage};
use oci_spec::runtime::LinuxResources;

/// Set in the process that runs inside the namespaces, to the pid namespace outside.
const INSIDE: &str = "NEXCAGE_TEST_OUTER_PIDS";

/// Slice of the test's own, below which all is made.
const SLICE: &str = "nexcagetest.slice";

/// Makes a place where systemd thinks that it is at home, and runs this program there. Nobody listens at the folder `bus`,
/// so that systemd is asked directly; it has no units but the test's own.
const SCRIPT: &str = "
    set -e
    mount -t tmpfs tmpfs /run
    mkdir -p /run/systemd/system /run/user/0/bus /run/units
    echo [Unit] > /run/units/default.target
    exec \"$0\"
";

/// A container of a process that sleeps.
struct Scratch {
    cgroup: Cgroup,
    children: Vec<Child>,
    /// Whether the unit is this one's to remove.
    owns: bool,
}

impl Scratch {
    fn plan(name: &str) -> Self {
        let annotations = HashMap::from([(
            "org.systemd.property.CollectMode".to_owned(),
            "'inactive-or-failed'".to_owned(),
        )]);
        let path = format!("{SLICE}:nexcage:{name}");
        let naming = Naming {
            id: name,
            cgroups_path: Some(&path),
            driver: Driver::Systemd,
            rootless: true,
            annotations: &annotations,
        };
        Self {
            cgroup: Cgroup::plan(&naming).unwrap(),
            children: Vec::new(),
            owns: true,
        }
    }

    fn spawn(&mut self) -> i32 {
        let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        self.children.push(child);
        pid
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for child in &mut self.children {
            for result in [child.kill(), child.wait().map(drop)] {
                if let Err(error) = result {
                    eprintln!("{error}");
                }
            }
        }
        if self.owns
            && let Err(error) = self.cgroup.remove()
        {
            eprintln!("{error}");
        }
    }
}

/// Where a process is in the hierarchy that systemd owns.
fn place_of(pid: i32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let line = text
        .lines()
        .find(|line| line.contains(":name=systemd:"))
        .or_else(|| text.lines().last());
    line.unwrap().splitn(3, ':').nth(2).unwrap().to_owned()
}

/// A unit is started with a process in it, limited, and stopped.
fn a_unit_lives_and_dies() {
    let mut scratch = Scratch::plan("c1");
    assert!(scratch.cgroup.needs_place());
    assert!(scratch.cgroup.create().unwrap().made().is_empty(), "systemd makes it");
    let pid = scratch.spawn();
    scratch.cgroup.place(pid).unwrap();
    assert!(
        place_of(pid).ends_with(&format!("{SLICE}/nexcage-c1.scope")),
        "{}",
        place_of(pid)
    );
    let limits: LinuxResources =
        serde_json::from_str(r#"{"pids":{"limit":5},"memory":{"limit":67108864},"cpu":{"shares":512}}"#).unwrap();
    scratch.cgroup.check(&limits).unwrap();
    let applied = [Stage::BeforeInit, Stage::AfterInit]
        .into_iter()
        .try_for_each(|stage| scratch.cgroup.apply(&limits, stage));
    if scratch.cgroup.layout() == Layout::Unified {
        applied.unwrap();
        assert!(scratch.cgroup.exists());
        assert_eq!(scratch.cgroup.pids().unwrap(), [pid]);
        scratch.cgroup.freeze().unwrap();
        assert!(scratch.cgroup.is_frozen().unwrap());
        scratch.cgroup.thaw().unwrap();
        let max = std::fs::read_to_string(scratch.cgroup.path_of("pids").unwrap().join("pids.max")).unwrap();
        assert_eq!(max.trim(), "5");
        let more: LinuxResources = serde_json::from_str(r#"{"pids":{"limit":7}}"#).unwrap();
        scratch.cgroup.update(&more).unwrap();
        scratch.cgroup.signal_all(libc::SIGKILL).unwrap();
    } else {
        // A user's systemd hands no v1 controller down: it takes the processes out of those cgroups again, and removes
        // them. That it took the properties is what can be seen.
        let refused = matches!(&applied, Err(CgroupError::Unit { .. } | CgroupError::Bus { .. }));
        assert!(!refused, "{applied:?}");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    scratch.children.remove(0).wait().unwrap();
    scratch.cgroup.remove().unwrap();
    assert!(!scratch.cgroup.exists());
    scratch.cgroup.remove().unwrap();
}

/// A unit that is there is not taken over, and systemd's own words are shown.
fn a_unit_in_use_is_refused() {
    let mut first = Scratch::plan("c2");
    let pid = first.spawn();
    first.cgroup.place(pid).unwrap();
    let mut second = Scratch::plan("c2");
    second.owns = false;
    let pid = second.spawn();
    let error = second.cgroup.place(pid).unwrap_err();
    assert!(
        matches!(&error, CgroupError::Unit { unit, .. } if unit == "nexcage-c2.scope"),
        "{error}"
    );
    assert!(error.to_string().contains("UnitExists"), "{error}");
    assert!(!place_of(pid).contains("nexcage-c2"));
}

/// A property that systemd does not know is refused, and nothing is left.
fn an_unknown_property_is_refused() {
    let annotations = HashMap::from([("org.systemd.property.NoSuchThing".to_owned(), "true".to_owned())]);
    let path = format!("{SLICE}:nexcage:c3");
    let naming = Naming {
        id: "c3",
        cgroups_path: Some(&path),
        driver: Driver::Systemd,
        rootless: true,
        annotations: &annotations,
    };
    let mut scratch = Scratch {
        cgroup: Cgroup::plan(&naming).unwrap(),
        children: Vec::new(),
        owns: true,
    };
    let pid = scratch.spawn();
    let error = scratch.cgroup.place(pid).unwrap_err();
    assert!(matches!(error, CgroupError::Unit { .. }), "{error}");
    assert!(!scratch.cgroup.exists());
}

/// The pid namespace of this process.
fn pid_namespace() -> std::path::PathBuf {
    std::fs::read_link("/proc/self/ns/pid").unwrap()
}

/// Runs the cases next to a systemd.
fn run_inside(outer: &Path) {
    assert_ne!(
        pid_namespace(),
        outer,
        "a systemd here could reach the machine's processes"
    );
    let mut systemd = Command::new("/lib/systemd/systemd")
        .args(["--user", "--log-level=err"])
        .env("XDG_RUNTIME_DIR", "/run/user/0")
        .env("SYSTEMD_UNIT_PATH", "/run/units")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::os::unix::net::UnixStream::connect("/run/user/0/systemd/private").is_err() {
        assert!(systemd.try_wait().unwrap().is_none(), "systemd ended");
        assert!(Instant::now() < deadline, "systemd not ready in time");
        std::thread::sleep(Duration::from_millis(5));
    }
    let cases: [(&str, fn()); 3] = [
        ("a_unit_lives_and_dies", a_unit_lives_and_dies),
        ("a_unit_in_use_is_refused", a_unit_in_use_is_refused),
        ("an_unknown_property_is_refused", an_unknown_property_is_refused),
    ];
    let outcome = std::panic::catch_unwind(|| {
        for (name, case) in cases {
            case();
            println!("test {name} ... ok");
        }
    });
    systemd.kill().unwrap();
    systemd.wait().unwrap();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
    println!("{} passed, 0 failed", cases.len());
}

/// A shell that waits for its word, then becomes this program inside its namespaces.
fn spawn_inside() -> Child {
    let enter =
        format!("read go && exec unshare --mount --pid --fork --mount-proc --kill-child /bin/sh -c '{SCRIPT}' \"$0\"");
    Command::new("/bin/sh")
        .args(["-c", &enter])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, pid_namespace())
        .env("XDG_RUNTIME_DIR", "/run/user/0")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

fn main() {
    if let Some(outer) = std::env::var_os(INSIDE) {
        return run_inside(Path::new(&outer));
    }
    if !nix::unistd::geteuid().is_root() || !Path::new("/lib/systemd/systemd").exists() {
        println!("not run: needs root, and Debian's systemd package");
        return;
    }
    let id = format!("nexcage-systemd-test-{}", std::process::id());
    let (path, annotations) = (format!("/{id}"), HashMap::new());
    let naming = Naming {
        id: &id,
        cgroups_path: Some(&path),
        driver: Driver::Cgroupfs,
        rootless: false,
        annotations: &annotations,
    };
    let mut own = Cgroup::plan(&naming).unwrap();
    let creation = own.create().unwrap();
    drop(creation);
    let mut child = spawn_inside();
    let added = own.add(i32::try_from(child.id()).unwrap());
    if added.is_ok() {
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"go\n").unwrap();
    }
    drop(child.stdin.take());
    let status = child.wait().unwrap();
    own.signal_all(libc::SIGKILL).unwrap();
    own.remove().unwrap();
    added.unwrap();
    assert!(status.success(), "{status}");
}
