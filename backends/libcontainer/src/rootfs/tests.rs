use std::os::unix::fs::symlink;

use oci_spec::runtime::MountBuilder;

use super::*;

fn mount(destination: &str, typ: &str, source: &str) -> Mount {
    MountBuilder::default()
        .destination(destination)
        .typ(typ)
        .source(source)
        .build()
        .unwrap()
}

#[track_caller]
fn check_mount_on(destination: &str, typ: &str, source: &str, allowed: bool) {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("proc/sys")).unwrap();
    symlink("/proc", root.path().join("link")).unwrap();
    symlink("/nosuch", root.path().join("dangling")).unwrap();
    let checked = check_mount(&mount(destination, typ, source), root.path());
    assert_eq!(checked.is_ok(), allowed, "{checked:?}");
}

#[test]
fn only_procfs_can_be_mounted_on_proc() {
    check_mount_on("/proc", "proc", "proc", true);
    check_mount_on("/proc", "bind", "/proc", true);
    check_mount_on("/proc", "bind", "/proc/self", false);
    check_mount_on("/proc", "bind", "/tmp", false);
    check_mount_on("/proc/", "tmpfs", "tmpfs", false);
    check_mount_on("//x/../proc/.", "tmpfs", "tmpfs", false);
    check_mount_on("/link", "tmpfs", "tmpfs", false);
}

#[test]
fn nothing_but_known_files_can_be_mounted_inside_proc() {
    check_mount_on("/proc/cpuinfo", "bind", "/etc/passwd", true);
    check_mount_on("/proc/self", "bind", "/tmp", false);
    check_mount_on("/proc/sys/kernel", "tmpfs", "tmpfs", false);
    check_mount_on("/proc/sub", "proc", "proc", false);
    check_mount_on("/link/sys", "bind", "/tmp", false);
    check_mount_on("/link/uptime", "bind", "/etc/passwd", true);
}

#[test]
fn other_places_are_not_looked_at() {
    check_mount_on("/processes", "tmpfs", "tmpfs", true);
    check_mount_on("/dangling/x", "tmpfs", "tmpfs", true);
    check_mount_on("/nosuch/proc", "tmpfs", "tmpfs", true);
}

#[test]
fn a_device_on_a_volume_is_refused() {
    let mounts = [
        mount("/dev", "bind", "/dev"),
        mount("/dev/shm", "tmpfs", "shm"),
        mount("/dev/vol", "bind", "/tmp"),
        mount("/dev/file", "bind", "/tmp/x"),
    ];
    for (device, allowed) in [
        ("/dev/null", true),
        ("/dev/shm/x", true),
        ("/dev/vol/x", false),
        ("/dev/x/../vol/y", false),
        ("/dev/file", true),
    ] {
        assert_eq!(check_device(Path::new(device), &mounts).is_ok(), allowed, "{device}");
    }
}

#[test]
fn a_file_of_procfs_is_opened_there_and_nowhere_else() {
    use std::io::Write;
    // The name of this thread.
    let mut comm = open_proc("thread-self/comm").unwrap();
    comm.write_all(b"renamed").unwrap();
    assert_eq!(fs::read("/proc/thread-self/comm").unwrap(), b"renamed\n");
    assert!(open_proc("thread-self/root/dev/null").is_err(), "a magic link");
    assert!(open_proc("../dev/null").is_err(), "out of /proc");
}
