use super::*;
use crate::Cgroup;

const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
const V1: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
35 31 0:32 /box /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
const OWN: &str = "4:memory:/box/in\n3:devices:/d\n1:cpu:/\n0::/user.slice/session-1.scope\n";

fn plan(mountinfo: &str, path: &str, driver: Driver, rootless: bool) -> Result<Cgroup, CgroupError> {
    let annotations = HashMap::new();
    let naming = Naming {
        id: "c1",
        cgroups_path: Some(path),
        driver,
        rootless,
        annotations: &annotations,
    };
    let mounts = Mounts::parse(mountinfo.as_bytes()).unwrap();
    let manager = if rootless {
        "/user.slice/user-7.slice/user@7.service"
    } else {
        ""
    };
    Cgroup::plan_on(&naming, &mounts, &Own::parse(OWN.as_bytes()), Path::new(manager))
}

#[track_caller]
fn check(mountinfo: &str, path: &str, controller: &str, expected: &str) {
    let cgroup = plan(mountinfo, path, Driver::Cgroupfs, false).unwrap();
    assert_eq!(cgroup.path_of(controller).unwrap(), Path::new(expected));
}

#[test]
fn absolute_paths_are_below_the_mount_point() {
    check(V1, "/a/b", "cpu", "/sys/fs/cgroup/cpu/a/b");
    check(V1, "/a/b", "memory", "/sys/fs/cgroup/memory/a/b");
    check(V1, "/a/b", "", "/sys/fs/cgroup/unified/a/b");
    check(V2, "/a/b", "memory", "/sys/fs/cgroup/a/b");
    check(V2, "/../../etc", "", "/sys/fs/cgroup/etc");
}

#[test]
fn without_a_path_it_is_the_id_below_the_callers_own_cgroup() {
    check(V1, "", "cpu", "/sys/fs/cgroup/cpu/c1");
    check(V1, "", "memory", "/sys/fs/cgroup/memory/in/c1");
    check(V1, "", "devices", "/sys/fs/cgroup/devices/d/c1");
    check(V1, "", "", "/sys/fs/cgroup/unified/c1");
    check(V2, "", "", "/sys/fs/cgroup/user.slice/c1");
}

#[test]
fn relative_paths_are_below_the_callers_own_cgroup() {
    check(V1, "p/q", "memory", "/sys/fs/cgroup/memory/in/p/q");
    check(V1, "../../p", "memory", "/sys/fs/cgroup/memory/in/p");
    check(V2, "p/q", "", "/sys/fs/cgroup/user.slice/p/q");
}

#[test]
fn a_missing_controller_has_no_path() {
    let cgroup = plan(V1, "/a", Driver::Cgroupfs, false).unwrap();
    assert_eq!(cgroup.path_of("pids"), None);
    assert_eq!(
        cgroup.paths().keys().map(String::as_str).collect::<Vec<_>>(),
        ["", "cpu", "devices", "memory"]
    );
}

#[test]
fn v1_without_devices_is_refused() {
    let text: String = V1
        .lines()
        .filter(|line| !line.contains("devices"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(matches!(
        plan(&text, "/a", Driver::Cgroupfs, false),
        Err(CgroupError::NoDevices)
    ));
}

#[track_caller]
fn check_unit(path: &str, rootless: bool, name: &str, slice: &str, full: &str) {
    let cgroup = plan(V2, path, Driver::Systemd, rootless).unwrap();
    let unit = cgroup.unit.as_ref().unwrap();
    assert_eq!((unit.name.as_str(), unit.slice.as_str()), (name, slice));
    assert_eq!(cgroup.path_of("").unwrap(), Path::new(full));
}

#[test]
fn systemd_units_are_named_as_runc_names_them() {
    check_unit(
        "",
        false,
        "nexcage-c1.scope",
        "system.slice",
        "/sys/fs/cgroup/system.slice/nexcage-c1.scope",
    );
    check_unit(
        "a-b.slice:docker:x",
        false,
        "docker-x.scope",
        "a-b.slice",
        "/sys/fs/cgroup/a.slice/a-b.slice/docker-x.scope",
    );
    check_unit(
        ":p:n",
        false,
        "p-n.scope",
        "system.slice",
        "/sys/fs/cgroup/system.slice/p-n.scope",
    );
    check_unit("-.slice:p:n", false, "p-n.scope", "-.slice", "/sys/fs/cgroup/p-n.scope");
    check_unit(
        "a.slice:p:n.slice",
        false,
        "n.slice",
        "a.slice",
        "/sys/fs/cgroup/a.slice/n.slice",
    );
    let user = "/sys/fs/cgroup/user.slice/user-7.slice/user@7.service/user.slice/nexcage-c1.scope";
    check_unit("", true, "nexcage-c1.scope", "user.slice", user);
}

#[test]
fn systemd_paths_of_another_form_are_refused() {
    for path in [
        "/a/b",
        "a:b",
        "a:b:c:d",
        "x.slice:p:",
        "x.slice:p:a/b",
        "x.slice:../p:a",
    ] {
        let error = plan(V2, path, Driver::Systemd, false).unwrap_err();
        assert!(
            matches!(error, CgroupError::CgroupsPath { .. } | CgroupError::Slice { .. }),
            "{path}: {error}"
        );
    }
}

#[test]
fn slices_nest_at_dashes() {
    for (slice, path) in [
        ("a.slice", "a.slice"),
        ("a-b-c.slice", "a.slice/a-b.slice/a-b-c.slice"),
        ("-.slice", ""),
    ] {
        assert_eq!(expand_slice(slice).unwrap(), Path::new(path), "{slice}");
    }
    for slice in [
        "",
        ".slice",
        "a",
        "a.scope",
        "-a.slice",
        "a-.slice",
        "a--b.slice",
        "a/b.slice",
        "..-a.slice",
    ] {
        assert!(expand_slice(slice).is_err(), "{slice}");
    }
}

#[test]
fn property_annotations_are_collected_and_checked() {
    let names = |pairs: &[(&str, &str)]| {
        let annotations: HashMap<String, String> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let naming = Naming {
            id: "c1",
            cgroups_path: None,
            driver: Driver::Systemd,
            rootless: false,
            annotations: &annotations,
        };
        unit(&naming).map(|unit| unit.properties)
    };
    let good = names(&[("org.systemd.property.TimeoutStopUSec", "uint64 5"), ("other", "x")]).unwrap();
    assert_eq!(good, [("TimeoutStopUSec".to_owned(), "uint64 5".to_owned())]);
    for bad in [
        "org.systemd.property.ab",
        "org.systemd.property.",
        "org.systemd.property.Foo1",
        "org.systemd.property.Bär",
    ] {
        assert!(
            matches!(names(&[(bad, "1")]), Err(CgroupError::Annotation { .. })),
            "{bad}"
        );
    }
}

#[test]
fn the_record_survives_its_own_text() {
    for driver in [Driver::Cgroupfs, Driver::Systemd] {
        let cgroup = plan(V1, if driver == Driver::Cgroupfs { "/a" } else { "" }, driver, false).unwrap();
        let text = serde_json::to_string(&cgroup).unwrap();
        assert_eq!(serde_json::from_str::<Cgroup>(&text).unwrap(), cgroup);
    }
}
