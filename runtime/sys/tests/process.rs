//! Cases that fork, start the program again or change the process: each runs in a process of its own with one thread.
#![expect(unsafe_code, reason = "the attacker of the tests uses bare kernel calls")]
#![expect(
    clippy::disallowed_methods,
    reason = "the test program starts itself, and files in its own folder"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]
#![expect(clippy::print_stdout, reason = "this is a test runner: it prints")]

#[path = "process/children.rs"]
mod children;
#[path = "process/sealing.rs"]
mod sealing;

use std::process::{Command, Stdio};

/// A case by name. It fails by panicking; a text says why it could not run on this machine.
type Case = (&'static str, fn() -> Result<(), String>);

const CASES: &[Case] = &[
    (
        "fork_runs_the_closure_and_returns_its_code",
        children::fork_returns_the_code,
    ),
    ("fork_turns_a_panic_into_a_code", children::fork_catches_a_panic),
    ("fork_into_a_cgroup_starts_there", children::fork_into_cgroup),
    ("a_subreaper_reaps_orphans", children::orphans_are_reaped),
    ("a_child_gets_the_mask_and_sigpipe_back", children::mask_and_sigpipe),
    ("no_signal_is_lost_between_block_and_read", children::no_lost_signal),
    ("closed_stdio_is_filled_with_the_null_device", children::stdio_is_filled),
    ("only_kept_descriptors_pass_exec", children::cloexec_except),
    ("sealing_uses_a_read_only_clone", sealing::clone_is_used),
    ("sealing_without_privilege_uses_a_memory_file", sealing::memfd_is_used),
    ("a_sealed_program_starts_itself_again", sealing::starts_itself_again),
    (
        "a_sealed_program_starts_itself_in_new_namespaces",
        sealing::starts_itself_in_namespaces,
    ),
    ("a_chrooted_process_cannot_write_the_program", sealing::exploit_fails),
    (
        "the_same_attack_succeeds_without_sealing",
        sealing::exploit_succeeds_without_sealing,
    ),
    (
        "an_unprotected_copy_in_memory_is_refused",
        sealing::unsealed_memfd_is_refused,
    ),
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(role) = args.get(1).and_then(|arg| arg.strip_prefix("--role=")) {
        std::process::exit(sealing::play(role, &args));
    }
    if let Some(name) = args.get(1).and_then(|arg| arg.strip_prefix("--case=")) {
        let (_, case) = CASES.iter().find(|(known, _)| *known == name).expect("a known case");
        if let Err(why) = case() {
            println!("not run: {why}");
        }
        return;
    }
    if args.iter().any(|arg| arg == "--list") {
        CASES.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    // What started the tests may have left descriptors open; the cases look at the whole table.
    nexcage_sys::fds::set_cloexec_from(nexcage_sys::fds::FIRST_EXTRA).unwrap();
    let wanted = args.iter().skip(1).find(|arg| !arg.starts_with("--"));
    let failed = CASES
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|part| name.contains(part.as_str())))
        .map(run);
    let (passed, failed) = failed.fold((0, 0), |(p, f), ok| if ok { (p + 1, f) } else { (p, f + 1) });
    println!("{passed} passed, {failed} failed");
    std::process::exit(i32::from(failed > 0));
}

fn run((name, _): &Case) -> bool {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .arg(format!("--case={name}"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let verdict = if output.status.success() { "ok" } else { "FAILED" };
    println!("test {name} ... {verdict} {}", text.trim());
    if !output.status.success() {
        println!("{} {errors}", output.status);
    }
    output.status.success()
}
