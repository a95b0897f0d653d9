use serde_json::json;

use super::v1::{check_devices, check_oom, check_signals};
use super::*;
use crate::error::CgroupError;
use crate::{OomEvent, Stage, SubCgroup};

#[test]
fn create_hands_the_controllers_down() {
    let Some(mut scratch) = Scratch::v2() else { return };
    let creation = scratch.cgroup.create().unwrap();
    assert!(scratch.cgroup.exists());
    assert_eq!(creation.made().len(), 2);
    let top = scratch.cgroup.hierarchies[0].mount.join("cgroup.controllers");
    assert_eq!(
        scratch.read("", "cgroup.controllers"),
        std::fs::read_to_string(top).unwrap().trim()
    );
    creation.undo().unwrap();
    assert!(!scratch.parent_in("").exists());
}

#[test]
fn a_used_or_frozen_cgroup_is_refused() {
    let Some(mut scratch) = Scratch::v2().map(Scratch::create) else {
        return;
    };
    scratch.cgroup.freeze().unwrap();
    let error = scratch.cgroup.create().unwrap_err();
    assert!(matches!(error, CgroupError::Frozen { .. }), "{error}");
    scratch.cgroup.thaw().unwrap();
    let _shell = scratch.spawn("sleep 1000");
    let error = scratch.cgroup.create().unwrap_err();
    assert!(matches!(error, CgroupError::NotEmpty { count: 1, .. }), "{error}");
}

#[test]
fn a_frozen_container_can_be_killed_and_removed() {
    let Some(mut scratch) = Scratch::v2().map(Scratch::create) else {
        return;
    };
    let shell = scratch.spawn("sleep 1000");
    scratch.cgroup.freeze().unwrap();
    assert!(scratch.cgroup.is_frozen().unwrap());
    nexcage_sys::cgroupfs::kill(shell.pid, libc::SIGKILL).unwrap();
    scratch.wait(&shell);
    scratch.cgroup.remove().unwrap();
    assert!(!scratch.cgroup.exists());
    assert!(!scratch.cgroup.is_frozen().unwrap());
}

#[test]
fn signals_reach_sub_cgroups() {
    let Some(scratch) = Scratch::v2().map(Scratch::create) else {
        return;
    };
    check_signals(scratch, "");
}

#[test]
fn the_device_filter_holds_and_can_be_replaced() {
    let Some(mut scratch) = Scratch::v2().map(Scratch::create) else {
        return;
    };
    let deny = resources(json!({"devices": [{"allow": false, "access": "rwm"}]}));
    scratch.cgroup.apply(&deny, Stage::BeforeInit).unwrap();
    check_devices(&mut scratch);
    scratch.cgroup.apply(&deny, Stage::BeforeInit).unwrap();
    check_devices(&mut scratch);
    let allow = resources(json!({"devices": [{"allow": true, "access": "rwm"}]}));
    scratch.cgroup.apply(&allow, Stage::BeforeInit).unwrap();
    if Path::new("/dev/kmsg").exists() {
        let mut shell = scratch.spawn("(exec 3</dev/kmsg) && echo kmsg; echo end");
        shell.go();
        assert_eq!(shell.line(), "kmsg", "the old filter is gone");
    }
}

#[test]
fn the_lock_limit_is_as_before_after_a_filter() {
    let Some(scratch) = Scratch::v2().map(Scratch::create) else {
        return;
    };
    let limit = || nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_MEMLOCK).unwrap();
    let before = limit();
    scratch
        .cgroup
        .apply(&LinuxResources::default(), Stage::BeforeInit)
        .unwrap();
    assert_eq!(limit(), before);
}

/// Applies resources to a fresh cgroup and compares files, where the controllers are.
#[track_caller]
fn check(controllers: &[&str], json: serde_json::Value, expected: &[(&str, &str)]) {
    let Some(scratch) = Scratch::v2() else { return };
    if !scratch.has_v2(controllers) {
        return;
    }
    let scratch = scratch.create();
    let resources = resources(json);
    scratch.cgroup.check(&resources).unwrap();
    scratch.cgroup.apply(&resources, Stage::BeforeInit).unwrap();
    scratch.cgroup.apply(&resources, Stage::AfterInit).unwrap();
    for (file, value) in expected {
        assert_eq!(scratch.read("", file), *value, "{file}");
    }
}

