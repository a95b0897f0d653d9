//! `cargo xtask bench`: nexcage beside runc and crun, interleaved in one run, as ratios.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Compare nexcage with runc and crun. Build it first: cargo build --release -p nexcage
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds of each measurement; the median counts
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// Pause before each isolated start, in milliseconds: long enough for the kernel's grace periods to end
    #[arg(long, default_value_t = 60)]
    pause: u64,
    /// The nexcage to measure [default: the release build]
    #[arg(long)]
    nexcage: Option<PathBuf>,
}

struct Runtime {
    name: &'static str,
    program: PathBuf,
}

/// One thing that is measured.
struct Case {
    name: &'static str,
    isolated: bool,
    run: fn(&Runtime, &Bench) -> Result<Duration>,
}

const CASES: [Case; 7] = [
    Case {
        name: "--version",
        isolated: false,
        run: version,
    },
    Case {
        name: "run",
        isolated: false,
        run: run_once,
    },
    Case {
        name: "run, isolated",
        isolated: true,
        run: run_once,
    },
    Case {
        name: "create+start+state+delete",
        isolated: false,
        run: cycle,
    },
    Case {
        name: "create+start+state+delete, isolated",
        isolated: true,
        run: cycle,
    },
    Case {
        name: "exec",
        isolated: false,
        run: exec,
    },
    Case {
        name: "exec, isolated",
        isolated: true,
        run: exec,
    },
];

struct Bench {
    dir: PathBuf,
}

impl Bench {
    fn bundle(&self) -> PathBuf {
        self.dir.join("bundle")
    }

    fn command(&self, runtime: &Runtime, args: &[&str]) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "the programs under measurement are started as a client starts them"
        )]
        let mut command = Command::new(&runtime.program);
        command
            .arg("--root")
            .arg(self.dir.join(runtime.name))
            .args(args)
            .current_dir(self.bundle());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn call(&self, runtime: &Runtime, args: &[&str]) -> Result<()> {
        let status = self
            .command(runtime, args)
            .status()
            .with_context(|| format!("start {}", runtime.name))?;
        ensure!(status.success(), "{} {args:?}: {status}", runtime.name);
        Ok(())
    }
}

/// Each runtime's own id: their cgroups lie side by side.
fn waiting(runtime: &Runtime) -> String {
    format!("waiting-{}", runtime.name)
}

fn timed(body: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    body()?;
    Ok(start.elapsed())
}

fn version(runtime: &Runtime, bench: &Bench) -> Result<Duration> {
    timed(|| bench.call(runtime, &["--version"]))
}

fn run_once(runtime: &Runtime, bench: &Bench) -> Result<Duration> {
    timed(|| bench.call(runtime, &["run", "bench"]))
}

fn cycle(runtime: &Runtime, bench: &Bench) -> Result<Duration> {
    timed(|| {
        bench.call(runtime, &["create", "bench"])?;
        bench.call(runtime, &["start", "bench"])?;
        bench.call(runtime, &["state", "bench"])?;
        bench.call(runtime, &["delete", "--force", "bench"])
    })
}

fn exec(runtime: &Runtime, bench: &Bench) -> Result<Duration> {
    timed(|| bench.call(runtime, &["exec", &waiting(runtime), "/bin/true"]))
}

/// crun of Debian 12 refuses a node with both cgroup versions: in a mount namespace of its own the measurement runs
/// with the version 2 half elsewhere, for every runtime alike.
fn hide_hybrid() -> Result<Option<ExitCode>> {
    const HALF: &str = "/sys/fs/cgroup/unified";
    const PLACE: &str = "/run/nexcage-bench-cgroup2";
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
    if !mounts.contains(HALF) {
        return Ok(None);
    }
    say("measured with the cgroup v2 half of this hybrid node in another place: crun refuses it in its own")?;
    let script = format!("mount --make-rprivate / && mkdir -p {PLACE} && mount --move {HALF} {PLACE} && exec \"$@\"");
    #[expect(
        clippy::disallowed_methods,
        reason = "the same program again, in another mount namespace"
    )]
    let status = Command::new("unshare")
        .args(["-m", "sh", "-c", &script, "sh"])
        .args(std::env::args_os())
        .status()
        .context("enter a mount namespace")?;
    Ok(Some(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }))
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(code) = hide_hybrid()? {
        return Ok(code);
    }
    let nexcage = args.nexcage.clone().map_or_else(release_build, Ok)?;
    let mut runtimes = vec![Runtime {
        name: "nexcage",
        program: nexcage,
    }];
    for (name, path) in [("runc", "/usr/sbin/runc"), ("crun", "/usr/bin/crun")] {
        if Path::new(path).exists() {
            runtimes.push(Runtime {
                name,
                program: PathBuf::from(path),
            });
        } else {
            say(&format!("{name} is not installed: left out"))?;
        }
    }
    let bench = Bench {
        dir: std::env::temp_dir().join(format!("nexcage-bench-{}", std::process::id())),
    };
    let outcome = prepare(&bench, &runtimes).and_then(|()| measure(args, &bench, &runtimes));
    for runtime in &runtimes {
        drop(bench.call(runtime, &["delete", "--force", &waiting(runtime)]));
        drop(bench.call(runtime, &["delete", "--force", "bench"]));
    }
    fs::remove_dir_all(&bench.dir).context("remove the bundle")?;
    outcome.map(|()| ExitCode::SUCCESS)
}

