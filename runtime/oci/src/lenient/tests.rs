use crate::{bundle, process, resources};

#[test]
fn capabilities_are_sorted_for_the_search() {
    assert!(super::CAPABILITIES.is_sorted());
}

#[test]
fn an_unknown_capability_is_dropped_with_a_warning() {
    let text = r#"{"args":["sh"],"cwd":"/","capabilities":{"bounding":["CAP_CHOWN","CAP_NEW","chown","CAP_KILL"]}}"#;
    let parsed = process::parse(text.as_bytes()).unwrap();
    let warnings: Vec<_> = parsed.warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "/capabilities/bounding/1: unknown capability \"CAP_NEW\" ignored: check its name",
        "/capabilities/bounding/2: unknown capability \"chown\" ignored: check its name",
    ];
    assert_eq!(warnings, expected);
    let bounding = parsed
        .value
        .capabilities()
        .as_ref()
        .unwrap()
        .bounding()
        .clone()
        .unwrap();
    assert_eq!(bounding.len(), 2);
}

#[test]
fn every_capability_that_is_kept_is_known_to_the_type() {
    let names: Vec<_> = super::CAPABILITIES.iter().map(|name| format!("CAP_{name}")).collect();
    let text = serde_json::json!({"args": ["sh"], "cwd": "/", "capabilities": {"bounding": names}}).to_string();
    let parsed = process::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.warnings, []);
    assert_eq!(
        parsed
            .value
            .capabilities()
            .as_ref()
            .unwrap()
            .bounding()
            .as_ref()
            .unwrap()
            .len(),
        names.len()
    );
}

#[test]
fn absent_structs_and_null_read_as_go_reads_them() {
    let text = r#"{"args":null,"env":null,"user":null,"rlimits":null,"terminal":null}"#;
    let process = process::parse(text.as_bytes()).unwrap().value;
    assert_eq!(process.args(), &None);
    assert_eq!(process.user().uid(), 0);
    assert_eq!(process.cwd().as_os_str(), "");
}

#[test]
fn what_clients_write_is_mended_in_a_config() {
    let text = r#"{"ociVersion":"1.2.1","windows":{"layerFolders":7},"linux":{
        "namespaces":[{"type":"pid","path":""}],
        "devices":[{"path":"/dev/fuse","type":"c","major":10,"minor":229,"fileMode":8630}],
        "resources":{"pids":{},"devices":[{"allow":false,"type":"","access":"rwm"}]},
        "seccomp":{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["no_such_syscall"],"action":"SCMP_ACT_ALLOW","args":[{"op":"SCMP_CMP_EQ"}]}]}},
        "process":{"scheduler":{"policy":"SCHED_DEADLINE","flags":["SCHED_FLAG_DL_OVERRUN"]},
            "execCPUAffinity":{"initial":" 0-1, ,3","final":""}}}"#;
    let spec = bundle::parse(text.as_bytes()).unwrap().value;
    let linux = spec.linux().as_ref().unwrap();
    assert_eq!(linux.namespaces().as_ref().unwrap()[0].path(), &None);
    assert_eq!(linux.devices().as_ref().unwrap()[0].file_mode(), Some(0o666));
    let resources = linux.resources().as_ref().unwrap();
    assert_eq!(resources.pids(), &None);
    assert_eq!(resources.devices().as_ref().unwrap()[0].typ(), None);
    let rule = &linux.seccomp().as_ref().unwrap().syscalls().as_ref().unwrap()[0];
    assert_eq!(rule.names(), &["no_such_syscall"]);
    let affinity = spec.process().as_ref().unwrap().exec_cpu_affinity().clone().unwrap();
    assert_eq!(
        (affinity.initial().as_deref(), affinity.cpu_affinity_final().as_deref()),
        (Some("0-1,3"), None)
    );
}

#[test]
fn a_huge_page_limit_beyond_the_type_is_cut() {
    let text = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":18446744073709551615}]}"#;
    let parsed = resources::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.value.hugepage_limits().as_ref().unwrap()[0].limit(), i64::MAX);
    assert_eq!(parsed.warnings[0].pointer, "/hugepageLimits/0/limit");
}

#[test]
fn zeros_of_an_update_stay_zeros() {
    let text = r#"{"memory":{"limit":0,"swap":null},"cpu":{"shares":0},"blockIO":{"weight":0}}"#;
    let resources = resources::parse(text.as_bytes()).unwrap().value;
    assert_eq!(resources.memory().as_ref().unwrap().limit(), Some(0));
    assert_eq!(resources.memory().as_ref().unwrap().swap(), None);
    assert_eq!(resources.cpu().as_ref().unwrap().shares(), Some(0));
}
