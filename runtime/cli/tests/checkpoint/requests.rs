//! What the runtime asks of CRIU: every flag and every part of the config, seen by a stand-in.

use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use rust_criu::rust_criu_protobuf::rpc::{Criu_cg_mode, Criu_opts, Criu_req_type as Kind};
use serde_json::json;

use crate::common::{Fixture, eventually};
use crate::stand_in::{Order, StandIn};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("requests::a_plain_checkpoint", a_plain_checkpoint),
    ("requests::every_checkpoint_flag", every_checkpoint_flag),
    ("requests::cgroup_modes", cgroup_modes),
    ("requests::pre_dump_and_parent", pre_dump_and_parent),
    (
        "requests::lazy_pages_tell_the_status_descriptor",
        lazy_pages_tell_the_status_descriptor,
    ),
    (
        "requests::joined_namespaces_are_external",
        joined_namespaces_are_external,
    ),
    ("requests::a_plain_restore", a_plain_restore),
    ("requests::every_restore_flag", every_restore_flag),
    (
        "requests::a_foreground_restore_has_the_exit_code",
        a_foreground_restore_has_the_exit_code,
    ),
    ("requests::hooks_of_a_restore", hooks_of_a_restore),
    ("requests::the_configuration_file", the_configuration_file),
];

fn run(f: &Fixture, stand_in: &StandIn, args: &[&str], code: i32) -> crate::common::Said {
    let mut command = f.program();
    f.finish(stand_in.prepare(command.args(args))).check(code)
}

fn checkpoint(f: &Fixture, stand_in: &StandIn, flags: &[&str], id: &str) -> Criu_opts {
    run(f, stand_in, &[&["checkpoint"], flags, &[id]].concat(), 0);
    stand_in.request(Kind::DUMP).unwrap()
}

fn a_plain_checkpoint() {
    let mut f = Fixture::new(&["sleep", "1000"]);
    std::os::unix::fs::symlink("/tmp", f.bundle().join("rootfs/link")).unwrap();
    f.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "destination": "/link/bound/", "type": "bind", "source": ".", "options": ["rbind", "ro"] }));
    std::fs::create_dir(f.bundle().join("rootfs/tmp/bound")).unwrap();
    f.start("ckpt-plain");
    let init = f.pid("ckpt-plain");
    let stand_in = StandIn::new(&f, Order::Obey);
    let opts = checkpoint(&f, &stand_in, &[], "ckpt-plain");
    assert_eq!(i64::from(opts.pid()), init);
    assert_eq!(opts.root(), f.bundle().join("rootfs").to_str().unwrap());
    assert_eq!((opts.log_level(), opts.log_file()), (4, "dump.log"));
    assert!(opts.notify_scripts() && opts.orphan_pts_master() && opts.manage_cgroups());
    assert_eq!(opts.manage_cgroups_mode(), Criu_cg_mode::DEFAULT);
    // CLONE_NEWNET: network devices are never the runtime's.
    assert_eq!(opts.empty_ns(), 0x4000_0000);
    assert!(opts.freeze_cgroup().ends_with("ckpt-plain"), "{}", opts.freeze_cgroup());
    let off = [
        opts.leave_running(),
        opts.tcp_established(),
        opts.tcp_skip_in_flight(),
        opts.link_remap(),
        opts.ext_unix_sk(),
        opts.shell_job(),
        opts.file_locks(),
        opts.lazy_pages(),
        opts.auto_dedup(),
        opts.track_mem(),
        opts.has_parent_img(),
        opts.has_work_dir_fd(),
        opts.ps.is_some(),
    ];
    assert_eq!(off, [false; 13]);
    let external = |key: &str| opts.ext_mnt.iter().find(|map| map.key() == key).map(|map| map.val());
    assert_eq!(external("/tmp/bound"), Some("/tmp/bound"));
    let masked = f.config["linux"]["maskedPaths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p.as_str().unwrap());
    let files: Vec<&str> = masked.filter(|path| std::path::Path::new(path).is_file()).collect();
    assert!(!files.is_empty());
    for file in files {
        assert_eq!(external(file), Some("/dev/null"), "{file}");
    }
    assert_eq!(external("/dev/zero"), Some("/dev/zero"));
    // A masked directory is a tmpfs of the container's own.
    assert_eq!(external("/sys/firmware"), None);
    assert!(opts.external.is_empty(), "{:?}", opts.external);
    let stdio: Vec<String> =
        serde_json::from_slice(&std::fs::read(f.bundle().join("checkpoint/descriptors.json")).unwrap()).unwrap();
    assert_eq!((stdio.len(), stdio[0].as_str()), (3, "/dev/null"));
    f.check_nothing_left("ckpt-plain");
}