fn release_build() -> Result<PathBuf> {
    for path in [
        "target/x86_64-unknown-linux-gnu/release/nexcage",
        "target/aarch64-unknown-linux-gnu/release/nexcage",
    ] {
        if Path::new(path).exists() {
            return fs::canonicalize(path).context("resolve the release build");
        }
    }
    bail!("no release build: cargo build --release -p nexcage")
}

/// A bundle whose program ends at once, and one container of each runtime that waits for execs.
fn prepare(bench: &Bench, runtimes: &[Runtime]) -> Result<()> {
    let root = bench.bundle().join("rootfs");
    for name in ["bin", "dev", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(name)).context("make the bundle")?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("copy busybox: install busybox-static")?;
    for applet in ["true", "sleep"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).context("link an applet")?;
    }
    let Some(nexcage) = runtimes.first() else {
        bail!("nothing to measure")
    };
    bench.call(nexcage, &["spec"])?;
    let path = bench.bundle().join("config.json");
    let text = fs::read_to_string(&path).context("read the config")?;
    // crun of Debian 12 refuses newer versions than it knows.
    let text = text
        .replace("\"terminal\": true", "\"terminal\": false")
        .replace("\"1.3.0\"", "\"1.0.2\"");
    replace(&path, &text.replace("\"sh\"", "\"/bin/sleep\", \"1000\""))?;
    for runtime in runtimes {
        bench.call(runtime, &["create", &waiting(runtime)])?;
        bench.call(runtime, &["start", &waiting(runtime)])?;
    }
    replace(&path, &text.replace("\"sh\"", "\"/bin/true\""))
}

fn replace(path: &Path, text: &str) -> Result<()> {
    fs::remove_file(path).context("remove the old config")?;
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .context("make the config")?;
    file.write_all(text.as_bytes()).context("write the config")
}

fn measure(args: &Args, bench: &Bench, runtimes: &[Runtime]) -> Result<()> {
    let mut heading = format!("{:<38}", "median, µs (and times nexcage's)");
    for runtime in runtimes {
        write!(heading, "{:>18}", runtime.name)?;
    }
    say(&heading)?;
    for case in &CASES {
        let mut samples: Vec<Vec<Duration>> = runtimes.iter().map(|_| Vec::new()).collect();
        for _ in 0..args.rounds {
            for (runtime, samples) in runtimes.iter().zip(&mut samples) {
                if case.isolated {
                    sleep(Duration::from_millis(args.pause));
                }
                samples.push((case.run)(runtime, bench)?);
            }
        }
        say(&line(case.name, samples)?)?;
    }
    Ok(())
}

fn line(name: &str, samples: Vec<Vec<Duration>>) -> Result<String> {
    let medians: Vec<u128> = samples.into_iter().map(median).collect();
    let own = medians.first().copied().unwrap_or(1).max(1);
    let mut line = format!("{name:<38}");
    for median in medians {
        let ratio = median * 100 / own;
        write!(line, "{:>18}", format!("{median} ({}.{:02})", ratio / 100, ratio % 100))?;
    }
    Ok(line)
}

fn median(mut samples: Vec<Duration>) -> u128 {
    samples.sort_unstable();
    samples.get(samples.len() / 2).map_or(0, Duration::as_micros)
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("print")
}
