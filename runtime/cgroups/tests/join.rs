//! What moves the calling process itself, or needs another user id: in a process with one thread, so without a harness.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::exit,
    clippy::disallowed_methods,
    clippy::let_underscore_must_use,
    reason = "test code"
)]

use std::collections::HashMap;
use std::path::PathBuf;

use nexcage_cgroups::{Cgroup, CgroupError, Driver, Layout, Naming, Stage, SubCgroup};
use nix::unistd::{Uid, geteuid, seteuid};
use oci_spec::runtime::LinuxResources;

/// Everything that a case made; removed in the end.
struct Scratch {
    cgroup: Cgroup,
    home: Vec<(PathBuf, PathBuf)>,
}

impl Scratch {
    /// Plans a cgroup for this process.
    fn plan(id: &str, path: Option<&str>, rootless: bool) -> Result<Self, CgroupError> {
        let annotations = HashMap::new();
        let naming = Naming {
            id,
            cgroups_path: path,
            driver: Driver::Cgroupfs,
            rootless,
            annotations: &annotations,
        };
        Ok(Self {
            cgroup: Cgroup::plan(&naming)?,
            home: Vec::new(),
        })
    }

    /// Remembers where this process is, so that it can go back.
    fn remember(&mut self) {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        for (controller, path) in self.cgroup.paths() {
            let line = own.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                let (names, at) = (fields.next()?, fields.next()?);
                names.split(',').any(|name| name == controller).then(|| at.to_owned())
            });
            let mount = mount_of(&path);
            self.home
                .push((mount.clone(), mount.join(line.unwrap().trim_start_matches('/'))));
        }
    }

    /// Where this process is in a controller's hierarchy.
    fn at(&self, controller: &str) -> String {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let line = own.lines().find(|line| {
            line.split(':')
                .nth(1)
                .unwrap()
                .split(',')
                .any(|name| name == controller)
        });
        line.unwrap().splitn(3, ':').nth(2).unwrap().to_owned()
    }
}

/// The mount point above a cgroup: where the device number changes.
fn mount_of(path: &std::path::Path) -> PathBuf {
    use std::os::unix::fs::MetadataExt;
    let mut at = path.to_owned();
    while let Some(parent) = at.parent() {
        match (std::fs::metadata(&at), std::fs::metadata(parent)) {
            (Ok(here), Ok(above)) if here.dev() != above.dev() => break,
            _ => at = parent.to_owned(),
        }
    }
    at
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for (mount, home) in &self.home {
            let file = if mount.join("cgroup.controllers").exists() {
                "cgroup.procs"
            } else {
                "tasks"
            };
            let moved = std::fs::OpenOptions::new()
                .write(true)
                .open(home.join(file))
                .and_then(|mut open| std::io::Write::write_all(&mut open, b"0"));
            if let Err(error) = moved {
                eprintln!("{home:?}: {error}");
            }
        }
        if let Err(error) = self.cgroup.remove() {
            eprintln!("{error}");
        }
    }
}

/// A process moves itself into every hierarchy, and below it.
fn a_process_joins_every_hierarchy() {
    let id = format!("nexcage-join-{}", std::process::id());
    let path = format!("/{id}");
    let mut scratch = Scratch::plan(&id, Some(&path), false).unwrap();
    scratch.remember();
    drop(scratch.cgroup.create().unwrap());
    scratch.cgroup.join().unwrap();
    for controller in scratch.cgroup.paths().keys() {
        assert_eq!(scratch.at(controller), path, "{controller}");
    }
    let pid = i32::try_from(std::process::id()).unwrap();
    assert_eq!(scratch.cgroup.pids().unwrap(), [pid]);
    for path in scratch.cgroup.paths().values() {
        std::fs::create_dir(path.join("sub")).unwrap();
    }
    let sub = SubCgroup::parse(&["sub".to_owned()]).unwrap();
    if scratch.cgroup.layout() == Layout::Unified {
        // With controllers handed down to its child, the container's own cgroup takes no process: init's is next.
        scratch.cgroup.join_sub(&sub, None).unwrap();
        assert_eq!(scratch.at(""), format!("{path}/sub"));
        return;
    }
    // A new cpuset is empty; a container fills its own.
    let cpuset = scratch.cgroup.path_of("cpuset").unwrap();
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let text = std::fs::read_to_string(cpuset.join(file)).unwrap();
        let open = std::fs::OpenOptions::new()
            .write(true)
            .open(cpuset.join("sub").join(file));
        open.and_then(|mut open| std::io::Write::write_all(&mut open, text.as_bytes()))
            .unwrap();
    }
    let memory = SubCgroup::parse(&["memory,pids:sub".to_owned()]).unwrap();
    scratch.cgroup.join_sub(&memory, None).unwrap();
    assert_eq!(
        (scratch.at("memory"), scratch.at("cpu")),
        (format!("{path}/sub"), path.clone())
    );
    scratch.cgroup.join_sub(&sub, None).unwrap();
    assert_eq!(scratch.at("devices"), format!("{path}/sub"));
    scratch.cgroup.join_sub(&SubCgroup::default(), None).unwrap();
    assert_eq!(scratch.at("devices"), path);
    let missing = SubCgroup::parse(&["nosuch".to_owned()]).unwrap();
    assert!(matches!(
        scratch.cgroup.join_sub(&missing, None),
        Err(CgroupError::Open { .. })
    ));
}

