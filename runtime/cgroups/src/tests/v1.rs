use serde_json::json;

use super::*;
use crate::error::CgroupError;
use crate::{OomEvent, Stage};

#[test]
fn create_makes_every_hierarchy_and_remove_leaves_the_parents() {
    let Some(mut scratch) = Scratch::v1() else { return };
    assert!(!scratch.cgroup.exists());
    let creation = scratch.cgroup.create().unwrap();
    assert!(scratch.cgroup.exists());
    for (controller, path) in scratch.cgroup.paths() {
        assert!(path.is_dir(), "{controller}");
        assert!(creation.made().contains(&path), "{controller}");
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        assert!(!scratch.read("cpuset", file).is_empty(), "{file}");
    }
    scratch.cgroup.remove().unwrap();
    assert!(!scratch.cgroup.exists());
    assert!(scratch.parent_in("memory").is_dir());
    scratch.cgroup.remove().unwrap();
}

#[test]
fn undo_leaves_nothing_that_was_made_and_all_that_was_there() {
    let Some(mut scratch) = Scratch::v1() else { return };
    make_sub(&scratch.parent_in("memory"));
    scratch.cgroup.create().unwrap().undo().unwrap();
    assert!(scratch.parent_in("memory").is_dir());
    assert!(scratch.cgroup.paths().values().all(|path| !path.exists()));
    assert!(!scratch.parent_in("cpuset").exists());
    assert!(!scratch.parent_in("devices").exists());
}

#[test]
fn a_create_that_does_not_succeed_leaves_nothing() {
    let Some(mut scratch) = Scratch::v1() else { return };
    // No cgroup has a line break in its name: the parent can be made, the leaf cannot.
    let last = scratch
        .cgroup
        .hierarchies
        .iter()
        .rposition(|found| !found.is_v2())
        .unwrap();
    scratch.cgroup.hierarchies[last].path = scratch.parent.join("x\ny");
    let error = scratch.cgroup.create().unwrap_err();
    assert!(matches!(error, CgroupError::Create { .. }), "{error}");
    for hierarchy in &scratch.cgroup.hierarchies {
        assert!(!hierarchy.mount.join(&scratch.parent).exists(), "{:?}", hierarchy.mount);
    }
}

#[test]
fn a_mount_that_is_no_control_group_is_not_touched() {
    let Some(mut scratch) = Scratch::v1() else { return };
    let dir = std::env::temp_dir().join(&scratch.parent);
    std::fs::create_dir(&dir).unwrap();
    scratch.cgroup.hierarchies.truncate(1);
    scratch.cgroup.hierarchies[0].mount = dir.clone();
    let error = scratch.cgroup.create().unwrap_err();
    let left = std::fs::read_dir(&dir).unwrap().count();
    scratch.cgroup.hierarchies.clear();
    std::fs::remove_dir(&dir).unwrap();
    assert!(matches!(error, CgroupError::NotCgroupfs { .. }), "{error}");
    assert_eq!(left, 0);
}

/// Applies resources to a fresh cgroup and compares files.
#[track_caller]
fn check(json: serde_json::Value, expected: &[(&str, &str, &str)]) {
    let Some(scratch) = Scratch::v1().map(Scratch::create) else {
        return;
    };
    let resources = resources(json);
    scratch.cgroup.check(&resources).unwrap();
    scratch.cgroup.apply(&resources, Stage::BeforeInit).unwrap();
    scratch.cgroup.apply(&resources, Stage::AfterInit).unwrap();
    for (controller, file, value) in expected {
        assert_eq!(scratch.read(controller, file), *value, "{file}");
    }
}

#[test]
fn memory_limits_are_written() {
    check(
        json!({"memory": {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20, "swappiness": 10,
            "disableOOMKiller": true, "kernel": 5 << 20}}),
        &[
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("memory", "memory.memsw.limit_in_bytes", "134217728"),
            ("memory", "memory.soft_limit_in_bytes", "33554432"),
            ("memory", "memory.swappiness", "10"),
            (
                "memory",
                "memory.oom_control",
                "oom_kill_disable 1\nunder_oom 0\noom_kill 0",
            ),
        ],
    );
}

