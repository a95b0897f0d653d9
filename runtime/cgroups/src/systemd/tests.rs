use super::*;

#[test]
fn version_texts_have_a_number() {
    for (text, number) in [
        ("252.39-1~deb12u1", 252),
        ("v245.4-1.fc32", 245),
        ("\"v245\"", 245),
        ("", 0),
        ("x", 0),
    ] {
        assert_eq!(version_number(text), number, "{text}");
    }
}

#[test]
fn a_scope_is_started_with_what_runc_gives_it() {
    let unit = Unit {
        name: "nexcage-c1.scope".to_owned(),
        slice: "a.slice".to_owned(),
        container: "c1".to_owned(),
        properties: vec![("TimeoutStopSec".to_owned(), "5".to_owned())],
    };
    let texts = |unit: &Unit, layout| -> Vec<String> {
        start_properties(unit, layout, 42)
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    };
    let expected = [
        "Description=\"nexcage container c1\"",
        "Slice=\"a.slice\"",
        "Delegate=true",
        "PIDs=[uint32 42]",
        "MemoryAccounting=true",
        "CPUAccounting=true",
        "IOAccounting=true",
        "TasksAccounting=true",
        "DefaultDependencies=false",
        "TimeoutStopUSec=uint64 5000000",
    ];
    assert_eq!(texts(&unit, Layout::Unified), expected);
    assert!(texts(&unit, Layout::Hybrid).contains(&"BlockIOAccounting=true".to_owned()));
    let slice = Unit {
        name: "x.slice".to_owned(),
        ..unit
    };
    assert!(texts(&slice, Layout::Unified).contains(&"Wants=[\"a.slice\"]".to_owned()));
}