fn every_checkpoint_flag() {
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("ckpt-flags");
    let stand_in = StandIn::new(&f, Order::Obey);
    let (images, work) = (f.path("images"), f.path("work"));
    let flags = [
        "--image-path",
        images.to_str().unwrap(),
        "--work-path",
        work.to_str().unwrap(),
        "--leave-running",
        "--tcp-established",
        "--tcp-skip-in-flight",
        "--link-remap",
        "--ext-unix-sk",
        "--shell-job",
        "--file-locks",
        "--auto-dedup",
        "--page-server",
        "[::1]:27000",
        "--empty-ns",
        "network",
    ];
    let opts = checkpoint(&f, &stand_in, &flags, "ckpt-flags");
    let on = [
        opts.leave_running(),
        opts.tcp_established(),
        opts.tcp_skip_in_flight(),
        opts.link_remap(),
        opts.ext_unix_sk(),
        opts.shell_job(),
        opts.file_locks(),
        opts.auto_dedup(),
        opts.has_work_dir_fd(),
    ];
    assert_eq!(on, [true; 9]);
    assert_eq!((opts.ps.address(), opts.ps.port()), ("::1", 27000));
    assert_eq!(opts.empty_ns(), 0x4000_0000);
    assert_eq!(f.status("ckpt-flags"), "running");
    assert!(images.join("descriptors.json").is_file() && work.is_dir());
}

fn cgroup_modes() {
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("ckpt-modes");
    let stand_in = StandIn::new(&f, Order::Obey);
    for (word, mode) in [
        ("soft", Criu_cg_mode::SOFT),
        ("full", Criu_cg_mode::FULL),
        ("strict", Criu_cg_mode::STRICT),
        ("ignore", Criu_cg_mode::IGNORE),
    ] {
        let flags = ["--leave-running", "--manage-cgroups-mode", word];
        let opts = checkpoint(&f, &stand_in, &flags, "ckpt-modes");
        assert_eq!(opts.manage_cgroups_mode(), mode, "{word}");
    }
}

fn pre_dump_and_parent() {
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("ckpt-pre");
    let stand_in = StandIn::new(&f, Order::Obey);
    run(
        &f,
        &stand_in,
        &["checkpoint", "--pre-dump", "--image-path", "parent", "ckpt-pre"],
        0,
    );
    let opts = stand_in.request(Kind::PRE_DUMP).unwrap();
    assert!(opts.ext_mnt.is_empty() && !opts.has_parent_img());
    assert!(!f.bundle().join("parent/descriptors.json").exists());
    assert_eq!(f.status("ckpt-pre"), "running");
    let opts = checkpoint(
        &f,
        &stand_in,
        &[
            "--leave-running",
            "--image-path",
            "images",
            "--parent-path",
            "../parent",
        ],
        "ckpt-pre",
    );
    assert_eq!((opts.parent_img(), opts.track_mem()), ("../parent", true));
    for (bad, text) in [
        ("/parent", "--parent-path must be relative"),
        ("../no", "invalid --parent-path"),
    ] {
        run(&f, &stand_in, &["checkpoint", "--parent-path", bad, "ckpt-pre"], 1).check_err(text);
        assert!(stand_in.request(Kind::DUMP).is_none());
    }
    stand_in.order(Order::LackFeatures);
    run(&f, &stand_in, &["checkpoint", "--pre-dump", "ckpt-pre"], 1).check_err("mem_track");
    assert_eq!(f.status("ckpt-pre"), "running");
}

fn lazy_pages_tell_the_status_descriptor() {
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("ckpt-lazy");
    let stand_in = StandIn::new(&f, Order::Obey);
    let (mut reader, writer) = std::io::pipe().unwrap();
    nexcage_sys::fds::set_cloexec(writer.as_raw_fd(), false).unwrap();
    let number = writer.as_raw_fd().to_string();
    let flags = ["--leave-running", "--lazy-pages", "--status-fd", &number];
    let opts = checkpoint(&f, &stand_in, &flags, "ckpt-lazy");
    drop(writer);
    assert!(opts.lazy_pages() && !opts.has_status_fd());
    let mut told = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut told).unwrap();
    assert_eq!(told, [0]);
    let flags = ["checkpoint", "--lazy-pages", "--status-fd", "999", "ckpt-lazy"];
    run(&f, &stand_in, &flags, 1).check_err("invalid --status-fd argument 999");
    stand_in.order(Order::LackFeatures);
    run(&f, &stand_in, &["checkpoint", "--lazy-pages", "ckpt-lazy"], 1).check_err("lazy_pages");
}

