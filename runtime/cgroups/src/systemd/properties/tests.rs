use serde_json::json;

use super::*;

const ALL: Part = Part {
    limits: true,
    devices: false,
    pids: true,
};

/// The properties of some resources as `NAME=VALUE` texts.
#[track_caller]
fn check(json: serde_json::Value, layout: Layout, version: u32, expected: &[&str]) {
    let resources: LinuxResources = serde_json::from_value(json).unwrap();
    let list = of_resources(&resources, ALL, layout, version).unwrap();
    let texts: Vec<String> = list.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(texts, expected);
}

#[test]
fn limits_become_properties_on_v2() {
    check(
        json!({"memory": {"limit": 100, "swap": 150, "reservation": 50}, "cpu": {"shares": 1024, "quota": 5000, "period": 10000,
            "cpus": "0-1", "mems": "0"}, "pids": {"limit": 7}, "blockIO": {"weight": 100}}),
        Layout::Unified,
        252,
        &[
            "MemoryMax=uint64 100",
            "MemoryLow=uint64 50",
            "MemorySwapMax=uint64 50",
            "CPUWeight=uint64 100",
            "CPUQuotaPeriodUSec=uint64 10000",
            "CPUQuotaPerSecUSec=uint64 500000",
            "AllowedCPUs=[byte 0x03]",
            "AllowedMemoryNodes=[byte 0x01]",
            "TasksMax=uint64 7",
        ],
    );
}

#[test]
fn limits_become_properties_on_v1() {
    check(
        json!({"memory": {"limit": 100, "swap": 150}, "cpu": {"shares": 1024}, "pids": {"limit": 0}, "blockIO": {"weight": 100}}),
        Layout::Hybrid,
        252,
        &[
            "MemoryLimit=uint64 100",
            "CPUShares=uint64 1024",
            "BlockIOWeight=uint64 100",
            "TasksMax=uint64 1",
        ],
    );
}

#[test]
fn no_limit_is_infinity_and_zero_is_nothing() {
    check(
        json!({"memory": {"limit": -1}, "cpu": {"quota": -1}, "pids": {"limit": -1}}),
        Layout::Unified,
        252,
        &[
            "MemoryMax=uint64 18446744073709551615",
            "MemorySwapMax=uint64 18446744073709551615",
            "CPUQuotaPerSecUSec=uint64 18446744073709551615",
            "TasksMax=uint64 18446744073709551615",
        ],
    );
    check(
        json!({"memory": {"limit": 0, "swap": 0}, "cpu": {"shares": 0, "quota": 0}}),
        Layout::Unified,
        252,
        &[],
    );
}

#[test]
fn an_old_systemd_is_not_asked_for_what_it_does_not_know() {
    let cpu = json!({"cpu": {"quota": 5000, "period": 10000, "cpus": "0", "idle": 1, "shares": 2}});
    check(
        cpu.clone(),
        Layout::Unified,
        241,
        &["CPUWeight=uint64 1", "CPUQuotaPerSecUSec=uint64 500000"],
    );
    let new = [
        "CPUWeight=uint64 0",
        "CPUQuotaPeriodUSec=uint64 10000",
        "CPUQuotaPerSecUSec=uint64 500000",
        "AllowedCPUs=[byte 0x01]",
    ];
    check(cpu, Layout::Unified, 252, &new);
}

#[test]
fn the_unified_map_is_translated_where_systemd_knows_it() {
    check(
        json!({"unified": {"cpu.max": "5000 10000", "cpu.weight": "7", "memory.high": "max", "memory.max": "9", "pids.max": "0",
            "cpuset.cpus": "1", "io.latency": "x"}}),
        Layout::Unified,
        252,
        &[
            "CPUQuotaPeriodUSec=uint64 10000",
            "CPUQuotaPerSecUSec=uint64 500000",
            "CPUWeight=uint64 7",
            "AllowedCPUs=[byte 0x02]",
            "MemoryHigh=uint64 18446744073709551615",
            "MemoryMax=uint64 9",
            "TasksMax=uint64 1",
        ],
    );
}

#[test]
fn quotas_are_rounded_up_to_whole_percents() {
    for (quota, period, rounded) in [
        (0, 0, 0),
        (-1, 100, -1),
        (5000, 10_000, 5000),
        (5001, 10_000, 5100),
        (123, 0, 1000),
    ] {
        assert_eq!(round_quota(quota, period), rounded, "{quota}/{period}");
    }
}

#[test]
fn cpu_lists_become_bit_masks() {
    let table: [(&str, Option<Vec<u8>>); 11] = [
        ("", None),
        ("0", Some(vec![1])),
        ("0-1", Some(vec![3])),
        (",0,1,", Some(vec![3])),
        ("4-7", Some(vec![0xf0])),
        ("0-3,32-33", Some(vec![0x0f, 0, 0, 0, 3])),
        ("16", Some(vec![0, 0, 1])),
        ("    , 1   , 3  ,  5-7,	", Some(vec![0xea])),
        ("54-53", None),
        ("1-", None),
        ("x", None),
    ];
    for (text, bits) in table {
        assert_eq!(range_bits(text), bits, "{text:?}");
    }
}

#[test]
fn device_rules_become_an_allow_list() {
    let resources: LinuxResources = serde_json::from_value(json!({"devices": []})).unwrap();
    let list = device_properties(&resources).unwrap();
    assert_eq!(
        (list[0].0.as_str(), list[1].0.as_str(), list[2].0.as_str()),
        ("DeviceAllow", "DevicePolicy", "DeviceAllow")
    );
    assert_eq!(list[1].1, Value::from("strict".to_owned()));
    let text = list[2].1.to_string();
    for entry in [
        "\"block-*\", \"m\"",
        "\"/dev/char/1:3\", \"rwm\"",
        "\"char-136\", \"rwm\"",
    ] {
        assert!(text.contains(entry), "{entry} in {text}");
    }
    let resources: LinuxResources =
        serde_json::from_value(json!({"devices": [{"allow": true, "access": "rwm"}]})).unwrap();
    assert_eq!(
        device_properties(&resources).unwrap()[1].1,
        Value::from("auto".to_owned())
    );
}