#[test]
fn cpu_cpuset_and_pids_limits_are_written() {
    check(
        json!({"cpu": {"shares": 512, "quota": 20000, "period": 50000, "cpus": "0", "mems": "0"}, "pids": {"limit": 7}}),
        &[
            ("cpu", "cpu.shares", "512"),
            ("cpu", "cpu.cfs_quota_us", "20000"),
            ("cpu", "cpu.cfs_period_us", "50000"),
            ("cpuset", "cpuset.cpus", "0"),
            ("cpuset", "cpuset.mems", "0"),
            ("pids", "pids.max", "7"),
        ],
    );
}

#[test]
fn zeros_leave_everything_alone() {
    check(
        json!({
            "memory": {"limit": 0, "swap": 0, "reservation": 0, "kernel": 0, "disableOOMKiller": false},
            "cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0, "cpus": "", "mems": ""},
            "blockIO": {"weight": 0}
        }),
        &[
            ("cpu", "cpu.shares", "1024"),
            ("cpu", "cpu.cfs_quota_us", "-1"),
            ("pids", "pids.max", "max"),
        ],
    );
}

#[test]
fn no_limit_on_processes_is_max_and_zero_becomes_one() {
    check(json!({"pids": {"limit": -1}}), &[("pids", "pids.max", "max")]);
    check(json!({"pids": {"limit": 0}}), &[("pids", "pids.max", "1")]);
}

#[test]
fn the_limit_on_processes_waits_for_init() {
    let Some(scratch) = Scratch::v1().map(Scratch::create) else {
        return;
    };
    let resources = resources(json!({"pids": {"limit": 1}}));
    scratch.cgroup.apply(&resources, Stage::BeforeInit).unwrap();
    assert_eq!(scratch.read("pids", "pids.max"), "max");
    scratch.cgroup.apply(&resources, Stage::AfterInit).unwrap();
    assert_eq!(scratch.read("pids", "pids.max"), "1");
}

#[test]
fn memory_and_swap_go_up_and_down_together() {
    let Some(scratch) = Scratch::v1().map(Scratch::create) else {
        return;
    };
    let mega = |limit: i64, swap: i64| resources(json!({"memory": {"limit": limit << 20, "swap": swap << 20}}));
    for (limit, swap) in [(64, 64), (256, 512), (32, 64), (64, 64), (1024, 2048)] {
        scratch.cgroup.update(&mega(limit, swap)).unwrap();
        assert_eq!(
            scratch.read("memory", "memory.limit_in_bytes"),
            (limit << 20).to_string()
        );
        assert_eq!(
            scratch.read("memory", "memory.memsw.limit_in_bytes"),
            (swap << 20).to_string()
        );
    }
    scratch
        .cgroup
        .update(&resources(json!({"memory": {"limit": -1}})))
        .unwrap();
    assert_eq!(scratch.read("memory", "memory.limit_in_bytes"), "9223372036854771712");
    assert_eq!(
        scratch.read("memory", "memory.memsw.limit_in_bytes"),
        "9223372036854771712"
    );
}

#[test]
fn what_cannot_be_had_is_refused_before_anything_is_made() {
    let Some(scratch) = Scratch::v1() else { return };
    let refuse = |json: serde_json::Value| scratch.cgroup.check(&resources(json)).unwrap_err().to_string();
    assert_eq!(
        refuse(json!({"unified": {"memory.high": "1"}})),
        "invalid configuration: cannot use unified on cgroup v1"
    );
    assert!(refuse(json!({"memory": {"swappiness": 101}})).contains("valid range is 0-100"));
    assert!(refuse(json!({"memory": {"limit": -2}})).contains("memory.limit"));
    assert!(refuse(json!({"memory": {"limit": 2 << 20, "swap": 1 << 20}})).contains("memory+swap limit should be"));
    assert!(refuse(json!({"blockIO": {"weight": 9}})).contains("10-1000"));
    assert!(refuse(json!({"hugepageLimits": [{"pageSize": "../x", "limit": 1}]})).contains("pageSize"));
    assert!(refuse(json!({"devices": [{"allow": true, "type": "c", "access": "rx"}]})).contains("r, w and m"));
    assert!(refuse(json!({"devices": [{"allow": true, "type": "c", "major": 1}]})).contains("no access"));
    if scratch.cgroup.path_of("rdma").is_none() {
        let text = refuse(json!({"rdma": {"mlx": {"hcaHandles": 1}}}));
        assert!(text.contains("\"rdma\" is not available"), "{text}");
    }
    assert!(!scratch.parent_in("memory").exists());
}