/// Runs something as another user.
fn as_nobody<T>(run: impl FnOnce() -> T) -> T {
    seteuid(Uid::from_raw(65534)).unwrap();
    let result = run();
    seteuid(Uid::from_raw(0)).unwrap();
    result
}

/// Without delegation, a rootless container runs where its caller is, unless it asks for limits or for a cgroup.
fn a_rootless_caller_without_delegation_gets_no_limits() {
    let id = format!("nexcage-rootless-{}", std::process::id());
    let none = LinuxResources::default();
    let limits: LinuxResources = serde_json::from_str(r#"{"pids":{"limit":5}}"#).unwrap();
    as_nobody(|| {
        let mut scratch = Scratch::plan(&id, None, true).unwrap();
        scratch.cgroup.check(&none).unwrap();
        let refused = scratch.cgroup.check(&limits).unwrap_err();
        let expected = match scratch.cgroup.layout() {
            Layout::Unified => "rootless needs no limits",
            Layout::Legacy | Layout::Hybrid => "cannot set pids limit",
        };
        assert!(refused.to_string().contains(expected), "{refused}");
        let creation = scratch.cgroup.create().unwrap();
        assert!(creation.made().is_empty());
        assert!(scratch.cgroup.paths().is_empty());
        scratch.cgroup.apply(&none, Stage::BeforeInit).unwrap();
        scratch.cgroup.join().unwrap();
        scratch.cgroup.apply(&none, Stage::AfterInit).unwrap();
        let refused = scratch.cgroup.apply(&limits, Stage::AfterInit).unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
        assert!(!scratch.cgroup.exists());
        scratch.cgroup.remove().unwrap();
        let path = format!("/{id}");
        let error = Scratch::plan(&id, Some(&path), true)
            .unwrap()
            .cgroup
            .create()
            .unwrap_err();
        assert!(matches!(error, CgroupError::Create { .. }), "{error}");
    });
}

/// With a delegated parent, a rootless container has its own cgroup there and nowhere else.
fn a_rootless_caller_uses_what_is_delegated() {
    let id = format!("nexcage-delegated-{}", std::process::id());
    let scratch = Scratch::plan(&id, Some(&format!("/{id}")), false).unwrap();
    if scratch.cgroup.layout() == Layout::Unified {
        println!("not run: on v2 delegation is tested with a user's systemd");
        return;
    }
    let parent = scratch.cgroup.path_of("pids").unwrap();
    std::fs::create_dir(&parent).unwrap();
    std::os::unix::fs::chown(&parent, Some(65534), None).unwrap();
    let limits: LinuxResources = serde_json::from_str(r#"{"pids":{"limit":5}}"#).unwrap();
    // The caller's own cgroup is the parent: that is what a relative path is taken from.
    let tasks = parent.join("tasks");
    let home = mount_of(&parent)
        .join(scratch.at("pids").trim_start_matches('/'))
        .join("tasks");
    let enter = |file: &PathBuf| {
        let open = std::fs::OpenOptions::new().write(true).open(file);
        open.and_then(|mut open| std::io::Write::write_all(&mut open, b"0"))
            .unwrap();
    };
    enter(&tasks);
    let outcome = std::panic::catch_unwind(|| {
        as_nobody(|| {
            let mut inner = Scratch::plan("c1", None, true).unwrap();
            inner.cgroup.check(&limits).unwrap();
            drop(inner.cgroup.create().unwrap());
            assert_eq!(inner.cgroup.paths().into_keys().collect::<Vec<_>>(), ["pids"]);
            inner.cgroup.apply(&limits, Stage::BeforeInit).unwrap();
            inner.cgroup.apply(&limits, Stage::AfterInit).unwrap();
            let max = std::fs::read_to_string(inner.cgroup.path_of("pids").unwrap().join("pids.max")).unwrap();
            assert_eq!(max.trim(), "5");
        });
    });
    enter(&home);
    outcome.unwrap();
}

fn main() {
    if !geteuid().is_root() {
        println!("not run: needs root");
        return;
    }
    let cases: [(&str, fn()); 3] = [
        ("a_process_joins_every_hierarchy", a_process_joins_every_hierarchy),
        (
            "a_rootless_caller_without_delegation_gets_no_limits",
            a_rootless_caller_without_delegation_gets_no_limits,
        ),
        (
            "a_rootless_caller_uses_what_is_delegated",
            a_rootless_caller_uses_what_is_delegated,
        ),
    ];
    for (name, case) in cases {
        case();
        println!("test {name} ... ok");
    }
    println!("{} passed, 0 failed", cases.len());
}
