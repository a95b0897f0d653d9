//! What every plugin has.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::PluginError;

/// A plugin. Its functions may be called from several threads at once.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// Starts it.
    ///
    /// * `config`: its part of the operator's configuration.
    ///
    /// # Errors
    ///
    /// Why it cannot work: it is not loaded then.
    fn init(config: Value) -> Result<Self, PluginError>;

    /// Takes a new configuration.
    ///
    /// # Errors
    ///
    /// Why it keeps the old one. A plugin without this function gets its configuration when it is loaded.
    fn config_reload(&self, config: Value) -> Result<(), PluginError> {
        drop(config);
        Err(PluginError::unsupported(
            "the configuration is read when the plugin is loaded",
        ))
    }

    /// Says how it is.
    fn health_check(&self) -> Health {
        Health::well("")
    }

    /// Takes itself down; its process ends afterwards.
    fn deinit(&self) {}
}

/// How a plugin is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether it does what it should.
    pub healthy: bool,
    /// What there is to say of it.
    pub message: String,
}

impl Health {
    /// It is well.
    pub fn well(message: impl Into<String>) -> Self {
        Self {
            healthy: true,
            message: message.into(),
        }
    }

    /// It is not.
    pub fn ill(message: impl Into<String>) -> Self {
        Self {
            healthy: false,
            message: message.into(),
        }
    }
}
