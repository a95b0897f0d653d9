//! What the runtime and its built-in backend support, whatever the kernel it runs on.

/// OCI hooks that are run.
pub(super) const HOOKS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

/// Namespaces a container can be given.
pub(super) const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

/// Mount options that are understood rather than handed to the filesystem.
pub(super) const MOUNT_OPTIONS: &[&str] = &[
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "slave",
    "strictatime",
    "suid",
    "sync",
    "unbindable",
];

/// Whether `linux.resources.rdma` is applied.
pub(super) const RDMA: bool = false;
/// Whether `process.apparmorProfile` is applied.
pub(super) const APPARMOR: bool = true;
/// Whether `process.selinuxLabel` is applied: the backend sets labels on mounts only.
pub(super) const SELINUX: bool = false;

/// `linux.memoryPolicy.mode`.
pub(super) const MEMORY_POLICY_MODES: [&str; 7] = [
    "MPOL_DEFAULT",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_WEIGHTED_INTERLEAVE",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_LOCAL",
];
/// `linux.memoryPolicy.flags`.
pub(super) const MEMORY_POLICY_FLAGS: [&str; 3] =
    ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

/// Annotations of a config that change what the runtime does to the node.
pub(super) const UNSAFE_ANNOTATIONS: [&str; 2] = ["org.systemd.property.", "org.criu.config"];

/// Linux capabilities in the order of their numbers, as in `linux/capability.h`.
const LINUX_CAPS: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Names the Linux capabilities that both this program and the kernel know; all of ours when the kernel cannot be asked.
pub(super) fn linux_caps() -> Vec<&'static str> {
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok();
    let last = last.and_then(|text| text.trim().parse::<usize>().ok());
    known_caps(last)
}

fn known_caps(last: Option<usize>) -> Vec<&'static str> {
    LINUX_CAPS
        .into_iter()
        .take(last.map_or(LINUX_CAPS.len(), |last| last.saturating_add(1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use libcontainer::syscall::linux::{MountOption, MountRecursive};
    use oci_spec::runtime::{Capability, MemoryPolicyFlagType, MemoryPolicyModeType};

    use super::*;

    #[test]
    fn backend_understands_every_mount_option_listed() {
        for &option in MOUNT_OPTIONS {
            let is_known = MountOption::from_str(option).is_ok()
                || MountRecursive::from_str(option).is_ok()
                || ["idmap", "ridmap"].contains(&option);
            assert!(is_known, "{option}");
        }
        for option in MountOption::known_options() {
            assert!(MOUNT_OPTIONS.contains(&option.as_str()), "{option} is missing");
        }
        assert!(MOUNT_OPTIONS.is_sorted());
    }

    #[test]
    fn capabilities_follow_the_kernel() {
        assert_eq!(known_caps(Some(5)).last(), Some(&"CAP_KILL"));
        assert_eq!(known_caps(Some(99)).len(), 41);
        assert_eq!(known_caps(None).len(), 41);
        for (number, name) in [
            (12, "CAP_NET_ADMIN"),
            (21, "CAP_SYS_ADMIN"),
            (31, "CAP_SETFCAP"),
            (39, "CAP_BPF"),
        ] {
            assert_eq!(LINUX_CAPS[number], name);
        }
        for name in LINUX_CAPS {
            serde_json::from_value::<Capability>(name.into()).unwrap();
        }
    }

    #[test]
    fn memory_policies_are_the_specifications() {
        for mode in MEMORY_POLICY_MODES {
            serde_json::from_value::<MemoryPolicyModeType>(mode.into()).unwrap();
        }
        for flag in MEMORY_POLICY_FLAGS {
            serde_json::from_value::<MemoryPolicyFlagType>(flag.into()).unwrap();
        }
    }
}
