//! Commands that plugins add to nexcage's own.
//!
//! Each plugin is asked for its commands once a version and configuration; the answer is kept beside its statistics, so that
//! help and completion load nothing. A plugin never takes a name that nexcage has, and a name that two plugins have
//! is nobody's.

use std::time::Duration;

use nexcage_plugin_types::frame::Method;
use nexcage_plugin_types::manifest::Kind as PluginKind;
use nexcage_plugin_types::message::{Failure, printable};
use nexcage_plugin_types::text::{CommandName, PluginName};
use nexcage_sys::file::{self, Durability};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::broker::Streams;
use crate::causes::chain;
use crate::connection::CallError;
use crate::package::Package;
use crate::registry::Registry;
use crate::running::{Call, LoadError, Node, Running};

/// The extension that has commands.
const EXTENSION: &str = "nexcage.cli_command/1";

/// The most commands of one plugin.
const COMMANDS_MAX: usize = 100;

/// Bytes of the largest kept list.
const KEPT_MAX: u64 = 1 << 20;

/// A command of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginCommand {
    /// What the user types.
    pub name: CommandName,
    /// What it does, in a line.
    #[serde(default)]
    pub about: String,
}

/// A command and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The plugin.
    pub plugin: PluginName,
    /// The command.
    pub command: PluginCommand,
}

/// Commands that can be called, and what is wrong with others.
#[derive(Debug, Default)]
pub struct Commands {
    /// In the order of their names.
    pub offered: Vec<Offered>,
    /// A line each: of plugins that cannot be asked, and of names that cannot be had.
    pub faults: Vec<String>,
}

/// A command that cannot be called.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Its plugin cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its plugin does not answer.
    #[error("ask plugin {plugin:?} for {what}")]
    Call {
        /// The plugin.
        plugin: String,
        /// The function.
        what: &'static str,
        /// How it ended.
        source: CallError,
    },
    /// Its plugin answers what is none.
    #[error("ask plugin {plugin:?} for {what}: read its answer")]
    Answer {
        /// The plugin.
        plugin: String,
        /// The function.
        what: &'static str,
        /// What the JSON lacks, or has too much.
        source: serde_json::Error,
    },
    /// Its plugin does not have the function.
    #[error("ask plugin {plugin:?} for {what}: it has none")]
    Missing {
        /// The plugin.
        plugin: String,
        /// The function.
        what: &'static str,
    },
    /// Its plugin refuses.
    #[error("{0}")]
    Refused(String),
}

/// What is kept of a plugin's commands.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// What they depend on.
    key: String,
    commands: Vec<PluginCommand>,
}

impl Commands {
    /// Finds the commands of all plugins that can be loaded.
    ///
    /// * `own`: the names of nexcage's own commands.
    #[must_use]
    pub fn find(registry: &Registry, node: &mut Node, own: &[&str]) -> Self {
        let mut commands = Self::default();
        for package in registry.plugins() {
            let manifest = package.manifest();
            let is_asked =
                manifest.kinds.contains(&PluginKind::CliCommand) && registry.configuration().is_enabled(&manifest.name);
            if is_asked {
                commands.add(registry, package, node, own);
            }
        }
        commands
            .offered
            .sort_by(|a, b| a.command.name.as_str().cmp(b.command.name.as_str()));
        commands
    }

    fn add(&mut self, registry: &Registry, package: &Package, node: &mut Node, own: &[&str]) {
        let plugin = package.manifest().name.as_str();
        let listed = match list(registry, package, node) {
            Ok(listed) => listed,
            Err(error) => {
                self.faults.push(chain(&error));
                return;
            }
        };
        for command in listed {
            let name = command.name.as_str();
            if own.contains(&name) {
                self.faults.push(format!(
                    "command {name:?} of plugin {plugin:?} is not offered: nexcage has one of this name"
                ));
                continue;
            }
            let other = self
                .offered
                .iter()
                .position(|offered| offered.command.name == command.name);
            if let Some(other) = other {
                let first = self.offered.remove(other).plugin;
                self.faults.push(format!(
                    "command {name:?} is not offered: plugins {:?} and {plugin:?} both have one of this name: disable one of them",
                    first.as_str()
                ));
                continue;
            }
            self.offered.push(Offered {
                plugin: package.manifest().name.clone(),
                command,
            });
        }
    }
}

