//! Children, signals and descriptors.

use std::io::{Read, pipe};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use nexcage_sys::fork::{PANICKED, fork_child};
use nexcage_sys::pidfd::{ExitStatus, reap_any};
use nexcage_sys::signals::{Signal, SignalFd, SignalSet, block_all, restore_for_child};
use nexcage_sys::{fds, subreaper};

pub(crate) fn fork_returns_the_code() -> Result<(), String> {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            println!("dropped in {}", std::process::id());
        }
    }
    let loud = Loud;
    let parent = std::process::id();
    let child = fork_child(None, || if std::process::id() == parent { 1 } else { 42 }).unwrap();
    assert_eq!(child.pidfd.reap().unwrap(), ExitStatus::Exited(42));
    std::mem::forget(loud);
    Ok(())
}

pub(crate) fn fork_catches_a_panic() -> Result<(), String> {
    let child = fork_child(None, || panic!("on purpose")).unwrap();
    let expected = if cfg!(panic = "unwind") {
        ExitStatus::Exited(PANICKED)
    } else {
        ExitStatus::Signaled(6)
    };
    assert_eq!(child.pidfd.reap().unwrap(), expected);
    Ok(())
}

pub(crate) fn fork_into_cgroup() -> Result<(), String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let Some(root) = mounts
        .lines()
        .find(|line| line.contains(" - cgroup2 "))
        .and_then(|line| line.split(' ').nth(4))
    else {
        return Err("no cgroup2 is mounted".into());
    };
    let name = format!("nexcage-sys-test-{}", std::process::id());
    let folder = std::path::Path::new(root).join(&name);
    if let Err(error) = std::fs::create_dir(&folder) {
        return Err(format!("create {folder:?}: {error}"));
    }
    let handle = std::fs::File::open(&folder).unwrap();
    let ending = format!("/{name}");
    let child = fork_child(Some(handle.as_fd()), || {
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        i32::from(
            !text
                .lines()
                .any(|line| line.starts_with("0::") && line.ends_with(&ending)),
        )
    });
    let status = child.map(|child| child.pidfd.reap());
    std::fs::remove_dir(&folder).unwrap();
    assert_eq!(status.unwrap().unwrap(), ExitStatus::Exited(0));
    Ok(())
}

pub(crate) fn orphans_are_reaped() -> Result<(), String> {
    subreaper::set_subreaper(true).unwrap();
    let child = fork_child(None, || {
        fork_child(None, || 9).unwrap();
        3
    })
    .unwrap();
    let mut seen = Vec::new();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while seen.len() < 2 {
        assert!(std::time::Instant::now() < deadline, "only {seen:?} were reaped");
        seen.extend(
            reap_any()
                .unwrap()
                .map(|(pid, status)| (pid == child.pid, status.code())),
        );
        std::thread::yield_now();
    }
    seen.sort_unstable();
    assert_eq!(seen, [(false, 9), (true, 3)]);
    assert_eq!(reap_any().unwrap(), None);
    Ok(())
}

pub(crate) fn mask_and_sigpipe() -> Result<(), String> {
    let before = block_all().unwrap();
    let (mut read, write) = pipe().unwrap();
    let child = fork_child(None, || {
        restore_for_child(&before).unwrap();
        let error = Command::new("cat")
            .arg("/proc/self/status")
            .stdout(write.try_clone().unwrap())
            .exec();
        panic!("exec cat: {error}");
    })
    .unwrap();
    drop(write);
    let mut status = String::new();
    read.read_to_string(&mut status).unwrap();
    child.pidfd.reap().unwrap();
    let field = |name: &str| {
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .expect("a status field");
        u64::from_str_radix(line.split_ascii_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    assert_eq!(field("SigBlk:"), 0);
    assert_eq!(field("SigIgn:") & (1 << (libc::SIGPIPE - 1)), 0);
    Ok(())
}

pub(crate) fn no_lost_signal() -> Result<(), String> {
    block_all().unwrap();
    let fd = SignalFd::open(&SignalSet::all()).unwrap();
    let me = nexcage_sys::pidfd::PidFd::open(i32::try_from(std::process::id()).unwrap()).unwrap();
    for name in ["TERM", "HUP", "USR1", "WINCH", "URG", "TSTP", "PIPE", "RTMIN+5"] {
        let signal: Signal = name.parse().unwrap();
        me.send_signal(signal).unwrap();
        let arrived = fd.read_next().unwrap().expect("the signal is pending");
        assert_eq!((arrived.signal, arrived.from_process), (signal, true));
    }
    let child = fork_child(None, || 0).unwrap();
    child.pidfd.poll_exit(None).unwrap();
    assert_eq!(fd.read_next().unwrap().expect("SIGCHLD").signal, Signal::CHLD);
    Ok(())
}

pub(crate) fn stdio_is_filled() -> Result<(), String> {
    let child = fork_child(None, || {
        for number in [0, 2] {
            // SAFETY: nothing in this child uses these descriptors before they are opened again.
            assert_eq!(unsafe { libc::close(number) }, 0);
        }
        fds::fill_stdio().unwrap();
        let is_null = |number: i32| {
            std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|link| link.as_os_str() == "/dev/null")
        };
        i32::from(!(is_null(0) && is_null(2) && fds::list_open().unwrap() == [0, 1, 2]))
    })
    .unwrap();
    assert_eq!(child.pidfd.reap().unwrap(), ExitStatus::Exited(0));
    Ok(())
}

pub(crate) fn cloexec_except() -> Result<(), String> {
    let files: Vec<_> = (0..4).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    let numbers: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
    numbers
        .iter()
        .for_each(|number| fds::set_cloexec(*number, false).unwrap());
    let [first, _, third, _] = *numbers.as_slice() else {
        panic!("four files")
    };
    fds::set_cloexec_from_except(3, &[third, 1, first]).unwrap();
    let state: Vec<bool> = files
        .iter()
        .map(|file| fds::is_cloexec(file.as_fd()).unwrap())
        .collect();
    assert_eq!(state, [false, true, false, true]);
    fds::set_cloexec_from(3).unwrap();
    assert!(files.iter().all(|file| fds::is_cloexec(file.as_fd()).unwrap()));
    Ok(())
}
