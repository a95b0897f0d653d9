//! What plugins cost: a host that starts, calls of one that is there, its memory, and how late a deadline is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nexcage_plugin_types::frame::{Method, PROTOCOL};
use nexcage_plugin_types::manifest::ResourceRequirements;
use nexcage_plugin_types::message::{Hello, LogLevel, LogLine, Metric};
use nexcage_plugin_types::session::Limits;
use nexcage_plugins::connection::{Answer, CallError, Effects};
use nexcage_plugins::process::{Confinement, HostProcess, Privileges, Start};
use serde_json::{Value, json};

use super::table::{Report, Row, Unit};
use crate::process::program;

const AMPLE: Duration = Duration::from_secs(30);

/// The deadline whose overshoot is measured.
const DEADLINE: Duration = Duration::from_millis(50);

/// Calls of one host, for each sample.
const CALLS: u32 = 100;

const EXAMPLES: [&str; 2] = ["hello-c", "hello-rust"];

struct Deaf;

impl Effects for Deaf {
    fn log(&mut self, _line: LogLine) {}

    fn metric(&mut self, _metric: Metric) {}

    fn broker(&mut self, _method: u32, _body: &[u8], _deadline: Instant) -> Answer {
        Answer::default()
    }
}

/// A plugin and the host that is measured.
struct Plugin {
    host: PathBuf,
    name: &'static str,
    object: PathBuf,
}

/// Measures the release build of the host with the example plugins, and a spinning one.
pub(super) fn measure(rounds: usize, pause: Duration, json: bool) -> Result<()> {
    let host = fs::canonicalize("target/x86_64-unknown-linux-gnu/release/nexcage-plugin-host");
    let host = host.context("find the plugin host: cargo xtask host --release")?;
    let mut report = Report::new(EXAMPLES.to_vec(), json);
    let plugins: Vec<Plugin> = EXAMPLES
        .into_iter()
        .map(|name| Plugin::find(&host, name))
        .collect::<Result<_>>()?;
    let notes = ["cold: start in its sandbox, one call, end; warm: a call of a host that is there; interleaved"];
    report.begin("plugins", "plugins, median", &notes)?;
    let event = |size: usize| json!({"point": "system.startup", "data": {"x": "y".repeat(size)}});
    let mut add = |name: &str, unit, sample: &dyn Fn(&Plugin) -> Result<u64>| -> Result<()> {
        let mut samples = vec![Vec::new(); plugins.len()];
        for _ in 0..rounds {
            for (plugin, samples) in plugins.iter().zip(&mut samples) {
                samples.push(sample(plugin)?);
            }
        }
        report.add(Row::of_medians(name, unit, samples))
    };
    add("cold dispatch", Unit::Micros, &|plugin| plugin.cold(&event(200)))?;
    add("cold dispatch, isolated", Unit::Micros, &|plugin| {
        sleep(pause);
        plugin.cold(&event(200))
    })?;
    add("warm dispatch, 200 B", Unit::Micros, &|plugin| plugin.warm(&event(200)))?;
    add("warm dispatch, 30 KB", Unit::Micros, &|plugin| {
        plugin.warm(&event(30_000))
    })?;
    add("resident memory of a host", Unit::Kibibytes, &Plugin::memory)?;
    report.finish()?;
    measure_overshoot(&host, rounds, json)
}

