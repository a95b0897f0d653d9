//! What calls cost while other containers of the same runtime are there.

use anyhow::{Context, Result, ensure};

use super::fixture::{Bench, Bundle, Runtime};
use super::speed::timed;
use super::status;
use super::table::{Report, Row, Unit, median};

/// A call that is measured.
type Measured = fn(&Runtime, &Bench) -> Result<()>;

const CALLS: [(&str, Measured); 3] = [("create+start+delete", cycle), ("list", list), ("state", state)];

/// More rounds add minutes and change little.
const MAX_ROUNDS: usize = 10;
/// What one waiting container takes of memory at most, with the kernel's part, in KiB.
const EACH: u64 = 2048;

fn cycle(runtime: &Runtime, bench: &Bench) -> Result<()> {
    let id = bench.id(runtime, "cycle");
    bench.call(runtime, Bundle::True, &["create", &id])?;
    bench.call(runtime, Bundle::True, &["start", &id])?;
    bench.call(runtime, Bundle::True, &["delete", "--force", &id])
}

fn list(runtime: &Runtime, bench: &Bench) -> Result<()> {
    bench.call(runtime, Bundle::True, &["list"])
}

fn state(runtime: &Runtime, bench: &Bench) -> Result<()> {
    bench.call(runtime, Bundle::True, &["state", &bench.id(runtime, "waiting")])
}

/// Measures each call beside so many running containers of the same runtime, one runtime after the other.
pub(super) fn measure(bench: &Bench, rounds: usize, sizes: &[usize], report: &mut Report) -> Result<()> {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    sizes.dedup();
    check_memory(sizes.last().copied().unwrap_or_default())?;
    let notes = ["beside N running containers of the same runtime; one runtime after the other, not interleaved"];
    report.begin("crowd", "containers present, median", &notes)?;
    let mut columns = Vec::new();
    for runtime in &bench.runtimes {
        columns.push(measure_one(bench, runtime, rounds.min(MAX_ROUNDS), &sizes)?);
    }
    let names = sizes
        .iter()
        .flat_map(|size| CALLS.iter().map(move |(name, _)| format!("{size}: {name}")));
    for (at, name) in names.enumerate() {
        let values = columns.iter().filter_map(|column| column.get(at).copied()).collect();
        report.add(Row {
            name,
            unit: Unit::Micros,
            values,
        })?;
    }
    Ok(())
}

/// The medians of one runtime: each call at each size, in ascending order.
fn measure_one(bench: &Bench, runtime: &Runtime, rounds: usize, sizes: &[usize]) -> Result<Vec<u64>> {
    let mut column = Vec::new();
    // The container that waits for execs is one of them.
    let mut present = bench.list(runtime)?.len();
    for size in sizes {
        while present < *size {
            let id = bench.id(runtime, &format!("crowd{present}"));
            bench.call(runtime, Bundle::Sleep, &["run", "--detach", &id])?;
            present += 1;
        }
        let seen = bench.list(runtime)?.len();
        ensure!(seen == *size, "{} lists {seen} containers, not {size}", runtime.name);
        for (_, call) in CALLS {
            let samples: Result<Vec<u64>> = (0..rounds).map(|_| timed(|| call(runtime, bench))).collect();
            column.push(median(samples?));
        }
    }
    for id in bench.list(runtime)?.iter().filter(|id| id.contains("-crowd")) {
        bench.call(runtime, Bundle::Sleep, &["delete", "--force", id])?;
    }
    Ok(column)
}

/// Refuses a crowd that this machine has no memory for.
fn check_memory(size: usize) -> Result<()> {
    let text = std::fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let free = status::parse_kib(&text, "MemAvailable:").context("find the available memory")?;
    let wanted = EACH.saturating_mul(u64::try_from(size)?);
    ensure!(
        wanted <= free,
        "make {size} containers: {free} KiB of memory are available, {wanted} may be needed; use --containers"
    );
    Ok(())
}
