//! A user without privileges over the node, whose cgroups are not theirs: as runc, containers run outside of any, and
//! limits are refused. The tests run as root and drop to another user.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code"
)]

#[path = "support/common.rs"]
mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Fixture, Said, can_run, command, eventually};
use serde_json::{Value, json};

/// In no user database, and without subordinate ids.
const USER: u32 = 7654;

/// A fixture that belongs to the user, with a rootless config.
struct Rootless {
    fixture: Fixture,
    /// In a place that the user can reach.
    program: PathBuf,
}

/// Whether the user can make containers here; says why not.
fn can_run_rootless() -> bool {
    if !can_run() {
        return false;
    }
    let mut probe = command("unshare");
    probe.args(["--user", "true"]).uid(USER).gid(USER);
    let allowed = probe
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !allowed {
        eprintln!("NOT RUN: this node lets no user make a user namespace");
    }
    allowed
}

/// Whether this node has v1 hierarchies.
fn has_v1() -> bool {
    Path::new("/sys/fs/cgroup/memory/cgroup.procs").exists()
}

impl Rootless {
    fn new(args: &[&str]) -> Self {
        let fixture = Fixture::new(args);
        let program = fixture.path("nexcage");
        let built = env!("CARGO_BIN_EXE_nexcage");
        if std::fs::hard_link(built, &program).is_err() {
            std::fs::copy(built, &program).unwrap();
        }
        let home = fixture.path("");
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o755)).unwrap();
        let status = command("chown")
            .args(["-hR", &format!("{USER}:{USER}")])
            .arg(fixture.bundle())
            .status();
        assert!(status.unwrap().success());
        for name in ["state", "run"] {
            std::fs::create_dir(fixture.path(name)).unwrap();
            std::os::unix::fs::chown(fixture.path(name), Some(USER), Some(USER)).unwrap();
        }
        let mut rootless = Self { fixture, program };
        let spec = rootless.fixture.bundle().join("spec");
        std::fs::remove_file(spec.join("config.json")).unwrap();
        rootless
            .nexcage(&["spec", "--rootless", "--bundle", spec.to_str().unwrap()])
            .check(0);
        let text = std::fs::read(spec.join("config.json")).unwrap();
        let config = &mut rootless.fixture.config;
        *config = serde_json::from_slice(&text).unwrap();
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(args);
        config["root"]["readonly"] = json!(false);
        rootless
    }

    fn program(&self) -> Command {
        let mut program = command(&self.program);
        program.arg("--root").arg(self.fixture.state_dir());
        program.current_dir(self.fixture.bundle()).stdin(Stdio::null());
        program
            .env("XDG_RUNTIME_DIR", self.fixture.path("run"))
            .uid(USER)
            .gid(USER);
        program
    }

    fn nexcage(&self, args: &[&str]) -> Said {
        self.fixture.finish(self.program().args(args))
    }

    /// Runs the config as it is now.
    fn run(&self, id: &str) -> Said {
        self.fixture.write();
        self.nexcage(&["run", id])
    }

    fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.nexcage(&["state", id]).check(0).out).unwrap()
    }

    #[track_caller]
    fn check_nothing_left(&self) {
        let left: Vec<_> = std::fs::read_dir(self.fixture.state_dir()).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_user_runs_a_container_as_its_root() {
    if !can_run_rootless() {
        return;
    }
    let rootless = Rootless::new(&["sh", "-c", "id -u; cat /proc/self/uid_map; touch /tmp/made; exit 7"]);
    let said = rootless.run("rootless-run").check(7);
    let words: Vec<_> = said.out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", &USER.to_string(), "1"], "{}", said.err);
    assert_eq!(said.err, "");
    let made = std::fs::metadata(rootless.fixture.bundle().join("rootfs/tmp/made")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), USER);
    rootless.check_nothing_left();
}

#[test]
fn a_rootless_container_lives_its_whole_life() {
    if !can_run_rootless() {
        return;
    }
    let rootless = Rootless::new(&["sleep", "1000"]);
    let id = "rootless-life";
    rootless.fixture.write();
    rootless.nexcage(&["create", id]).check(0);
    assert_eq!(rootless.state(id)["status"], "created");
    rootless.nexcage(&["start", id]).check(0);
    assert_eq!(rootless.state(id)["status"], "running");
    let said = rootless.nexcage(&["exec", id, "sh", "-c", "id -u; readlink /proc/self/exe; exit 5"]);
    assert_eq!(said.check(5).out, "0\n/bin/busybox\n");
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    let pid = rootless.state(id)["pid"].to_string();
    assert_ne!(namespace(&pid), namespace("self"));
    let seen = rootless
        .nexcage(&["exec", id, "readlink", "/proc/self/ns/user"])
        .check(0)
        .out;
    assert_eq!(Path::new(seen.trim()), namespace(&pid));
    assert!(rootless.nexcage(&["list"]).check(0).out.contains(&format!("#{USER}")));
    rootless.nexcage(&["kill", id, "KILL"]).check(0);
    eventually("the container stops", || rootless.state(id)["status"] == "stopped");
    rootless.nexcage(&["delete", id]).check(0);
    rootless.check_nothing_left();
}

