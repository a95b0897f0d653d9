//! A loaded plugin: from its package, through all that may refuse it, to its calls and its end.
//!
//! Whatever happens, the process ends with this value, and each load, refusal and broken rule is on record.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nexcage_plugin_types::configuration::HostCommand;
use nexcage_plugin_types::frame::{Method, PROTOCOL};
use nexcage_plugin_types::message::{Hello, LogLevel};
use nexcage_plugin_types::sandbox::{Report, Strength};
use nexcage_plugin_types::session::Limits;
use nexcage_plugin_types::text::{CommandName, PluginName};
use nexcage_plugin_types::{Capability, Manifest};
use semver::Version;
use serde_json::{Value, json};

use crate::audit::{Audit, AuditError, Event, Kind};
use crate::breaker::{Admission, Breaker, Policy, Seconds};
use crate::broker::{Broker, Containers, Settings, Streams, Table};
use crate::causes::chain;
use crate::connection::{CallError, Reply};
use crate::elf::{self, ElfError};
use crate::granted::Granted;
use crate::journal::Journal;
use crate::ledger::{FailureKind, Ledger, LedgerError};
use crate::package::{Package, PackageError};
use crate::process::{Confinement, HostProcess, Privileges, Start, StartError};
use crate::registry::{Registry, RegistryError};
use crate::schema::{self, SchemaError};

/// The longest wait for a plugin that takes itself down.
const FAREWELL: Duration = Duration::from_secs(1);

/// What plugins run on, and where it is kept what they do.
#[derive(Debug)]
pub struct Node {
    /// The plugin host's program.
    pub program: PathBuf,
    /// The configuration file that the caller named.
    pub configuration: Option<PathBuf>,
    /// The runtime that plugins' containers are handed to.
    pub containers: Option<Containers>,
    /// What this process may do.
    pub privileges: Privileges,
    /// The version of this nexcage.
    pub nexcage: Version,
    /// The longest that a start or a call may take, where that is less than plugins may take. Nothing that fails counts
    /// then: it is the caller that is in a hurry.
    pub patience: Option<Duration>,
    /// The least important lines of log that are kept.
    pub log_level: LogLevel,
    /// What they were allowed, refused and did.
    pub audit: Audit,
    /// How their calls went.
    pub ledger: Ledger,
    /// What they say.
    pub journal: Journal,
}

impl Node {
    /// Records what an operator did.
    ///
    /// # Errors
    ///
    /// [`AuditError`].
    pub fn record_operator(&self, plugin: &PluginName, text: &str, detail: Value) -> Result<(), AuditError> {
        record(self, Kind::Operator, plugin, text, detail)
    }
}

