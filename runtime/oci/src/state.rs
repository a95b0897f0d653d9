//! What a container's status is, and the document that tells it to OCI hooks.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::id::ContainerId;

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being made.
    Creating,
    /// It exists; its init waits for `start`.
    Created,
    /// Its init has become the user's program.
    Running,
    /// As running, with every process frozen; runc's addition to the spec.
    Paused,
    /// Its init has ended.
    Stopped,
}

impl Status {
    /// The word in documents and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The state document of the OCI runtime spec, as an OCI hook reads it from its stdin.
///
/// Spec: [State](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/runtime.md#state).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OciState {
    /// The spec version that the state complies with: [`crate::OCI_VERSION`].
    pub oci_version: String,
    /// The container's id.
    pub id: ContainerId,
    /// The container's status at the moment of the hook.
    pub status: Status,
    /// Process id of init in the runtime's pid namespace; 0, which is left out, when there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pid: i32,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// The config's annotations; left out when there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_zero(pid: &i32) -> bool {
    *pid == 0
}

impl OciState {
    /// Makes the state document of a container.
    ///
    /// * `pid`: 0 when no init process exists.
    /// * `bundle`: absolute.
    /// * `annotations`: as in the config.
    pub fn new<'a>(
        id: ContainerId,
        status: Status,
        pid: i32,
        bundle: PathBuf,
        annotations: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Self {
        let annotations = annotations
            .into_iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Self {
            oci_version: crate::OCI_VERSION.to_owned(),
            id,
            status,
            pid,
            bundle,
            annotations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(pid: i32) -> OciState {
        let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        OciState::new(
            ContainerId::parse("c1").unwrap(),
            Status::Created,
            pid,
            "/b".into(),
            &annotations,
        )
    }

    #[test]
    fn fields_are_spelled_as_the_spec_does() {
        let text = serde_json::to_string(&state(12)).unwrap();
        let expected = concat!(
            r#"{"ociVersion":"1.3.0","id":"c1","status":"created","pid":12,"#,
            r#""bundle":"/b","annotations":{"a":"b"}}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn pid_and_annotations_are_left_out_when_there_are_none() {
        let mut state = state(0);
        state.annotations.clear();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(
            text,
            r#"{"ociVersion":"1.3.0","id":"c1","status":"created","bundle":"/b"}"#
        );
        assert_eq!(serde_json::from_str::<OciState>(&text).unwrap(), state);
    }

    #[test]
    fn the_word_of_a_status_is_its_json() {
        for status in [
            Status::Creating,
            Status::Created,
            Status::Running,
            Status::Paused,
            Status::Stopped,
        ] {
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
        }
    }
}