/// A process with a network namespace of its own.
struct Namespace(std::process::Child);

impl Namespace {
    fn new() -> Self {
        let child = Command::new("unshare").args(["-n", "sleep", "1000"]).spawn().unwrap();
        let made = Self(child);
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        eventually("the namespace is there", || {
            std::fs::read_link(made.path()).is_ok_and(|link| link != own)
        });
        made
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn joined_namespaces_are_external() {
    let namespace = Namespace::new();
    let mut f = Fixture::new(&["sleep", "1000"]);
    for ns in f.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if ns["type"] == "network" {
            ns["path"] = json!(namespace.path());
        }
        if ns["type"] == "ipc" {
            ns["path"] = json!("/proc/self/ns/ipc");
        }
    }
    f.start("ckpt-netns");
    let stand_in = StandIn::new(&f, Order::Obey);
    let opts = checkpoint(&f, &stand_in, &[], "ckpt-netns");
    let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(namespace.path()).unwrap());
    assert_eq!(opts.external, [format!("net[{inode}]:extRootNetNS")]);
    run(&f, &stand_in, &["restore", "-d", "ckpt-netns"], 0);
    let opts = stand_in.request(Kind::RESTORE).unwrap();
    let inherited: Vec<_> = opts.inherit_fd.iter().filter(|i| i.key() == "extRootNetNS").collect();
    assert!(inherited.len() == 1 && inherited[0].fd() > 2, "{inherited:?}");
    let joined: Vec<_> = opts.join_ns.iter().map(|j| (j.ns(), j.ns_file())).collect();
    assert_eq!(joined, [("ipc", "/proc/self/ns/ipc")]);
}

fn a_plain_restore() {
    let mut f = Fixture::new(&["sleep", "1000"]);
    f.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "destination": "/new/point", "type": "bind", "source": "rootfs/etc", "options": ["bind"] }));
    f.start("ckpt-back");
    let stand_in = StandIn::new(&f, Order::Obey);
    checkpoint(&f, &stand_in, &[], "ckpt-back");
    std::fs::remove_dir_all(f.bundle().join("rootfs/new")).unwrap();
    std::fs::write(
        f.bundle().join("checkpoint/descriptors.json"),
        r#"["/dev/null","pipe:[7]","pipe:[8]"]"#,
    )
    .unwrap();
    let pid_file = f.path("pid");
    let args = ["restore", "-d", "--pid-file", pid_file.to_str().unwrap(), "ckpt-back"];
    run(&f, &stand_in, &args, 0);
    let opts = stand_in.request(Kind::RESTORE).unwrap();
    assert_eq!((opts.log_level(), opts.log_file()), (4, "restore.log"));
    assert!(opts.rst_sibling() && opts.evasive_devices() && opts.notify_scripts() && opts.orphan_pts_master());
    let pipes: Vec<_> = opts.inherit_fd.iter().map(|i| (i.key(), i.fd())).collect();
    assert_eq!(pipes, [("pipe:[7]", 1), ("pipe:[8]", 2)]);
    let external = |key: &str| opts.ext_mnt.iter().find(|map| map.key() == key).map(|map| map.val());
    let source = f.bundle().join("rootfs/etc");
    assert_eq!(external("/new/point"), source.to_str());
    assert_eq!(external("/dev/null"), Some("/dev/null"));
    assert!(f.bundle().join("rootfs/new/point").is_dir(), "mount point not made");
    let pid = f.pid("ckpt-back");
    assert_eq!(std::fs::read_to_string(pid_file).unwrap(), pid.to_string());
    assert_eq!(f.status("ckpt-back"), "running");
    // The worker was in the container's cgroup, and its root was a mount, which the node does not see.
    let cgroup = std::fs::read_to_string(f.path("stand-in/cgroup")).unwrap();
    assert!(cgroup.lines().all(|line| line.ends_with("ckpt-back")), "{cgroup}");
    assert_eq!(
        opts.cg_root.len(),
        cgroup.lines().map(|l| l.split(',').count()).sum::<usize>()
    );
    let rootfs = f.bundle().join("rootfs").display().to_string();
    let mounts = std::fs::read_to_string(f.path("stand-in/mountinfo")).unwrap();
    assert!(
        mounts.lines().any(|line| line.split(' ').nth(4) == Some(&rootfs)),
        "{mounts}"
    );
    f.nexcage(&["delete", "--force", "ckpt-back"]).check(0);
    f.check_nothing_left("ckpt-back");
}