/// A plugin that was not loaded. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It may not be loaded.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A file of it is missing, or another one.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Its shared object would have the loader do what it may not.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// Its configuration is not as it wants it.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// It failed again and again, so it is left alone.
    #[error(
        "load plugin {name:?}: it failed {failures} times in a row and is left alone for {left} s: \"nexcage plugin reload {name}\" tries at once"
    )]
    Resting {
        /// The plugin.
        name: String,
        /// Failures since its last success.
        failures: u32,
        /// Seconds until it is tried again.
        left: Seconds,
    },
    /// Its host did not start, or it did not.
    #[error(transparent)]
    Start(#[from] StartError),
    /// What is known of it cannot be read or kept.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It cannot be recorded, so it is not done.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// A call that was made, for the ledger.
#[derive(Debug)]
struct Made {
    place: String,
    took: Duration,
    failure: Option<FailureKind>,
}

/// What a plugin is asked.
#[derive(Debug)]
pub struct Call {
    /// The function.
    pub method: Method,
    /// JSON, or nothing.
    pub body: Vec<u8>,
    /// Whether it may have this process's standard streams meanwhile.
    pub streams: Streams,
    /// How long it may take; never longer than its manifest says.
    pub timeout: Option<Duration>,
}

/// Whose effects are performed, and how far.
#[derive(Debug)]
struct Powers {
    manifest: Manifest,
    grants: Vec<Capability>,
    /// What `config.read` answers from.
    configuration: Value,
    /// The operator's command table.
    commands: BTreeMap<CommandName, HostCommand>,
}

/// A plugin that can be called.
#[derive(Debug)]
pub struct Running {
    powers: Powers,
    extensions: Vec<String>,
    timeout: Duration,
    host: HostProcess,
    report: Report,
    made: Vec<Made>,
}

impl Call {
    /// A call of a function with nothing.
    #[must_use]
    pub fn of(method: Method) -> Self {
        Self {
            method,
            body: Vec::new(),
            streams: Streams::Closed,
            timeout: None,
        }
    }
}

impl Powers {
    fn effects<'a>(&'a self, node: &'a mut Node, streams: Streams) -> Granted<'a> {
        let broker = Broker {
            plugin: self.manifest.name.as_str(),
            grants: &self.grants,
            config: &self.configuration,
            container: "",
            audit: &node.audit,
            streams,
            commands: Some(Table {
                commands: &self.commands,
                program: &node.program,
                privileges: node.privileges,
            }),
            settings: Some(Settings {
                given: node.configuration.as_deref(),
                manifest: &self.manifest,
            }),
            containers: node.containers.as_ref(),
        };
        Granted::new(broker, &mut node.journal)
    }
}

impl Running {
    /// Loads a plugin.
    ///
    /// # Errors
    ///
    /// [`LoadError`], which is on record.
    pub fn load(registry: &Registry, package: &Package, node: &mut Node) -> Result<Self, LoadError> {
        let began = Instant::now();
        let name = &package.manifest().name;
        let loaded = admit(name, node).and_then(|()| Self::start(registry, package, node));
        match loaded {
            Ok(mut running) => {
                running.record_load(package, node)?;
                running.made.push(Made {
                    place: "load".into(),
                    took: began.elapsed(),
                    failure: None,
                });
                Ok(running)
            }
            Err(error) => {
                record(node, Kind::Refusal, name, &chain(&error), Value::Null)?;
                if let LoadError::Start(failed) = &error {
                    let failure = match failed {
                        StartError::Plugin { source, .. } => FailureKind::of(source),
                        _ => FailureKind::Unavailable,
                    };
                    let made = [Made {
                        place: "load".into(),
                        took: began.elapsed(),
                        failure: Some(failure),
                    }];
                    settle(name, &made, node)?;
                }
                Err(error)
            }
        }
    }

    fn start(registry: &Registry, package: &Package, node: &mut Node) -> Result<Self, LoadError> {
        let manifest = package.manifest();
        let grants = registry.check(package, &node.nexcage)?;
        let config = own_configuration(registry, package);
        schema::check_configuration(manifest, &config)?;
        package.check_files()?;
        let object = package.path().join(package.object());
        let libraries = elf::read_libraries(&object, &package.read(&package.object())?)?;
        let settings = registry.configuration();
        let hello = Hello {
            protocol: [PROTOCOL, PROTOCOL],
            nexcage: node.nexcage.to_string(),
            plugin: manifest.name.to_string(),
            config,
            log_level: node.log_level,
        };
        let timeout = Duration::from_secs(manifest.resource_requirements.timeout_seconds.into());
        let timeout = node.patience.map_or(timeout, |patience| patience.min(timeout));
        let program = node.program.clone();
        let start = Start {
            program: &program,
            argv: &["nexcage-plugin-host"],
            confinement: Confinement {
                object,
                is_enabled: settings.plugin_manager.sandbox_enabled,
                limits: manifest.resource_requirements.clone(),
                libraries,
                required: settings.plugin_manager.sandbox_required.clone(),
                privileges: node.privileges,
            },
            hello: &hello,
            limits: Limits::default(),
            timeout,
        };
        let powers = Powers {
            manifest: manifest.clone(),
            grants,
            configuration: serde_json::to_value(settings).unwrap_or_default(),
            commands: settings.commands.clone(),
        };
        let mut effects = powers.effects(node, Streams::Closed);
        let (host, ready, report) = HostProcess::start(start, &mut effects)?;
        Ok(Self {
            powers,
            extensions: ready.extensions,
            timeout,
            host,
            report,
            made: Vec::new(),
        })
    }

    fn record_load(&self, package: &Package, node: &Node) -> Result<(), AuditError> {
        let manifest = package.manifest();
        let object = package.object();
        let digest = manifest.files.iter().find(|(file, _)| file.as_str() == object);
        let grants: Vec<String> = self.powers.grants.iter().map(ToString::to_string).collect();
        for lost in self.lost() {
            tracing::warn!(plugin = %self.powers.manifest.name, lost, "sandbox weakened");
        }
        let detail = json!({
            "version": manifest.version,
            "sha256": digest.map(|(_, digest)| digest.as_str()),
            "grants": grants,
            "sandbox": self.report,
        });
        let text = match self.report {
            Report::Unconfined => format!("loaded {} without a sandbox", manifest.version),
            _ => format!("loaded {}", manifest.version),
        };
        record(node, Kind::Load, &self.powers.manifest.name, &text, detail)
    }

    /// What is weaker than it could be, a line each.
    #[must_use]
    pub fn lost(&self) -> Vec<String> {
        match &self.report {
            Report::Confined(held) => {
                let weak = held.iter().filter(|(_, strength)| **strength != Strength::Full);
                let line = |(mechanism, strength): (&nexcage_plugin_types::sandbox::Mechanism, &Strength)| {
                    let how = if *strength == Strength::None {
                        "lacks"
                    } else {
                        "has only a part of"
                    };
                    format!("this kernel {how} {mechanism}: {}", mechanism.lost())
                };
                weak.map(line).collect()
            }
            _ => vec!["plugin_manager.sandbox_enabled is false: the plugin has all that its caller has".into()],
        }
    }

    /// The plugin's name.
    #[must_use]
    pub fn name(&self) -> &PluginName {
        &self.powers.manifest.name
    }

    /// The extensions that it says it has.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// Its host's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.host.pid()
    }

    /// Calls the plugin.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub fn call(&mut self, node: &mut Node, call: Call) -> Result<Reply, CallError> {
        let began = Instant::now();
        let Call {
            method,
            body,
            streams,
            timeout,
        } = call;
        let timeout = timeout.unwrap_or(self.timeout).min(self.timeout);
        let mut effects = self.powers.effects(node, streams);
        let called = self.host.connection().call(method, body, timeout, &mut effects);
        let failure = match &called {
            Ok(reply) if reply.status == 0 => None,
            Ok(_) => Some(FailureKind::Refused),
            Err(error) => Some(FailureKind::of(error)),
        };
        self.made.push(Made {
            place: method.to_string(),
            took: began.elapsed(),
            failure,
        });
        if let Err(error) = &called {
            self.record_violation(node, method, error);
        }
        called
    }

    fn record_violation(&self, node: &Node, method: Method, error: &CallError) {
        let text = format!("{method}: {}", chain(error));
        if let Err(error) = record(node, Kind::Violation, &self.powers.manifest.name, &text, Value::Null) {
            tracing::warn!(plugin = %self.powers.manifest.name, %error, lost = "record of a violation", "audit log not written");
        }
    }

    /// Lets the plugin take itself down, and keeps how its calls went. Its process is gone then.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: what is known of it could not be kept.
    pub fn finish(mut self, node: &mut Node) -> Result<(), LedgerError> {
        if self.host.connection().is_usable() {
            let mut effects = self.powers.effects(node, Streams::Closed);
            let began = Instant::now();
            let closed = self.host.close(self.timeout.min(FAREWELL), &mut effects);
            self.made.push(Made {
                place: "deinit".into(),
                took: began.elapsed(),
                failure: closed.err().map(|error| FailureKind::of(&error)),
            });
        }
        if let Err(error) = node.journal.settle() {
            tracing::warn!(plugin = %self.powers.manifest.name, %error, lost = "measurements", "measurements of a plugin not kept");
        }
        settle(&self.powers.manifest.name, &self.made, node)
    }
}

