//! The cases. Each makes its own container, and says in its error what it saw.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::bundle::limits;
use crate::container::{Container, wait_for};
use crate::driver::Driver;
use crate::{events, podman};

/// One behaviour and the drivers that must show it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    drivers: &'static [Driver],
    pub(crate) run: fn(&Path, Driver) -> Result<()>,
}

impl Case {
    /// Tells whether the name has this text, words being separated by spaces or underscores.
    pub(crate) fn is_named(&self, text: &str) -> bool {
        self.name.contains(&text.replace(' ', "_"))
    }

    /// Tells whether the case means something with this driver.
    pub(crate) fn runs_with(&self, driver: Driver) -> bool {
        self.drivers.contains(&driver)
    }
}

const ALL: &[Driver] = &[Driver::Cgroupfs, Driver::Systemd, Driver::UserSystemd];
const ROOTFUL: &[Driver] = &[Driver::Cgroupfs, Driver::Systemd];
const SYSTEMD: &[Driver] = &[Driver::Systemd, Driver::UserSystemd];
const ROOTLESS: &[Driver] = &[Driver::UserSystemd];

/// Every case, in the order they run.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "limits_are_in_the_cgroup_files",
        drivers: ALL,
        run: limits_are_in_the_cgroup_files,
    },
    Case {
        name: "update_changes_the_files",
        drivers: ALL,
        run: update_changes_the_files,
    },
    Case {
        name: "pause_freezes_and_resume_thaws",
        drivers: ALL,
        run: pause_freezes_and_resume_thaws,
    },
    Case {
        name: "paused_container_can_be_deleted",
        drivers: ALL,
        run: paused_container_can_be_deleted,
    },
    Case {
        name: "exec_joins_the_cgroup",
        drivers: ALL,
        run: exec_joins_the_cgroup,
    },
    Case {
        name: "delete_leaves_no_cgroup",
        drivers: ALL,
        run: delete_leaves_no_cgroup,
    },
    Case {
        name: "device_filter_denies_what_is_not_allowed",
        drivers: ROOTFUL,
        run: device_filter_denies,
    },
    Case {
        name: "device_filter_allows_what_is_allowed",
        drivers: ROOTFUL,
        run: device_filter_allows,
    },
    Case {
        name: "read_only_device_rule_denies_writing",
        drivers: ROOTFUL,
        run: device_filter_keeps_access,
    },
    Case {
        name: "device_filter_survives_an_update",
        drivers: ROOTFUL,
        run: device_filter_survives,
    },
    Case {
        name: "nested_cgroups_go_with_a_paused_container",
        drivers: ALL,
        run: nested_cgroups_go,
    },
    Case {
        name: "unified_keys_are_written",
        drivers: ALL,
        run: unified_keys_are_written,
    },
    Case {
        name: "unknown_unified_key_is_refused",
        drivers: ROOTFUL,
        run: unknown_unified_key_is_refused,
    },
    Case {
        name: "oom_kill_is_an_event",
        drivers: ALL,
        run: events::oom_kill_is_an_event,
    },
    Case {
        name: "oom_kill_of_init_ends_the_events",
        drivers: &[Driver::Cgroupfs],
        run: events::oom_kill_of_init_ends_the_events,
    },
    Case {
        name: "stats_have_the_values_and_the_shape_of_runc",
        drivers: ALL,
        run: events::stats_have_the_shape_of_runc,
    },
    Case {
        name: "events_come_at_the_interval_and_end_with_the_container",
        drivers: ALL,
        run: events::events_come_at_the_interval,
    },
    Case {
        name: "podman_runs_execs_and_stops_within_limits",
        drivers: ALL,
        run: podman::runs_execs_and_stops,
    },
    Case {
        name: "podman_pauses_updates_and_shows_stats",
        drivers: ALL,
        run: podman::pauses_updates_and_shows_stats,
    },
    Case {
        name: "monitor_of_podman_sees_an_oom_kill",
        drivers: ALL,
        run: podman::monitor_sees_an_oom_kill,
    },
    Case {
        name: "scope_has_the_limits_and_goes_with_the_container",
        drivers: SYSTEMD,
        run: scope_has_the_limits,
    },
    Case {
        name: "container_is_in_the_delegated_tree_of_the_user",
        drivers: ROOTLESS,
        run: rootless_is_delegated,
    },
];

/// /dev/kmsg: in no default list of devices.
const KMSG: (u32, u32) = (1, 11);

fn limits_are_in_the_cgroup_files(runtime: &Path, driver: Driver) -> Result<()> {
    let cgroup = Container::start(runtime, driver, &limits())?;
    let cgroup_path = cgroup.cgroup()?;
    check_file(&cgroup_path, "memory.max", "67108864")?;
    check_file(&cgroup_path, "pids.max", "50")?;
    check_file(&cgroup_path, "cpu.max", "50000 100000")?;
    // Shares 2..262144 to weight 1..10000: 1 + (512 - 2) * 9999 / 262142 = 20; newer runtimes keep 1024 at 100: 59.
    let weight = read_file(&cgroup_path, "cpu.weight")?;
    ensure!(
        ["20", "59"].contains(&weight.as_str()),
        "cpu.weight is {weight:?} for 512 shares"
    );
    Ok(())
}