fn measure_overshoot(host: &Path, rounds: usize, json: bool) -> Result<()> {
    let object = Path::new("target/dynamic/hostile.so");
    let mut compiler = program("cc");
    compiler.args([
        "-std=c11",
        "-D_GNU_SOURCE",
        "-O1",
        "-shared",
        "-fPIC",
        "-I",
        "plugin-abi/include",
    ]);
    compiler.arg("conformance/hostile/hostile.c").arg("-o").arg(object);
    if !compiler.status().context("run cc")?.success() {
        bail!("build the hostile plugin");
    }
    let plugin = Plugin {
        host: host.to_owned(),
        name: "hostile",
        object: fs::canonicalize(object).context("find the hostile plugin")?,
    };
    let mut report = Report::new(vec!["spin"], json);
    report.begin(
        "overshoot",
        "time beyond a deadline of 50 ms until the host is dead, median and largest",
        &[],
    )?;
    let mut samples = (0..rounds).map(|_| plugin.overshoot()).collect::<Result<Vec<u64>>>()?;
    let largest = samples.iter().copied().max().unwrap_or_default();
    report.add(Row::of_medians(
        "median",
        Unit::Micros,
        vec![std::mem::take(&mut samples)],
    ))?;
    report.add(Row::of_medians("largest", Unit::Micros, vec![vec![largest]]))?;
    report.finish()
}

impl Plugin {
    fn find(host: &Path, name: &'static str) -> Result<Self> {
        let object = format!("target/examples/{name}/{name}.nexcage-plugin");
        Ok(Self {
            host: host.to_owned(),
            name,
            object: fs::canonicalize(object).context("find the examples: cargo xtask examples")?,
        })
    }

    fn start(&self) -> Result<HostProcess> {
        let hello = Hello {
            protocol: [PROTOCOL, PROTOCOL],
            nexcage: "0.1.0".into(),
            plugin: self.name.into(),
            config: json!({}),
            log_level: LogLevel::Warn,
        };
        let start = Start {
            program: &self.host,
            argv: &["nexcage-plugin-host"],
            confinement: Confinement {
                object: self.object.clone(),
                is_enabled: true,
                limits: ResourceRequirements::default(),
                libraries: Vec::new(),
                required: Vec::new(),
                privileges: if nix::unistd::geteuid().is_root() {
                    Privileges::Root
                } else {
                    Privileges::User
                },
            },
            hello: &hello,
            limits: Limits::default(),
            timeout: AMPLE,
        };
        Ok(HostProcess::start(start, &mut Deaf).context("start a host")?.0)
    }

    fn cold(&self, event: &Value) -> Result<u64> {
        let body = event.to_string().into_bytes();
        let began = Instant::now();
        let mut host = self.start()?;
        call(&mut host, body)?;
        let took = began.elapsed();
        drop(host);
        micros(took)
    }

    fn warm(&self, event: &Value) -> Result<u64> {
        let body = event.to_string().into_bytes();
        let mut host = self.start()?;
        let began = Instant::now();
        for _ in 0..CALLS {
            call(&mut host, body.clone())?;
        }
        micros(began.elapsed() / CALLS)
    }

    fn memory(&self) -> Result<u64> {
        let mut host = self.start()?;
        call(&mut host, br#"{"point":"system.startup","data":{}}"#.to_vec())?;
        let status = fs::read_to_string(format!("/proc/{}/status", host.pid())).context("read the host's status")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("find VmRSS")?;
        line.trim().trim_end_matches(" kB").parse().context("read VmRSS")
    }

    fn overshoot(&self) -> Result<u64> {
        let mut host = self.start()?;
        let execute = Method::of("nexcage.cli_command/1", "execute").context("find execute")?;
        let body = br#"{"command":"attack","args":["spin"]}"#.to_vec();
        let began = Instant::now();
        let called = host.connection().call(execute, body, DEADLINE, &mut Deaf);
        drop(host);
        match called {
            Err(CallError::Deadline { .. }) => micros(began.elapsed().saturating_sub(DEADLINE)),
            other => bail!("the plugin did not spin: {other:?}"),
        }
    }
}

fn call(host: &mut HostProcess, body: Vec<u8>) -> Result<()> {
    let event = Method::of("nexcage.hook/1", "event").context("find event")?;
    let reply = host
        .connection()
        .call(event, body, AMPLE, &mut Deaf)
        .context("call a plugin")?;
    match reply.status {
        0 => Ok(()),
        status => bail!("the plugin answered with status {status}"),
    }
}

fn micros(time: Duration) -> Result<u64> {
    u64::try_from(time.as_micros()).context("write a time in microseconds")
}
