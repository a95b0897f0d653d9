use super::*;

#[test]
fn lists_are_expanded() {
    for (text, list) in [("", vec![]), ("0", vec![0]), ("0-2,5", vec![0, 1, 2, 5])] {
        assert_eq!(v1::parse_list(text), Some(list), "{text}");
    }
    for text in ["a", "2-1", "0-", "1;2"] {
        assert_eq!(v1::parse_list(text), None, "{text}");
    }
}

#[test]
fn pressure_files_are_parsed_and_printed_as_go_does() {
    let text = "some avg10=0.12 avg60=0.00 avg300=7.00 total=42\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
    let psi = v2::parse_pressure(text).unwrap();
    let json = serde_json::to_string(&psi).unwrap();
    assert_eq!(
        json,
        r#"{"some":{"avg10":0.12,"avg60":0,"avg300":7,"total":42},"full":{"avg10":0,"avg60":0,"avg300":0,"total":0}}"#
    );
    assert_eq!(v2::parse_pressure("some avg10\n"), None);
}

#[test]
fn empty_statistics_are_printed_as_runc_prints_them() {
    let expected = concat!(
        r#"{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},"#,
        r#""cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"#,
        r#""memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},"#,
        r#""memory":{"usage":{"limit":0,"failcnt":0},"swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"#,
        r#""kernelTCP":{"limit":0,"failcnt":0}},"pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"#,
        r#""network_interfaces":null}"#,
    );
    assert_eq!(serde_json::to_string(&Stats::default()).unwrap(), expected);
}

#[test]
fn huge_page_sizes_are_named_as_the_kernel_names_them() {
    for (kilobytes, name) in [(64, "64KB"), (2048, "2MB"), (1 << 20, "1GB"), (16 << 20, "16GB")] {
        assert_eq!(size_name(kilobytes), name);
    }
}
