//! Commands of plugins: found, helped with, checked, run.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nexcage_plugins::commands::{self, CommandError, Commands, Offered};
use nexcage_plugins::registry::Registry;
use nexcage_plugins::running::{Node, Running};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{self, Globals};
use crate::{context, output, report};

/// How long a plugin may think about a completion, its start included.
const COMPLETION: Duration = Duration::from_millis(100);

/// What came of a command.
#[derive(Debug, Deserialize)]
struct Executed {
    #[serde(default)]
    exit_code: u8,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
}

/// Plugins, and the commands that they have.
struct Found {
    registry: Registry,
    node: Node,
    commands: Commands,
}

/// Runs a command of a plugin.
///
/// Returns `None` when no plugin has one of this name.
pub(crate) fn run(globals: &Globals, name: &str, args: &[OsString]) -> Result<Option<ExitCode>> {
    let Some(mut found) = find(globals)? else {
        return Ok(None);
    };
    let Some(offered) = found.take(name) else {
        // It may be that of a plugin that cannot be asked.
        found.commands.faults.iter().for_each(|fault| report::warning(fault));
        return Ok(None);
    };
    let words = words(args)?;
    let package = found.registry.find(offered.plugin.as_str())?;
    let mut running = Running::load(&found.registry, package, &mut found.node)?;
    running
        .lost()
        .iter()
        .for_each(|lost| tracing::warn!(plugin = %offered.plugin, lost, "sandbox weakened"));
    let code = match words.first().map(String::as_str) {
        Some("--help" | "-h") if words.len() == 1 => help(&mut running, &mut found.node, &offered),
        _ => execute(&mut running, &mut found.node, name, &words),
    };
    running.finish(&mut found.node)?;
    code.map(Some)
}

/// The help of a plugin's command, for `nexcage help NAME`.
///
/// Returns `None` when no plugin has one of this name.
pub(crate) fn help_of(globals: &Globals, name: &str) -> Result<Option<ExitCode>> {
    run(globals, name, &["--help".into()])
}

/// The names of all commands of plugins.
pub(crate) fn names(globals: &Globals) -> Vec<String> {
    // Words are offered whatever is wrong with plugins.
    let found = find(globals).ok().flatten();
    let offered = found.map(|found| found.commands.offered).unwrap_or_default();
    offered
        .into_iter()
        .map(|offered| offered.command.name.to_string())
        .collect()
}

/// The words that a plugin offers for its command, within a moment.
///
/// * `args`: the command's arguments, the one to complete last.
pub(crate) fn complete(globals: &Globals, command: &str, args: &[String]) -> Result<Vec<String>> {
    let until = Instant::now() + COMPLETION;
    let Some(mut found) = find(globals)? else {
        return Ok(Vec::new());
    };
    let Some(offered) = found.take(command) else {
        return Ok(Vec::new());
    };
    let left = || until.saturating_duration_since(Instant::now());
    found.node.patience = Some(left());
    let package = found.registry.find(offered.plugin.as_str())?;
    let mut running = Running::load(&found.registry, package, &mut found.node)?;
    let input = json!({"command": command, "args": args});
    let words = commands::ask(&mut running, &mut found.node, "complete", &input, Some(left()))?;
    Ok(words)
}

/// A section of nexcage's own help; empty without commands of plugins.
pub(crate) fn help_section(globals: &Globals) -> String {
    // Help is printed whatever is wrong with plugins.
    let Ok(Some(found)) = find(globals) else {
        return String::new();
    };
    let mut text = String::new();
    let width = found
        .commands
        .offered
        .iter()
        .map(|offered| offered.command.name.as_str().len())
        .max();
    for Offered { plugin, command } in &found.commands.offered {
        let name = command.name.as_str();
        let line = writeln!(
            text,
            "  {name:width$}  {} (plugin {plugin})",
            command.about,
            width = width.unwrap_or(0)
        );
        // A string takes everything.
        line.unwrap_or_default();
    }
    for fault in &found.commands.faults {
        writeln!(text, "  {}", report::one_line(fault)).unwrap_or_default();
    }
    if text.is_empty() {
        text
    } else {
        format!("\nCommands of plugins:\n{text}")
    }
}

/// Finds commands of plugins. Without a plugin directory nothing is looked at, and nothing made.
fn find(globals: &Globals) -> Result<Option<Found>> {
    let registry = Registry::discover(context::configuration(globals)?)?;
    if registry.plugins().next().is_none() {
        return Ok(None);
    }
    let mut node = context::node(globals)?;
    let commands = Commands::find(&registry, &mut node, &args::command_names());
    Ok(Some(Found {
        registry,
        node,
        commands,
    }))
}

impl Found {
    fn take(&mut self, name: &str) -> Option<Offered> {
        let mut offered = self.commands.offered.iter();
        offered.find(|offered| offered.command.name.as_str() == name).cloned()
    }
}

fn words(args: &[OsString]) -> Result<Vec<String>> {
    let words = args.iter().map(|arg| match arg.to_str() {
        Some(word) => Ok(word.to_owned()),
        None => bail!("pass {arg:?} to a plugin: it is no UTF-8"),
    });
    words.collect()
}

fn help(running: &mut Running, node: &mut Node, offered: &Offered) -> Result<ExitCode> {
    let name = offered.command.name.as_str();
    let text = commands::ask::<String>(running, node, "help", &json!({"command": name}), None);
    let text = match text {
        Ok(text) => text,
        // A plugin need not have help.
        Err(CommandError::Missing { .. }) => {
            format!("{}\n\nUsage: nexcage {name} [arguments...]", offered.command.about)
        }
        Err(error) => return Err(error.into()),
    };
    output::print(&(text.trim_end().to_owned() + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn execute(running: &mut Running, node: &mut Node, name: &str, words: &[String]) -> Result<ExitCode> {
    let input = json!({"command": name, "args": words});
    let checked = commands::ask::<Value>(running, node, "validate", &input, None);
    match checked {
        // A plugin need not check before it executes.
        Err(CommandError::Missing { .. }) => {}
        other => other.map(drop).with_context(|| name.to_owned())?,
    }
    let input = json!({"command": name, "args": words, "terminals": terminals()});
    let executed: Executed = commands::ask(running, node, "execute", &input, None).with_context(|| name.to_owned())?;
    output::print(&executed.stdout)?;
    let written = io::stderr().write_all(executed.stderr.as_bytes());
    written.context("write standard error")?;
    Ok(ExitCode::from(executed.exit_code))
}

/// The standard streams that are terminals; the plugin has no way to find out.
fn terminals() -> Vec<&'static str> {
    let all = [
        ("stdin", io::stdin().is_terminal()),
        ("stdout", io::stdout().is_terminal()),
        ("stderr", io::stderr().is_terminal()),
    ];
    all.into_iter()
        .filter(|(_, is_terminal)| *is_terminal)
        .map(|(name, _)| name)
        .collect()
}
