//! What can go wrong with control groups: one variant a step, each with what its reader needs to act.
use std::io;
use std::path::PathBuf;

/// Why a control group operation stopped.
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// A file of /proc about this process could not be read.
    #[error("read {file:?}")]
    ReadProc { file: &'static str, source: io::Error },
    /// /proc/self/mountinfo names no control group mount at all.
    #[error("find control group mounts: none in /proc/self/mountinfo (mount cgroup2 on /sys/fs/cgroup)")]
    NoMounts,
    /// On v1 device rules are a security boundary, so their controller must be there.
    #[error("find the devices controller: not mounted (mount it, e.g. on /sys/fs/cgroup/devices)")]
    NoDevices,
    /// `linux.cgroupsPath` does not have the form that the driver wants.
    #[error("parse linux.cgroupsPath {path:?}: {why}")]
    CgroupsPath { path: String, why: &'static str },
    /// A slice name that systemd would refuse.
    #[error("invalid slice name {slice:?}")]
    Slice { slice: String },
    /// An `org.systemd.property.*` annotation that is not a property.
    #[error("annotation {name:?}={value:?}: {why}")]
    Annotation { name: String, value: String, why: String },
    /// The systemd driver on a machine that systemd did not boot.
    #[error("systemd cgroup flag passed, but systemd support for managing cgroups is not available")]
    NoSystemd,
    /// `linux.resources.unified` on v1, in runc's words.
    #[error("invalid configuration: cannot use unified on cgroup v1")]
    UnifiedOnV1,
    /// A limit needs a controller that this machine or the caller's cgroup does not have.
    #[error("set {field}: controller {controller:?} is not available ({fix})")]
    NoController {
        field: String,
        controller: String,
        fix: &'static str,
    },
    /// A value that the kernel or the OCI spec refuses.
    #[error("set {field} to {value:?}: {why}")]
    BadLimit { field: String, value: String, why: String },
    /// A v1 controller's cgroup could be neither made nor joined, in runc's words.
    #[error("cannot set {controller} limit: container could not join or create cgroup")]
    NotOurs { controller: String },
    /// A rootless container asks for limits, but nobody delegated a cgroup to it; in runc's words.
    #[error(
        "rootless needs no limits + no cgrouppath when no permission is granted for cgroups: {path:?} (delegate a \
         cgroup to this user, or drop linux.resources and linux.cgroupsPath)"
    )]
    NotDelegated { path: PathBuf },
    /// The mount point that the record names.
    #[error("open control group mount {path:?}")]
    OpenMount { path: PathBuf, source: io::Error },
    /// What is mounted there is no control group file system; nothing has been written.
    #[error("open control group {path:?}: not on a control group file system")]
    NotCgroupfs { path: PathBuf },
    /// A cgroup directory.
    #[error("open control group {path:?}")]
    Open { path: PathBuf, source: io::Error },
    /// A cgroup directory could not be made.
    #[error("create control group {path:?}")]
    Create { path: PathBuf, source: io::Error },
    /// The cgroup holds processes of somebody else, in runc's words.
    #[error("container's cgroup is not empty: {count} process(es) found in {path:?}")]
    NotEmpty { path: PathBuf, count: usize },
    /// A process put there would stop at once, in runc's words.
    #[error("container's cgroup unexpectedly frozen: {path:?}")]
    Frozen { path: PathBuf },
    /// A v2 cgroup in threaded mode takes no memory, io or hugetlb limits.
    #[error("cannot enter cgroupv2 {path:?} with domain controllers -- it is in threaded mode")]
    Threaded { path: PathBuf },
    /// A cgroup file could not be read.
    #[error("read {path:?}")]
    Read { path: PathBuf, source: io::Error },
    /// A cgroup file did not take the value.
    #[error("write {value:?} to {path:?}")]
    Write {
        path: PathBuf,
        value: String,
        source: io::Error,
    },
    /// A cgroup file holds something that the kernel's documents do not describe.
    #[error("parse {text:?} in {path:?}")]
    Parse { path: PathBuf, text: String },
    /// A new memory limit is below what is in use; the kernel answered EBUSY.
    #[error("unable to set memory limit to {limit} (current usage: {usage}, peak usage: {peak})")]
    MemoryBusy { limit: i64, usage: u64, peak: u64 },
    /// `checkBeforeUpdate`: the limit would wake the OOM killer.
    #[error("rejecting {what} limit {limit} <= usage {usage}")]
    BelowUsage { what: &'static str, limit: i64, usage: u64 },
    /// The kernel clamped the shares, in runc's words.
    #[error("the {bound} allowed cpu-shares is {allowed}")]
    SharesClamped { bound: &'static str, allowed: u64 },
    /// A device rule that the v1 device controller would silently ignore.
    #[error("device rule {rule:?} {why}")]
    DeviceRule { rule: String, why: String },
    /// The device rules in force are not those that were asked for.
    #[error("resulting devices cgroup {path:?} doesn't match the rules asked for")]
    DevicesDiffer { path: PathBuf },
    /// The v2 device filter was not installed; the container must not start.
    #[error("install the device filter on {path:?}: {step}: {why}")]
    DeviceFilter {
        path: PathBuf,
        step: &'static str,
        why: String,
    },
    /// A sub-cgroup that leaves the container's cgroup.
    #[error("bad sub cgroup path: {path}")]
    SubPath { path: String },
    /// `exec --cgroup` that cannot be parsed, in runc's words.
    #[error("invalid --cgroup argument: {argument} ({why})")]
    SubArgument { argument: String, why: String },
    /// `exec --cgroup` names a controller without a hierarchy.
    #[error("unknown controller {controller} in SubCgroupPaths")]
    SubController { controller: String },
    /// A process could not be moved.
    #[error("error adding pid {pid} to cgroups: {path:?}")]
    Join { pid: i32, path: PathBuf, source: io::Error },
    /// A rootless caller could make no cgroup, so there is none to look into.
    #[error("cgroups not configured for container")]
    NotConfigured,
    /// The cgroups were never made, or there is no freezer.
    #[error("cannot toggle freezer: cgroups not configured for container")]
    NoFreezer,
    /// The freezer stayed in `FREEZING`; it has been thawed again.
    #[error("unable to freeze {path:?}")]
    Freeze { path: PathBuf },
    /// A process could not be signalled.
    #[error("signal {signal} to pid {pid}")]
    Signal { pid: i32, signal: i32, source: io::Error },
    /// A cgroup is still in use when the time is up.
    #[error("remove control group {path:?}")]
    Remove { path: PathBuf, source: io::Error },
    /// There is no memory controller to ask for OOM kills.
    #[error("watch for OOM: memory controller missing")]
    NoMemory,
    /// The OOM notice could not be asked for.
    #[error("watch for OOM on {path:?}: {step}")]
    Watch {
        path: PathBuf,
        step: &'static str,
        source: io::Error,
    },
    /// No way to systemd.
    #[error("connect to systemd at {address:?}")]
    BusConnect { address: String, source: io::Error },
    /// A message could not be exchanged with systemd.
    #[error("call systemd {member}: {why}")]
    Bus { member: &'static str, why: String },
    /// systemd answered with an error.
    #[error("unable to {member} unit {unit:?}: {name}: {text}")]
    Unit {
        member: &'static str,
        unit: String,
        name: String,
        text: String,
    },
    /// The driver's cgroup is made with a process in it, so `place` must come first.
    #[error("place a process in unit {unit:?} first")]
    NotPlaced { unit: String },
}
