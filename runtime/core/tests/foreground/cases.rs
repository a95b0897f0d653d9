//! What must hold.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nexcage_sys::pidfd::PidFd;
use nexcage_sys::pty::{WindowSize, write_window_size};

use crate::session::{Session, Streams, runtime_command};

pub(crate) const CASES: &[(&str, fn())] = &[
    ("no_output_is_lost_and_the_code_is_the_programs", no_output_is_lost),
    (
        "the_callers_terminal_is_raw_during_and_restored_after",
        terminal_is_restored,
    ),
    (
        "the_callers_terminal_is_restored_after_a_signal",
        terminal_is_restored_after_signal,
    ),
    ("typed_text_reaches_the_program", typed_text),
    ("control_c_is_the_containers_business", control_c),
    ("the_window_size_is_set_and_follows", window_size),
    ("signals_are_forwarded", signals_are_forwarded),
    ("a_killing_signal_gives_128_plus_n", killing_signal),
    ("an_empty_input_and_a_piped_output_work", streams_elsewhere),
    ("a_reader_that_goes_away_hangs_up", reader_goes_away),
    ("a_stalled_reader_does_not_stop_signals", stalled_reader),
    ("a_background_process_does_not_delay_the_end", background_process),
    ("without_a_terminal_the_error_says_so", no_terminal),
    ("plain_streams_are_inherited", plain_streams),
    ("signals_reach_a_program_without_terminal", plain_signals),
    ("an_ignored_sigchld_does_not_lose_the_code", ignored_sigchld),
    ("orphans_are_reaped_and_do_not_end_the_wait", orphans),
    ("many_quick_programs_never_lose_a_code", many_quick),
];

fn no_output_is_lost() {
    let mut session = Session::start("seq 1 30000; exit 7");
    assert_eq!(session.finish(), 7);
    let expected: String = (1..=30000).map(|number| format!("{number}\r\n")).collect();
    assert!(
        session.screen() == expected,
        "{} of {} bytes",
        session.screen().len(),
        expected.len()
    );
}