#[test]
fn memory_limits_are_converted() {
    check(
        &["memory"],
        json!({"memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20}}),
        &[("memory.max", "67108864"), ("memory.low", "33554432")],
    );
    check(&["memory"], json!({"memory": {"limit": -1}}), &[("memory.max", "max")]);
}

#[test]
fn swap_is_counted_alone() {
    let Some(scratch) = Scratch::v2() else { return };
    if !scratch.has_v2(&["memory"]) {
        return;
    }
    let scratch = scratch.create();
    if !scratch.cgroup.path_of("").unwrap().join("memory.swap.max").exists() {
        println!("not run: this kernel does not count swap");
        return;
    }
    let set = |memory: serde_json::Value| scratch.cgroup.update(&resources(json!({ "memory": memory })));
    set(json!({"limit": 64 << 20, "swap": 96 << 20})).unwrap();
    assert_eq!(scratch.read("", "memory.swap.max"), (32 << 20).to_string());
    set(json!({"limit": 64 << 20, "swap": 64 << 20})).unwrap();
    assert_eq!(scratch.read("", "memory.swap.max"), "0");
    set(json!({"swap": 128 << 20})).unwrap();
    assert_eq!(scratch.read("", "memory.swap.max"), (64 << 20).to_string());
    set(json!({"limit": -1})).unwrap();
    assert_eq!(scratch.read("", "memory.swap.max"), "max");
    assert!(set(json!({"swap": 128 << 20})).is_err(), "no limit to take off");
}

#[test]
fn cpu_limits_are_converted() {
    check(
        &["cpu"],
        json!({"cpu": {"shares": 1024, "quota": 20000, "period": 50000}}),
        &[("cpu.weight", "100"), ("cpu.max", "20000 50000")],
    );
    check(
        &["cpu"],
        json!({"cpu": {"quota": 20000}}),
        &[("cpu.max", "20000 100000")],
    );
    check(
        &["cpu"],
        json!({"cpu": {"shares": 0, "quota": 0, "period": 0}}),
        &[("cpu.weight", "100"), ("cpu.max", "max 100000")],
    );
}

#[test]
fn quota_and_period_given_alone_leave_the_other() {
    let Some(scratch) = Scratch::v2() else { return };
    if !scratch.has_v2(&["cpu"]) {
        return;
    }
    let scratch = scratch.create();
    for (cpu, line) in [
        (json!({"quota": 20000, "period": 50000}), "20000 50000"),
        (json!({"quota": 10000}), "10000 50000"),
        (json!({"period": 40000}), "10000 40000"),
        (json!({"quota": -1}), "max 40000"),
    ] {
        scratch.cgroup.update(&resources(json!({ "cpu": cpu }))).unwrap();
        assert_eq!(scratch.read("", "cpu.max"), line);
    }
}

#[test]
fn pids_and_unified_are_written_at_their_stage() {
    let Some(scratch) = Scratch::v2() else { return };
    if !scratch.has_v2(&["pids", "memory"]) {
        return;
    }
    let scratch = scratch.create();
    let resources = resources(json!({"unified": {"pids.max": "5", "memory.high": "33554432"}}));
    scratch.cgroup.check(&resources).unwrap();
    scratch.cgroup.apply(&resources, Stage::BeforeInit).unwrap();
    assert_eq!(
        (
            scratch.read("", "pids.max").as_str(),
            scratch.read("", "memory.high").as_str()
        ),
        ("max", "33554432")
    );
    scratch.cgroup.apply(&resources, Stage::AfterInit).unwrap();
    assert_eq!(scratch.read("", "pids.max"), "5");
    check(&["pids"], json!({"pids": {"limit": 0}}), &[("pids.max", "1")]);
}

#[test]
fn huge_page_limits_are_written() {
    if !Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        println!("not run: no huge pages of 2 MB here");
        return;
    }
    check(
        &["hugetlb"],
        json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]}),
        &[("hugetlb.2MB.max", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304")],
    );
    check(
        &["hugetlb"],
        json!({"unified": {"hugetlb.2MB.max": "2097152"}}),
        &[("hugetlb.2MB.max", "2097152")],
    );
}

