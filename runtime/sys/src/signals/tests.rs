use super::*;

#[track_caller]
fn check(text: &str, expected: Option<i32>) {
    assert_eq!(text.parse::<Signal>().ok().map(Signal::as_raw), expected, "{text:?}");
}

#[test]
fn names_and_numbers_are_read_as_runc_reads_them() {
    check("15", Some(15));
    check("TERM", Some(15));
    check("SIGTERM", Some(15));
    check("sigterm", Some(15));
    check("Kill", Some(9));
    check("0", Some(0));
    check("64", Some(64));
    check("CLD", Some(17));
    check("SIGPOLL", Some(29));
    check("SIGIOT", Some(6));
    check("STKFLT", Some(16));
}

#[test]
fn real_time_names_count_from_both_ends() {
    check("RTMIN", Some(34));
    check("SIGRTMIN+3", Some(37));
    check("rtmin+30", Some(64));
    check("RTMAX", Some(64));
    check("SIGRTMAX-30", Some(34));
    check("RTMIN+31", None);
    check("RTMAX-31", None);
    check("RTMIN-1", None);
    check("RTMAX+1", None);
    check("RTMIN+", None);
    check("RTMIN++1", None);
    check("RTMIN+99999999999", None);
}

#[test]
fn what_names_no_signal_is_refused() {
    for text in ["", "SIG", "65", "-1", "NOPE", "TERM ", "SIGSIGTERM", "9999999999999"] {
        check(text, None);
    }
    assert_eq!(
        "NOPE".parse::<Signal>().unwrap_err().to_string(),
        "unknown signal \"NOPE\""
    );
}

#[test]
fn every_printed_name_reads_back() {
    for number in 0..=RTMAX {
        let signal = Signal::from_raw(number).unwrap();
        assert_eq!(signal.to_string().parse(), Ok(signal));
    }
}

#[test]
fn a_set_holds_what_was_put_in() {
    let mut set = SignalSet::empty();
    set.insert(Signal::TERM);
    assert!(set.contains(Signal::TERM) && !set.contains(Signal::INT));
    set.remove(Signal::TERM);
    assert!(!set.contains(Signal::TERM));
    assert!(SignalSet::all().contains(Signal::from_raw(64).unwrap()));
}

#[test]
fn a_blocked_signal_to_this_thread_is_read_with_its_sender() {
    let mut set = SignalSet::empty();
    let usr1 = Signal::from_raw(40).unwrap();
    set.insert(usr1);
    let before = replace_mask(&set).unwrap();
    let fd = SignalFd::open(&set).unwrap();
    assert_eq!(fd.read_next().unwrap(), None);
    // SAFETY: raise only sends a signal, which this thread has blocked.
    assert_eq!(unsafe { libc::raise(usr1.as_raw()) }, 0);
    let arrived = fd.read_next().unwrap().unwrap();
    assert_eq!(
        arrived,
        Arrived {
            signal: usr1,
            sender: std::process::id(),
            from_process: true
        }
    );
    assert_eq!(fd.read_next().unwrap(), None);
    replace_mask(&before).unwrap();
}
