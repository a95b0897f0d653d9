//! Tells the program which commit it is built from: `NEXCAGE_COMMIT`, given or asked of git. Without both it names none.
#![expect(clippy::disallowed_methods, reason = "a build script starts git as a shell would")]

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=NEXCAGE_COMMIT");
    // The log gets a line with each commit; a bare checkout has none.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists());
        if let Some(path) = path {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    let given = env::var("NEXCAGE_COMMIT").ok().filter(|commit| !commit.is_empty());
    if let Some(commit) = given.or_else(|| git(&["rev-parse", "HEAD"])) {
        println!("cargo::rustc-env=NEXCAGE_COMMIT={commit}");
    }
}

/// Asks git; none where there is no git or this is no checkout.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
