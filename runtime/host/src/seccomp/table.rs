//! What plugin code may ask of the kernel: a row per decision, with its reason.

use libc as sys;

/// When a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// While the plugin is loaded.
    Load,
    /// Once its entry function has returned.
    Run,
    /// Always.
    Both,
}

/// What the kernel does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Makes it.
    Allow,
    /// Answers with this error number instead.
    Errno(u16),
    /// Ends the process.
    Kill,
}

/// `argument & mask == value`, over all 64 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition {
    pub(crate) argument: u8,
    pub(crate) mask: u64,
    pub(crate) value: u64,
}

/// A decision. The first row of a call whose conditions all hold counts.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) when: When,
    pub(crate) syscall: i64,
    pub(crate) conditions: &'static [Condition],
    pub(crate) action: Action,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for the reader; a test asks that each row has one")
    )]
    pub(crate) reason: &'static str,
}

/// The answer to what no row names.
pub(crate) const OTHERWISE: Action = Action::Errno(1);

const EPERM: Action = Action::Errno(1);
const ENOSYS: Action = Action::Errno(38);
const EXEC: u64 = 4;
const WRITE_EXEC: u64 = 2 | EXEC;
const ANONYMOUS: u64 = 0x20;
/// `MAP_GROWSDOWN`.
const GROWS_DOWN: u64 = 0x100;
/// `MAP_SHARED`, and a part of `MAP_SHARED_VALIDATE`.
const SHARED: u64 = 1;
/// `O_ACCMODE`, `O_CREAT`, `O_TRUNC`, `O_APPEND` and `O_TMPFILE` without its `O_DIRECTORY`.
const OPEN_TO_CHANGE: u64 = 0x40_0000 | 0o3 | 0o100 | 0o1000 | 0o2000;
/// `CLONE_VM`, `CLONE_SIGHAND`, `CLONE_THREAD`.
const THREAD: u64 = 0x100 | 0x800 | 0x1_0000;
/// All `CLONE_NEW*` flags, `CLONE_PTRACE`, `CLONE_VFORK` and `CLONE_PARENT`.
const NO_THREAD: u64 = 0x7e02_0000 | 0x80 | 0x2000 | 0x4000 | 0x8000;

const fn row(when: When, syscall: i64, action: Action, reason: &'static str) -> Row {
    only(when, syscall, &[], action, reason)
}

const fn only(when: When, syscall: i64, conditions: &'static [Condition], action: Action, reason: &'static str) -> Row {
    Row {
        when,
        syscall,
        conditions,
        action,
        reason,
    }
}

const fn masked(argument: u8, mask: u64, value: u64) -> Condition {
    Condition { argument, mask, value }
}

use Action::{Allow, Kill};
use When::{Both, Load, Run};

