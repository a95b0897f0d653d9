//! The name of a container.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes in the longest container id: it becomes the name of a folder.
///
/// `NAME_MAX` of every Linux file system that holds a state root.
pub const MAX_LEN: usize = 255;

/// A container id that is safe to use as a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// Why a text is no container id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Nothing was given.
    #[error("container id cannot be empty: name the container")]
    Empty,
    /// A path component with a meaning of its own.
    #[error("invalid container ID format: {0:?}: \".\" and \"..\" are folders, choose another id")]
    Dots(String),
    /// A character outside the allowed ones.
    #[error(
        "invalid container ID format: {id:?}: character {character:?}: use letters, digits, \"_\", \"+\", \"-\", \".\""
    )]
    Character {
        /// The text as given, cut after 64 characters.
        id: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// Longer than a file name can be.
    #[error("invalid container ID format: {0} bytes, at most {MAX_LEN} are allowed")]
    TooLong(usize),
}

impl ContainerId {
    /// Checks a text as runc does: letters, digits, `_`, `+`, `-` and `.`, but neither `.` nor `..`.
    ///
    /// # Errors
    ///
    /// [`IdError`], which names the offending part.
    pub fn parse(id: &str) -> Result<Self, IdError> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
        match id {
            "" => Err(IdError::Empty),
            "." | ".." => Err(IdError::Dots(id.to_owned())),
            _ if id.len() > MAX_LEN => Err(IdError::TooLong(id.len())),
            _ => match id.chars().find(|c| !is_allowed(*c)) {
                Some(character) => Err(IdError::Character {
                    id: id.chars().take(64).collect(),
                    character,
                }),
                None => Ok(Self(id.to_owned())),
            },
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for ContainerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<std::path::Path> for ContainerId {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

impl FromStr for ContainerId {
    type Err = IdError;

    fn from_str(id: &str) -> Result<Self, IdError> {
        Self::parse(id)
    }
}

impl TryFrom<String> for ContainerId {
    type Error = IdError;

    fn try_from(id: String) -> Result<Self, IdError> {
        Self::parse(&id)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, expected: &str) {
        let answer = ContainerId::parse(id).map_or_else(|error| error.to_string(), |id| format!("ok {id}"));
        assert_eq!(answer, expected);
    }

    #[test]
    fn ids_are_checked_as_runc_does() {
        check("web1", "ok web1");
        check("A_z+0-9.x", "ok A_z+0-9.x");
        check("...", "ok ...");
        check("-", "ok -");
        check("", "container id cannot be empty: name the container");
        check(
            ".",
            "invalid container ID format: \".\": \".\" and \"..\" are folders, choose another id",
        );
        check(
            "..",
            "invalid container ID format: \"..\": \".\" and \"..\" are folders, choose another id",
        );
        let chars = "use letters, digits, \"_\", \"+\", \"-\", \".\"";
        check(
            "a/b",
            &format!("invalid container ID format: \"a/b\": character '/': {chars}"),
        );
        check(
            "../a",
            &format!("invalid container ID format: \"../a\": character '/': {chars}"),
        );
        check(
            "a\nb",
            &format!("invalid container ID format: \"a\\nb\": character '\\n': {chars}"),
        );
        check(
            "é",
            &format!("invalid container ID format: \"é\": character 'é': {chars}"),
        );
        check(
            &"a".repeat(256),
            "invalid container ID format: 256 bytes, at most 255 are allowed",
        );
    }

    #[test]
    fn an_id_read_back_is_checked_again() {
        assert_eq!(
            serde_json::from_str::<ContainerId>("\"web1\"").unwrap().as_str(),
            "web1"
        );
        let error = serde_json::from_str::<ContainerId>("\"../etc\"").unwrap_err();
        assert!(error.to_string().starts_with("invalid container ID format"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn an_accepted_id_is_one_normal_path_component(id in "\\PC{0,12}") {
            if let Ok(id) = ContainerId::parse(&id) {
                let parts: Vec<_> = std::path::Path::new(id.as_str()).components().collect();
                assert!(matches!(parts[..], [std::path::Component::Normal(_)]), "{id:?}");
            }
        }
    }
}
