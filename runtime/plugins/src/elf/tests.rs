#![expect(
    clippy::disallowed_methods,
    reason = "a C compiler, and files of the test's own folder"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::read_libraries;

/// Links an empty shared object, and reads it.
fn read(flags: &[&str]) -> Result<Vec<String>, String> {
    let folder = TempDir::new().unwrap();
    let (source, object) = (folder.path().join("a.c"), folder.path().join("a.so"));
    fs::write(&source, "double sin(double); double f(double x) { return sin(x); }\n").unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&object)
        .arg(&source)
        .args(flags)
        .status();
    assert!(status.unwrap().success());
    read_libraries(Path::new("a.so"), &fs::read(&object).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn libraries_of_the_c_runtime_are_read_without_section_headers_too() {
    assert!(read(&["-nostdlib"]).unwrap().is_empty());
    for flags in [["-lm", "-Wl,-z,now"], ["-lm", "-Wl,-s"]] {
        assert!(read(&flags).unwrap().contains(&"libm.so.6".to_owned()));
    }
}

#[test]
fn what_the_loader_would_search_for_is_refused() {
    let error = read(&["-Wl,--no-as-needed", "-lutil", "-lresolv"]).unwrap_err();
    assert!(error.contains("it needs \"libresolv.so.2\": link it static"), "{error}");
    let error = read(&["-Wl,-rpath,/tmp"]).unwrap_err();
    assert_eq!(
        error,
        "load shared object \"a.so\": it has RUNPATH: link it without one"
    );
    let error = read(&["-Wl,-rpath,/tmp", "-Wl,--disable-new-dtags"]).unwrap_err();
    assert_eq!(error, "load shared object \"a.so\": it has RPATH: link it without one");
}

#[test]
fn other_files_are_no_shared_objects() {
    let read = |bytes: &[u8]| read_libraries(Path::new("a"), bytes).unwrap_err().to_string();
    assert_eq!(read(b"#!/bin/sh\n"), "read shared object \"a\"");
    let program = fs::read(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(read(program.get(..40).unwrap()), "read shared object \"a\"");
}
