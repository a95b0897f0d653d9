//! The loader's side: opens a plugin, checks that it fits, and calls its functions.
//!
//! One [`Loaded`] a plugin. It belongs in a process that holds nothing but the plugin: native code that is loaded can do
//! whatever its process can, and what this module checks is that both sides mean the same by a struct, not what the code
//! does. A plugin is never unloaded; its process ends.
//!
//! A call has a number, chosen by the caller and unique among the calls under way. Under it the plugin replies, and asks
//! for its deadline. Calls may come from several threads.

use std::collections::HashMap;
use std::ffi::c_void;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::extension::Extension;
use crate::negotiate::{self, Mismatch};
use crate::status::{Level, Status};
use crate::table::{self, NxcEntry, NxcFunction, NxcHost, NxcPlugin, NxcStr};

mod functions;
#[cfg(feature = "dlopen")]
mod open;
#[cfg(feature = "dlopen")]
pub use open::preload;
mod read;

/// The name of a plugin's one symbol.
pub const ENTRY: &str = "nexcage_plugin_entry";

/// The longest reply of a call, in bytes.
pub const REPLY_MAX: usize = 1 << 20;

/// What a plugin may ask of the process that loaded it. Everything a plugin hands over is data of a stranger.
pub trait Host: Send + Sync {
    /// Takes a log line.
    fn log(&self, level: Level, target: &str, message: &str);

    /// Takes a measured value; `labels` is JSON, unchecked, or empty.
    fn metric(&self, name: &str, value: f64, labels: &[u8]);

    /// Performs an effect for the plugin during `call`; `input` is JSON, unchecked.
    ///
    /// # Errors
    ///
    /// Why the broker does not do it.
    fn broker_call(&self, call: u64, method: &str, input: &[u8]) -> Result<Answer, Failure>;

    /// Tells whether a call was cancelled.
    fn is_cancelled(&self, call: u64) -> bool;

    /// The time that a call has left; `None` where it has no deadline.
    fn time_left(&self, call: u64) -> Option<Duration>;
}

/// What the broker answers.
#[derive(Debug, Default)]
pub struct Answer {
    /// JSON.
    pub json: Vec<u8>,
    /// Descriptors that go over to the plugin.
    pub descriptors: Vec<OwnedFd>,
}

/// Why an effect or a function did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {text}")]
pub struct Failure {
    /// The kind.
    pub status: Status,
    /// The rest, for people.
    pub text: String,
}

/// Why a plugin was not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is no shared object that this process can load.
    #[cfg(feature = "dlopen")]
    #[error("load {path:?}")]
    Open {
        /// The file.
        path: std::path::PathBuf,
        /// What the dynamic loader says.
        source: libloading::Error,
    },
    /// The file is no plugin.
    #[cfg(feature = "dlopen")]
    #[error("find the function nexcage_plugin_entry in {path:?}: is it a plugin?")]
    NoEntry {
        /// The file.
        path: std::path::PathBuf,
        /// What the dynamic loader says.
        source: libloading::Error,
    },
    /// The plugin refused to start.
    #[error("enter the plugin: it returned status {code} ({status})")]
    Entry {
        /// The C status code.
        code: i32,
        /// What it means.
        status: Status,
    },
    /// The plugin returned success without a table.
    #[error("enter the plugin: it returned success but stored no nxc_plugin")]
    NoTable,
    /// A pointer of the plugin cannot be one of a struct.
    #[error("read {what}: its address is not aligned")]
    Misaligned {
        /// Which struct.
        what: String,
    },
    /// A function that every plugin has is null.
    #[error("read nxc_plugin: {function} is null: set every function of nxc_plugin")]
    NullFunction {
        /// Which function.
        function: &'static str,
    },
    /// The versions or sizes do not fit.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

/// Why a call did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The plugin has no such function: no such extension, too old, or null.
    #[error("call {function}: the plugin does not have it")]
    Missing {
        /// Which function.
        function: String,
    },
    /// A call of this number is under way.
    #[error("call {function}: call {call} is under way")]
    Busy {
        /// Which function.
        function: String,
        /// The number.
        call: u64,
    },
    /// The function returned a status; or its reply was longer than [`REPLY_MAX`].
    #[error("call {function}")]
    Failed {
        /// Which function.
        function: String,
        /// The status and the plugin's text.
        source: Failure,
    },
}

/// A function of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Function<'a> {
    /// Once, first.
    Init,
    /// Once, last.
    Deinit,
    /// With the new configuration.
    ConfigReload,
    /// Replies whether the plugin is well.
    HealthCheck,
    /// One of [`Extension::functions`].
    Of(Extension, &'a str),
}

impl std::fmt::Display for Function<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Init => f.write_str("init"),
            Self::Deinit => f.write_str("deinit"),
            Self::ConfigReload => f.write_str("config_reload"),
            Self::HealthCheck => f.write_str("health_check"),
            Self::Of(extension, function) => write!(f, "{} {function}", extension.id()),
        }
    }
}

