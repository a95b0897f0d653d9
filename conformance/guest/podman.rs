//! Cases in which podman drives the runtime.

use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail, ensure};

use crate::container::{command, output, wait_for};
use crate::driver::Driver;

const IMAGE: &str = "localhost/guest-check";

/// A container of podman; removed by force when this value goes.
struct Podman<'a> {
    runtime: &'a Path,
    driver: Driver,
    name: String,
}

impl<'a> Podman<'a> {
    fn new(runtime: &'a Path, driver: Driver) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("check-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let podman = Self { runtime, driver, name };
        if !podman.output(&["image", "exists", IMAGE])?.status.success() {
            let archive = std::env::temp_dir().join(format!("{}.tar", podman.name));
            let archive = archive.to_string_lossy().into_owned();
            command("tar", &["-C", "/", "-chf", &archive, "bin/busybox"])?;
            podman.call(&["import", "--quiet", &archive, IMAGE])?;
            std::fs::remove_file(archive)?;
        }
        Ok(podman)
    }

    fn output(&self, arguments: &[&str]) -> Result<Output> {
        self.output_in(&std::env::temp_dir(), arguments)
    }

    /// Runs podman with this working directory.
    fn output_in(&self, dir: &Path, arguments: &[&str]) -> Result<Output> {
        let manager = match self.driver {
            Driver::Cgroupfs => "cgroupfs",
            Driver::Systemd | Driver::UserSystemd => "systemd",
        };
        let runtime = self.runtime.to_string_lossy();
        let dir = dir.to_string_lossy();
        let mut all = vec![
            "--chdir",
            &dir,
            "podman",
            "--runtime",
            &runtime,
            "--cgroup-manager",
            manager,
        ];
        all.extend(arguments);
        output("env", &all)
    }

    fn call(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("podman {arguments:?} ({}): {}", output.status, stderr.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts a container that sleeps, with limits on memory and processes.
    fn start(&self) -> Result<()> {
        let limits = ["--memory", "64m", "--pids-limit", "50", "--network", "none"];
        let mut arguments = vec!["run", "--detach", "--name", &self.name];
        arguments.extend(limits);
        arguments.extend([IMAGE, "/bin/busybox", "sleep", "1000"]);
        self.call(&arguments).map(drop)
    }

    fn exec(&self, script: &str) -> Result<Output> {
        self.output(&["exec", &self.name, "/bin/busybox", "sh", "-c", script])
    }

    #[track_caller]
    fn check_exec(&self, script: &str, code: i32, expected: &str) -> Result<()> {
        let output = self.exec(script)?;
        let (seen, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(
            output.status.code() == Some(code) && seen.split_whitespace().eq(expected.split_whitespace()),
            "exec of {script:?} gave {} and {seen:?}, not {code} and {expected:?}: {}",
            output.status,
            stderr.trim()
        );
        Ok(())
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // A case that removed it already makes this fail, and a guest forgets everything at its end.
        let _ignored = self.output(&["rm", "--force", "--time", "0", &self.name]);
    }
}

pub(crate) fn runs_execs_and_stops(runtime: &Path, driver: Driver) -> Result<()> {
    let podman = Podman::new(runtime, driver)?;
    podman.start()?;
    let files = "busybox cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; exit 9";
    podman.check_exec(files, 9, "67108864 50")?;
    podman.check_exec("busybox id -u; busybox cat /proc/self/cgroup", 0, "0 0::/")?;
    podman.call(&["stop", "--time", "1", &podman.name])?;
    let status = podman.call(&[
        "inspect",
        "--format",
        "{{.State.Status}} {{.State.ExitCode}}",
        &podman.name,
    ])?;
    ensure!(status == "exited 137", "after stop the state is {status:?}");
    podman.call(&["rm", &podman.name])?;
    ensure!(
        !podman.output(&["container", "exists", &podman.name])?.status.success(),
        "it is still there"
    );
    Ok(())
}

pub(crate) fn pauses_updates_and_shows_stats(runtime: &Path, driver: Driver) -> Result<()> {
    let podman = Podman::new(runtime, driver)?;
    podman.start()?;
    let status = || podman.call(&["inspect", "--format", "{{.State.Status}}", &podman.name]);
    podman.call(&["pause", &podman.name])?;
    ensure!(status()? == "paused", "after pause the state is {:?}", status()?);
    podman.call(&["unpause", &podman.name])?;
    ensure!(status()? == "running", "after unpause the state is {:?}", status()?);
    podman.call(&["update", "--memory", "80m", &podman.name])?;
    podman.check_exec("busybox cat /sys/fs/cgroup/memory.max", 0, "83886080")?;
    let stats = podman.call(&[
        "stats",
        "--no-stream",
        "--format",
        "{{.MemUsage}} {{.PIDs}}",
        &podman.name,
    ])?;
    // podman takes the limit from its own record, which is from before the update.
    ensure!(
        !stats.starts_with("0B") && stats.ends_with("MB 1"),
        "the statistics are {stats:?}"
    );
    podman.call(&["pause", &podman.name])?;
    podman.call(&["rm", "--force", "--time", "0", &podman.name])?;
    ensure!(
        !podman.output(&["container", "exists", &podman.name])?.status.success(),
        "it is still there"
    );
    Ok(())
}

/// The monitor watches the container's cgroup. Debian's gives up when it looks between the first shortage of memory and
/// the kill, so it is stopped meanwhile; and it leaves its mark in the directory where podman was started, while Debian's
/// podman looks for it in another.
pub(crate) fn monitor_sees_an_oom_kill(runtime: &Path, driver: Driver) -> Result<()> {
    let podman = Podman::new(runtime, driver)?;
    let place = std::env::temp_dir().join(format!("{}-oom", podman.name));
    std::fs::create_dir(&place)?;
    let script = "until [ -e /go ]; do busybox sleep 0.1; done; busybox tail /dev/zero; busybox sleep 1000";
    let limits = ["--memory", "32m", "--memory-swap", "32m", "--network", "none"];
    let mut arguments = vec!["run", "--detach", "--name", &podman.name];
    arguments.extend(limits);
    arguments.extend([IMAGE, "/bin/busybox", "sh", "-c", script]);
    let output = podman.output_in(&place, &arguments)?;
    ensure!(output.status.success(), "run: {output:?}");
    let monitor = podman.call(&["inspect", "--format", "{{.State.ConmonPid}}", &podman.name])?;
    command("kill", &["-STOP", &monitor])?;
    podman.check_exec("busybox touch /go", 0, "")?;
    wait_for("the kill", || {
        let events = podman.exec("busybox cat /sys/fs/cgroup/memory.events")?;
        Ok(String::from_utf8_lossy(&events.stdout).contains("oom_kill 1"))
    })?;
    command("kill", &["-CONT", &monitor])?;
    wait_for("the monitor's mark", || Ok(place.join("oom").exists()))?;
    Ok(std::fs::remove_dir_all(&place)?)
}
