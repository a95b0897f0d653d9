use serde_json::json;

use super::convert::{Swap, io_weight, swap_alone, weight_of_shares};
use super::*;

fn resources(json: serde_json::Value) -> LinuxResources {
    serde_json::from_value(json).unwrap()
}

#[test]
fn shares_become_weights_as_in_runc() {
    let table = [
        (0, 0),
        (1, 1),
        (2, 1),
        (3, 2),
        (1024, 100),
        (262_143, 10_000),
        (262_144, 10_000),
        (262_145, 10_000),
    ];
    for (shares, weight) in table {
        assert_eq!(weight_of_shares(shares), weight, "{shares}");
    }
}

#[test]
fn block_io_weights_are_stretched() {
    for (weight, io) in [(0, 0), (10, 1), (100, 910), (500, 4950), (1000, 10_000)] {
        assert_eq!(io_weight(weight), io, "{weight}");
    }
}

#[test]
fn swap_is_taken_out_of_the_sum() {
    let table = [
        (0, 0, Some(Swap::Keep)),
        (0, 100, Some(Swap::Keep)),
        (0, -1, Some(Swap::Max)),
        (-1, 0, Some(Swap::Max)),
        (-1, 100, Some(Swap::Max)),
        (-1, -1, Some(Swap::Max)),
        (100, -1, Some(Swap::Bytes(100))),
        (150, 100, Some(Swap::Bytes(50))),
        (100, 100, Some(Swap::Bytes(0))),
        (50, 100, None),
        (100, 0, None),
        (100, -2, None),
    ];
    for (swap, memory, expected) in table {
        assert_eq!(swap_alone(swap, memory).ok(), expected, "swap {swap} memory {memory}");
    }
}

#[test]
fn what_cpu_max_is_not_told_stays() {
    let table = [
        ("max 100000", Some(5000), None, "5000 100000"),
        ("7000 50000", Some(5000), None, "5000 50000"),
        ("7000 50000", None, Some(20_000), "7000 20000"),
        ("7000 50000", Some(-1), None, "max 50000"),
        ("", Some(5000), Some(9000), "5000 9000"),
        ("", None, Some(9000), "max 9000"),
    ];
    for (now, quota, period, line) in table {
        assert_eq!(v2::max_line(now, quota, period), line, "{now:?} {quota:?} {period:?}");
    }
}

#[test]
fn rdma_lines_are_sorted_and_complete() {
    let limits = resources(json!({"rdma": {"b": {"hcaHandles": 2, "hcaObjects": 3}, "a": {"hcaObjects": 1}}}));
    assert_eq!(rdma_lines(&limits), ["a hca_object=1", "b hca_handle=2 hca_object=3"]);
}

#[track_caller]
fn check_merge(stored: serde_json::Value, update: serde_json::Value, expected: serde_json::Value) {
    let merged = merge(&resources(stored), &resources(update));
    assert_eq!(serde_json::to_value(merged).unwrap(), expected);
}

#[test]
fn an_update_is_merged_as_in_runc() {
    check_merge(
        json!({"memory": {"limit": 100, "swap": 200}, "cpu": {"shares": 5, "quota": 10, "period": 20, "cpus": "0"},
            "pids": {"limit": 4}, "devices": [{"allow": false, "access": "rwm"}]}),
        json!({"memory": {"limit": 150}, "cpu": {"quota": 15}}),
        json!({"memory": {"limit": 150, "swap": 200}, "cpu": {"shares": 5, "quota": 15, "period": 20},
            "devices": [{"allow": false, "access": "rwm"}]}),
    );
    check_merge(
        json!({"memory": {"limit": 100, "swap": 200}}),
        json!({"memory": {"limit": -1}}),
        json!({"memory": {"limit": -1}, "cpu": {}}),
    );
    check_merge(
        json!({"cpu": {"shares": 5}}),
        json!({"cpu": {"idle": 1}}),
        json!({"cpu": {"idle": 1}}),
    );
    check_merge(
        json!({"blockIO": {"weight": 10, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]}}),
        json!({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 2}, {"major": 8, "minor": 1, "rate": 3}],
            "weightDevice": [{"major": 8, "minor": 0, "weight": 20}]}}),
        json!({"cpu": {}, "blockIO": {"weight": 10, "weightDevice": [{"major": 8, "minor": 0, "weight": 20}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 2}, {"major": 8, "minor": 1, "rate": 3}]}}),
    );
}
