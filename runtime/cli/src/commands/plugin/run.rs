//! What loads plugins: `plugin health`, `reload`, `test`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nexcage_plugin_types::frame::Method;
use nexcage_plugins::connection::Reply;
use nexcage_plugins::package::Package;
use nexcage_plugins::registry::Registry;
use nexcage_plugins::running::{Call, Node, Running};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::{Format, Globals};
use crate::{context, output};

/// What a plugin says of itself.
#[derive(Debug, Deserialize)]
struct Health {
    healthy: bool,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    healthy: bool,
    message: String,
}

pub(super) fn health(globals: &Globals, names: &[String], format: Format) -> Result<ExitCode> {
    let registry = context::registry(globals)?;
    let mut node = context::node(globals)?;
    let mut rows = Vec::new();
    for package in super::chosen(&registry, names)? {
        let name = package.manifest().name.to_string();
        rows.push(match ask(&registry, package, &mut node) {
            Ok(Health { healthy, message }) => Row { name, healthy, message },
            Err(error) => Row {
                name,
                healthy: false,
                message: format!("{error:#}"),
            },
        });
    }
    let is_well = rows.iter().all(|row| row.healthy);
    if format == Format::Json {
        output::print_json(&rows)?;
    } else {
        let head = ["NAME", "HEALTH", "MESSAGE"].map(str::to_owned);
        let cells = rows.into_iter().map(|row| {
            let health = if row.healthy { "healthy" } else { "unhealthy" };
            [row.name, health.to_owned(), row.message]
        });
        output::print(&output::columns(
            &std::iter::once(head).chain(cells).collect::<Vec<_>>(),
        ))?;
    }
    Ok(ExitCode::from(u8::from(!is_well)))
}

fn ask(registry: &Registry, package: &Package, node: &mut Node) -> Result<Health> {
    let mut running = Running::load(registry, package, node)?;
    let answer = check_health(&mut running, node);
    running.finish(node)?;
    answer
}

fn check_health(running: &mut Running, node: &mut Node) -> Result<Health> {
    let reply = running.call(node, Call::of(Method::HEALTH_CHECK))?;
    let body = context::answer(reply)?;
    serde_json::from_slice(&body).context("read what it says of its health")
}

/// Gives each plugin a fresh start, and the configuration that holds now.
pub(super) fn reload(globals: &Globals, names: &[String]) -> Result<()> {
    let registry = context::registry(globals)?;
    let mut node = context::node(globals)?;
    let mut text = String::new();
    for package in super::chosen(&registry, names)? {
        let name = &package.manifest().name;
        node.ledger.update(name, |entry| entry.breaker.succeed())?;
        node.record_operator(name, "reloaded", Value::Null)?;
        let mut running = Running::load(&registry, package, &mut node)?;
        let own = registry.configuration().plugins.get(name);
        let config = own.map(|own| own.config.clone()).unwrap_or_default();
        let call = Call {
            body: serde_json::to_vec(&config).context("write configuration")?,
            ..Call::of(Method::CONFIG_RELOAD)
        };
        let reply = running
            .call(&mut node, call)
            .map_err(anyhow::Error::from)
            .and_then(context::answer);
        running.finish(&mut node)?;
        reply.with_context(|| format!("reload plugin {:?}", name.as_str()))?;
        writeln!(text, "{name}: reloaded").context("print")?;
    }
    output::print(&text)
}

/// Tries a package as its author does: in its sandbox, whatever the signature.
pub(super) fn test(globals: &Globals, path: &Path) -> Result<ExitCode> {
    let configuration = context::configuration(globals)?;
    let path = std::fs::canonicalize(path).with_context(|| format!("find package {path:?}"))?;
    let registry = Registry::of_package(configuration, &path)?;
    let mut node = context::node(globals)?;
    let package = registry.plugins().next().context("find the package")?;
    let mut running = Running::load(&registry, package, &mut node)?;
    let mut trial = Trial::default();
    trial.note(
        "load",
        Ok(format!(
            "in its sandbox, extensions: {}",
            running.extensions().join(", ")
        )),
    );
    for lost in running.lost() {
        trial.note("sandbox", Ok(format!("weaker: {lost}")));
    }
    let health = check_health(&mut running, &mut node);
    trial.note(
        "health",
        health.map(|health| format!("{}: {}", health.healthy, health.message)),
    );
    for (extension, function, body) in questions(&running) {
        let Some(method) = Method::of(extension, function) else {
            continue;
        };
        let call = Call {
            body: body.to_string().into_bytes(),
            ..Call::of(method)
        };
        let reply = running.call(&mut node, call);
        trial.note(
            &format!("{extension} {function}"),
            reply.map_err(Into::into).and_then(shown),
        );
    }
    trial.note(
        "end",
        running.finish(&mut node).map(|()| String::new()).map_err(Into::into),
    );
    output::print(&trial.text)?;
    Ok(ExitCode::from(u8::from(trial.failed > 0)))
}

/// What can be asked of an extension without doing anything.
fn questions(running: &Running) -> Vec<(&'static str, &'static str, Value)> {
    let all = [
        ("nexcage.cli_command/1", "list_commands", Value::Null),
        ("nexcage.backend/1", "features", Value::Null),
        ("nexcage.monitoring/1", "collect", Value::Null),
        ("nexcage.storage/1", "list", Value::Null),
        (
            "nexcage.hook/1",
            "event",
            json!({"point": "system.health_check", "data": {}}),
        ),
    ];
    let has = |extension: &str| running.extensions().iter().any(|known| known == extension);
    all.into_iter().filter(|(extension, _, _)| has(extension)).collect()
}

/// The beginning of an answer that is JSON, or why it is none.
fn shown(reply: Reply) -> Result<String> {
    let body = context::answer(reply)?;
    let value: Value = serde_json::from_slice(&body).context("read the answer")?;
    let text = value.to_string();
    Ok(text.chars().take(200).collect())
}

/// What was tried, a line each.
#[derive(Debug, Default)]
struct Trial {
    text: String,
    failed: usize,
}

impl Trial {
    fn note(&mut self, what: &str, result: Result<String>) {
        let line = match result {
            Ok(text) if text.is_empty() => format!("ok {what}\n"),
            Ok(text) => format!("ok {what}: {text}\n"),
            Err(error) => {
                self.failed += 1;
                format!("FAILED {what}: {error:#}\n")
            }
        };
        self.text.push_str(&line);
    }
}
