//! What calls take besides time: memory, processes that stay, files, system calls.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::fixture::{Bench, Bundle, Runtime};
use super::table::{Report, Row, Unit};
use super::trace::{Call, Seen, trace};

/// Traced calls differ little from each other.
const MAX_ROUNDS: usize = 5;

/// Numbers of one call, in the order of their names.
type Numbers = Vec<u64>;

const MEMORY: [(&str, Unit); 6] = [
    ("run: front process", Unit::Kibibytes),
    ("run: largest process", Unit::Kibibytes),
    ("run: sum over its processes", Unit::Kibibytes),
    ("run --detach: processes that stay", Unit::Count),
    ("run --detach: their resident memory", Unit::Kibibytes),
    ("run --detach: state files", Unit::Bytes),
];

/// Measures peak and lasting memory.
pub(super) fn measure_memory(bench: &Bench, rounds: usize, report: &mut Report) -> Result<()> {
    let notes = [
        "peaks are VmHWM, read by ptrace when a process ends or executes; pages of the program's file count too, pages that",
        "processes share count in each; what stays is counted besides the container's own program",
    ];
    report.begin("memory", "memory, median", &notes)?;
    let numbers = |runtime: &Runtime| {
        let run = traced_run(bench, runtime)?;
        let mut numbers = vec![run.front, run.largest, run.sum];
        numbers.extend(lasting(bench, runtime)?);
        Ok(numbers)
    };
    add_rows(bench, rounds, &MEMORY, numbers, report)
}

const CALLS: [(&str, Unit); 3] = [("run", Unit::Count), ("create", Unit::Count), ("exec", Unit::Count)];

/// Counts the system calls of all processes.
pub(super) fn measure_calls(bench: &Bench, rounds: usize, report: &mut Report) -> Result<()> {
    let notes = ["by ptrace; all processes and threads, without the container's own program"];
    report.begin("syscalls", "system calls, median", &notes)?;
    let numbers = |runtime: &Runtime| {
        let run = traced_run(bench, runtime)?;
        let id = bench.id(runtime, "create");
        let create = traced(bench, runtime, Bundle::True, &["create", &id], &id)?;
        let waiting = bench.id(runtime, "waiting");
        let exec = traced(bench, runtime, Bundle::Sleep, &["exec", &waiting, "/bin/true"], "")?;
        Ok(vec![run.calls, create.calls, exec.calls])
    };
    add_rows(bench, rounds, &CALLS, numbers, report)
}

fn add_rows(
    bench: &Bench,
    rounds: usize,
    names: &[(&str, Unit)],
    numbers: impl Fn(&Runtime) -> Result<Numbers>,
    report: &mut Report,
) -> Result<()> {
    let mut rounds_of: Vec<Vec<Numbers>> = bench.runtimes.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds.min(MAX_ROUNDS) {
        for (runtime, rounds) in bench.runtimes.iter().zip(&mut rounds_of) {
            rounds.push(numbers(runtime)?);
        }
    }
    for (at, (name, unit)) in names.iter().enumerate() {
        let column = |rounds: &Vec<Numbers>| rounds.iter().filter_map(|round| round.get(at).copied()).collect();
        report.add(Row::of_medians(*name, *unit, rounds_of.iter().map(column).collect()))?;
    }
    Ok(())
}

fn traced_run(bench: &Bench, runtime: &Runtime) -> Result<Seen> {
    traced(bench, runtime, Bundle::True, &["run", &bench.id(runtime, "run")], "")
}

/// Follows a call; the container `made` is deleted when it is over.
fn traced(bench: &Bench, runtime: &Runtime, bundle: Bundle, args: &[&str], made: &str) -> Result<Seen> {
    bench.check_signals()?;
    let dir = bench.bundle(bundle);
    let call = Call {
        words: &bench.words(runtime, args),
        dir: &dir,
        stderr: bench.said()?,
    };
    let delete = || bench.call(runtime, bundle, &["delete", "--force", made]);
    trace(call, || if made.is_empty() { Ok(()) } else { delete() })
        .with_context(|| format!("trace {} {args:?}: {}", runtime.name, bench.last_words()))
}

/// What a running container leaves besides its own program: processes, their memory, and files.
fn lasting(bench: &Bench, runtime: &Runtime) -> Result<Numbers> {
    let id = bench.id(runtime, "lasting");
    let seen = traced(bench, runtime, Bundle::Sleep, &["run", "--detach", &id], &id)?;
    let files = size_of_files(&bench.root(runtime).join(&id));
    if seen.left.is_empty() {
        bench.call(runtime, Bundle::Sleep, &["delete", "--force", &id])?;
    }
    let count = u64::try_from(seen.left.len())?;
    Ok(vec![count, seen.left.iter().sum(), files?])
}

fn size_of_files(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("list {dir:?}"))? {
        let entry = entry.with_context(|| format!("list {dir:?}"))?;
        let meta = entry.metadata().with_context(|| format!("stat {:?}", entry.path()))?;
        sum += if meta.is_dir() {
            size_of_files(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(sum)
}