fn every_restore_flag() {
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("ckpt-rflags");
    let stand_in = StandIn::new(&f, Order::Obey);
    checkpoint(&f, &stand_in, &["--image-path", "images"], "ckpt-rflags");
    let bundle = f.bundle();
    let flags = [
        "--criu",
        "/ignored",
        "restore",
        "--detach",
        "--bundle",
        bundle.to_str().unwrap(),
        "--image-path",
        "images",
        "--work-path",
        "work",
        "--tcp-established",
        "--tcp-close",
        "--ext-unix-sk",
        "--shell-job",
        "--file-locks",
        "--manage-cgroups-mode",
        "ignore",
        "--no-subreaper",
        "--no-pivot",
        "--empty-ns",
        "network",
        "--auto-dedup",
        "--lazy-pages",
        "--lsm-profile",
        "apparmor:x",
        "--lsm-mount-context",
        "ctx",
        "ckpt-rflags",
    ];
    run(&f, &stand_in, &flags, 0);
    let opts = stand_in.request(Kind::RESTORE).unwrap();
    let on = [
        opts.tcp_established(),
        opts.tcp_close(),
        opts.ext_unix_sk(),
        opts.shell_job(),
        opts.file_locks(),
        opts.auto_dedup(),
        opts.lazy_pages(),
        opts.has_work_dir_fd(),
    ];
    assert_eq!(on, [true; 8]);
    assert_eq!(opts.manage_cgroups_mode(), Criu_cg_mode::IGNORE);
    assert_eq!((opts.lsm_profile(), opts.lsm_mount_context()), ("apparmor:x", "ctx"));
    assert!(f.bundle().join("work").is_dir());
}

fn a_foreground_restore_has_the_exit_code() {
    let f = Fixture::new(&["sleep", "1000"]);
    f.start("ckpt-fg");
    let stand_in = StandIn::new(&f, Order::Obey);
    checkpoint(&f, &stand_in, &[], "ckpt-fg");
    let gate = f.path("gate");
    stand_in.restored_runs(&format!(
        "while [ ! -e {} ]; do sleep 0.02; done; exit 7",
        gate.display()
    ));
    let mut command = f.program();
    let mut restore = stand_in
        .prepare(command.args(["restore", "ckpt-fg"]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the container runs", || {
        f.nexcage(&["state", "ckpt-fg"]).out.contains("\"running\"")
    });
    std::fs::write(gate, "").unwrap();
    assert_eq!(restore.wait().unwrap().code(), Some(7));
    f.check_nothing_left("ckpt-fg");
}

fn hooks_of_a_restore() {
    let mut f = Fixture::new(&["sleep", "1000"]);
    let log = f.path("hooks");
    let hook = |name: &str| {
        let script = format!("echo {name} $(cat) >> {}", log.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }])
    };
    f.config["hooks"] = json!({});
    for name in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ] {
        if name != "startContainer" && name != "createContainer" {
            f.config["hooks"][name] = hook(name);
        }
    }
    f.start("ckpt-hooks");
    let stand_in = StandIn::new(&f, Order::Obey);
    checkpoint(&f, &stand_in, &[], "ckpt-hooks");
    let names = |text: &str| -> Vec<String> { text.lines().map(|l| l.split(' ').next().unwrap().to_owned()).collect() };
    let text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(names(&text), ["prestart", "createRuntime", "poststart", "poststop"]);
    std::fs::remove_file(&log).unwrap();
    run(&f, &stand_in, &["restore", "-d", "ckpt-hooks"], 0);
    let text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(names(&text), ["prestart", "createRuntime"]);
    let state: serde_json::Value =
        serde_json::from_str(text.lines().last().unwrap().split_once(' ').unwrap().1).unwrap();
    assert_eq!(state["pid"].as_i64().unwrap(), f.pid("ckpt-hooks"));
    assert_eq!(state["status"], "creating");
    assert_eq!(stand_in.heard().lines().last(), Some("post-restore true"));
}

fn the_configuration_file() {
    let mut f = Fixture::new(&["sleep", "1000"]);
    let stand_in = StandIn::new(&f, Order::Obey);
    for (id, annotation, expected) in [
        ("ckpt-conf1", None, "/etc/criu/runc.conf"),
        ("ckpt-conf2", Some("/etc/my.conf"), "/etc/my.conf"),
        ("ckpt-conf3", Some(""), ""),
    ] {
        f.config["annotations"] = annotation.map_or(json!({}), |value| json!({ "org.criu.config": value }));
        f.start(id);
        assert_eq!(checkpoint(&f, &stand_in, &[], id).config_file(), expected);
    }
}
