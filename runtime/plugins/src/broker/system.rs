//! `system.info` and `system.metrics`: what this node is, and how busy.

use std::path::Path;

use nexcage_plugin_types::CapabilityName;
use nexcage_sys::file;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Done, Question, Refusal};

/// Bytes of the longest file read here.
const FILE_MAX: u64 = 64 << 10;

/// `{}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

pub(super) fn info(question: &Question<'_>, _asked: &Nothing) -> Result<Done, Refusal> {
    question.check_granted(CapabilityName::SystemInfo, "system.info", |_| true)?;
    let line = |path: &str| Ok::<_, Refusal>(read(path)?.trim_end().to_owned());
    Ok(Done::answer(json!({
        "kernel": line("/proc/sys/kernel/osrelease")?,
        "kernel_version": line("/proc/sys/kernel/version")?,
        "hostname": line("/proc/sys/kernel/hostname")?,
        "machine": std::env::consts::ARCH,
        "cpus": std::thread::available_parallelism().map(usize::from).ok(),
        "memory_bytes": meminfo(&read("/proc/meminfo")?, "MemTotal"),
    })))
}

pub(super) fn metrics(question: &Question<'_>, _asked: &Nothing) -> Result<Done, Refusal> {
    question.check_granted(CapabilityName::SystemMetrics, "system.metrics", |_| true)?;
    let load = read("/proc/loadavg")?;
    let load: Vec<f64> = load.split(' ').take(3).filter_map(|word| word.parse().ok()).collect();
    let memory = read("/proc/meminfo")?;
    // A kernel without pressure stall information has no such files.
    let pressure = ["cpu", "memory", "io"].map(|name| (name, read(&format!("/proc/pressure/{name}")).ok()));
    let pressure = pressure
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), psi(&text?))));
    Ok(Done::answer(json!({
        "load": load,
        "memory_bytes": meminfo(&memory, "MemTotal"),
        "memory_available_bytes": meminfo(&memory, "MemAvailable"),
        "pressure": pressure.collect::<Map<_, _>>(),
    })))
}

fn read(path: &str) -> Result<String, Refusal> {
    let bytes = file::read_capped(Path::new(path), FILE_MAX).map_err(|error| Refusal::Failed {
        what: format!("read {path:?}"),
        source: error.into_io(),
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line of /proc/meminfo in bytes.
fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The averages of a pressure file, such as `some.avg10`.
fn psi(text: &str) -> Value {
    let mut values = Map::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let kind = words.next().unwrap_or_default();
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            if let Ok(value) = value.parse::<f64>() {
                values.insert(format!("{kind}.{name}"), value.into());
            }
        }
    }
    values.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_are_read() {
        assert_eq!(
            meminfo("MemTotal:       2048 kB\nMemFree: 1 kB\n", "MemTotal"),
            Some(2_097_152)
        );
        assert_eq!(meminfo("MemTotalX:       2048 kB\n", "MemTotal"), None);
        let pressure = psi("some avg10=0.50 avg60=0.10 avg300=0.00 total=123\nfull avg10=0.00 total=1\n");
        assert_eq!(
            (&pressure["some.avg10"], &pressure["full.total"]),
            (&json!(0.5), &json!(1.0))
        );
    }
}