#[test]
fn what_cannot_be_had_is_refused_before_anything_is_made() {
    let Some(scratch) = Scratch::v2() else { return };
    let refuse = |json: serde_json::Value| scratch.cgroup.check(&resources(json)).unwrap_err().to_string();
    let text = refuse(json!({"unified": {"nosuch.max": "1"}}));
    assert!(text.contains("\"nosuch\" is not available"), "{text}");
    assert!(refuse(json!({"unified": {"../x": "1"}})).contains("no slashes"));
    assert!(refuse(json!({"unified": {"x": "1"}})).contains("CONTROLLER.PARAMETER"));
    if !scratch.has_v2(&["memory"]) {
        let text = refuse(json!({"memory": {"limit": 1 << 20}}));
        assert!(
            text.contains("linux.resources.memory") && text.contains("subtree_control"),
            "{text}"
        );
    }
    scratch
        .cgroup
        .check(&resources(json!({"memory": {"limit": 0}, "pids": {"limit": -1}})))
        .unwrap();
    assert!(!scratch.parent_in("").exists());
}

#[test]
fn a_limit_below_what_is_in_use_is_refused_when_asked_for() {
    let Some(scratch) = Scratch::v2() else { return };
    if !scratch.has_v2(&["memory"]) {
        return;
    }
    let mut scratch = scratch.create();
    let _shell = scratch.spawn("sleep 1000");
    let tiny = |check: bool| resources(json!({"memory": {"limit": 4096, "checkBeforeUpdate": check}}));
    let error = scratch.cgroup.update(&tiny(true)).unwrap_err();
    assert!(matches!(error, CgroupError::BelowUsage { .. }), "{error}");
    assert_eq!(scratch.read("", "memory.max"), "max");
}

#[test]
fn an_oom_kill_is_noticed_and_counted() {
    let Some(scratch) = Scratch::v2() else { return };
    if !scratch.has_v2(&["memory"]) {
        return;
    }
    let mut scratch = scratch.create();
    let limits = resources(json!({"memory": {"limit": 8 << 20, "swap": 8 << 20}}));
    scratch.cgroup.apply(&limits, Stage::BeforeInit).unwrap();
    check_oom(&mut scratch);
}

#[test]
fn the_end_of_the_last_process_ends_the_watch() {
    let Some(scratch) = Scratch::v2() else { return };
    if !scratch.has_v2(&["memory"]) {
        return;
    }
    let mut scratch = scratch.create();
    let mut shell = scratch.spawn("true");
    let mut watch = scratch.cgroup.oom_watch().unwrap();
    shell.go();
    scratch.wait(&shell);
    assert_eq!(
        watch.wait(Some(std::time::Duration::from_secs(60))).unwrap(),
        OomEvent::Gone
    );
}

#[test]
fn statistics_have_pressure_and_processes() {
    let Some(mut scratch) = Scratch::v2().map(Scratch::create) else {
        return;
    };
    let _shell = scratch.spawn("sleep 1000");
    let stats = scratch.cgroup.stats().unwrap();
    assert_eq!(stats.pids.current, 1);
    let has_pressure = scratch.cgroup.path_of("").unwrap().join("cpu.pressure").exists();
    let readable = std::fs::read(scratch.cgroup.path_of("").unwrap().join("cpu.pressure")).is_ok();
    assert_eq!(stats.cpu.psi.is_some(), has_pressure && readable);
}

#[test]
fn a_sub_cgroup_of_a_v1_controller_is_unknown() {
    let Some(scratch) = Scratch::v2().map(Scratch::create) else {
        return;
    };
    let sub = SubCgroup::parse(&["memory:x".to_owned()]).unwrap();
    let error = scratch.cgroup.join_sub(&sub, None).unwrap_err();
    assert_eq!(error.to_string(), "unknown controller memory in SubCgroupPaths");
    let sub = SubCgroup::parse(&["../../x".to_owned()]).unwrap();
    let error = scratch.cgroup.join_sub(&sub, None).unwrap_err();
    assert_eq!(error.to_string(), "bad sub cgroup path: ../../x");
}