#[test]
fn without_cgroups_what_needs_them_is_refused() {
    if !can_run_rootless() {
        return;
    }
    if !has_v1() {
        return eprintln!("NOT RUN: the texts are those of a node with cgroup v1");
    }
    let rootless = Rootless::new(&["sleep", "1000"]);
    let id = "rootless-refused";
    rootless.fixture.write();
    rootless.nexcage(&["run", "--detach", id]).check(0);
    for (args, expected) in [
        (&["ps", id][..], "cgroups not configured for container"),
        (
            &["pause", id],
            "cannot toggle freezer: cgroups not configured for container",
        ),
        (&["kill", "--all", id, "TERM"], "cgroups not configured for container"),
        (
            &["update", "--memory", "64M", id],
            "cannot set memory limit: container could not join or create cgroup",
        ),
    ] {
        rootless.nexcage(args).check(1).check_err(expected);
    }
    assert_eq!(rootless.state(id)["status"], "running");
    rootless.nexcage(&["delete", "--force", id]).check(0);
    rootless.check_nothing_left();
}

#[test]
fn limits_that_cannot_be_set_are_refused() {
    if !can_run_rootless() {
        return;
    }
    if !has_v1() {
        return eprintln!("NOT RUN: the texts are those of a node with cgroup v1");
    }
    let mut rootless = Rootless::new(&["true"]);
    for (resources, expected) in [
        (json!({ "memory": { "limit": 64 << 20 } }), "cannot set memory limit"),
        (json!({ "pids": { "limit": 10 } }), "cannot set pids limit"),
        (json!({ "cpu": { "shares": 100 } }), "cannot set cpu limit"),
    ] {
        rootless.fixture.config["linux"]["resources"] = resources;
        let expected = format!("{expected}: container could not join or create cgroup");
        rootless.run("rootless-limits").check(1).check_err(&expected);
        rootless.check_nothing_left();
    }
    // Device rules are not enforceable without privileges, and have no effect there with runc either.
    rootless.fixture.config["linux"]["resources"] = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    rootless.run("rootless-limits").check(0);
    rootless.fixture.config["linux"]["cgroupsPath"] = json!("/rootless-limits/x");
    let said = rootless.run("rootless-limits").check(1);
    assert!(said.err.contains("Permission denied"), "{}", said.err);
    rootless.check_nothing_left();
}

/// What libcontainer is shown instead of the hierarchies must not be what the container sees.
#[test]
fn mounts_show_the_hierarchies_of_the_node() {
    if !can_run_rootless() {
        return;
    }
    if !has_v1() {
        return eprintln!("NOT RUN: no v1 hierarchies here");
    }
    let script = "ls -d /sys/fs/cgroup/memory /mnt/fs/cgroup/memory/cgroup.procs /cgroup/memory/cgroup.procs";
    let bind = |destination: &str, source: &str| json!({ "destination": destination, "type": "bind", "source": source, "options": ["rbind", "ro"] });
    let binds = [bind("/mnt", "/sys"), bind("/cgroup", "/sys/fs/cgroup")];
    let mut rootless = Rootless::new(&["sh", "-c", script]);
    let mounts = rootless.fixture.config["mounts"].as_array_mut().unwrap();
    mounts.extend(binds.clone());
    let seen = rootless.run("rootless-view").check(0).out;
    assert_eq!(seen.lines().count(), 3, "{seen}");
    let mut rootful = Fixture::new(&["sh", "-c", script]);
    rootful.config["mounts"].as_array_mut().unwrap().extend(binds);
    rootful.write();
    let seen = rootful.nexcage(&["run", "rootful-view"]).check(0).out;
    assert_eq!(seen.lines().count(), 3, "{seen}");
}

