//! The foreground with real processes and terminals. Each case starts this program again as the runtime.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program: it starts programs, prints, and ends at the first surprise"
)]

#[path = "foreground/cases.rs"]
mod cases;
#[path = "foreground/runtime.rs"]
mod runtime;
#[path = "foreground/session.rs"]
mod session;

use std::panic::catch_unwind;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [_, "--runtime", mode, script] => runtime::play(mode, script),
        [_, "--list", ..] => {
            cases::CASES.iter().for_each(|(name, _)| println!("{name}: test"));
            ExitCode::SUCCESS
        }
        [_, rest @ ..] => run(rest.iter().find(|word| !word.starts_with("--")).copied()),
        [] => ExitCode::FAILURE,
    }
}

fn run(wanted: Option<&str>) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in cases::CASES
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|part| name.contains(part)))
    {
        let is_ok = catch_unwind(case).is_ok();
        println!("test {name} ... {}", if is_ok { "ok" } else { "FAILED" });
        if is_ok { passed += 1 } else { failed += 1 }
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
