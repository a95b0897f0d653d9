//! What a function returns, and how loud a log line is.

use crate::table;

/// Why a function of a plugin or of the broker did not succeed. Its number is the C status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Status {
    /// An argument is missing, malformed or out of range.
    InvalidArgument = table::NXC_INVALID_ARGUMENT,
    /// The function, command or hook point is none that the callee knows.
    Unsupported = table::NXC_UNSUPPORTED,
    /// The capability for it was not granted.
    PermissionDenied = table::NXC_PERMISSION_DENIED,
    /// The named thing does not exist.
    NotFound = table::NXC_NOT_FOUND,
    /// The deadline passed, or the call was cancelled.
    Timeout = table::NXC_TIMEOUT,
    /// A limit of memory, size, rate or number was reached.
    ResourceLimit = table::NXC_RESOURCE_LIMIT,
    /// Anything else that went wrong inside the callee.
    Internal = table::NXC_INTERNAL,
}

impl Status {
    /// Reads a C status code: `None` for success. A code that no one defined means [`Status::Internal`].
    #[must_use]
    pub const fn from_code(code: i32) -> Option<Self> {
        match code {
            table::NXC_OK => None,
            table::NXC_INVALID_ARGUMENT => Some(Self::InvalidArgument),
            table::NXC_UNSUPPORTED => Some(Self::Unsupported),
            table::NXC_PERMISSION_DENIED => Some(Self::PermissionDenied),
            table::NXC_NOT_FOUND => Some(Self::NotFound),
            table::NXC_TIMEOUT => Some(Self::Timeout),
            table::NXC_RESOURCE_LIMIT => Some(Self::ResourceLimit),
            _ => Some(Self::Internal),
        }
    }

    /// The C status code.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InvalidArgument => "invalid argument",
            Self::Unsupported => "unsupported",
            Self::PermissionDenied => "permission denied",
            Self::NotFound => "not found",
            Self::Timeout => "timeout",
            Self::ResourceLimit => "resource limit",
            Self::Internal => "internal",
        })
    }
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// The operation failed.
    Error = table::NXC_LOG_ERROR,
    /// It goes on with less.
    Warn = table::NXC_LOG_WARN,
    /// A status changed.
    Info = table::NXC_LOG_INFO,
    /// Steps.
    Debug = table::NXC_LOG_DEBUG,
    /// Everything else.
    Trace = table::NXC_LOG_TRACE,
}

impl Level {
    /// Reads a C log level. One that no one defined is [`Level::Trace`]: the quietest.
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        match code {
            table::NXC_LOG_ERROR => Self::Error,
            table::NXC_LOG_WARN => Self::Warn,
            table::NXC_LOG_INFO => Self::Info,
            table::NXC_LOG_DEBUG => Self::Debug,
            _ => Self::Trace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for code in 1..=7 {
            assert_eq!(Status::from_code(code).map(Status::code), Some(code));
        }
        assert_eq!(Status::from_code(0), None);
        assert_eq!(Status::from_code(-1), Some(Status::Internal));
        assert_eq!(Status::from_code(8), Some(Status::Internal));
    }

    #[test]
    fn unknown_levels_are_quiet() {
        assert_eq!(Level::from_code(table::NXC_LOG_WARN), Level::Warn);
        assert_eq!(Level::from_code(0), Level::Trace);
        assert_eq!(Level::from_code(99), Level::Trace);
    }
}