#[test]
fn device_rules_end_up_as_those_of_runc() {
    // Read back from a container that runc 1.1.5 made with the same rules.
    let expected = "b *:* m\nc *:* m\nc 1:3 rwm\nc 1:5 rwm\nc 1:7 rwm\nc 1:8 rwm\nc 1:9 rwm\nc 5:0 rwm\nc 5:2 rwm\n\
                    c 10:200 rwm\nc 136:* rwm";
    let rules = [
        json!([{"allow": false, "access": "rwm"}]),
        json!([{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
            {"allow": false, "type": "c", "major": 10, "minor": 229, "access": "rwm"}]),
        json!([]),
    ];
    for rules in rules {
        let Some(scratch) = Scratch::v1().map(Scratch::create) else {
            return;
        };
        let resources = resources(json!({ "devices": rules }));
        for _ in 0..2 {
            scratch.cgroup.apply(&resources, Stage::BeforeInit).unwrap();
            let text = scratch.read("devices", "devices.list");
            let mut lines: Vec<_> = text.lines().collect();
            let mut wanted: Vec<_> = expected.lines().collect();
            lines.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(lines, wanted);
        }
    }
    check(
        json!({"devices": [{"allow": true, "access": "rwm"}]}),
        &[("devices", "devices.list", "a *:* rwm")],
    );
}

#[test]
fn a_device_that_is_not_allowed_cannot_be_opened() {
    let Some(mut scratch) = Scratch::v1().map(Scratch::create) else {
        return;
    };
    let rules = resources(json!({"devices": [{"allow": false, "access": "rwm"}]}));
    scratch.cgroup.apply(&rules, Stage::BeforeInit).unwrap();
    check_devices(&mut scratch);
}

#[test]
fn a_frozen_container_can_be_removed() {
    let Some(mut scratch) = Scratch::v1().map(Scratch::create) else {
        return;
    };
    let shell = scratch.spawn("sleep 1000");
    assert!(!scratch.cgroup.is_frozen().unwrap());
    scratch.cgroup.freeze().unwrap();
    assert!(scratch.cgroup.is_frozen().unwrap());
    let error = scratch.cgroup.create().unwrap_err();
    assert!(matches!(error, CgroupError::NotEmpty { count: 1, .. }), "{error}");
    nexcage_sys::cgroupfs::kill(shell.pid, libc::SIGKILL).unwrap();
    scratch.cgroup.remove().unwrap();
    assert!(!scratch.cgroup.exists());
    scratch.wait(&shell);
}

#[test]
fn a_frozen_empty_cgroup_is_not_used() {
    let Some(mut scratch) = Scratch::v1().map(Scratch::create) else {
        return;
    };
    scratch.cgroup.freeze().unwrap();
    let error = scratch.cgroup.create().unwrap_err();
    assert!(matches!(error, CgroupError::Frozen { .. }), "{error}");
    scratch.cgroup.thaw().unwrap();
    drop(scratch.cgroup.create().unwrap());
}

#[test]
fn signals_reach_sub_cgroups() {
    let Some(scratch) = Scratch::v1().map(Scratch::create) else {
        return;
    };
    check_signals(scratch, "devices");
}

#[test]
fn an_oom_kill_is_noticed_and_counted() {
    let Some(mut scratch) = Scratch::v1().map(Scratch::create) else {
        return;
    };
    let limits = resources(json!({"memory": {"limit": 8 << 20, "swap": 8 << 20}}));
    scratch.cgroup.apply(&limits, Stage::BeforeInit).unwrap();
    check_oom(&mut scratch);
    let mut watch = scratch.cgroup.oom_watch().unwrap();
    scratch.cgroup.remove().unwrap();
    assert_eq!(watch.wait(None).unwrap(), OomEvent::Gone);
}

#[test]
fn statistics_say_what_the_files_say() {
    let Some(mut scratch) = Scratch::v1().map(Scratch::create) else {
        return;
    };
    let limits = resources(json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 9}}));
    scratch.cgroup.apply(&limits, Stage::BeforeInit).unwrap();
    scratch.cgroup.apply(&limits, Stage::AfterInit).unwrap();
    let _shell = scratch.spawn("sleep 1000");
    let stats = scratch.cgroup.stats().unwrap();
    assert_eq!((stats.pids.current, stats.pids.limit), (1, 9));
    assert_eq!(stats.memory.usage.limit, 64 << 20);
    assert!(stats.memory.raw.contains_key("hierarchical_memory_limit"));
    assert!(!stats.cpuset.cpus.is_empty());
    assert!(!stats.cpu.usage.percpu.is_empty());
}

