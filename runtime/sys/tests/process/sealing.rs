//! The program that runs here stands for the runtime; it is copied first, so that an exploit that works hurts nobody.

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nexcage_sys::fork::fork_child;
use nexcage_sys::pidfd::ExitStatus;
use nexcage_sys::seal::{SealError, ensure_sealed, read_protection};

/// A copy of this program in a folder of its own, removed at the end.
struct Victim {
    folder: PathBuf,
    program: PathBuf,
}

impl Victim {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("nexcage-seal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join("nexcage");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        Self { folder, program }
    }

    fn run(&self, wrapper: &[&str], role: &str) -> Output {
        let program = self.program.to_str().unwrap();
        let mut words: Vec<&str> = wrapper.to_vec();
        words.push(program);
        let role = format!("--role={role}");
        let (first, rest) = words.split_first().unwrap();
        Command::new(first)
            .args(rest)
            .arg(role)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// What the copied program does.
pub(crate) fn play(role: &str, args: &[String]) -> i32 {
    match role {
        "report" => report(args, None),
        "again" => report(args, Some("report")),
        "namespaces" => in_namespaces(args),
        "exploit" => exploit(args, true),
        "exploit-unsealed" => exploit(args, false),
        "attack" => play_attacker(args, true),
        "attack-unsealed" => play_attacker(args, false),
        "unsealed" => unsealed(),
        "refuse" => i32::from(!matches!(ensure_sealed(args), Err(SealError::Unprotected { .. }))),
        _ => 2,
    }
}

/// Seals, prints one line about itself, and starts itself again in another role if asked.
fn report(args: &[String], next: Option<&str>) -> i32 {
    // The pid stays when the program starts again: a second new start would show in the counter's file.
    let sealed = ensure_sealed(args).unwrap();
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    let cmdline = std::fs::read("/proc/self/cmdline").unwrap();
    let argv0 = PathBuf::from(String::from_utf8_lossy(cmdline.split(|byte| *byte == 0).next().unwrap()).into_owned());
    let open = nexcage_sys::fds::list_open().unwrap();
    println!(
        "{sealed:?} {} {} {open:?}",
        comm.trim(),
        argv0.file_name().unwrap().to_string_lossy()
    );
    let Some(next) = next else { return 0 };
    let status = Command::new("/proc/self/exe")
        .arg(format!("--role={next}"))
        .status()
        .unwrap();
    status.code().unwrap_or(1)
}

#[track_caller]
fn check_report(output: &Output, expected: &[&str]) {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lines, expected);
}

fn is_privileged() -> Result<(), String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    let has = u64::from_str_radix(line, 16).unwrap() & (1 << 21) != 0;
    if has {
        Ok(())
    } else {
        Err("CAP_SYS_ADMIN is needed".into())
    }
}

pub(crate) fn clone_is_used() -> Result<(), String> {
    is_privileged()?;
    check_report(
        &Victim::new().run(&[], "report"),
        &["ReadOnlyClone nexcage nexcage [0, 1, 2]"],
    );
    Ok(())
}

pub(crate) fn memfd_is_used() -> Result<(), String> {
    is_privileged()?;
    let victim = Victim::new();
    let dropped = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"];
    check_report(
        &victim.run(&dropped, "again"),
        &[
            "SealedMemfd nexcage nexcage [0, 1, 2]",
            "SealedMemfd nexcage exe [0, 1, 2]",
        ],
    );
    Ok(())
}

pub(crate) fn starts_itself_again() -> Result<(), String> {
    is_privileged()?;
    check_report(
        &Victim::new().run(&[], "again"),
        &[
            "ReadOnlyClone nexcage nexcage [0, 1, 2]",
            "ReadOnlyClone nexcage exe [0, 1, 2]",
        ],
    );
    Ok(())
}

