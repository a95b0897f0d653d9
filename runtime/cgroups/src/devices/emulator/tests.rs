use super::*;

/// Builds an emulator from `+rule` and `-rule` lines.
fn build(lines: &[&str]) -> Result<Emulator, CgroupError> {
    let mut emulator = Emulator::deny_all();
    for line in lines {
        emulator.apply(line.starts_with('+'), Rule::parse(&line[1..])?)?;
    }
    Ok(emulator)
}

/// The writes from one set of rules to another, as `+rule` and `-rule`.
#[track_caller]
fn check(from: &[&str], to: &[&str], writes: &[&str]) {
    let (from, to) = (build(from).unwrap(), build(to).unwrap());
    let found: Vec<String> = from
        .transition(&to)
        .iter()
        .map(|(allow, rule)| format!("{}{rule}", if *allow { '+' } else { '-' }))
        .collect();
    assert_eq!(found, writes);
    // The writes do lead there.
    let mut there = from;
    for (allow, rule) in there.clone().transition(&to) {
        there.apply(allow, rule).unwrap();
    }
    assert_eq!(there, to);
}

#[test]
fn a_new_cgroup_is_closed_and_then_opened_where_asked() {
    check(
        &["+a *:* rwm"],
        &["+c 1:3 rwm", "+b *:* m"],
        &["-a *:* rwm", "+b *:* m", "+c 1:3 rwm"],
    );
}

#[test]
fn rules_that_are_there_are_not_written_again() {
    check(&["+c 1:3 rwm"], &["+c 1:3 rwm"], &[]);
    check(&["+c 1:3 rw"], &["+c 1:3 rwm", "+c 1:5 r"], &["+c 1:3 m", "+c 1:5 r"]);
    check(&["+c 1:3 rwm", "+c 1:5 r"], &["+c 1:3 r"], &["-c 1:3 wm", "-c 1:5 r"]);
}

#[test]
fn allowing_all_forgets_what_was_before() {
    check(&["+c 1:3 rwm"], &["+c 1:3 r", "+a *:* rwm"], &["+a *:* rwm"]);
    check(
        &["+a *:* rwm"],
        &["+a *:* rwm", "-c 1:3 r"],
        &["+a *:* rwm", "-c 1:3 r"],
    );
    assert!(build(&["+a *:* rwm", "-c 1:3 r", "+c 1:3 r"]).unwrap().allows_all());
}

#[test]
fn a_rule_can_be_taken_back_but_no_hole_punched() {
    assert_eq!(build(&["+c 1:3 rwm", "-c 1:3 rwm"]).unwrap(), Emulator::deny_all());
    assert_eq!(build(&["-c 1:3 rwm"]).unwrap(), Emulator::deny_all());
    for wide in ["+c *:* rw", "+c 1:* r", "+c *:3 w"] {
        let error = build(&[wide, "-c 1:3 rw"]).unwrap_err();
        assert!(error.to_string().contains("punch a hole"), "{error}");
    }
    assert!(build(&["+c *:* m", "-c 1:3 rw"]).is_ok());
    assert!(build(&["+c 1:* r", "-c 1:* r"]).is_ok());
}

#[test]
fn rules_survive_their_own_text() {
    for line in ["a *:* rwm", "c 1:3 rwm", "b *:7 r", "c 136:* wm"] {
        assert_eq!(Rule::parse(line).unwrap().to_string(), line);
    }
    for line in [
        "",
        "c",
        "c 1:3",
        "c 1:3 ",
        "c 1:3 x",
        "u 1:3 r",
        "c -1:3 r",
        "c 4294967296:0 r",
    ] {
        assert!(Rule::parse(line).is_err(), "{line:?}");
    }
}

#[test]
fn oci_rules_are_read_and_checked() {
    let read = |json: serde_json::Value| {
        let rule: LinuxDeviceCgroup = serde_json::from_value(json).unwrap();
        Rule::from_oci(&rule)
            .map(|rule| rule.to_string())
            .map_err(|error| error.to_string())
    };
    use serde_json::json;
    assert_eq!(read(json!({"allow": true, "access": "rwm"})).unwrap(), "a *:* rwm");
    assert_eq!(
        read(json!({"allow": true, "type": "c", "major": 1, "minor": -1, "access": "mr"})).unwrap(),
        "c 1:* rm"
    );
    assert!(read(json!({"allow": true, "type": "u", "access": "r"})).is_err());
    assert!(read(json!({"allow": true, "type": "c", "access": ""})).is_err());
    assert!(read(json!({"allow": true, "type": "c", "major": -2, "access": "r"})).is_err());
    assert!(read(json!({"allow": true, "type": "c", "major": 4_294_967_296_i64, "access": "r"})).is_err());
}
