use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use super::*;

/// Runs `script` with /bin/sh and a generous deadline that only a hang can reach.
#[track_caller]
fn run(script: &str, input: &[u8], prepare: impl FnOnce(&mut Program)) -> Finished {
    let mut program = shell(script);
    prepare(&mut program);
    let deadline = Instant::now() + Duration::from_secs(60);
    program.spawn().unwrap().finish(input, Some(deadline), 1000).unwrap()
}

fn shell(script: &str) -> Program {
    let mut program = Program::new(Path::new("/bin/sh"));
    program.argv(&["sh", "-c", script]);
    program
}

#[track_caller]
fn check_stderr(finished: &Finished, expected: &str) {
    assert_eq!(String::from_utf8_lossy(&finished.stderr_tail), expected);
    assert!(finished.status.success(), "{finished:?}");
}

#[test]
fn input_reaches_stdin_and_ends() {
    check_stderr(&run("cat >&2", b"hello", |_| {}), "hello");
}

#[test]
fn input_larger_than_a_pipe_is_fed_while_output_is_read() {
    let input = vec![b'x'; 300_000];
    let finished = run("tee /dev/stderr | wc -c >&2", &input, |_| {});
    assert!(finished.stderr_tail.ends_with(b"300000\n"), "{finished:?}");
    assert_eq!(finished.stderr_tail.len(), 1000);
}

#[test]
fn a_program_that_does_not_read_is_no_error() {
    check_stderr(&run("exec <&-; echo done >&2", &vec![b'x'; 300_000], |_| {}), "done\n");
}

#[test]
fn environment_is_exactly_what_was_asked_for() {
    // A shell adds names of its own, so its first environment is read from the kernel.
    let finished = run("tr '\\0' '\\n' </proc/$$/environ | sort >&2", b"", |program| {
        program.env(&["B=2", "A=1", "A=3", "bad", "=none"]);
    });
    check_stderr(&finished, "A=3\nB=2\n");
}

#[test]
fn first_argument_is_the_name_and_cwd_holds() {
    let finished = run("", b"", |program| {
        *program = Program::new(Path::new("/bin/sh"));
        program.argv(&[
            "my-name",
            "-c",
            "tr '\\0' ' ' </proc/$$/cmdline | cut -c 1-8 >&2; pwd >&2",
        ]);
        program.cwd(Path::new("/proc"));
    });
    check_stderr(&finished, "my-name \n/proc\n");
}

#[test]
fn no_descriptor_but_the_first_three_is_inherited() {
    let file = std::fs::File::open("/dev/null").unwrap();
    // dup clears close-on-exec.
    let leaky = nix::unistd::dup(file.as_raw_fd()).unwrap();
    // ls itself holds the folder it reads: one more than what was inherited.
    let finished = run("exec ls /proc/self/fd >&2", b"", |_| {});
    nix::unistd::close(leaky).unwrap();
    check_stderr(&finished, "0\n1\n2\n3\n");
}

#[test]
fn deadline_kills_the_whole_group() {
    let script = "sleep 1000 & echo $! >&2; wait";
    let deadline = Instant::now() + Duration::from_millis(300);
    let finished = shell(script)
        .spawn()
        .unwrap()
        .finish(b"", Some(deadline), 1000)
        .unwrap();
    assert!(finished.timed_out);
    assert_eq!(finished.status.signal(), Some(libc::SIGKILL));
    let pid: i32 = String::from_utf8(finished.stderr_tail).unwrap().trim().parse().unwrap();
    let limit = Instant::now() + Duration::from_secs(30);
    while is_alive(pid) {
        assert!(Instant::now() < limit, "process {pid} outlived its group");
        std::thread::yield_now();
    }
}

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn a_grandchild_that_holds_the_pipes_does_not_hold_us() {
    let finished = run("sleep 1000 & echo $! >&2; exit 3", b"", |_| {});
    assert_eq!(finished.status.code(), Some(3));
    assert!(!finished.timed_out);
    let pid: i32 = String::from_utf8(finished.stderr_tail).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[test]
fn a_program_that_cannot_start_says_why() {
    let error = Program::new(Path::new("/no/such/program")).spawn().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn dropping_a_running_program_kills_and_reaps_it() {
    let running = shell("exec sleep 1000").spawn().unwrap();
    let pid = running.pid().unwrap();
    drop(running);
    assert_eq!(nix::sys::signal::kill(pid, None), Err(Errno::ESRCH));
}

#[test]
fn the_slow_way_of_marking_descriptors_marks_them() {
    let mut program = shell("exec ls /proc/self/fd >&2");
    let file = std::fs::File::open("/dev/null").unwrap();
    let leaky = nix::unistd::dup(file.as_raw_fd()).unwrap();
    // SAFETY: the closure makes only system calls.
    unsafe { program.command.pre_exec(mark_one_by_one) };
    let finished = program.spawn().unwrap().finish(b"", None, 1000).unwrap();
    nix::unistd::close(leaky).unwrap();
    check_stderr(&finished, "0\n1\n2\n3\n");
}

#[test]
fn works_in_a_process_that_was_just_forked() {
    // SAFETY: the child only starts a program and leaves by _exit; it runs no destructor of the parent's.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            let mut program = shell("cat >/dev/null; exit 7");
            program.death_signal(Signal::SIGKILL);
            let finished = program.spawn().and_then(|running| running.finish(b"state", None, 10));
            let code = finished.ok().and_then(|finished| finished.status.code()).unwrap_or(99);
            // SAFETY: _exit takes an integer and does not return.
            unsafe { libc::_exit(code) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            let status = nix::sys::wait::waitpid(child, None).unwrap();
            assert_eq!(status, nix::sys::wait::WaitStatus::Exited(child, 7));
        }
    }
}