/// Both stages.
#[rustfmt::skip]
pub(crate) const TABLE: &[Row] = &[
    row(Both, sys::SYS_futex, Allow, "locks and waiting"),
    row(Both, sys::SYS_read, Allow, "the socket; a library's headers while loading"),
    row(Both, sys::SYS_write, Allow, "the socket"),
    row(Both, sys::SYS_recvmsg, Allow, "frames of the core, with descriptors"),
    row(Both, sys::SYS_sendmsg, Allow, "frames to the core"),
    row(Both, sys::SYS_poll, Allow, "waiting for the socket"),
    row(Both, sys::SYS_ppoll, Allow, "waiting for the socket"),
    row(Both, sys::SYS_close, Allow, "descriptors received"),
    row(Both, sys::SYS_fstat, Allow, "size of a received file or a library"),
    only(Both, sys::SYS_mmap, &[masked(2, WRITE_EXEC, WRITE_EXEC)], Kill, "no memory is written and run"),
    only(Both, sys::SYS_mmap, &[masked(2, EXEC, EXEC), masked(3, ANONYMOUS, ANONYMOUS)], Kill, "code comes from files"),
    only(Run, sys::SYS_mmap, &[masked(2, EXEC, EXEC)], Kill, "no code is added after loading"),
    only(Both, sys::SYS_mmap, &[masked(3, SHARED, SHARED)], EPERM, "shared memory escapes the limit of data"),
    only(Both, sys::SYS_mmap, &[masked(3, GROWS_DOWN, GROWS_DOWN)], EPERM, "what counts as a stack escapes it too"),
    row(Both, sys::SYS_mmap, Allow, "memory; libraries while loading"),
    only(Both, sys::SYS_mprotect, &[masked(2, EXEC, EXEC)], Kill, "no data becomes code"),
    row(Both, sys::SYS_mprotect, Allow, "thread stacks, growing heaps, relocated data made read-only"),
    row(Both, sys::SYS_munmap, Allow, "memory given back"),
    row(Both, sys::SYS_mremap, Allow, "realloc of large blocks"),
    row(Both, sys::SYS_brk, Allow, "malloc"),
    row(Both, sys::SYS_madvise, Allow, "stacks of ended threads"),
    row(Both, sys::SYS_getrandom, Allow, "hash seeds"),
    row(Both, sys::SYS_clock_gettime, Allow, "time where the vDSO cannot tell it"),
    row(Both, sys::SYS_clock_nanosleep, Allow, "sleeping"),
    row(Both, sys::SYS_nanosleep, Allow, "sleeping"),
    row(Both, sys::SYS_restart_syscall, Allow, "a sleep goes on after a stop"),
    row(Both, sys::SYS_sched_yield, Allow, "spinning locks"),
    row(Both, sys::SYS_getpid, Allow, "abort and logs"),
    row(Both, sys::SYS_gettid, Allow, "abort and logs"),
    only(Both, sys::SYS_tgkill, &[masked(2, 0xffff_ffff, 6)], Allow, "abort; the pid namespace holds only the plugin"),
    row(Both, sys::SYS_rt_sigprocmask, Allow, "starting and ending threads, abort"),
    row(Both, sys::SYS_rt_sigaction, Allow, "abort, handlers for stack overflow"),
    row(Both, sys::SYS_rt_sigreturn, Allow, "the end of a handler"),
    row(Both, sys::SYS_sigaltstack, Allow, "each Rust thread sets one"),
    row(Both, sys::SYS_set_robust_list, Allow, "each thread sets one"),
    row(Both, sys::SYS_rseq, Allow, "each thread registers"),
    row(Both, sys::SYS_sched_getaffinity, Allow, "a thread's stack size and place are read"),
    only(Both, sys::SYS_prlimit64, &[masked(2, u64::MAX, 0)], Allow, "limits are read, never set"),
    only(Both, sys::SYS_clone, &[masked(0, THREAD | NO_THREAD, THREAD)], Allow, "threads, no processes"),
    only(Both, sys::SYS_prctl, &[masked(0, 0xffff_ffff, 15)], Allow, "PR_SET_NAME: threads have names"),
    row(Both, sys::SYS_clone3, ENOSYS, "its flags cannot be seen; the C library then uses clone"),
    row(Both, sys::SYS_exit, Allow, "the end of a thread"),
    row(Both, sys::SYS_exit_group, Allow, "the end of the process"),

    only(Load, sys::SYS_openat, &[masked(2, OPEN_TO_CHANGE, 0)], Allow, "libraries, to read"),
    row(Load, sys::SYS_pread64, Allow, "a library's headers"),
    row(Load, sys::SYS_newfstatat, Allow, "whether a library is there"),
    row(Load, sys::SYS_access, Allow, "the loader looks for its preload file"),
    only(Load, sys::SYS_prctl, &[masked(0, 0xffff_ffff, 38)], Allow, "PR_SET_NO_NEW_PRIVS, set again by stage 2"),
    only(Load, sys::SYS_seccomp, &[masked(0, 0xffff_ffff, 1), masked(1, !1, 0)], Allow, "stage 2, by TSYNC for all threads; no listener"),

    row(Both, sys::SYS_socket, EPERM, "no network: the broker has it; libraries probe for it, so they live"),
    row(Both, sys::SYS_execve, Kill, "no programs: execute_command has them"),
    row(Both, sys::SYS_execveat, Kill, "no programs: execute_command has them"),
    row(Both, sys::SYS_memfd_create, Kill, "a file to run code from"),
    row(Both, sys::SYS_ptrace, Kill, "takes over processes"),
    row(Both, sys::SYS_process_vm_readv, Kill, "reads other processes"),
    row(Both, sys::SYS_process_vm_writev, Kill, "writes other processes"),
    row(Both, sys::SYS_bpf, Kill, "code in the kernel"),
    row(Both, sys::SYS_perf_event_open, Kill, "a large part of the kernel, often broken"),
    row(Both, sys::SYS_userfaultfd, Kill, "stops the kernel at chosen places"),
    row(Both, sys::SYS_io_uring_setup, Kill, "makes calls that no filter sees"),
    row(Both, sys::SYS_io_uring_enter, Kill, "makes calls that no filter sees"),
    row(Both, sys::SYS_io_uring_register, Kill, "makes calls that no filter sees"),
    row(Both, sys::SYS_add_key, Kill, "keyrings are not namespaced"),
    row(Both, sys::SYS_request_key, Kill, "keyrings are not namespaced"),
    row(Both, sys::SYS_keyctl, Kill, "keyrings are not namespaced"),
    row(Both, sys::SYS_unshare, Kill, "new namespaces give back Linux capabilities"),
    row(Both, sys::SYS_setns, Kill, "leaves the namespaces"),
    row(Both, sys::SYS_mount, Kill, "changes the root"),
    row(Both, sys::SYS_umount2, Kill, "uncovers what a mount hides"),
    row(Both, sys::SYS_pivot_root, Kill, "leaves the root"),
    row(Both, sys::SYS_chroot, Kill, "leaves the root"),
    row(Both, sys::SYS_open_tree, Kill, "changes the root"),
    row(Both, sys::SYS_move_mount, Kill, "changes the root"),
    row(Both, sys::SYS_fsopen, Kill, "changes the root"),
    row(Both, sys::SYS_open_by_handle_at, Kill, "opens files outside the root"),
    row(Both, sys::SYS_pidfd_getfd, Kill, "takes descriptors of other processes"),
    row(Both, sys::SYS_init_module, Kill, "code in the kernel"),
    row(Both, sys::SYS_finit_module, Kill, "code in the kernel"),
    row(Both, sys::SYS_kexec_load, Kill, "code in the kernel"),
];
