//! Real clients against the runtime that was built, and against ones that are broken on purpose.
//!
//! A machine without root, the clients or a built runtime cannot run this: the tests then print what is missing and
//! count as ignored.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use nexcage_conformance::clients::client::{CLIENTS, Client, find_program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nexcage-clients");
/// Sends SIGKILL whatever signal is asked for.
const KILLS_TOO_HARD: &str = r#"#!/bin/sh
[ "$1" = kill ] && exec RUNC kill "$2" 9
exec RUNC "$@"
"#;
/// Leaves the limits of a container as they are.
const IGNORES_UPDATES: &str = r#"#!/bin/sh
for word in "$@"; do
    [ "$word" = update ] && exit 0
done
exec RUNC "$@"
"#;
/// Creates every container without its seccomp filter.
const FORGETS_SECCOMP: &str = r#"#!/bin/sh
bundle=
for word in "$@"; do
    [ "$bundle" = next ] && bundle=$word
    [ "$word" = --bundle ] && bundle=next
done
[ -n "$bundle" ] && sed -i 's/"seccomp":/"seccomp-not":/' "$bundle/config.json"
exec RUNC "$@"
"#;

fn main() -> ExitCode {
    let missing = missing_here();
    let nexcage = built_runtime();
    let unbuilt = nexcage
        .is_none()
        .then(|| "no nexcage binary; build it or set NEXCAGE=PATH".to_owned());
    let trials = vec![
        trial(
            "nexcage_passes_what_runc_passes",
            missing.clone().or(unbuilt),
            move || passes(nexcage.as_deref()),
        ),
        trial("a_runtime_that_kills_too_hard_is_red", missing.clone(), || {
            is_red(KILLS_TOO_HARD, "podman", "kill")
        }),
        trial("a_runtime_without_seccomp_is_red", missing.clone(), || {
            is_red(FORGETS_SECCOMP, "podman", "seccomp-profile")
        }),
        trial("a_runtime_that_ignores_updates_is_red", missing.clone(), || {
            is_red(IGNORES_UPDATES, "cri", "update")
        }),
        trial("an_interrupted_run_leaves_nothing", missing, interrupted),
    ];
    // One after the other: each run fills the machine's cores by itself.
    let arguments = Arguments {
        test_threads: Some(1),
        ..Arguments::from_args()
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, missing: Option<String>, run: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    if let Some(reason) = &missing {
        drop(writeln!(io::stderr(), "{name}: not run: {reason}"));
    }
    Trial::test(name, run).with_ignored_flag(missing.is_some())
}

/// What this machine lacks, in words that say how to get it.
fn missing_here() -> Option<String> {
    if !geteuid().is_root() {
        return Some("root is needed for namespaces and cgroups".to_owned());
    }
    let mut packages: Vec<_> = CLIENTS.iter().flat_map(Client::missing_packages).collect();
    packages.extend(find_program("runc").is_none().then_some("runc"));
    packages.sort_unstable();
    packages.dedup();
    (!packages.is_empty()).then(|| format!("apt-get install {}", packages.join(" ")))
}

/// The runtime named by the environment, else the one that was built beside this test's program.
fn built_runtime() -> Option<PathBuf> {
    let beside = || Path::new(PROGRAM).with_file_name("nexcage");
    Some(std::env::var_os("NEXCAGE").map_or_else(beside, PathBuf::from)).filter(|path| path.is_file())
}

fn passes(nexcage: Option<&Path>) -> Result<(), Failed> {
    let nexcage = nexcage.ok_or("no nexcage binary")?;
    let output = run(&[
        "--runtime",
        &format!("nexcage={}", nexcage.display()),
        "--runtime",
        "runc",
    ])?;
    io::stdout().write_all(&output.stdout)?;
    check(output.status.success(), "nexcage fails what runc passes")
}

/// Runs one case with a broken runtime beside the whole one; only the broken one may fail it.
fn is_red(script: &str, client: &str, case: &str) -> Result<(), Failed> {
    let runc = find_program("runc").ok_or("no runc")?;
    let path = std::env::temp_dir().join(format!("nexcage-broken-{}-{case}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(&path)?;
    file.write_all(script.replace("RUNC", &runc.to_string_lossy()).as_bytes())?;
    drop(file);
    let broken = format!("broken={}", path.display());
    let output = run(&[
        "--client",
        client,
        "--filter",
        case,
        "--runtime",
        &broken,
        "--runtime",
        "runc",
    ]);
    fs::remove_file(&path)?;
    let output = output?;
    let last = text(&output).lines().last().unwrap_or_default().to_owned();
    check(
        output.status.code() == Some(1),
        &format!("exit code is {:?}: {}", output.status, text(&output)),
    )?;
    check(last == "0 passed, 1 failed, 0 skipped", &text(&output))
}

/// Ends a run by SIGINT while containers are alive, and looks for what it left.
fn interrupted() -> Result<(), Failed> {
    let mut child = program()
        .args(["--client", "podman,containerd", "--runtime", "runc"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut lines = BufReader::new(child.stderr.take().ok_or("no stderr")?).lines();
    let first = lines.next().ok_or("no progress")??;
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    let status = child.wait()?;
    check(
        status.code() == Some(2),
        &format!("exit {status:?} after {first:?} {rest:?}"),
    )?;
    check(
        rest.iter().any(|line| line.contains("interrupted by SIGINT")),
        &format!("said {rest:?}"),
    )?;
    let ours = format!("nexcage-clients-{}-", child.id());
    for hierarchy in fs::read_dir("/sys/fs/cgroup")?
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        for entry in fs::read_dir(hierarchy.path())?.flatten() {
            let left = entry.file_name().to_string_lossy().starts_with(&ours);
            check(!left, &format!("left {:?}", entry.path()))?;
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test starts the program as a user does, with all of its environment"
)]
fn program() -> Command {
    Command::new(PROGRAM)
}

fn run(args: &[&str]) -> Result<Output, Failed> {
    Ok(program().args(args).stderr(Stdio::inherit()).output()?)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn check(holds: bool, complaint: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(complaint.into()) }
}
