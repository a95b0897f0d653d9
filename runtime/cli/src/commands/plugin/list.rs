//! What is there: `plugin list`, `info`, `enable`, `disable`.

use anyhow::{Context as _, Result, bail};
use nexcage_plugins::breaker::Breaker;
use nexcage_plugins::configuration;
use nexcage_plugins::package::Package;
use nexcage_plugins::registry::{Registry, RegistryError};
use nexcage_plugins::running::Node;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{Format, Globals};
use crate::{context, output};

/// A plugin as `list` shows it.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    version: String,
    kinds: Vec<String>,
    state: &'static str,
    /// What stands in its way.
    detail: String,
}

pub(super) fn list(globals: &Globals, format: Format) -> Result<()> {
    let registry = context::registry(globals)?;
    let node = context::node(globals)?;
    let mut rows: Vec<Row> = Vec::new();
    for package in registry.plugins() {
        rows.push(row(&registry, package, &node)?);
    }
    rows.extend(registry.faults().map(|(folder, error)| Row {
        name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        version: String::new(),
        kinds: Vec::new(),
        state: "error",
        detail: context::chain(error),
    }));
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    if format == Format::Json {
        return output::print_json(&rows);
    }
    let head = ["NAME", "VERSION", "KIND", "STATE", "DETAIL"].map(str::to_owned);
    let cells = rows.into_iter().map(|row| {
        let kinds = row.kinds.join(",");
        [row.name, row.version, kinds, row.state.into(), row.detail]
    });
    output::print(&output::columns(
        &std::iter::once(head).chain(cells).collect::<Vec<_>>(),
    ))
}

fn row(registry: &Registry, package: &Package, node: &Node) -> Result<Row> {
    let manifest = package.manifest();
    let (state, detail) = match registry.check(package, &node.nexcage) {
        Ok(_) => resting(node.ledger.read(&manifest.name)?.breaker),
        Err(RegistryError::Disabled { .. }) => ("disabled", String::new()),
        Err(error) => ("error", context::chain(&error)),
    };
    Ok(Row {
        name: manifest.name.to_string(),
        version: manifest.version.to_string(),
        kinds: manifest.kinds.iter().map(output::json_name).collect(),
        state,
        detail,
    })
}

fn resting(breaker: Breaker) -> (&'static str, String) {
    match breaker.failures() {
        failures if breaker.is_open(context::now()) => (
            "error",
            format!("left alone for a while after {failures} failures in a row"),
        ),
        _ => ("unloaded", String::new()),
    }
}

pub(super) fn info(globals: &Globals, name: &str, format: Format) -> Result<()> {
    let registry = context::registry(globals)?;
    let node = context::node(globals)?;
    let package = registry.find(name)?;
    let row = row(&registry, package, &node)?;
    let manifest = package.manifest();
    let grants = registry.check(package, &node.nexcage).unwrap_or_default();
    let grants: Vec<String> = grants.iter().map(ToString::to_string).collect();
    let all = json!({
        "state": row.state,
        "detail": row.detail,
        "package": package.path(),
        "grants": grants,
        "manifest": manifest,
    });
    if format == Format::Json {
        return output::print_json(&all);
    }
    let limits = &manifest.resource_requirements;
    let dependencies = manifest.dependencies.iter().map(|(name, needed)| {
        let optional = if needed.optional { " (optional)" } else { "" };
        format!("{name} {}{optional}", needed.version)
    });
    let capabilities: Vec<String> = manifest.capabilities.iter().map(ToString::to_string).collect();
    let hooks = manifest
        .hooks
        .iter()
        .map(|hook| format!("{} {}", hook.point, output::json_name(&hook.priority)));
    let lines = [
        ("name", row.name),
        ("version", row.version),
        ("description", manifest.description.clone()),
        ("author", manifest.author.clone().unwrap_or_default()),
        ("homepage", manifest.homepage.clone().unwrap_or_default()),
        ("license", manifest.license.clone().unwrap_or_default()),
        ("kinds", row.kinds.join(", ")),
        ("package", package.path().display().to_string()),
        ("state", row.state.to_owned()),
        ("detail", row.detail),
        ("needs", dependencies.collect::<Vec<_>>().join(", ")),
        ("asks for", capabilities.join(", ")),
        ("may have", grants.join(", ")),
        ("hooks", hooks.collect::<Vec<_>>().join(", ")),
        (
            "limits",
            format!(
                "{} MiB, {} % of a processor, {} descriptors, {} threads, {} s a call",
                limits.max_memory_mb,
                limits.max_cpu_percent,
                limits.max_file_descriptors,
                limits.max_threads,
                limits.timeout_seconds
            ),
        ),
    ];
    let shown = lines.into_iter().filter(|(_, value)| !value.is_empty());
    output::print(&output::columns(
        &shown.map(|(key, value)| [key.to_owned(), value]).collect::<Vec<_>>(),
    ))
}

/// Keeps what the operator says, and looks whether it holds.
pub(super) fn enable(globals: &Globals, text: &str, enabled: bool) -> Result<()> {
    let registry = context::registry(globals)?;
    let name = super::name(text)?;
    if enabled {
        // A name that is mistyped would be kept for ever.
        registry.find(text)?;
    }
    let file = configuration::set_enabled(globals.config.as_deref(), &name, enabled)?;
    let loaded = configuration::load(globals.config.as_deref())?;
    if loaded.configuration.is_enabled(&name) != enabled {
        bail!(
            "{} plugin {text:?}: {file:?} says so, and a later file of the same folder the opposite",
            if enabled { "enable" } else { "disable" }
        );
    }
    let node = context::node(globals)?;
    let verb = if enabled { "enabled" } else { "disabled" };
    node.record_operator(&name, verb, Value::Null).context("record it")?;
    output::print(&format!("{name}: {verb}\n"))
}
