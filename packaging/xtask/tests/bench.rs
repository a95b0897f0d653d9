//! `cargo xtask bench` as a whole, with one round: every number is there, and nothing is left behind.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start the program under test as a shell would"
)]
#![expect(clippy::unwrap_used, reason = "a broken assumption fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

/// The program that takes nexcage's place, or why there is none.
fn find_program() -> Result<PathBuf, &'static str> {
    if !geteuid().is_root() {
        return Err("it needs root");
    }
    if !Path::new("/bin/busybox").exists() {
        return Err("it needs busybox-static");
    }
    let built = Path::new(XTASK).with_file_name("nexcage");
    let candidates = [built, "/usr/sbin/runc".into(), "/usr/bin/crun".into()];
    candidates
        .into_iter()
        .find(|path| path.exists())
        .ok_or("it needs a built nexcage, or runc or crun")
}

/// A directory for the bundles of one test, which must be empty again at the end.
struct Place(PathBuf);

impl Place {
    fn create(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("xtask-bench-{}-{name}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn bench(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(XTASK);
        command
            .args(["bench", "--rounds", "1", "--json", "--nexcage"])
            .arg(program);
        command.args(args).env("TMPDIR", &self.0).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn check_empty(&self) {
        let left: Vec<_> = fs::read_dir(&self.0).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_part_is_measured_and_nothing_is_left() {
    let program = match find_program() {
        Ok(program) => program,
        Err(why) => return eprintln!("NOT RUN: {why}"),
    };
    let place = Place::create("all");
    let output = place
        .bench(&program, &["--containers", "2,3", "--pause", "0"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = document["rows"].as_array().unwrap();
    for (part, count) in [("speed", 7), ("memory", 6), ("syscalls", 3), ("crowd", 6)] {
        let found = rows.iter().filter(|row| row["part"] == part).count();
        assert_eq!(found, count, "{part} in {document:#}");
    }
    for row in rows {
        // What stays beside a container may be nothing.
        let lasting = row["name"].as_str().unwrap().contains("--detach");
        for (runtime, value) in row["median"].as_object().unwrap() {
            assert!(lasting || value.as_u64() > Some(0), "{runtime} in {row:#}");
        }
    }
    place.check_empty();
}

#[test]
fn an_interrupted_measurement_removes_its_containers() {
    let program = match find_program() {
        Ok(program) => program,
        Err(why) => return eprintln!("NOT RUN: {why}"),
    };
    let place = Place::create("interrupted");
    let args = ["--only", "crowd", "--containers", "5000"];
    let child = place.bench(&program, &args).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let state = place.0.join(format!("nexcage-bench-{pid}/state/nexcage"));
    let deadline = Instant::now() + Duration::from_secs(60);
    let count = || fs::read_dir(&state).map_or(0, Iterator::count);
    while count() < 4 && Instant::now() < deadline {
        sleep(Duration::from_millis(10));
    }
    let seen = count();
    kill(pid, Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(seen >= 4, "{seen} containers: {}", said(&output));
    assert!(!output.status.success());
    assert!(said(&output).contains("interrupted by signal 2"), "{}", said(&output));
    place.check_empty();
    let groups = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let left = groups.filter(|group| has_cgroup_of(&group.path(), pid)).count();
    assert_eq!(left, 0, "cgroups are left");
}

/// Whether a cgroup of a bench is at the top of a hierarchy, or is a hierarchy's own.
fn has_cgroup_of(dir: &Path, bench: Pid) -> bool {
    let prefix = format!("bench-{bench}-");
    let is_of = |path: &Path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
    };
    let below = fs::read_dir(dir).into_iter().flatten().flatten();
    is_of(dir) || below.into_iter().any(|entry| is_of(&entry.path()))
}
