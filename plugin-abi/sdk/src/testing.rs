//! A host for unit tests: the plugin is entered and called through its C tables, as nexcage does, in the test's process.
//!
//! There is no sandbox here. `nexcage plugin test` tries a package in one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use nexcage_plugin_abi::Extension;
use nexcage_plugin_abi::host::{Answer, CallError, Failure, Function, Host, LoadError, Loaded};
use nexcage_plugin_abi::status::{Level, Status};
use nexcage_plugin_abi::table::NxcEntry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Event, Health, Invocation, Output, PluginError, Verdict};

/// One plugin at a time: what it logs goes to the host that entered it last.
static ONE: Mutex<()> = Mutex::new(());

/// The thread that has it: a second plugin there would wait for ever.
static HOLDER: Mutex<Option<ThreadId>> = Mutex::new(None);

/// The right to be the one.
struct One {
    _lock: MutexGuard<'static, ()>,
}

impl Drop for One {
    fn drop(&mut self) {
        *lock(&HOLDER) = None;
    }
}

/// A plugin that [`crate::export_plugin!`] has made one.
///
/// # Safety
///
/// The function follows the C interface.
pub unsafe trait Exported {
    /// Its entry function.
    const ENTRY: NxcEntry;
}

/// What a test's host answers and hears.
#[derive(Clone, Debug, Default)]
pub struct FakeHost {
    answers: BTreeMap<String, Value>,
    heard: Arc<Mutex<Heard>>,
    is_cancelled: bool,
}

/// What a plugin said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// Lines of log.
    pub log: Vec<(Level, String)>,
    /// Measurements.
    pub metrics: Vec<(String, f64)>,
    /// Effects asked for, with their input.
    pub effects: Vec<(String, Value)>,
}

/// A plugin that was entered and started.
pub struct TestPlugin {
    loaded: Loaded,
    heard: Arc<Mutex<Heard>>,
    calls: Mutex<u64>,
    _one: One,
}

impl FakeHost {
    /// A host that grants nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers an effect, such as `config.read`, with this value from now on.
    #[must_use]
    pub fn answer(mut self, effect: &str, value: Value) -> Self {
        self.answers.insert(effect.to_owned(), value);
        self
    }

    /// Cancels every call.
    #[must_use]
    pub fn cancel(mut self) -> Self {
        self.is_cancelled = true;
        self
    }

    /// Enters and starts a plugin, and waits until other tests have dropped theirs.
    ///
    /// # Errors
    ///
    /// Why it does not start.
    pub fn load<P: Exported>(self, config: &Value) -> Result<TestPlugin, PluginError> {
        let this = std::thread::current().id();
        if *lock(&HOLDER) == Some(this) {
            return Err(PluginError::internal("this test has a plugin already: drop it first"));
        }
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        *lock(&HOLDER) = Some(this);
        let one = One { _lock: one };
        let heard = Arc::clone(&self.heard);
        // SAFETY: `Exported` promises that the function follows the interface.
        let loaded = unsafe { Loaded::enter(P::ENTRY, Box::new(self)) };
        let loaded = loaded.map_err(|error: LoadError| PluginError::internal(error.to_string()))?;
        let plugin = TestPlugin {
            loaded,
            heard,
            calls: Mutex::new(0),
            _one: one,
        };
        plugin.call(Function::Init, config.to_string().as_bytes())?;
        Ok(plugin)
    }
}

impl Host for FakeHost {
    fn log(&self, level: Level, _target: &str, message: &str) {
        lock(&self.heard).log.push((level, message.to_owned()));
    }

    fn metric(&self, name: &str, value: f64, _labels: &[u8]) {
        lock(&self.heard).metrics.push((name.to_owned(), value));
    }

    fn broker_call(&self, _call: u64, method: &str, input: &[u8]) -> Result<Answer, Failure> {
        let input = serde_json::from_slice(input).unwrap_or_default();
        lock(&self.heard).effects.push((method.to_owned(), input));
        match self.answers.get(method) {
            Some(value) => Ok(Answer {
                json: value.to_string().into_bytes(),
                descriptors: Vec::new(),
            }),
            None => Err(Failure {
                status: Status::PermissionDenied,
                text: format!("the test's host does not answer {method}"),
            }),
        }
    }

    fn is_cancelled(&self, _call: u64) -> bool {
        self.is_cancelled
    }

    fn time_left(&self, _call: u64) -> Option<Duration> {
        Some(Duration::from_secs(30))
    }
}

impl TestPlugin {
    /// What it has said so far.
    #[must_use]
    pub fn heard(&self) -> Heard {
        lock(&self.heard).clone()
    }

    /// Asks how it is.
    ///
    /// # Errors
    ///
    /// What it answers instead.
    pub fn health_check(&self) -> Result<Health, PluginError> {
        read(&self.call(Function::HealthCheck, b"")?)
    }

    /// Gives it a new configuration.
    ///
    /// # Errors
    ///
    /// Why it keeps the old one.
    pub fn config_reload(&self, config: &Value) -> Result<(), PluginError> {
        self.call(Function::ConfigReload, config.to_string().as_bytes())
            .map(drop)
    }

    /// Runs a command, after its arguments were validated.
    ///
    /// # Errors
    ///
    /// Why it does not run.
    pub fn run_command(&self, command: &str, args: &[&str]) -> Result<Output, PluginError> {
        let invocation = Invocation {
            command: command.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            terminals: Vec::new(),
        };
        match self.ask::<Value>(Extension::CliCommand, "validate", &invocation) {
            Err(error) if error.status != Status::Unsupported => Err(error),
            _ => self.ask(Extension::CliCommand, "execute", &invocation),
        }
    }

    /// Tells it of an event.
    ///
    /// # Errors
    ///
    /// What it answers instead of a verdict.
    pub fn event(&self, event: &Event) -> Result<Verdict, PluginError> {
        self.ask(Extension::Hook, "event", event)
    }

    /// Calls any function of an extension.
    ///
    /// # Errors
    ///
    /// What it answers instead.
    pub fn ask<O: DeserializeOwned>(
        &self,
        extension: Extension,
        function: &str,
        input: &impl Serialize,
    ) -> Result<O, PluginError> {
        let input = serde_json::to_vec(input).map_err(|error| PluginError::internal(error.to_string()))?;
        read(&self.call(Function::Of(extension, function), &input)?)
    }

    fn call(&self, function: Function<'_>, input: &[u8]) -> Result<Vec<u8>, PluginError> {
        let call = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            *calls += 1;
            *calls
        };
        self.loaded.call(function, call, input).map_err(|error| match error {
            CallError::Failed { source, .. } => PluginError {
                status: source.status,
                text: source.text,
            },
            missing @ CallError::Missing { .. } => PluginError::unsupported(missing.to_string()),
            other => PluginError::internal(other.to_string()),
        })
    }
}

impl Drop for TestPlugin {
    fn drop(&mut self) {
        // A test that has failed already should say why, not this.
        let _ended = self.call(Function::Deinit, b"");
    }
}

fn read<O: DeserializeOwned>(bytes: &[u8]) -> Result<O, PluginError> {
    let bytes = if bytes.is_empty() { b"null" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| PluginError::internal(format!("read the reply: {error}")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
