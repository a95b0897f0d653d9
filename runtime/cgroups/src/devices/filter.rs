//! The v2 device filter: a BPF program on the cgroup that the kernel asks for every device access.
//!
//! Owns the attaching. The program itself is built by libcgroups.
use std::fmt::Display;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use libcgroups::v2::devices::bpf::{BpfError, prog};
use libcgroups::v2::devices::program::Program;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::emulator::{Emulator, Kind, Rule};
use crate::dir::Dir;
use crate::error::CgroupError;

/// Licence of the program as the kernel wants it: a C string.
const LICENSE: &str = "Apache\0";

/// Puts a filter on a cgroup and takes off those that were on it.
///
/// * `cgroup`: absolute path of the cgroup.
/// * `target`: the rules.
///
/// # Errors
///
/// [`CgroupError::DeviceFilter`]; then the old filters are still there.
///
/// Kernel: cgroup-v2.rst, Device controller.
pub(super) fn install(cgroup: &Path, target: &Emulator) -> Result<(), CgroupError> {
    let fail = |step, why: &dyn Display| CgroupError::DeviceFilter {
        path: cgroup.to_owned(),
        step,
        why: why.to_string(),
    };
    let rules: Vec<LinuxDeviceCgroup> = target.exceptions().filter_map(|rule| to_oci(target, rule)).collect();
    let program = Program::from_rules(&rules, target.allows_by_default()).map_err(|e| fail("build program", &e))?;
    Dir::open_mount(cgroup)?;
    let dir = File::open(cgroup).map_err(|error| fail("open", &error))?;
    let loaded = load(program.bytecodes()).map_err(|error| fail("load program", &error))?;
    let installed = replace(loaded, dir.as_raw_fd());
    close(loaded);
    installed.map_err(|error| fail("attach program", &error))
}

/// Attaches a program, then detaches those that were there: an access must pass all of them, so nothing is open meanwhile.
fn replace(program: RawFd, dir: RawFd) -> Result<(), BpfError> {
    let old = prog::query(dir)?;
    let mut done = prog::attach(program, dir);
    for known in old {
        if done.is_ok() {
            done = prog::detach2(known.fd, dir);
        }
        close(known.fd);
    }
    done
}

/// Loads a program. Kernels before 5.11 count it against RLIMIT_MEMLOCK, which is then raised for the moment.
fn load(code: &[u8]) -> Result<RawFd, BpfError> {
    prog::load(LICENSE, code).or_else(|first| {
        let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_MEMLOCK) else {
            return Err(first);
        };
        if setrlimit(Resource::RLIMIT_MEMLOCK, u64::MAX, u64::MAX).is_err() {
            return Err(first);
        }
        let second = prog::load(LICENSE, code);
        if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, soft, hard) {
            tracing::warn!(%error, "RLIMIT_MEMLOCK left raised");
        }
        second
    })
}

/// Closes a descriptor that libcgroups left open.
fn close(fd: RawFd) {
    if let Err(error) = nix::unistd::close(fd) {
        tracing::debug!(fd, %error, "BPF program descriptor not closed");
    }
}

/// An exception in the form that libcgroups takes.
fn to_oci(target: &Emulator, rule: Rule) -> Option<LinuxDeviceCgroup> {
    let Rule::Some(devices, access) = rule else { return None };
    let mut oci = LinuxDeviceCgroup::default();
    oci.set_allow(!target.allows_by_default())
        .set_typ(Some(if devices.kind == Kind::Block {
            LinuxDeviceType::B
        } else {
            LinuxDeviceType::C
        }))
        .set_major(devices.major.map(i64::from))
        .set_minor(devices.minor.map(i64::from))
        .set_access(Some(access.to_string()));
    Some(oci)
}