fn in_namespaces(args: &[String]) -> i32 {
    let sealed = ensure_sealed(args).unwrap();
    let child = fork_child(None, || {
        let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID;
        // SAFETY: unshare takes flags only; this child has one thread.
        assert_eq!(unsafe { libc::unshare(flags) }, 0);
        let status = Command::new("/proc/self/exe").arg("--role=report").status().unwrap();
        status.code().unwrap_or(1)
    });
    assert_eq!(child.unwrap().pidfd.reap().unwrap(), ExitStatus::Exited(0));
    println!("{sealed:?}");
    0
}

pub(crate) fn starts_itself_in_namespaces() -> Result<(), String> {
    is_privileged()?;
    check_report(
        &Victim::new().run(&[], "namespaces"),
        &["ReadOnlyClone nexcage exe [0, 1, 2]", "ReadOnlyClone"],
    );
    Ok(())
}

/// The runtime starts a program that is chrooted with all its rights, as a container would be; that one attacks.
fn exploit(args: &[String], sealed: bool) -> i32 {
    if sealed {
        ensure_sealed(args).unwrap();
    }
    let root = std::env::current_dir().unwrap().join("root");
    let runtime = std::process::id().to_string();
    let (mut attacked, tell) = std::io::pipe().unwrap();
    let child = fork_child(None, || {
        enter_root(&root);
        nexcage_sys::fds::set_cloexec(tell.as_raw_fd(), false).unwrap();
        // A program of its own: as a copy of the runtime it would keep the runtime's file busy, and so unwritable.
        let role = if sealed {
            "--role=attack"
        } else {
            "--role=attack-unsealed"
        };
        let error = Command::new("/attacker")
            .args([role, &runtime, &tell.as_raw_fd().to_string()])
            .exec();
        panic!("exec the attacker: {error}");
    });
    drop(tell);
    // The child goes on when this process has ended; only its output tells the test how it went.
    std::mem::forget(child.unwrap());
    attacked.read_exact(&mut [0]).unwrap();
    0
}

fn play_attacker(args: &[String], sealed: bool) -> i32 {
    let [_, _, runtime, tell] = args else { return 2 };
    let program = format!("/proc/{runtime}/exe");
    if sealed {
        attack(&program, &[libc::EROFS, libc::ETXTBSY]);
    }
    // Held beyond the runtime's end, as the published exploit does.
    let held = open_raw(&program, libc::O_PATH).expect("look at the program");
    let waiter = nexcage_sys::pidfd::PidFd::open(runtime.parse().unwrap()).unwrap();
    println!("attacked");
    std::fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/self/fd/{tell}"))
        .unwrap()
        .write_all(b"x")
        .unwrap();
    waiter.poll_exit(None).unwrap();
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    if sealed {
        attack(&path, &[libc::EROFS]);
        println!("attacked afterwards");
    } else {
        open_raw(&path, libc::O_WRONLY).unwrap().write_all(b"owned").unwrap();
        println!("written afterwards");
    }
    0
}

fn enter_root(root: &Path) {
    // SAFETY: unshare takes flags only; this child has one thread.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
    let (none, proc) = (CString::new("none").unwrap(), CString::new("proc").unwrap());
    let at = CString::new(root.join("proc").to_str().unwrap()).unwrap();
    let slash = CString::new("/").unwrap();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: all texts are NUL-terminated and outlive the call; the data pointer may be null.
    let made = unsafe {
        libc::mount(
            none.as_ptr(),
            slash.as_ptr(),
            std::ptr::null(),
            private,
            std::ptr::null(),
        )
    };
    assert_eq!(made, 0);
    // SAFETY: as above.
    let mounted = unsafe { libc::mount(proc.as_ptr(), at.as_ptr(), proc.as_ptr(), 0, std::ptr::null()) };
    assert_eq!(mounted, 0);
    std::os::unix::fs::chroot(root).unwrap();
    std::env::set_current_dir("/").unwrap();
}