/// A plugin in this process.
pub struct Loaded {
    table: NxcPlugin,
    name: String,
    version: String,
    extensions: HashMap<Extension, Vec<NxcFunction>>,
    side: &'static Side,
}

// SAFETY: the table is a copy that is only read; its context is only handed back to the plugin, whose functions may be
// called from any thread by the rule of the interface.
unsafe impl Send for Loaded {}
// SAFETY: as above; the replies are behind a mutex.
unsafe impl Sync for Loaded {}

/// Our side of one plugin, leaked: a thread of the plugin may use it for as long as the process lives.
struct Side {
    host: Box<dyn Host>,
    replies: Mutex<HashMap<u64, Reply>>,
}

#[derive(Default)]
struct Reply {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl Side {
    /// A panic while the lock is held leaves the map whole: every change of it is one insertion, removal or append.
    fn replies(&self) -> MutexGuard<'_, HashMap<u64, Reply>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loaded {
    /// Enters a plugin by its entry function and checks that it fits. `init` is not called.
    ///
    /// # Errors
    ///
    /// Every [`LoadError`] but those of opening a file.
    ///
    /// # Safety
    ///
    /// `entry` follows the interface as `nexcage_plugin.h` describes it.
    pub unsafe fn enter(entry: NxcEntry, host: Box<dyn Host>) -> Result<Self, LoadError> {
        let side: &'static Side = Box::leak(Box::new(Side {
            host,
            replies: Mutex::default(),
        }));
        let offered: &'static NxcHost = Box::leak(Box::new(functions::offer(side)));
        let mut plugin: *const NxcPlugin = std::ptr::null();
        // SAFETY: the caller vouches for the function; the host's table lives for ever, the other pointer is a local's.
        let code = unsafe { entry(table::NXC_API_VERSION, offered, &raw mut plugin) };
        if let Some(status) = Status::from_code(code) {
            return Err(LoadError::Entry { code, status });
        }
        if plugin.is_null() {
            return Err(LoadError::NoTable);
        }
        let table = read::plugin(plugin)?;
        let mut extensions = HashMap::new();
        for extension in Extension::ALL {
            if let Some(functions) = read::extension(&table, extension)? {
                extensions.insert(extension, functions);
            }
        }
        Ok(Self {
            name: read::text(table.name),
            version: read::text(table.version),
            table,
            extensions,
            side,
        })
    }

    /// The name that the plugin says it has.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version that the plugin says it has.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The interface version that the plugin was built for.
    #[must_use]
    pub const fn api_version(&self) -> negotiate::ApiVersion {
        negotiate::ApiVersion(self.table.api_version)
    }

    /// Tells whether the plugin has a function.
    #[must_use]
    pub fn has(&self, function: Function<'_>) -> bool {
        self.find(function).is_some()
    }

    /// Calls a function and returns its reply.
    ///
    /// * `call`: the number under which the plugin replies; unique among the calls under way.
    /// * `input`: JSON as the function wants it, or nothing; handed on unread.
    ///
    /// The caller sees to it that `init` comes first, once, and `deinit` last, once. There is no time limit here: the
    /// plugin is told of its deadline, and whoever can kill the process enforces it.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn call(&self, function: Function<'_>, call: u64, input: &[u8]) -> Result<Vec<u8>, CallError> {
        let Some(body) = self.find(function) else {
            return Err(CallError::Missing {
                function: function.to_string(),
            });
        };
        if !self.begin(call) {
            return Err(CallError::Busy {
                function: function.to_string(),
                call,
            });
        }
        // SAFETY: the function is one of the plugin's table, called with the plugin's context and a borrowed input.
        let code = unsafe { body(self.table.ctx, call, NxcStr::lend(input)) };
        let reply = self.side.replies().remove(&call).unwrap_or_default();
        let source = match Status::from_code(code) {
            None if !reply.overflowed => return Ok(reply.bytes),
            None => Failure {
                status: Status::ResourceLimit,
                text: format!("the reply is longer than {REPLY_MAX} bytes"),
            },
            Some(status) => Failure {
                status,
                text: String::from_utf8_lossy(&reply.bytes).into_owned(),
            },
        };
        Err(CallError::Failed {
            function: function.to_string(),
            source,
        })
    }

    /// Makes room for a reply; `false` where the number is taken.
    fn begin(&self, call: u64) -> bool {
        let mut replies = self.side.replies();
        if replies.contains_key(&call) {
            return false;
        }
        replies.insert(call, Reply::default());
        true
    }

    fn find(&self, function: Function<'_>) -> Option<unsafe extern "C" fn(*mut c_void, u64, NxcStr) -> i32> {
        match function {
            Function::Init => self.table.init,
            Function::Deinit => self.table.deinit,
            Function::ConfigReload => self.table.config_reload,
            Function::HealthCheck => self.table.health_check,
            Function::Of(extension, name) => {
                let index = extension.functions().iter().position(|known| *known == name)?;
                *self.extensions.get(&extension)?.get(index)?
            }
        }
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("extensions", &self.extensions.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
