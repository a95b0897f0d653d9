//! What the guest is made of: packages, files laid over them, and units that a test guest does without.

/// Packages of the guest, besides Debian's minimal base.
pub(super) const PACKAGES: [&str; 18] = [
    "busybox-static",
    "catatonit",
    "crun",
    "dbus",
    "dbus-user-session",
    "fuse-overlayfs",
    "iproute2",
    "iptables",
    "kmod",
    "libpam-systemd",
    // Provides container-network-stack, which podman needs: debootstrap does not follow virtual packages.
    "netavark",
    "podman",
    "procps",
    "runc",
    "slirp4netns",
    "systemd",
    "systemd-sysv",
    "uidmap",
];

/// What no guest needs; a third of the tree.
pub(super) const TRIM: [&str; 8] = [
    "debootstrap",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log/bootstrap.log",
];

/// A file of the guest: path, mode, text.
pub(super) type File = (&'static str, u32, &'static str);

/// Files that the guest gets over those of its packages.
pub(super) const FILES: [File; 11] = [
    ("usr/lib/nexcage/init", 0o755, include_str!("../../../guest/init.sh")),
    (
        "usr/lib/nexcage/command",
        0o755,
        include_str!("../../../guest/command.sh"),
    ),
    (
        "usr/lib/nexcage/finish",
        0o755,
        include_str!("../../../guest/finish.sh"),
    ),
    ("usr/local/bin/as-dev", 0o755, include_str!("../../../guest/as-dev.sh")),
    (
        "etc/systemd/system/nexcage-command.service",
        0o644,
        include_str!("../../../guest/nexcage-command.service"),
    ),
    (
        "etc/systemd/system/nexcage-vm.target",
        0o644,
        include_str!("../../../guest/nexcage-vm.target"),
    ),
    (
        "etc/systemd/system/user@.service.d/delegate.conf",
        0o644,
        "[Service]\nDelegate=cpu cpuset io memory pids\n",
    ),
    // Without an id systemd takes every boot for the first one.
    ("etc/machine-id", 0o444, "6e65786361676520766d206775657374\n"),
    ("etc/hostname", 0o644, "nexcage-vm\n"),
    // logind starts the user manager of dev at boot.
    ("var/lib/systemd/linger/dev", 0o644, ""),
    (
        "etc/containers/policy.json",
        0o644,
        "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}\n",
    ),
];

/// Lines added to files of the packages.
pub(super) const LINES: [(&str, &str); 5] = [
    ("etc/passwd", "dev:x:1000:1000:Rootless tests:/home/dev:/bin/sh\n"),
    ("etc/group", "dev:x:1000:\n"),
    ("etc/shadow", "dev:*:19000:0:99999:7:::\n"),
    ("etc/subuid", "dev:100000:65536\n"),
    ("etc/subgid", "dev:100000:65536\n"),
];

/// Mount points that no package brings.
pub(super) const DIRS: [&str; 2] = ["usr/lib/modules", "home/dev"];

/// Links replaced. The kernel of User-Mode Linux is built without nftables' address families.
pub(super) const LINKS: [(&str, &str); 2] = [
    ("etc/alternatives/iptables", "/usr/sbin/iptables-legacy"),
    ("etc/alternatives/ip6tables", "/usr/sbin/ip6tables-legacy"),
];

/// Units that cost boot time and give a test nothing: devices, terminals, first boot, timers.
pub(super) const MASKED: [&str; 48] = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "cryptsetup.target",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "integritysetup.target",
    "kmod-static-nodes.service",
    "ldconfig.service",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "podman-auto-update.timer",
    "podman-restart.service",
    "podman.socket",
    "proc-sys-fs-binfmt_misc.automount",
    "remote-fs.target",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-fsck-root.service",
    "systemd-initctl.socket",
    "systemd-journal-catalog-update.service",
    "systemd-journal-flush.service",
    "systemd-journald-audit.socket",
    "systemd-machine-id-commit.service",
    "systemd-modules-load.service",
    "systemd-random-seed.service",
    "systemd-remount-fs.service",
    "systemd-sysusers.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-update-utmp.service",
    "veritysetup.target",
];