fn update_changes_the_files(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &limits())?;
    let cgroup = container.cgroup()?;
    container.call(&["update", "--memory", "134217728", "--pids-limit", "60"], &[])?;
    check_file(&cgroup, "memory.max", "134217728")?;
    check_file(&cgroup, "pids.max", "60")?;
    check_file(&cgroup, "cpu.max", "50000 100000")
}

fn pause_freezes_and_resume_thaws(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &limits())?;
    let cgroup = container.cgroup()?;
    container.call(&["pause"], &[])?;
    wait_for("a frozen cgroup", || {
        Ok(read_file(&cgroup, "cgroup.events")?.contains("frozen 1"))
    })?;
    check_status(&container, "paused")?;
    container.call(&["resume"], &[])?;
    wait_for("a thawed cgroup", || {
        Ok(read_file(&cgroup, "cgroup.events")?.contains("frozen 0"))
    })?;
    check_status(&container, "running")
}

fn paused_container_can_be_deleted(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &limits())?;
    let cgroup = container.cgroup()?;
    container.call(&["pause"], &[])?;
    container.call(&["delete", "--force"], &[])?;
    check_gone(&container, &cgroup)
}

fn exec_joins_the_cgroup(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &limits())?;
    let cgroup = container.cgroup()?;
    let before = read_file(&cgroup, "cgroup.procs")?.lines().count();
    container.call(&["exec", "--detach"], &["sleep", "1000"])?;
    let after = read_file(&cgroup, "cgroup.procs")?.lines().count();
    ensure!(
        after == before + 1,
        "cgroup.procs had {before} processes, {after} after exec"
    );
    let output = container.output(&["exec"], &["sh", "-c", "cat /proc/self/cgroup; exit 9"])?;
    let seen = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(
        output.status.code() == Some(9),
        "exec of `exit 9` gave {}",
        output.status
    );
    ensure!(seen == "0::/", "an exec'd process sees cgroup {seen:?}");
    Ok(())
}

fn delete_leaves_no_cgroup(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &limits())?;
    let cgroup = container.cgroup()?;
    container.call(&["kill"], &["KILL"])?;
    wait_for("a stopped container", || Ok(container.state("status")? == "stopped"))?;
    container.call(&["delete"], &[])?;
    check_gone(&container, &cgroup)
}

fn device_filter_denies(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &json!({ "devices": [deny_all()] }))?;
    let (opened, stderr) = read_kmsg(&container)?;
    ensure!(!opened, "a device that no rule allows was opened");
    ensure!(
        stderr.contains("Operation not permitted"),
        "opening a denied device says {stderr:?}"
    );
    let default = container.output(&["exec"], &["head", "-c", "1", "/dev/zero"])?;
    ensure!(
        default.status.success(),
        "a default device cannot be opened: {default:?}"
    );
    Ok(())
}

fn device_filter_allows(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &json!({ "devices": [deny_all(), allow_kmsg("rwm")] }))?;
    let (opened, stderr) = read_kmsg(&container)?;
    ensure!(opened, "an allowed device cannot be opened: {stderr}");
    Ok(())
}

fn device_filter_keeps_access(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &json!({ "devices": [deny_all(), allow_kmsg("rm")] }))?;
    let (opened, stderr) = read_kmsg(&container)?;
    ensure!(opened, "a device allowed for reading cannot be read: {stderr}");
    let written = container.output(&["exec"], &["sh", "-c", "echo text >/tmp/kmsg"])?;
    ensure!(
        !written.status.success(),
        "a device allowed for reading was opened for writing"
    );
    Ok(())
}

/// An update without device rules leaves those of the config in force.
fn device_filter_survives(runtime: &Path, driver: Driver) -> Result<()> {
    for (rules, expected) in [
        (json!([deny_all()]), false),
        (json!([deny_all(), allow_kmsg("rwm")]), true),
    ] {
        let container = Container::start(runtime, driver, &json!({ "devices": rules }))?;
        container.call(&["update", "--memory", "134217728", "--pids-limit", "60"], &[])?;
        check_file(&container.cgroup()?, "pids.max", "60")?;
        let (opened, stderr) = read_kmsg(&container)?;
        ensure!(
            opened == expected,
            "after an update a device that is {} by the config: opened {opened}: {stderr}",
            if expected { "allowed" } else { "denied" }
        );
        let default = container.output(&["exec"], &["head", "-c", "1", "/dev/zero"])?;
        ensure!(default.status.success(), "a default device is closed after an update");
    }
    Ok(())
}

