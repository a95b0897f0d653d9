use super::*;

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

#[track_caller]
fn check(comm: &str) {
    let line = format!("42 ({comm}) S 7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2\n");
    let stat = parse_stat(line.as_bytes()).unwrap();
    assert_eq!(
        stat.identity,
        ProcessIdentity {
            pid: 42,
            start_time: 98765
        }
    );
    assert_eq!(
        (stat.comm.as_str(), stat.state, stat.ppid, stat.pgrp, stat.session),
        (comm, 'S', 7, 8, 9)
    );
}

#[test]
fn a_command_name_with_any_byte_does_not_shift_the_fields() {
    check("sh");
    check("a b c");
    check(") R 1 1 1 (x");
    check("((()))");
    check("new\nline");
    check("");
}

#[test]
fn a_short_line_names_the_missing_field() {
    assert_eq!(parse_stat(b"1 (x) S 2 3 4").unwrap_err(), "start time");
    assert_eq!(parse_stat(b"1 (x)").unwrap_err(), "state");
    assert_eq!(parse_stat(b"").unwrap_err(), "command name");
    assert_eq!(parse_stat(b")(").unwrap_err(), "pid");
}

#[test]
fn this_process_is_alive_and_an_older_namesake_is_not() {
    let identity = read_identity(own_pid()).unwrap().unwrap();
    assert!(is_alive(identity).unwrap());
    let older = ProcessIdentity {
        start_time: identity.start_time.wrapping_sub(1),
        ..identity
    };
    assert!(!is_alive(older).unwrap());
}

#[test]
fn a_pid_that_cannot_exist_is_no_process() {
    let identity = ProcessIdentity {
        pid: i32::MAX,
        start_time: 1,
    };
    assert!(!is_alive(identity).unwrap());
    assert_eq!(read_ppid(i32::MAX).unwrap(), None);
    assert_eq!(read_children(i32::MAX).unwrap(), Vec::<i32>::new());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test needs a plain child")]
fn a_zombie_is_listed_as_a_child_and_not_alive() {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let identity = read_identity(pid).unwrap().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while is_alive(identity).unwrap() {
        assert!(std::time::Instant::now() < deadline, "the child does not end");
        std::thread::yield_now();
    }
    assert!(read_children(own_pid()).unwrap().contains(&pid));
    assert_eq!(read_ppid(pid).unwrap(), Some(own_pid()));
    child.wait().unwrap();
}
