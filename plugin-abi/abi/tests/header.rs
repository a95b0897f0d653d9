//! The C header compiles without a warning, as C and as C++, and its structs are those of Rust.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test: a compiler may inherit what it has, and a helper that panics fails it"
)]

use std::io::Write as _;
use std::mem::size_of;
use std::process::{Command, Stdio};

use nexcage_plugin_abi::table::*;

/// Compiles the program on its standard input against the header; returns what the compiler said.
fn compile(compiler: &str, language: &str, standard: &str, program: &str) -> Result<(), String> {
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/../include");
    let flags = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"];
    let mut child = Command::new(compiler)
        .args(flags)
        .args([&format!("-std={standard}"), "-I", include, "-x", language, "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("start {compiler}: {error}: run packaging/setup test"));
    child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A program that asserts the size of every struct.
fn program(assert: &str, off_by: usize) -> String {
    let sizes = [
        ("nxc_str", size_of::<NxcStr>()),
        ("nxc_sink", size_of::<NxcSink>()),
        ("nxc_host", size_of::<NxcHost>()),
        ("nxc_plugin", size_of::<NxcPlugin>()),
        ("nxc_cli_command", size_of::<NxcCliCommand>()),
        ("nxc_hook", size_of::<NxcHook>()),
        ("nxc_backend", size_of::<NxcBackend>()),
        ("nxc_integration", size_of::<NxcIntegration>()),
        ("nxc_monitoring", size_of::<NxcMonitoring>()),
        ("nxc_storage", size_of::<NxcStorage>()),
        ("nxc_network", size_of::<NxcNetwork>()),
        ("nxc_security", size_of::<NxcSecurity>()),
    ];
    let asserts = sizes.map(|(name, size)| format!("{assert}(sizeof({name}) == {}, \"{name}\");\n", size + off_by));
    format!("#include \"nexcage_plugin.h\"\nnxc_entry *kept;\n{}", asserts.concat())
}

#[test]
fn the_header_is_c11() {
    let program = program("_Static_assert", 0);
    compile("cc", "c", "c11", &program).unwrap();
}

#[test]
fn the_header_is_cpp17() {
    let program = program("static_assert", 0);
    compile("g++", "c++", "c++17", &program).unwrap();
}

#[test]
fn a_wrong_size_would_be_seen() {
    let program = program("_Static_assert", 8);
    assert!(
        compile("cc", "c", "c11", &program)
            .unwrap_err()
            .contains("static assertion failed")
    );
}