/// Settings of the caller's terminal as text.
fn modes(session: &Session) -> String {
    let output = Command::new("stty")
        .arg("-a")
        .stdin(session.pty.slave.try_clone().unwrap())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn terminal_is_restored() {
    let mut session = Session::start("read x; echo ready:$x; read y");
    session.type_in("a\n");
    session.wait_for("ready:a");
    let during = modes(&session);
    assert!(
        during.contains("-icanon") && during.contains("-isig") && during.contains("-echo "),
        "{during}"
    );
    session.type_in("b\n");
    assert_eq!(session.finish(), 0);
    let after = modes(&session);
    assert!(
        after.contains(" icanon") && after.contains("isig ") && !after.contains("-isig"),
        "{after}"
    );
    assert!(after.contains(" echo ") && !after.contains("-echo "), "{after}");
}

fn terminal_is_restored_after_signal() {
    let mut session = Session::start("echo ready; sleep 600");
    session.wait_for("ready");
    session.signal("HUP");
    assert_eq!(session.finish(), 129);
    assert!(!modes(&session).contains("-icanon"));
}

fn typed_text() {
    let mut session = Session::start("stty -echo; echo ready; read x; echo got:$x");
    session.wait_for("ready");
    session.type_in("two words\n");
    assert_eq!(session.finish(), 0);
    assert_eq!(session.screen(), "ready\r\ngot:two words\r\n");
}

fn control_c() {
    let mut session = Session::start("trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.05; done");
    session.wait_for("ready");
    session.type_in("\x03");
    assert_eq!(session.finish(), 4);
    assert!(session.screen().contains("caught"));
}

fn window_size() {
    let script = "trap 'stty size; exit 0' WINCH; stty size; while :; do sleep 0.05; done";
    let mut session = Session::start(script);
    session.wait_for("33 111");
    write_window_size(session.pty.master.as_fd(), WindowSize { rows: 20, columns: 60 }).unwrap();
    session.signal("WINCH");
    assert_eq!(session.finish(), 0);
    assert!(session.screen().contains("20 60"), "{:?}", session.screen());
}

fn signals_are_forwarded() {
    let script = "trap 'echo usr1' USR1; trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut session = Session::start(script);
    session.wait_for("ready");
    session.signal("URG");
    session.signal("USR1");
    session.wait_for("usr1");
    session.signal("TERM");
    assert_eq!(session.finish(), 5);
}

fn killing_signal() {
    let mut session = Session::start("echo ready; exec sleep 600");
    session.wait_for("ready");
    session.signal("TERM");
    assert_eq!(session.finish(), 143);
}

fn streams_elsewhere() {
    let mut session = Session::start_with("printf 'a\\nb\\n'; exit 3", Streams::ErrorOnly);
    let mut text = String::new();
    session.take_output().read_to_string(&mut text).unwrap();
    assert_eq!((session.finish(), text.as_str()), (3, "a\nb\n"));
}

fn reader_goes_away() {
    let mut session = Session::start_with("while :; do echo line; done", Streams::AllButOutput);
    let mut output = session.take_output();
    output.read_exact(&mut [0; 10]).unwrap();
    drop(output);
    assert_eq!(session.finish(), 129);
}

fn stalled_reader() {
    let mut session = Session::start_with("exec yes", Streams::AllButOutput);
    let mut output = session.take_output();
    output.read_exact(&mut [0; 2]).unwrap();
    let init = session.init();
    session.signal("TERM");
    assert!(
        init.poll_exit(Some(Duration::from_secs(60))).unwrap(),
        "the signal is not forwarded"
    );
    assert!(std::io::copy(&mut output, &mut std::io::sink()).unwrap() > 0);
    assert_eq!(session.finish(), 143);
}

fn background_process() {
    // Without the hangup at the end the process would hold the terminal for ten minutes.
    let mut session = Session::start("trap '' HUP; sleep 600 & echo pid:$!; exit 6");
    assert_eq!(session.finish(), 6);
    let screen = session.screen();
    let pid = screen.split("pid:").nth(1).unwrap().trim().parse().unwrap();
    PidFd::open(pid).unwrap().send_signal("KILL".parse().unwrap()).unwrap();
}

fn no_terminal() {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("setsid");
    command
        .args(["-w".as_ref(), program.as_os_str()])
        .args(["--runtime", "terminal", "true"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(99), "{error}");
    assert!(
        error.contains("/dev/tty") && error.contains("No such device or address"),
        "{error}"
    );
}

fn plain(script: &str) -> Output {
    runtime_command("plain", script).stdin(Stdio::null()).output().unwrap()
}

fn plain_streams() {
    let output = plain("readlink /proc/self/fd/0; echo err >&2; grep SigBlk /proc/self/status; exit 9");
    assert_eq!(output.status.code(), Some(9));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "/dev/null\nSigBlk:\t0000000000000000\n"
    );
    assert_eq!(output.stderr, b"err\n");
}

fn plain_signals() {
    let script = "trap 'exit 12' RTMIN+2 2>/dev/null || trap 'exit 12' 36; echo ready; while :; do sleep 0.05; done";
    let mut child = runtime_command("plain", script).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 5]).unwrap();
    let runtime = PidFd::open(i32::try_from(child.id()).unwrap()).unwrap();
    runtime.send_signal("RTMIN+2".parse().unwrap()).unwrap();
    let ended = runtime.poll_exit(Some(Duration::from_secs(60))).unwrap();
    if !ended {
        child.kill().unwrap();
    }
    assert_eq!((ended, child.wait().unwrap().code()), (true, Some(12)));
}

fn ignored_sigchld() {
    let program = std::env::current_exe().unwrap();
    let script = "trap '' CHLD; exec \"$0\" --runtime plain 'exit 11'";
    let status = Command::new("bash")
        .args(["-c".as_ref(), script.as_ref(), program.as_os_str()])
        .status()
        .unwrap();
    assert_eq!((status.code(), status.signal()), (Some(11), None));
}

fn orphans() {
    let script = "sh -c '(exit 77) & exit 0'
        count() { wc -w < /proc/$PPID/task/$PPID/children; }
        tries=0; while [ $(count) -gt 1 ] && [ $tries -lt 400 ]; do sleep 0.05; tries=$((tries + 1)); done
        cat /proc/$PPID/task/$PPID/children; exit 8";
    let output = plain(script);
    assert_eq!(output.status.code(), Some(8));
    let children = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        children.split_ascii_whitespace().count(),
        1,
        "only init is left: {children:?}"
    );
}

fn many_quick() {
    let deadline = Instant::now() + Duration::from_secs(60);
    for code in 1..=60 {
        assert!(Instant::now() < deadline, "too slow");
        assert_eq!(plain(&format!("true & exit {code}")).status.code(), Some(code));
    }
}
