//! A container that a runtime under test makes, as a client sees it: by command line, state and cgroup files.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::bundle::Bundle;
use crate::driver::Driver;

/// How long a case waits for something that the kernel or systemd does in its own time.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running container; deleted by force when this value goes.
pub(crate) struct Container {
    runtime: PathBuf,
    driver: Driver,
    pub(crate) id: String,
    _bundle: Bundle,
}

impl Container {
    /// Creates and starts a container with these `linux.resources`.
    pub(crate) fn start(runtime: &Path, driver: Driver, resources: &Value) -> Result<Self> {
        let container = Self::create(runtime, driver, resources, &["sleep", "1000"])?;
        container.call(&["start"], &[])?;
        Ok(container)
    }

    /// Creates a container that will run `program`.
    pub(crate) fn create(runtime: &Path, driver: Driver, resources: &Value, program: &[&str]) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("check-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let cgroups_path = match driver {
            Driver::Cgroupfs => format!("/checks/{id}"),
            Driver::Systemd => format!("system.slice:nx:{id}"),
            Driver::UserSystemd => format!("user.slice:nx:{id}"),
        };
        let bundle = Bundle::create(&id, driver, &cgroups_path, resources, program)?;
        let path = bundle.path.clone();
        let container = Self {
            runtime: runtime.to_owned(),
            driver,
            id,
            _bundle: bundle,
        };
        container.call(&["create", "--bundle", &path.to_string_lossy()], &[])?;
        Ok(container)
    }

    /// Runs `RUNTIME [--systemd-cgroup] BEFORE... ID AFTER...`; a failure carries what it wrote.
    pub(crate) fn call(&self, before: &[&str], after: &[&str]) -> Result<String> {
        let output = self.output(before, after)?;
        if !output.status.success() {
            bail!(
                "{before:?} {after:?} ({}): {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// As [`Self::call`], but a failure is no error.
    pub(crate) fn output(&self, before: &[&str], after: &[&str]) -> Result<Output> {
        let mut arguments = Vec::new();
        if self.driver != Driver::Cgroupfs {
            arguments.push("--systemd-cgroup");
        }
        arguments.extend(before);
        arguments.push(&self.id);
        arguments.extend(after);
        output(&self.runtime, &arguments)
    }

    /// Starts `RUNTIME ... BEFORE... ID` and lets it run.
    pub(crate) fn spawn(&self, before: &[&str]) -> Result<Background> {
        let mut arguments = Vec::new();
        if self.driver != Driver::Cgroupfs {
            arguments.push("--systemd-cgroup");
        }
        arguments.extend(before);
        arguments.push(&self.id);
        Background::start(&self.runtime, &arguments)
    }

    /// Reads a field of the state.
    pub(crate) fn state(&self, field: &str) -> Result<Value> {
        let state: Value = serde_json::from_str(&self.call(&["state"], &[])?).context("parse the state")?;
        state
            .get(field)
            .cloned()
            .with_context(|| format!("find {field:?} in {state}"))
    }

    /// Finds the cgroup of init from the host's side.
    pub(crate) fn cgroup(&self) -> Result<PathBuf> {
        let pid = self.state("pid")?;
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).context("read the cgroup of init")?;
        let path = text
            .trim()
            .strip_prefix("0::/")
            .with_context(|| format!("parse cgroup {text:?}"))?;
        Ok(Path::new("/sys/fs/cgroup").join(path))
    }

    /// The unit that a systemd driver makes.
    pub(crate) fn unit(&self) -> String {
        format!("nx-{}.scope", self.id)
    }

    /// Reads properties of that unit, as `NAME=VALUE` lines.
    pub(crate) fn show_unit(&self, properties: &str) -> Result<String> {
        let manager = if self.driver == Driver::UserSystemd {
            "--user"
        } else {
            "--system"
        };
        command("systemctl", &[manager, "show", "--property", properties, &self.unit()])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // A case that deleted it already makes this fail, and a guest forgets everything at its end.
        let _ignored = self.output(&["delete", "--force"], &[]);
    }
}

/// Runs a program and returns what it printed.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Result<String> {
    let output = output(program, arguments)?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("run {program} {arguments:?} ({}): {}", output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program to its end.
///
/// Its output goes to files: a container's init keeps a runtime's standard output, and a pipe would never end.
#[expect(
    clippy::disallowed_methods,
    reason = "a runtime is started here as a client starts it"
)]
pub(crate) fn output(program: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>]) -> Result<Output> {
    let named = format!("{:?}", program.as_ref());
    let (stdout, stderr) = (Capture::open()?, Capture::open()?);
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stdout.file()?)
        .stderr(stderr.file()?);
    let status = command.status().with_context(|| format!("start {named}"))?;
    Ok(Output {
        status,
        stdout: stdout.read()?,
        stderr: stderr.read()?,
    })
}

/// A program that runs beside the case; killed when this value goes.
pub(crate) struct Background {
    child: Child,
    stdout: Capture,
    stderr: Capture,
}

impl Background {
    #[expect(
        clippy::disallowed_methods,
        reason = "a runtime is started here as a client starts it"
    )]
    fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        let (stdout, stderr) = (Capture::open()?, Capture::open()?);
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(stdout.file()?).stderr(stderr.file()?);
        let child = command.spawn().with_context(|| format!("start {program:?}"))?;
        Ok(Self { child, stdout, stderr })
    }

    /// What it has printed so far, in whole lines.
    pub(crate) fn lines(&self) -> Result<Vec<String>> {
        let text = String::from_utf8_lossy(&self.stdout.read()?).into_owned();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Ok(whole.lines().map(str::to_owned).collect())
    }

    /// Waits for its end, which must come by itself and be a success.
    pub(crate) fn finish(mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().context("wait for a program")? {
                let stderr = String::from_utf8_lossy(&self.stderr.read()?).into_owned();
                ensure!(status.success(), "it ended with {status}: {}", stderr.trim());
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "it did not end by itself");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended; a zombie is reaped either way.
        let _ignored = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// A file for the output of one program.
struct Capture(PathBuf);

impl Capture {
    fn open() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "capture-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::File::create_new(&path).with_context(|| format!("create {path:?}"))?;
        Ok(Self(path))
    }

    fn file(&self) -> Result<fs::File> {
        fs::OpenOptions::new()
            .append(true)
            .open(&self.0)
            .with_context(|| format!("open {:?}", self.0))
    }

    fn read(&self) -> Result<Vec<u8>> {
        fs::read(&self.0).with_context(|| format!("read {:?}", self.0))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Below /tmp of a guest that ends soon.
        let _ignored = fs::remove_file(&self.0);
    }
}

/// Waits until `reached` holds.
pub(crate) fn wait_for(what: &str, reached: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !reached()? {
        if Instant::now() >= deadline {
            bail!("wait for {what}: not after {} s", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
