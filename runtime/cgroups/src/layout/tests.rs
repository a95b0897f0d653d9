use super::*;

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
42 31 0:39 / /sys/fs/cgroup/openrc rw,relatime - cgroup openrc rw,release_agent=/x,name=openrc
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
50 31 0:32 /a /var/lib/x\\040y/memory rw,relatime - cgroup cgroup rw,memory
";

#[track_caller]
fn check(mountinfo: &str, layout: Layout, v1: &[&str], v2: Option<&str>) {
    let mounts = Mounts::parse(mountinfo.as_bytes()).unwrap();
    assert_eq!(mounts.layout, layout);
    let names: Vec<String> = mounts.v1.iter().map(|mount| mount.controllers.join(",")).collect();
    assert_eq!(names, v1);
    assert_eq!(mounts.v2.as_ref().map(|mount| mount.point.to_str().unwrap()), v2);
}

#[test]
fn hybrid_has_v1_controllers_in_order_and_the_v2_half() {
    let names = ["cpuset", "devices", "memory", "cpu,cpuacct", "name=systemd"];
    check(HYBRID, Layout::Hybrid, &names, Some("/sys/fs/cgroup/unified"));
}

#[test]
fn without_the_v2_half_it_is_legacy() {
    let text: String = HYBRID
        .lines()
        .filter(|line| !line.contains("cgroup2"))
        .map(|line| format!("{line}\n"))
        .collect();
    check(
        &text,
        Layout::Legacy,
        &["cpuset", "devices", "memory", "cpu,cpuacct", "name=systemd"],
        None,
    );
}

#[test]
fn cgroup2_on_the_usual_place_is_unified_whatever_else_is_mounted() {
    let text = format!("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n{HYBRID}");
    check(&text, Layout::Unified, &[], Some("/sys/fs/cgroup"));
}

#[test]
fn a_cgroup2_mount_elsewhere_serves_when_there_is_no_other() {
    check(
        "30 23 0:26 / /mnt/cg rw - cgroup2 none rw\n",
        Layout::Unified,
        &[],
        Some("/mnt/cg"),
    );
}

#[test]
fn no_mount_at_all_is_an_error() {
    let error = Mounts::parse(b"1 1 0:1 / / rw - ext4 /dev/vda rw\n").unwrap_err();
    assert!(matches!(error, CgroupError::NoMounts), "{error}");
}

#[test]
fn a_copy_in_another_root_does_not_hide_the_usual_place() {
    let text = "50 31 0:32 /a /var/lib/x\\040y/memory rw - cgroup cgroup rw,memory\n\
                35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    let mounts = Mounts::parse(text.as_bytes()).unwrap();
    assert_eq!(mounts.v1[0].point, Path::new("/sys/fs/cgroup/memory"));
}

#[test]
fn escapes_in_mount_points_are_undone() {
    let mounts = Mounts::parse(b"1 1 0:1 /r\\134 /a\\040b\\011 rw - cgroup cgroup rw,memory\n").unwrap();
    assert_eq!(mounts.v1[0].point, Path::new("/a b\t"));
    assert_eq!(mounts.v1[0].root, Path::new("/r\\"));
}

#[track_caller]
fn check_own(cgroup: &str, controllers: &[&str], root: &str, expected: &str) {
    let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
    let mount = Mount {
        controllers,
        point: PathBuf::from("/x"),
        root: PathBuf::from(root),
    };
    assert_eq!(Own::parse(cgroup.as_bytes()).below(&mount), Path::new(expected));
}

#[test]
fn own_cgroup_is_taken_relative_to_the_mount_root() {
    let text = "9:name=systemd:/s\n4:memory:/docker/abc/in\n1:cpu,cpuacct:/c\n0::/user.slice/a:b\n";
    check_own(text, &["memory"], "/", "docker/abc/in");
    check_own(text, &["memory"], "/docker/abc", "in");
    check_own(text, &["memory"], "/docker/abc/in", "");
    check_own(text, &["memory"], "/elsewhere", "");
    check_own(text, &["cpu", "cpuacct"], "/", "c");
    check_own(text, &["name=systemd"], "/", "s");
    check_own(text, &[], "/", "user.slice/a:b");
    check_own("0::/../../other\n", &[], "/", "other");
    check_own(text, &["pids"], "/", "");
}

#[test]
fn relative_paths_cannot_leave_the_top() {
    for (path, clean) in [
        ("/../../../a", "a"),
        ("a/../../b", "b"),
        ("./a//b/.", "a/b"),
        ("/", ""),
        ("..", ""),
    ] {
        assert_eq!(relative(Path::new(path)), Path::new(clean), "{path}");
    }
}

#[test]
fn this_machine_has_a_layout() {
    match Layout::detect() {
        Ok(layout) => {
            let unified = std::fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok();
            assert_eq!(layout == Layout::Unified, unified);
        }
        Err(error) => println!("not run: {error}"),
    }
}