/// Every way to write that is known; each must fail.
fn attack(path: &str, answers: &[i32]) {
    for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_WRONLY | libc::O_TRUNC] {
        let error = open_raw(path, flags).expect_err("the program could be opened for writing");
        assert!(
            error.raw_os_error().is_some_and(|number| answers.contains(&number)),
            "{error}"
        );
    }
    let text = CString::new(path).unwrap();
    let (fs, slash) = (std::ptr::null(), CString::new("none").unwrap());
    let remount = libc::MS_REMOUNT | libc::MS_BIND;
    // SAFETY: the texts are NUL-terminated and outlive the call; type and data may be null for a remount.
    let result = unsafe { libc::mount(slash.as_ptr(), text.as_ptr(), fs, remount, std::ptr::null()) };
    assert_ne!(result, 0, "the program's mount could be made writable");
    // SAFETY: the text is NUL-terminated and outlives the call.
    let clone = unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            libc::AT_FDCWD,
            text.as_ptr(),
            libc::OPEN_TREE_CLONE,
        )
    };
    assert!(clone < 0, "the program's mount could be cloned");
    // SAFETY: as above.
    let truncated = unsafe { libc::truncate(text.as_ptr(), 0) };
    assert_ne!(truncated, 0, "the program could be truncated");
    // SAFETY: as above.
    let changed = unsafe { libc::chmod(text.as_ptr(), 0o666) };
    assert_ne!(changed, 0, "the program's mode could be changed");
}

fn open_raw(path: &str, flags: i32) -> std::io::Result<std::fs::File> {
    let text = CString::new(path).unwrap();
    // SAFETY: the text is NUL-terminated and outlives the call.
    let fd = unsafe { libc::open(text.as_ptr(), flags | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor; nothing else owns it.
    Ok(unsafe { std::fs::File::from_raw_fd(fd) })
}

pub(crate) fn exploit_fails() -> Result<(), String> {
    is_privileged()?;
    let (lines, changed) = run_exploit("exploit");
    assert_eq!(lines, "attacked\nattacked afterwards\n");
    assert!(!changed, "the program was changed");
    Ok(())
}

/// Shows that the attack is a real one.
pub(crate) fn exploit_succeeds_without_sealing() -> Result<(), String> {
    is_privileged()?;
    let (lines, changed) = run_exploit("exploit-unsealed");
    assert_eq!(lines, "attacked\nwritten afterwards\n");
    assert!(changed, "the program was not changed");
    Ok(())
}

fn run_exploit(role: &str) -> (String, bool) {
    let victim = Victim::new();
    std::fs::create_dir_all(victim.folder.join("root/proc")).unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), victim.folder.join("root/attacker")).unwrap();
    let before = std::fs::read(&victim.program).unwrap();
    let mut command = Command::new(&victim.program);
    command
        .arg(format!("--role={role}"))
        .current_dir(&victim.folder)
        .stdin(Stdio::null());
    // The output ends when the attacker has ended, since it holds the pipe.
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let changed = std::fs::read(&victim.program).unwrap() != before;
    (String::from_utf8(output.stdout).unwrap(), changed)
}

/// Runs the program from a memory file that anybody can change, under the name that ours has.
fn unsealed() -> i32 {
    let name = CString::new("nexcage").unwrap();
    // SAFETY: the name is NUL-terminated and outlives the call.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: the kernel has just made this descriptor; nothing else owns it.
    let mut copy = unsafe { std::fs::File::from_raw_fd(fd) };
    std::io::copy(&mut std::fs::File::open("/proc/self/exe").unwrap(), &mut copy).unwrap();
    let readable = std::fs::File::open(format!("/proc/self/fd/{}", copy.as_raw_fd())).unwrap();
    drop(copy);
    let path = format!("/proc/self/fd/{}", readable.as_raw_fd());
    panic!("exec: {}", Command::new(path).arg("--role=refuse").exec());
}

pub(crate) fn unsealed_memfd_is_refused() -> Result<(), String> {
    assert_eq!(read_protection().unwrap(), None);
    let output = Victim::new().run(&[], "unsealed");
    assert!(output.status.success(), "{output:?}");
    Ok(())
}
