//! Why a function of a plugin, or an effect, did not succeed.

use nexcage_plugin_abi::status::Status;

/// An error with its number in the plugin interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PluginError {
    /// Its kind.
    pub status: Status,
    /// The rest, for people: lowercase, one line.
    pub text: String,
}

impl PluginError {
    fn new(status: Status, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    /// An argument is missing, malformed or out of range.
    pub fn invalid_argument(text: impl Into<String>) -> Self {
        Self::new(Status::InvalidArgument, text)
    }

    /// The function, command or hook point is none that this plugin knows.
    pub fn unsupported(text: impl Into<String>) -> Self {
        Self::new(Status::Unsupported, text)
    }

    /// The capability for it was not granted.
    pub fn permission_denied(text: impl Into<String>) -> Self {
        Self::new(Status::PermissionDenied, text)
    }

    /// The named thing does not exist.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(Status::NotFound, text)
    }

    /// The deadline passed, or the call was cancelled.
    pub fn timeout(text: impl Into<String>) -> Self {
        Self::new(Status::Timeout, text)
    }

    /// A limit of memory, size, rate or number was reached.
    pub fn resource_limit(text: impl Into<String>) -> Self {
        Self::new(Status::ResourceLimit, text)
    }

    /// Anything else.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::new(Status::Internal, text)
    }

    pub(crate) fn of_code(code: i32, text: String) -> Self {
        Self::new(Status::from_code(code).unwrap_or(Status::Internal), text)
    }
}
