//! Cases about `events`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::bundle::limits;
use crate::container::{Background, Container, wait_for};
use crate::driver::Driver;

/// A process that meets the memory limit is killed, and whoever follows the events hears of it.
pub(crate) fn oom_kill_is_an_event(runtime: &Path, driver: Driver) -> Result<()> {
    let memory = json!({ "memory": { "limit": 32 << 20, "swap": 32 << 20 } });
    let container = Container::start(runtime, driver, &memory)?;
    let events = container.spawn(&["events", "--interval", "500ms"])?;
    // The watch exists when the first statistics are out.
    wait_for("the first event", || Ok(!events.lines()?.is_empty()))?;
    let killed = container.output(&["exec"], &["tail", "/dev/zero"])?;
    ensure!(
        killed.status.code() == Some(137),
        "a program without end in its memory gave {}",
        killed.status
    );
    wait_for("the notice of the kill", || has_notice(&events, &container))?;
    container.call(&["delete", "--force"], &[])?;
    events.finish().context("end of `events`")
}

/// The notices of a kill and of the end can come at once; neither may be lost. Not for systemd, which removes the cgroup,
/// and the number of kills with it, as soon as init has ended.
pub(crate) fn oom_kill_of_init_ends_the_events(runtime: &Path, driver: Driver) -> Result<()> {
    let memory = json!({ "memory": { "limit": 32 << 20, "swap": 32 << 20 } });
    let container = Container::create(runtime, driver, &memory, &["tail", "/dev/zero"])?;
    let events = container.spawn(&["events", "--interval", "500ms"])?;
    wait_for("the first event", || Ok(!events.lines()?.is_empty()))?;
    container.call(&["start"], &[])?;
    wait_for("the notice of the kill", || has_notice(&events, &container))?;
    events.finish().context("end of `events`")
}

/// Whether the events so far have an OOM kill. runc writes no `data` for this type, or an empty one.
fn has_notice(events: &Background, container: &Container) -> Result<bool> {
    let (kind, id) = (json!("oom"), json!(container.id));
    let is_notice = |event: Value| event.get("type") == Some(&kind) && event.get("id") == Some(&id);
    Ok(events.lines()?.iter().any(|line| parse(line).is_ok_and(is_notice)))
}

fn parse(line: &str) -> Result<Value> {
    serde_json::from_str(line).with_context(|| format!("parse event {line:?}"))
}

/// The same fields as runc's, and the values that the kernel files have.
pub(crate) fn stats_have_the_shape_of_runc(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &limits())?;
    let event = parse(&container.call(&["events", "--stats"], &[])?)?;
    ensure!(
        event.get("type") == Some(&json!("stats")),
        "the type is not stats: {event}"
    );
    ensure!(
        event.get("id") == Some(&json!(container.id)),
        "the id is another: {event}"
    );
    let number = |pointer: &str| {
        let value = event.pointer(pointer).and_then(Value::as_u64);
        value.with_context(|| format!("find {pointer} in {event}"))
    };
    ensure!(
        number("/data/memory/usage/limit")? == 64 << 20,
        "the memory limit is another: {event}"
    );
    ensure!(number("/data/pids/limit")? == 50, "the pids limit is another: {event}");
    ensure!(
        number("/data/pids/current")? == 1,
        "init is not the only process: {event}"
    );
    ensure!(number("/data/memory/usage/usage")? > 0, "no memory is used: {event}");
    ensure!(
        number("/data/cpu/usage/total")? > 0,
        "no processor time is used: {event}"
    );
    let reference = Container::start(Path::new("/usr/sbin/runc"), driver, &limits()).context("start one of runc's")?;
    let reference = parse(&reference.call(&["events", "--stats"], &[])?)?;
    let (ours, theirs) = (shape(&event), shape(&reference));
    let missing: Vec<_> = theirs.difference(&ours).collect();
    ensure!(missing.is_empty(), "fields of runc's are missing: {missing:?}");
    Ok(())
}

/// Paths of all values. Arrays count as one value, and so do the counters that the kernel may leave out at zero.
fn shape(event: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    walk(value, &format!("{path}/{name}"), out);
                }
            }
            _ => {
                out.insert(path.to_owned());
            }
        }
    }
    let mut out = BTreeSet::new();
    walk(event, "", &mut out);
    out
}

pub(crate) fn events_come_at_the_interval(runtime: &Path, driver: Driver) -> Result<()> {
    let container = Container::start(runtime, driver, &limits())?;
    let events = container.spawn(&["events", "--interval", "100ms"])?;
    wait_for("three events", || Ok(events.lines()?.len() >= 3))?;
    for line in events.lines()? {
        let event = parse(&line)?;
        ensure!(
            event.get("type") == Some(&json!("stats")),
            "an event of another type: {event}"
        );
    }
    container.call(&["delete", "--force"], &[])?;
    events.finish().context("end of `events`")
}
