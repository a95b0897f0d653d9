//! How long calls take, in loops and after a pause.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::fixture::{Bench, Bundle, Runtime};
use super::table::{Report, Row, Unit};

/// One thing that is measured.
struct Case {
    name: &'static str,
    isolated: bool,
    run: fn(&Runtime, &Bench) -> Result<()>,
}

const fn case(name: &'static str, isolated: bool, run: fn(&Runtime, &Bench) -> Result<()>) -> Case {
    Case { name, isolated, run }
}

const CASES: [Case; 7] = [
    case("--version", false, version),
    case("run", false, run_once),
    case("run, isolated", true, run_once),
    case("create+start+state+delete", false, cycle),
    case("create+start+state+delete, isolated", true, cycle),
    case("exec", false, exec),
    case("exec, isolated", true, exec),
];

fn version(runtime: &Runtime, bench: &Bench) -> Result<()> {
    bench.call(runtime, Bundle::True, &["--version"])
}

fn run_once(runtime: &Runtime, bench: &Bench) -> Result<()> {
    bench.call(runtime, Bundle::True, &["run", &bench.id(runtime, "run")])
}

fn cycle(runtime: &Runtime, bench: &Bench) -> Result<()> {
    let id = bench.id(runtime, "cycle");
    bench.call(runtime, Bundle::True, &["create", &id])?;
    bench.call(runtime, Bundle::True, &["start", &id])?;
    bench.call(runtime, Bundle::True, &["state", &id])?;
    bench.call(runtime, Bundle::True, &["delete", "--force", &id])
}

fn exec(runtime: &Runtime, bench: &Bench) -> Result<()> {
    bench.call(
        runtime,
        Bundle::Sleep,
        &["exec", &bench.id(runtime, "waiting"), "/bin/true"],
    )
}

/// Microseconds that a call takes.
pub(super) fn timed(body: impl FnOnce() -> Result<()>) -> Result<u64> {
    let start = Instant::now();
    body()?;
    Ok(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// Measures each case in `rounds` rounds, the runtimes in turn.
pub(super) fn measure(bench: &Bench, rounds: usize, pause: Duration, report: &mut Report) -> Result<()> {
    report.begin("speed", "median (and times nexcage's)", &[])?;
    for case in &CASES {
        let mut samples: Vec<Vec<u64>> = bench.runtimes.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (runtime, samples) in bench.runtimes.iter().zip(&mut samples) {
                if case.isolated {
                    sleep(pause);
                }
                samples.push(timed(|| (case.run)(runtime, bench))?);
            }
        }
        report.add(Row::of_medians(case.name, Unit::Micros, samples))?;
    }
    Ok(())
}