/// A process of the cgroup can open what is allowed by default, and nothing else.
pub(super) fn check_devices(scratch: &mut Scratch) {
    if !Path::new("/dev/kmsg").exists() {
        println!("not run: no /dev/kmsg here");
        return;
    }
    let open = "(exec 3</dev/null) && echo null; (exec 3</dev/kmsg) && echo kmsg; echo end";
    let mut outside = scratch.spawn_outside(open);
    outside.go();
    assert_eq!(
        [outside.line(), outside.line()],
        ["null", "kmsg"],
        "without rules both can be opened"
    );
    let mut inside = scratch.spawn(open);
    inside.go();
    assert_eq!([inside.line(), inside.line()], ["null", "end"]);
}

/// All processes of a container are listed and killed, those in sub-cgroups too.
pub(super) fn check_signals(mut scratch: Scratch, controller: &str) {
    let first = scratch.spawn("sleep 1000");
    let second = scratch.spawn("sleep 1000");
    let sub = scratch.cgroup.path_of(controller).unwrap().join("sub");
    make_sub(&sub);
    std::fs::OpenOptions::new()
        .write(true)
        .open(sub.join("cgroup.procs"))
        .and_then(|mut file| file.write_all(second.pid.to_string().as_bytes()))
        .unwrap();
    let mut pids = vec![first.pid, second.pid];
    pids.sort_unstable();
    assert_eq!(scratch.cgroup.pids().unwrap(), pids);
    scratch.cgroup.signal_all(libc::SIGCONT).unwrap();
    assert!(!scratch.cgroup.is_frozen().unwrap());
    assert_eq!(scratch.cgroup.pids().unwrap(), pids);
    scratch.cgroup.freeze().unwrap();
    scratch.cgroup.signal_all(libc::SIGKILL).unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(scratch.wait(&first).signal(), Some(libc::SIGKILL));
    assert_eq!(scratch.wait(&second).signal(), Some(libc::SIGKILL));
    scratch.cgroup.remove().unwrap();
    assert!(!sub.exists());
    assert!(scratch.cgroup.pids().unwrap().is_empty());
}

/// A process over the limit is killed, which is noticed and counted.
pub(super) fn check_oom(scratch: &mut Scratch) {
    let mut watch = scratch.cgroup.oom_watch().unwrap();
    assert_eq!(scratch.cgroup.oom_kill_count().unwrap(), 0);
    assert_eq!(watch.wait(Some(std::time::Duration::ZERO)).unwrap(), OomEvent::Timeout);
    let mut shell = scratch.spawn("exec tail /dev/zero");
    shell.go();
    assert_eq!(
        watch.wait(Some(std::time::Duration::from_secs(60))).unwrap(),
        OomEvent::Oom
    );
    scratch.wait(&shell);
    assert!(scratch.cgroup.oom_kill_count().unwrap() >= 1);
}