/// A container may divide its cgroup; a process in the lowest part is frozen with it.
fn nested_cgroups_go(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &limits())?;
    let cgroup = container.cgroup()?;
    let init = container.state("pid")?.to_string();
    let before: Vec<String> = read_file(&cgroup, "cgroup.procs")?.lines().map(str::to_owned).collect();
    container.call(&["exec", "--detach"], &["sleep", "1000"])?;
    let after = read_file(&cgroup, "cgroup.procs")?;
    let moved = after.lines().find(|pid| !before.iter().any(|known| known == pid));
    let moved = moved.with_context(|| format!("find the exec'd process in {after:?} besides {init}"))?;
    let lowest = cgroup.join("upper/lower");
    fs::create_dir_all(&lowest).with_context(|| format!("create {lowest:?}"))?;
    fs::create_dir(cgroup.join("empty")).context("create an empty cgroup")?;
    let procs = lowest.join("cgroup.procs");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(&procs)
        .with_context(|| format!("open {procs:?}"))?;
    std::io::Write::write_all(&mut file, moved.as_bytes()).with_context(|| format!("move {moved} to {procs:?}"))?;
    container.call(&["pause"], &[])?;
    wait_for("a frozen process in a nested cgroup", || {
        Ok(read_file(&lowest, "cgroup.events")?.contains("frozen 1"))
    })?;
    container.call(&["delete", "--force"], &[])?;
    check_gone(&container, &cgroup)
}

fn unified_keys_are_written(runtime: &Path, driver: Driver) -> Result<()> {
    let resources = json!({ "unified": { "memory.high": "50331648", "pids.max": "33", "cgroup.max.depth": "7" } });
    let container = Container::start(runtime, driver, &resources)?;
    let cgroup = container.cgroup()?;
    check_file(&cgroup, "memory.high", "50331648")?;
    check_file(&cgroup, "pids.max", "33")?;
    check_file(&cgroup, "cgroup.max.depth", "7")
}

fn unknown_unified_key_is_refused(runtime: &Path, driver: Driver) -> Result<()> {
    for key in ["memory.nonesuch", "nonesuch.max", "../memory.max"] {
        if let Ok(container) = Container::start(runtime, driver, &json!({ "unified": { key: "1" } })) {
            bail!("a container with the unified key {key:?} was made: {:?}", container.id);
        }
    }
    Ok(())
}

fn scope_has_the_limits(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &limits())?;
    let cgroup = container.cgroup()?;
    let unit = container.show_unit("ActiveState,Delegate,MemoryMax,TasksMax,CPUQuotaPerSecUSec,ControlGroup")?;
    for expected in [
        "ActiveState=active",
        "Delegate=yes",
        "MemoryMax=67108864",
        "TasksMax=50",
        "CPUQuotaPerSecUSec=500ms",
    ] {
        ensure!(
            unit.lines().any(|line| line == expected),
            "the unit lacks {expected:?}: {unit:?}"
        );
    }
    let path = Path::new("/sys/fs/cgroup").join(find_property(&unit, "ControlGroup")?.trim_start_matches('/'));
    ensure!(cgroup.starts_with(&path), "init is in {cgroup:?}, the unit in {path:?}");
    container.call(&["delete", "--force"], &[])?;
    check_gone(&container, &cgroup)?;
    wait_for("the end of the unit", || {
        Ok(container.show_unit("LoadState")?.contains("LoadState=not-found"))
    })
}

fn rootless_is_delegated(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &limits())?;
    let cgroup = container.cgroup()?;
    let tree = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/";
    ensure!(cgroup.starts_with(tree), "the cgroup is {cgroup:?}");
    let id = container.call(&["exec"], &["id", "-u"])?;
    ensure!(id.trim() == "0", "the user in the container is {id:?}");
    Ok(())
}

fn deny_all() -> Value {
    json!({ "allow": false, "access": "rwm" })
}

fn allow_kmsg(access: &str) -> Value {
    json!({ "allow": true, "type": "c", "major": KMSG.0, "minor": KMSG.1, "access": access })
}

/// Makes the node in the container, which every filter allows, and opens it for reading.
fn read_kmsg(container: &Container) -> Result<(bool, String)> {
    let (major, minor) = (KMSG.0.to_string(), KMSG.1.to_string());
    container.call(&["exec"], &["mknod", "/tmp/kmsg", "c", &major, &minor])?;
    let output = container.output(&["exec"], &["sh", "-c", ": </tmp/kmsg"])?;
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

fn read_file(cgroup: &Path, name: &str) -> Result<String> {
    let path = cgroup.join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("read {path:?}"))?;
    Ok(text.trim().to_owned())
}

fn check_file(cgroup: &Path, name: &str, expected: &str) -> Result<()> {
    let seen = read_file(cgroup, name)?;
    ensure!(seen == expected, "{name} is {seen:?}, not {expected:?}");
    Ok(())
}

fn check_status(container: &Container, expected: &str) -> Result<()> {
    let seen = container.state("status")?;
    ensure!(seen == expected, "the status is {seen}, not {expected:?}");
    Ok(())
}

/// Checks that neither the cgroup nor the state is left.
pub(crate) fn check_gone(container: &Container, cgroup: &Path) -> Result<()> {
    wait_for("the end of the cgroup", || Ok(!cgroup.exists()))?;
    if container.output(&["state"], &[])?.status.success() {
        bail!("the state of {:?} is still there", container.id);
    }
    Ok(())
}

fn find_property<'a>(unit: &'a str, name: &str) -> Result<&'a str> {
    let value = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.with_context(|| format!("find property {name:?} in {unit:?}"))
}