/// The commands of one plugin, as they are kept or as it tells them.
fn list(registry: &Registry, package: &Package, node: &mut Node) -> Result<Vec<PluginCommand>, CommandError> {
    let name = &package.manifest().name;
    let path = node.ledger.folder().join(format!("{name}.commands"));
    let key = key(registry, package);
    let kept = file::read_capped(&path, KEPT_MAX).ok();
    let kept = kept.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
    if let Some(kept) = kept.filter(|kept| kept.key == key) {
        // That it may be loaded is looked at each time; that costs no process.
        registry.check(package, &node.nexcage).map_err(LoadError::from)?;
        return Ok(kept.commands);
    }
    let mut running = Running::load(registry, package, node)?;
    let listed = ask_list(&mut running, node);
    running.finish(node).map_err(LoadError::from)?;
    let commands = listed?;
    let kept = Kept { key, commands };
    let bytes = serde_json::to_vec(&kept).unwrap_or_default();
    if let Err(error) = file::write_atomic(&path, &bytes, 0o600, Durability::Volatile) {
        tracing::warn!(plugin = %name, %error, lost = "time of the next call", "commands of a plugin not kept");
    }
    Ok(kept.commands)
}

fn ask_list(running: &mut Running, node: &mut Node) -> Result<Vec<PluginCommand>, CommandError> {
    if !running.extensions().iter().any(|extension| extension == EXTENSION) {
        return Ok(Vec::new());
    }
    let mut commands: Vec<PluginCommand> = ask(running, node, "list_commands", &serde_json::Value::Null, None)?;
    commands.truncate(COMMANDS_MAX);
    for command in &mut commands {
        command.about = printable(&command.about);
    }
    Ok(commands)
}

/// What a plugin's commands depend on: its code and its configuration.
fn key(registry: &Registry, package: &Package) -> String {
    let manifest = package.manifest();
    let own = registry
        .configuration()
        .plugins
        .get(&manifest.name)
        .map(|own| &own.config);
    let all = serde_json::to_vec(&(manifest, own)).unwrap_or_default();
    Sha256::digest(&all).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Calls a function of the extension, and reads its answer.
///
/// * `timeout`: shorter than its manifest's, if it is given.
///
/// # Errors
///
/// [`CommandError`].
pub fn ask<T: serde::de::DeserializeOwned>(
    running: &mut Running,
    node: &mut Node,
    what: &'static str,
    input: &serde_json::Value,
    timeout: Option<Duration>,
) -> Result<T, CommandError> {
    let plugin = running.name().to_string();
    let Some(method) = Method::of(EXTENSION, what) else {
        return Err(CommandError::Missing { plugin, what });
    };
    let body = if input.is_null() {
        Vec::new()
    } else {
        input.to_string().into_bytes()
    };
    let streams = match what {
        "execute" => Streams::Open,
        _ => Streams::Closed,
    };
    let call = Call {
        method,
        body,
        streams,
        timeout,
    };
    let reply = running.call(node, call).map_err(|source| CommandError::Call {
        plugin: plugin.clone(),
        what,
        source,
    })?;
    if reply.status != 0 {
        let failure = serde_json::from_slice::<Failure>(&reply.body);
        let text = failure.map(|failure| printable(&failure.message)).unwrap_or_default();
        return Err(match reply.status {
            UNSUPPORTED => CommandError::Missing { plugin, what },
            _ => CommandError::Refused(text),
        });
    }
    let body = if reply.body.is_empty() {
        b"null".to_vec()
    } else {
        reply.body
    };
    serde_json::from_slice(&body).map_err(|source| CommandError::Answer { plugin, what, source })
}

/// The status of a function that a plugin does not have.
const UNSUPPORTED: u32 = 2;
