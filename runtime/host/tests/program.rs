//! The program itself, with shared objects made by a C compiler in it.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test: a compiler may inherit what it has, and what surprises fails it"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nexcage_plugin_types::frame::{Method, PROTOCOL};
use nexcage_plugin_types::manifest::ResourceRequirements;
use nexcage_plugin_types::message::{Hello, LogLevel, LogLine, Metric};
use nexcage_plugin_types::sandbox::{Mechanism, Report, Strength};
use nexcage_plugin_types::session::Limits;
use nexcage_plugins::connection::{Answer, Effects};
use nexcage_plugins::process::{Confinement, HostProcess, Privileges, Start, StartError};
use nexcage_sys::process::effective_uid;

const AMPLE: Duration = Duration::from_secs(60);

struct Deaf;

impl Effects for Deaf {
    fn log(&mut self, line: LogLine) {
        panic!("log: {}", line.message);
    }

    fn metric(&mut self, metric: Metric) {
        panic!("metric: {}", metric.name);
    }

    fn broker(&mut self, method: u32, _body: &[u8], _deadline: Instant) -> Answer {
        panic!("broker call {method}");
    }
}

fn build(folder: &Path, flags: &[&str]) -> PathBuf {
    let object = folder.join("echo.nexcage-plugin");
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I"])
        .arg(base.join("../../plugin-abi/include"))
        .args(flags)
        .arg(base.join("../../plugin-abi/abi/tests/plugin.c"))
        .arg("-o")
        .arg(&object)
        .status()
        .unwrap();
    assert!(status.success());
    object
}

fn privileges() -> Vec<Privileges> {
    if effective_uid() == 0 {
        return vec![Privileges::Root, Privileges::User];
    }
    println!("as root only: a host with a user of its own (NOT RUN: this is no root)");
    vec![Privileges::User]
}

fn start(object: &Path, is_enabled: bool, privileges: Privileges) -> Result<(HostProcess, Report), StartError> {
    let hello = Hello {
        protocol: [PROTOCOL, PROTOCOL],
        nexcage: "0.1.0".into(),
        plugin: "echo".into(),
        config: serde_json::json!({}),
        log_level: LogLevel::Warn,
    };
    let start = Start {
        program: Path::new(env!("CARGO_BIN_EXE_nexcage-plugin-host")),
        argv: &["nexcage-plugin-host"],
        confinement: Confinement {
            object: object.to_owned(),
            is_enabled,
            limits: ResourceRequirements::default(),
            libraries: vec!["libm.so.6".into()],
            required: vec![Mechanism::Landlock],
            privileges,
        },
        hello: &hello,
        limits: Limits::default(),
        timeout: AMPLE,
    };
    HostProcess::start(start, &mut Deaf).map(|(host, _, report)| (host, report))
}

fn echo(host: &mut HostProcess) {
    let event = Method::of("nexcage.hook/1", "event").unwrap();
    let body = br#"{"point":"system.startup","data":{}}"#;
    let reply = host.connection().call(event, body.to_vec(), AMPLE, &mut Deaf).unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (0, body.as_slice()));
}

#[test]
fn a_c_plugin_is_loaded_in_its_sandbox_and_serves() {
    let folder = tempfile::tempdir().unwrap();
    let object = build(folder.path(), &[]);
    for privileges in privileges() {
        let (mut host, report) = start(&object, true, privileges).unwrap();
        let Report::Confined(held) = report else {
            panic!("{report:?}")
        };
        assert_ne!(held.get(&Mechanism::Landlock), Some(&Strength::None));
        echo(&mut host);
        host.close(AMPLE, &mut Deaf).unwrap();
    }
}

#[test]
fn the_operator_may_do_without_a_sandbox_and_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let (mut host, report) = start(&build(folder.path(), &[]), false, Privileges::User).unwrap();
    assert_eq!(report, Report::Unconfined);
    echo(&mut host);
}

#[test]
fn a_plugin_that_is_not_there_is_named_before_anything_is_loaded() {
    let error = start(Path::new("/nonexistent/a.so"), true, Privileges::User).unwrap_err();
    assert_eq!(
        error.to_string(),
        "confine plugin \"echo\": leave the node's files: make a root that holds one file: clone the file's mount: \
         No such file or directory (os error 2)"
    );
}

#[test]
fn a_confined_host_holds_nothing_of_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let object = build(folder.path(), &[]);
    for privileges in privileges() {
        let (host, _) = start(&object, true, privileges).unwrap();
        let proc = PathBuf::from(format!("/proc/{}", host.pid()));
        let status = std::fs::read_to_string(proc.join("status")).unwrap();
        for expected in [
            "CapInh:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "CapAmb:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            assert!(status.contains(expected), "{expected} in {status}");
        }
        for namespace in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            let theirs = std::fs::read_link(proc.join("ns").join(namespace)).unwrap();
            let ours = std::fs::read_link(Path::new("/proc/self/ns").join(namespace)).unwrap();
            assert_ne!(theirs, ours, "{namespace}");
        }
        let mounts = std::fs::read_to_string(proc.join("mountinfo")).unwrap();
        assert_eq!(mounts.lines().count(), 2, "{mounts}");
        assert!(mounts.lines().all(|line| line.contains(" ro,nosuid,nodev")), "{mounts}");
        let files: Vec<_> = std::fs::read_dir(proc.join("root"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(files, ["plugin.so"]);
        // Standard descriptors of no use, and the socket.
        let open = std::fs::read_dir(proc.join("fd")).unwrap().count();
        assert_eq!(open, 4);
    }
}
