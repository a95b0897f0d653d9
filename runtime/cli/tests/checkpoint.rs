//! `checkpoint` and `restore`: what they ask of CRIU, and, where a CRIU works, what comes of it.
//!
//! Executed under the name `criu`, this program is a stand-in that records requests and answers as it is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::excessive_nesting,
    clippy::disallowed_methods,
    reason = "test code"
)]

#[path = "support/common.rs"]
mod common;
#[path = "checkpoint/failures.rs"]
mod failures;
#[path = "checkpoint/real.rs"]
mod real;
#[path = "checkpoint/requests.rs"]
mod requests;
#[path = "checkpoint/stand_in.rs"]
mod stand_in;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(fd) = stand_in::asked() {
        return stand_in::run(fd);
    }
    let arguments = Arguments::from_args();
    let can_run = common::can_run();
    let criu = criu_reason();
    if let Some(reason) = &criu {
        eprintln!("NOT RUN: tests with a real criu: {reason}");
    }
    let mut trials: Vec<Trial> = Vec::new();
    let mut add = |name: &str, test: fn(), runs: bool| {
        let trial = Trial::test(name, move || {
            test();
            Ok(())
        });
        trials.push(trial.with_ignored_flag(!runs));
    };
    for (name, test) in requests::TESTS.iter().chain(failures::TESTS) {
        add(name, *test, can_run);
    }
    for (name, test) in real::TESTS {
        add(name, *test, can_run && criu.is_none());
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Why no criu works here; `None`: one does.
fn criu_reason() -> Option<String> {
    let output = match Command::new("criu").arg("check").output() {
        Ok(output) => output,
        Err(error) => return Some(format!("criu is not installed ({error})")),
    };
    if output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Some(format!("`criu check` fails: {text}"))
}
