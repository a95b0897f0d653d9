//! Kernel calls behind safe typed functions: the one fence of this workspace where `unsafe` is at home.
#![expect(
    unsafe_code,
    reason = "kernel calls that no crate wraps safely; every block says why it is sound"
)]

pub mod cgroupfs;
pub mod command;
pub mod dumpable;
pub mod fds;
pub mod file;
pub mod fork;
pub mod jail;
pub mod keyring;
pub mod launch;
pub mod lock;
pub mod mount;
pub mod namespace;
pub mod oom;
pub mod packet;
pub mod pidfd;
pub mod poll;
pub mod process;
pub mod procfs;
pub mod pty;
pub mod scm;
pub mod seal;
pub mod seccomp;
pub mod signals;
pub mod sockets;
pub mod subreaper;
pub mod unix_socket;
pub mod userns;
