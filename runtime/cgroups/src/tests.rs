//! Tests on the machine's real control groups: below a parent of their own, which they remove again.
//!
//! A test that this machine cannot run says why.
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use oci_spec::runtime::LinuxResources;

use crate::layout::{Layout, Mounts};
use crate::naming::Hierarchy;
use crate::{Cgroup, Driver, Naming};

mod v1;
mod v2;

/// Makes each test's parent cgroup unique.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A container's cgroup below a parent of its own; all of it is removed in the end, whatever the test's outcome.
struct Scratch {
    cgroup: Cgroup,
    parent: PathBuf,
    children: Vec<Child>,
}

impl Scratch {
    /// Plans a cgroup in all hierarchies of this machine.
    fn plan() -> Option<Self> {
        let parent = PathBuf::from(format!(
            "nexcage-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        let path = format!("/{}/c1", parent.display());
        let annotations = HashMap::new();
        let naming = Naming {
            id: "c1",
            cgroups_path: Some(&path),
            driver: Driver::Cgroupfs,
            rootless: false,
            annotations: &annotations,
        };
        if !nix::unistd::geteuid().is_root() {
            println!("not run: needs root");
            return None;
        }
        match Cgroup::plan(&naming) {
            Ok(cgroup) => Some(Self {
                cgroup,
                parent,
                children: Vec::new(),
            }),
            Err(error) => {
                println!("not run: {error}");
                None
            }
        }
    }

    /// A v1 cgroup.
    fn v1() -> Option<Self> {
        let scratch = Self::plan()?;
        if scratch.cgroup.layout() == Layout::Unified {
            println!("not run: this machine has cgroup v2 only");
            return None;
        }
        Some(scratch)
    }

    /// A v2 cgroup: on hybrid, in the v2 half, which has most of what v2 needs.
    fn v2() -> Option<Self> {
        let mut scratch = Self::plan()?;
        let Some(mount) = Mounts::read().unwrap().v2 else {
            println!("not run: no cgroup v2 hierarchy is mounted");
            return None;
        };
        let path = scratch.parent.join("c1");
        scratch.cgroup.layout = Layout::Unified;
        scratch.cgroup.hierarchies = vec![Hierarchy {
            controllers: Vec::new(),
            mount: mount.point,
            path,
            ours: true,
        }];
        Some(scratch)
    }

    /// Whether v2 has all of some controllers here.
    fn has_v2(&self, controllers: &[&str]) -> bool {
        let top = &self.cgroup.hierarchies[0].mount;
        let text = std::fs::read_to_string(top.join("cgroup.controllers")).unwrap();
        let missing: Vec<_> = controllers
            .iter()
            .filter(|name| !text.split_whitespace().any(|known| known == **name))
            .collect();
        if !missing.is_empty() {
            println!("not run: cgroup v2 at {top:?} has no {missing:?}");
        }
        missing.is_empty()
    }

    /// Makes the cgroup.
    fn create(mut self) -> Self {
        drop(self.cgroup.create().unwrap());
        self
    }

    /// Absolute path of the parent in a controller's hierarchy.
    fn parent_in(&self, controller: &str) -> PathBuf {
        self.cgroup.path_of(controller).unwrap().parent().unwrap().to_owned()
    }

    /// Text of a file of the cgroup.
    fn read(&self, controller: &str, file: &str) -> String {
        let path = self.cgroup.path_of(controller).unwrap().join(file);
        std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{path:?}: {error}"))
            .trim()
            .to_owned()
    }

    /// Starts a shell that waits for a line, and puts it into the cgroup.
    fn spawn(&mut self, script: &str) -> Shell {
        let shell = self.spawn_outside(script);
        self.cgroup.add(shell.pid).unwrap();
        shell
    }

    /// Starts a shell that waits for a line, outside the cgroup.
    #[expect(clippy::disallowed_methods, reason = "a plain child of the test")]
    fn spawn_outside(&mut self, script: &str) -> Shell {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &format!("read go || exit 9; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let shell = Shell {
            pid: i32::try_from(child.id()).unwrap(),
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
        };
        self.children.push(child);
        shell
    }

    /// Waits for a child, and says how it ended.
    fn wait(&mut self, shell: &Shell) -> std::process::ExitStatus {
        let id = u32::try_from(shell.pid).unwrap();
        self.children
            .iter_mut()
            .find(|child| child.id() == id)
            .unwrap()
            .wait()
            .unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let report = |what: &str, result: Result<(), String>| {
            if let Err(error) = result {
                eprintln!("{what}: {error}");
            }
        };
        report("thaw", self.cgroup.thaw().map_err(|error| error.to_string()));
        for child in &mut self.children {
            report("kill", child.kill().map_err(|error| error.to_string()));
            report("wait", child.wait().map(drop).map_err(|error| error.to_string()));
        }
        report("remove", self.cgroup.remove().map_err(|error| error.to_string()));
        for hierarchy in &self.cgroup.hierarchies {
            let parent = hierarchy.mount.join(&self.parent);
            if parent.exists() {
                report(
                    "remove parent",
                    std::fs::remove_dir(&parent).map_err(|error| format!("{parent:?}: {error}")),
                );
            }
        }
    }
}

/// A shell that waits for its word to go on.
struct Shell {
    pid: i32,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Shell {
    /// Lets the shell go on.
    fn go(&mut self) {
        self.stdin.write_all(b"go\n").unwrap();
    }

    /// Reads one line of its output.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

/// Resources from JSON.
fn resources(json: serde_json::Value) -> LinuxResources {
    serde_json::from_value(json).unwrap()
}

/// Makes a sub-cgroup as a container would.
fn make_sub(path: &Path) {
    std::fs::create_dir(path).unwrap();
}
