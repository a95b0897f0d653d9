//! Attacks on the filter of system calls by bare kernel calls, each in a process of its own: without a filter, while
//! loading and while running.
//!
//! Without a filter the kernel must at least look at the call. Its arguments are such that nothing happens then.
#![expect(unsafe_code, reason = "the attacker uses bare kernel calls")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(clippy::print_stdout, reason = "this is a test runner: it prints")]

use std::arch::asm;
use std::io;
use std::process::ExitCode;

use nexcage_plugin_host::{Stage, Threads, restrict};
use nexcage_sys::fork::fork_child;
use nexcage_sys::pidfd::ExitStatus;

/// What became of an attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The kernel made the call.
    Made,
    /// The kernel answered with this error number.
    Refused(i32),
    /// A signal ended it.
    Killed(i32),
}

const SIGSYS: Seen = Seen::Killed(libc::SIGSYS);
const EPERM: Seen = Seen::Refused(libc::EPERM);

enum Attack {
    Call(i64, [i64; 6]),
    Int80,
}

/// Name, attack, and what must become of it while loading and while running.
type Case = (&'static str, Attack, [Seen; 2]);

const fn killed(name: &'static str, number: i64, arguments: [i64; 6]) -> Case {
    (name, Attack::Call(number, arguments), [SIGSYS, SIGSYS])
}

const fn refused(name: &'static str, number: i64, arguments: [i64; 6]) -> Case {
    (name, Attack::Call(number, arguments), [EPERM, EPERM])
}

const NONE: [i64; 6] = [0; 6];
/// No descriptor, address or operation of any call.
const BAD: [i64; 6] = [-1; 6];

const CASES: &[Case] = &[
    refused("socket tcp", libc::SYS_socket, [2, 1, 0, 0, 0, 0]),
    refused("socket udp", libc::SYS_socket, [2, 2, 0, 0, 0, 0]),
    refused("socket unix", libc::SYS_socket, [1, 1, 0, 0, 0, 0]),
    refused("socket netlink", libc::SYS_socket, [16, 3, 0, 0, 0, 0]),
    refused("socket raw", libc::SYS_socket, [2, 3, 1, 0, 0, 0]),
    refused("socketpair", libc::SYS_socketpair, [1, 1, 0, 0, 0, 0]),
    refused("fork", libc::SYS_fork, NONE),
    refused("clone of a process", libc::SYS_clone, [17, 0, 0, 0, 0, 0]),
    refused(
        "clone of a user namespace",
        libc::SYS_clone,
        [0x1000_0011, 0, 0, 0, 0, 0],
    ),
    (
        "clone3",
        Attack::Call(libc::SYS_clone3, NONE),
        [Seen::Refused(libc::ENOSYS), Seen::Refused(libc::ENOSYS)],
    ),
    refused("kill of all", libc::SYS_kill, [-1, 0, 0, 0, 0, 0]),
    refused("kill of init", libc::SYS_kill, [1, 0, 0, 0, 0, 0]),
    refused("getdents64", libc::SYS_getdents64, BAD),
    refused("ioctl", libc::SYS_ioctl, BAD),
    refused("setuid", libc::SYS_setuid, NONE),
    refused("dup", libc::SYS_dup, NONE),
    refused("set a limit", libc::SYS_prlimit64, [0, 7, -1, 0, 0, 0]),
    refused("undo dumpable", libc::SYS_prctl, [4, 1, 0, 0, 0, 0]),
    refused("seccomp listener", libc::SYS_seccomp, [1, 8, -1, 0, 0, 0]),
    refused("pidfd_open", libc::SYS_pidfd_open, [1, 0, 0, 0, 0, 0]),
    killed("execve", libc::SYS_execve, BAD),
    killed("execveat", libc::SYS_execveat, BAD),
    killed("memfd_create", libc::SYS_memfd_create, BAD),
    killed(
        "mmap writable and executable",
        libc::SYS_mmap,
        [0, 4096, 7, 0x22, -1, 0],
    ),
    killed("mmap anonymous code", libc::SYS_mmap, [0, 4096, 5, 0x22, -1, 0]),
    killed("mprotect to code", libc::SYS_mprotect, [0, 0, 5, 0, 0, 0]),
    killed("ptrace", libc::SYS_ptrace, BAD),
    killed("process_vm_readv", libc::SYS_process_vm_readv, BAD),
    killed("process_vm_writev", libc::SYS_process_vm_writev, BAD),
    killed("bpf", libc::SYS_bpf, BAD),
    killed("perf_event_open", libc::SYS_perf_event_open, BAD),
    killed("userfaultfd", libc::SYS_userfaultfd, BAD),
    killed("io_uring_setup", libc::SYS_io_uring_setup, BAD),
    killed("io_uring_enter", libc::SYS_io_uring_enter, BAD),
    killed("io_uring_register", libc::SYS_io_uring_register, BAD),
    killed("keyctl", libc::SYS_keyctl, BAD),
    killed("add_key", libc::SYS_add_key, BAD),
    killed("request_key", libc::SYS_request_key, BAD),
    killed("unshare", libc::SYS_unshare, NONE),
    killed("setns", libc::SYS_setns, BAD),
    killed("mount", libc::SYS_mount, BAD),
    killed("umount2", libc::SYS_umount2, BAD),
    killed("pivot_root", libc::SYS_pivot_root, BAD),
    killed("chroot", libc::SYS_chroot, BAD),
    killed("open_tree", libc::SYS_open_tree, BAD),
    killed("move_mount", libc::SYS_move_mount, BAD),
    killed("fsopen", libc::SYS_fsopen, BAD),
    killed("open_by_handle_at", libc::SYS_open_by_handle_at, BAD),
    killed("pidfd_getfd", libc::SYS_pidfd_getfd, BAD),
    killed("init_module", libc::SYS_init_module, BAD),
    killed("finit_module", libc::SYS_finit_module, BAD),
    killed("kexec_load", libc::SYS_kexec_load, BAD),
    (
        "mmap of a file as code",
        Attack::Call(libc::SYS_mmap, [0, 4096, 5, 2, -1, 0]),
        [Seen::Refused(libc::EBADF), SIGSYS],
    ),
    (
        "mmap of a stack",
        Attack::Call(libc::SYS_mmap, [0, 4096, 3, 0x122, -1, 0]),
        [EPERM, EPERM],
    ),
    (
        "mmap of shared memory",
        Attack::Call(libc::SYS_mmap, [0, 4096, 3, 0x21, -1, 0]),
        [EPERM, EPERM],
    ),
    (
        "openat",
        Attack::Call(libc::SYS_openat, [-1, -1, 0, 0, 0, 0]),
        [Seen::Refused(libc::EFAULT), EPERM],
    ),
    killed("x32 getpid", 0x4000_0000 | libc::SYS_getpid, NONE),
    ("int 0x80 getpid", Attack::Int80, [SIGSYS, SIGSYS]),
];

fn main() -> ExitCode {
    let (mut failed, mut unproven) = (0, 0);
    for (name, attack, expected) in CASES {
        let free = run(attack, &[]);
        let load = run(attack, &[Stage::Load]);
        let later = run(attack, &[Stage::Load, Stage::Run]);
        let held = [load, later] == *expected && (free != later || free == EPERM);
        unproven += usize::from(free == later);
        let note = match free {
            EPERM => "(this user may not do it without a filter either: nothing is proven)",
            Seen::Made => "",
            Seen::Refused(libc::ENOSYS) => "(this kernel lacks the call: only the filter's answer is proven)",
            _ => "(arguments that do no harm: only that the kernel looks at the call is proven)",
        };
        println!(
            "{} {name}: free {free:?}, loading {load:?}, running {later:?}, expected {expected:?} {note}",
            if held { "held" } else { "FAILED" }
        );
        failed += usize::from(!held);
    }
    println!(
        "{} attacks in 2 stages, {failed} not as expected, {unproven} prove nothing for this user",
        CASES.len()
    );
    ExitCode::from(u8::from(failed != 0))
}

fn run(attack: &Attack, stages: &[Stage]) -> Seen {
    let child = fork_child(None, || {
        for stage in stages {
            if restrict(*stage, Threads::All).is_err() {
                return 255;
            }
        }
        make(attack)
    })
    .unwrap();
    match child.pidfd.reap().unwrap() {
        ExitStatus::Exited(0) => Seen::Made,
        ExitStatus::Exited(errno) => Seen::Refused(errno),
        ExitStatus::Signaled(signal) => Seen::Killed(signal),
    }
}

/// Zero, or the error number.
fn make(attack: &Attack) -> i32 {
    match attack {
        Attack::Call(number, [a, b, c, d, e, f]) => {
            // SAFETY: the arguments of the table name no memory of this process but 4096 new bytes.
            let result = unsafe { libc::syscall(*number, *a, *b, *c, *d, *e, *f) };
            if result == -1 {
                io::Error::last_os_error().raw_os_error().unwrap_or(254)
            } else {
                0
            }
        }
        Attack::Int80 => {
            let result: i64;
            // SAFETY: call 20 of the i386 ABI is getpid, which touches no memory; r8 to r11 are named as lost.
            unsafe {
                asm!("int 0x80", inlateout("rax") 20_i64 => result, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
            }
            i32::from(result < 0)
        }
    }
}
