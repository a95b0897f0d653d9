//! Shared objects made by a C compiler against the header are opened, called and refused as documented.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: a compiler may inherit what it has, and a helper that panics fails it"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nexcage_plugin_abi::host::{Answer, Failure, Function};
use nexcage_plugin_abi::{Extension, Host, Level, LoadError, Loaded, Status};

struct Quiet;

impl Host for Quiet {
    fn log(&self, _level: Level, _target: &str, _message: &str) {}
    fn metric(&self, _name: &str, _value: f64, _labels: &[u8]) {}
    fn broker_call(&self, _call: u64, method: &str, _input: &[u8]) -> Result<Answer, Failure> {
        Err(Failure {
            status: Status::PermissionDenied,
            text: method.to_owned(),
        })
    }
    fn is_cancelled(&self, _call: u64) -> bool {
        false
    }
    fn time_left(&self, _call: u64) -> Option<Duration> {
        None
    }
}

fn build(folder: &Path, flags: &[&str]) -> PathBuf {
    let object = folder.join("plugin.so");
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I"])
        .arg(base.join("../include"))
        .args(flags)
        .arg(base.join("tests/plugin.c"))
        .arg("-o")
        .arg(&object)
        .status()
        .unwrap();
    assert!(status.success());
    object
}

fn open(flags: &[&str]) -> Result<Loaded, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    Loaded::open(&build(folder.path(), flags), Box::new(Quiet))
}

#[track_caller]
fn check_refused(flags: &[&str], expected: &str) {
    let error = open(flags).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_c_plugin_replies() {
    let loaded = open(&[]).unwrap();
    assert_eq!((loaded.name(), loaded.version()), ("echo", "1.0.0"));
    assert_eq!(loaded.call(Function::Init, 1, b"{}").unwrap(), b"");
    let event = Function::Of(Extension::Hook, "event");
    assert_eq!(
        loaded.call(event, 2, b"{\"point\":\"x\"}").unwrap(),
        b"{\"point\":\"x\"}"
    );
    assert!(!loaded.has(Function::Of(Extension::CliCommand, "help")));
    assert_eq!(loaded.call(Function::Deinit, 3, b"").unwrap(), b"");
}

#[test]
fn a_newer_minor_loads() {
    let loaded = open(&["-DVERSION=0x10009"]).unwrap();
    assert_eq!(loaded.api_version().to_string(), "1.9");
}

#[test]
fn broken_plugins_are_refused() {
    check_refused(
        &["-DVERSION=0x20000"],
        "nxc_plugin has plugin API 2.0, this side has 1.0",
    );
    check_refused(
        &["-DSIZE=40"],
        "nxc_plugin says a struct_size of 40, version 1.0 has 88",
    );
    check_refused(&["-DINIT=0"], "init is null");
    check_refused(&["-DRESULT=3"], "it returned status 3 (permission denied)");
    check_refused(&["-DNO_TABLE"], "it returned success but stored no nxc_plugin");
    check_refused(&["-DENTRY=other"], "find the function nexcage_plugin_entry in");
}

#[test]
fn a_missing_file_is_named() {
    let error = Loaded::open(Path::new("/nonexistent/a.so"), Box::new(Quiet)).unwrap_err();
    assert_eq!(error.to_string(), "load \"/nonexistent/a.so\"");
}