/// What the operator configures a plugin with.
fn own_configuration(registry: &Registry, package: &Package) -> Value {
    let own = registry.configuration().plugins.get(&package.manifest().name);
    Value::Object(own.map(|own| own.config.clone()).unwrap_or_default())
}

/// Refuses a plugin that is left alone; a trial is this command's from here on.
fn admit(name: &PluginName, node: &Node) -> Result<(), LoadError> {
    let (now, policy) = (now(), Policy::default());
    let known = node.ledger.read(name)?.breaker;
    if known == Breaker::default() {
        return Ok(());
    }
    let admitted = node.ledger.update(name, |entry| entry.breaker.admit(now, &policy))?;
    match admitted {
        Admission::Allowed | Admission::Trial => Ok(()),
        Admission::Refused { until } => Err(LoadError::Resting {
            name: name.to_string(),
            failures: known.failures(),
            left: until.saturating_sub(now),
        }),
    }
}

/// Keeps how calls went, and whether the plugin is well: not one that loads, and then fails. Errors of its own are its
/// answers; what ends its host is a failure.
fn settle(name: &PluginName, made: &[Made], node: &Node) -> Result<(), LedgerError> {
    if node.patience.is_some() {
        return Ok(());
    }
    let (now, policy) = (now(), Policy::default());
    let is_failure = |made: &Made| made.failure.is_some_and(|kind| kind != FailureKind::Refused);
    let has_failed = made.iter().any(is_failure);
    let opened = node.ledger.update(name, |entry| {
        for Made { place, took, failure } in made {
            entry.count(place, *took, *failure);
        }
        if has_failed {
            return entry.breaker.fail(now, &policy);
        }
        entry.breaker.succeed();
        false
    })?;
    if opened {
        tracing::warn!(plugin = %name, lost = "its calls for a while", "plugin failed again and again");
    }
    Ok(())
}

fn record(node: &Node, kind: Kind, name: &PluginName, text: &str, detail: Value) -> Result<(), AuditError> {
    let event = Event {
        kind,
        plugin: name.as_str(),
        container: "",
        text,
        detail,
    };
    node.audit.append(&event).map(drop)
}

fn now() -> Seconds {
    // A clock before the epoch would only make pauses shorter.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