#[test]
fn subordinate_ids_are_mapped() {
    if !can_run_rootless() {
        return;
    }
    let missing = ["/usr/bin/newuidmap", "/usr/bin/newgidmap", "/etc/subuid", "/etc/subgid"]
        .into_iter()
        .find(|path| !Path::new(path).exists());
    if let Some(path) = missing {
        return eprintln!("NOT RUN: needs {path}");
    }
    let mut rootless = Rootless::new(&["sleep", "1000"]);
    let (first, count) = (200_000_u32, 1000);
    let mappings = json!([
        { "containerID": 0, "hostID": USER, "size": 1 },
        { "containerID": 1, "hostID": first, "size": count },
    ]);
    let config = &mut rootless.fixture.config;
    config["linux"]["uidMappings"] = mappings.clone();
    config["linux"]["gidMappings"] = mappings;
    config["process"]["user"] = json!({ "uid": 5, "gid": 6 });
    rootless.fixture.write();
    let id = "rootless-subordinate";
    // The node's tables are covered in a mount namespace of this test.
    for (name, text) in [
        (
            "passwd",
            format!("root:x:0:0::/:/bin/sh\nsomebody:x:{USER}:{USER}::/:/bin/sh\n"),
        ),
        ("subid", format!("somebody:{first}:{count}\n")),
    ] {
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(rootless.fixture.path(name))
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .unwrap();
    }
    let script = "mount --bind \"$1/passwd\" /etc/passwd && mount --bind \"$1/subid\" /etc/subuid && \
                  mount --bind \"$1/subid\" /etc/subgid && shift && exec setpriv --clear-groups \"$@\"";
    let user = USER.to_string();
    let mut run = command("unshare");
    run.args(["--mount", "sh", "-c", script, "sh"])
        .arg(rootless.fixture.path(""));
    run.args(["--reuid", &user, "--regid", &user, "--"])
        .arg(&rootless.program);
    run.arg("--root")
        .arg(rootless.fixture.state_dir())
        .args(["run", "--detach", id]);
    run.current_dir(rootless.fixture.bundle()).stdin(Stdio::null());
    rootless.fixture.finish(&mut run).check(0);
    let pid = rootless.state(id)["pid"].to_string();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let ids = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(
        (ids("Uid:"), ids("Gid:")),
        ((first + 4).to_string(), (first + 5).to_string())
    );
    rootless.nexcage(&["delete", "--force", id]).check(0);
    rootless.check_nothing_left();
}

#[test]
fn ids_that_are_not_the_users_are_refused() {
    if !can_run_rootless() {
        return;
    }
    if !has_v1() {
        return eprintln!("NOT RUN: here libcontainer maps the users");
    }
    let mut rootless = Rootless::new(&["true"]);
    rootless.fixture.config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    let said = rootless.run("rootless-foreign").check(1);
    assert!(said.err.contains("map users"), "{}", said.err);
    rootless.check_nothing_left();
}

/// As clients without privileges call a runtime: in a user namespace of theirs, where no cgroup is writable either.
#[test]
fn root_of_a_user_namespace_runs_containers_in_it_and_below_it() {
    if !can_run_rootless() {
        return;
    }
    let mut rootless = Rootless::new(&["sh", "-c", "id -u; cat /proc/self/uid_map; ls /sys/fs/cgroup"]);
    let run = |rootless: &Rootless, id: &str| {
        rootless.fixture.write();
        let mut program = command("unshare");
        program
            .args(["--user", "--map-root-user", "--mount"])
            .arg(&rootless.program);
        program
            .arg("--root")
            .arg(rootless.fixture.state_dir())
            .args(["run", id]);
        program.current_dir(rootless.fixture.bundle()).stdin(Stdio::null());
        program.env("XDG_RUNTIME_DIR", rootless.fixture.path("run"));
        rootless.fixture.finish(program.uid(USER).gid(USER)).check(0).out
    };
    let config = &mut rootless.fixture.config;
    for kind in ["uidMappings", "gidMappings"] {
        config["linux"][kind] = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    }
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let below = words(&run(&rootless, "rootless-below"));
    assert_eq!(below[..4], ["0", "0", "0", "1"], "{below:?}");
    let linux = rootless.fixture.config["linux"].as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    linux["namespaces"]
        .as_array_mut()
        .unwrap()
        .retain(|ns| ns["type"] != "user");
    let inside = words(&run(&rootless, "rootless-inside"));
    assert_eq!(inside[..4], ["0", "0", &USER.to_string(), "1"], "{inside:?}");
    if has_v1() {
        assert!(inside.iter().any(|word| word == "memory"), "{inside:?}");
    }
    rootless.check_nothing_left();
}
