//! A bundle of the static busybox, and the program under test.
#![allow(dead_code, reason = "each test file uses a part")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A state directory and a bundle that go away with their containers.
pub(crate) struct Fixture {
    dir: tempfile::TempDir,
    pub(crate) config: Value,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

const APPLETS: [&str; 22] = [
    "sh", "cat", "echo", "id", "sleep", "true", "false", "env", "stat", "touch", "ls", "grep", "mkdir", "pwd", "tty",
    "hostname", "kill", "readlink", "head", "wc", "mount", "sed",
];

/// Whether containers can be made here; says why not.
pub(crate) fn can_run() -> bool {
    let root = nexcage_sys::userns::euid() == 0;
    let busybox = busybox().is_some();
    if !root || !busybox {
        eprintln!("NOT RUN: needs root (here: {root}) and a static busybox (here: {busybox})");
    }
    root && busybox
}

fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"]
        .map(PathBuf::from)
        .into_iter()
        .find(|p| p.exists())
}

pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

impl Fixture {
    /// A bundle that runs `args`.
    pub(crate) fn new(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("bundle/rootfs");
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::copy(busybox().unwrap(), root.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(root.join("etc/passwd"))
            .and_then(|mut f| {
                std::io::Write::write_all(
                    &mut f,
                    b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
                )
            })
            .unwrap();
        let mut fixture = Self {
            dir,
            config: Value::Null,
        };
        let spec = fixture.bundle().join("spec");
        std::fs::create_dir(&spec).unwrap();
        fixture.nexcage(&["spec", "--bundle", spec.to_str().unwrap()]).check(0);
        let text = std::fs::read(spec.join("config.json")).unwrap();
        fixture.config = serde_json::from_slice(&text).unwrap();
        fixture.config["process"]["terminal"] = json!(false);
        fixture.config["process"]["args"] = json!(args);
        fixture.config["root"]["readonly"] = json!(false);
        fixture
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Writes the config as it is now.
    pub(crate) fn write(&self) {
        self.write_raw(&serde_json::to_vec(&self.config).unwrap());
    }

    pub(crate) fn write_raw(&self, bytes: &[u8]) {
        let path = self.bundle().join("config.json");
        drop(std::fs::remove_file(&path));
        std::io::Write::write_all(
            &mut std::fs::File::options()
                .write(true)
                .create_new(true)
                .open(path)
                .unwrap(),
            bytes,
        )
        .unwrap();
    }

    pub(crate) fn program(&self) -> Command {
        let mut command = command(env!("CARGO_BIN_EXE_nexcage"));
        command
            .arg("--root")
            .arg(self.state_dir())
            .current_dir(self.bundle())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn nexcage(&self, args: &[&str]) -> Said {
        self.finish(self.program().args(args))
    }

    pub(crate) fn finish(&self, command: &mut Command) -> Said {
        // A container that goes on must not keep pipes of this test open: what it says goes to files.
        let (out, err) = (self.path("out"), self.path("err"));
        let file = |p: &Path| {
            std::fs::File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .open(p)
                .unwrap()
        };
        let status = command.stdout(file(&out)).stderr(file(&err)).status().unwrap();
        let read = |p: &Path| String::from_utf8_lossy(&std::fs::read(p).unwrap()).into_owned();
        Said {
            code: status.code().unwrap_or(-1),
            out: read(&out),
            err: read(&err),
        }
    }

    /// Writes the config, creates and starts a container.
    #[track_caller]
    pub(crate) fn start(&self, id: &str) {
        self.write();
        self.nexcage(&["create", id]).check(0);
        self.nexcage(&["start", id]).check(0);
    }

    #[track_caller]
    pub(crate) fn status(&self, id: &str) -> String {
        let said = self.nexcage(&["state", id]).check(0);
        let state: Value = serde_json::from_str(&said.out).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn pid(&self, id: &str) -> i64 {
        let state: Value = serde_json::from_str(&self.nexcage(&["state", id]).check(0).out).unwrap();
        state["pid"].as_i64().unwrap()
    }

    /// Checks that no container, cgroup or mount of this fixture is left.
    #[track_caller]
    pub(crate) fn check_nothing_left(&self, id: &str) {
        let state: Vec<_> = std::fs::read_dir(self.state_dir())
            .map(|d| d.flatten().collect())
            .unwrap_or_default();
        assert!(state.is_empty(), "state left: {state:?}");
        assert_eq!(cgroups_of(id), Vec::<PathBuf>::new(), "cgroups left");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let bundle = self.bundle().display().to_string();
        assert!(!mounts.contains(&bundle), "mounts left below {bundle}");
        eventually("no process is left", || !any_process_in(&self.bundle()));
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.state_dir()).into_iter().flatten().flatten() {
            self.nexcage(&["delete", "--force", entry.file_name().to_str().unwrap_or_default()]);
        }
    }
}

impl Said {
    #[track_caller]
    pub(crate) fn check(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn check_err(self, text: &str) -> Self {
        assert!(self.err.contains(text), "expected {text:?} in {:?}", self.err);
        assert_eq!(self.err.lines().count(), 1, "one line: {:?}", self.err);
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Every cgroup directory of this name.
pub(crate) fn cgroups_of(id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut stack = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                if entry.file_name() == id {
                    found.push(entry.path());
                }
                stack.push(entry.path());
            }
        }
    }
    found
}

fn any_process_in(root: &Path) -> bool {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|entry| std::fs::read_link(entry.path().join("root")).is_ok_and(|r| r.starts_with(root)))
}

/// Waits for something that another process does.
#[track_caller]
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
