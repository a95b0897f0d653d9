//! Capabilities: the powers that a plugin asks for, each with its parameters.
//!
//! In JSON a capability without parameters is its name; one with parameters is an object of one member, such as
//! `{"filesystem_read": {"paths": ["/etc/hosts"]}}`. An empty list names nothing, so it reaches nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::{AbsolutePath, CommandName, Endpoint, JsonPointer, TextError};

/// Text that is no capability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapabilityError {
    /// A name that no capability has.
    #[error("{name:?} is no capability: use one of {}", CapabilityName::ALL.map(CapabilityName::as_str).join(", "))]
    Name {
        /// What was given.
        name: String,
    },
    /// A parameter for a capability that has none.
    #[error("capability {name} takes no parameter: remove {parameter:?}")]
    NoParameter {
        /// The capability.
        name: CapabilityName,
        /// What was given.
        parameter: String,
    },
    /// A list of parameters that is no JSON list of strings.
    #[error("parameters of capability {name}: {parameter:?} is no JSON list of strings: write NAME:[\"A\",\"B\"]")]
    List {
        /// The capability.
        name: CapabilityName,
        /// What was given.
        parameter: String,
    },
    /// A parameter of the wrong form.
    #[error("parameter of capability {name}")]
    Parameter {
        /// The capability.
        name: CapabilityName,
        /// The form expected.
        source: TextError,
    },
}

/// Makes both enums from one table: variant, name, and the parameter's member and type where there is one.
macro_rules! capabilities {
    ($($(#[$doc:meta])* $variant:ident $name:literal $({ $member:ident: $item:ty })?,)*) => {
        /// A power that a plugin asks for, with what it asks it for.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub enum Capability {
            $($(#[$doc])* #[serde(rename = $name)] $variant $({
                /// What the power is asked for.
                $member: Vec<$item>,
            })?,)*
        }

        /// A capability without its parameters, as the operator's lists name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum CapabilityName {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl CapabilityName {
            /// Every capability.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name as written in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Makes the capability of this name.
            ///
            /// * `parameters`: each in the form of this capability; none for a capability that takes none.
            ///
            /// # Errors
            ///
            /// [`CapabilityError::NoParameter`] and [`CapabilityError::Parameter`].
            pub fn with(self, parameters: &[String]) -> Result<Capability, CapabilityError> {
                match self {
                    $(Self::$variant => capabilities!(@make self, parameters, $variant $({ $member })?),)*
                }
            }
        }

        impl Capability {
            /// The capability's name.
            #[must_use]
            pub const fn name(&self) -> CapabilityName {
                match self {
                    $(Self::$variant { .. } => CapabilityName::$variant,)*
                }
            }

            /// The parameters as text; `None` for a capability that takes none.
            #[must_use]
            pub fn parameters(&self) -> Option<Vec<String>> {
                match self {
                    $(capabilities!(@pattern $variant $({ $member })?) => capabilities!(@texts $($member)?),)*
                }
            }
        }
    };
    (@make $name:expr, $parameters:expr, $variant:ident { $member:ident }) => {
        Ok(Capability::$variant { $member: parse_all($name, $parameters)? })
    };
    (@make $name:expr, $parameters:expr, $variant:ident) => {
        match $parameters.first() {
            None => Ok(Capability::$variant),
            Some(parameter) => Err(CapabilityError::NoParameter { name: $name, parameter: parameter.clone() }),
        }
    };
    (@pattern $variant:ident { $member:ident }) => { Self::$variant { $member } };
    (@pattern $variant:ident) => { Self::$variant };
    (@texts $member:ident) => { Some($member.iter().map(ToString::to_string).collect()) };
    (@texts) => { None };
}

capabilities! {
    /// Read files at or below these paths.
    FilesystemRead "filesystem_read" { paths: AbsolutePath },
    /// Write files at or below these paths.
    FilesystemWrite "filesystem_write" { paths: AbsolutePath },
    /// Execute files at or below these paths.
    FilesystemExecute "filesystem_execute" { paths: AbsolutePath },
    /// Connect to these endpoints.
    NetworkClient "network_client" { endpoints: Endpoint },
    /// Listen on these endpoints.
    NetworkServer "network_server" { endpoints: Endpoint },
    /// Use raw sockets.
    NetworkRaw "network_raw",
    /// Start processes.
    ProcessSpawn "process_spawn",
    /// Signal processes.
    ProcessSignal "process_signal",
    /// Trace processes.
    ProcessPtrace "process_ptrace",
    /// Read facts about the node.
    SystemInfo "system_info",
    /// Read the node's load.
    SystemMetrics "system_metrics",
    /// Create containers.
    ContainerCreate "container_create",
    /// Start containers.
    ContainerStart "container_start",
    /// Stop containers.
    ContainerStop "container_stop",
    /// Delete containers.
    ContainerDelete "container_delete",
    /// Execute programs in containers.
    ContainerExec "container_exec",
    /// Run these commands of the operator's command table.
    HostCommand "host_command" { commands: CommandName },
    /// Mount these paths of the node.
    HostMount "host_mount" { paths: AbsolutePath },
    /// Open these devices of the node.
    HostDevice "host_device" { paths: AbsolutePath },
    /// Read these parts of the configuration.
    ConfigRead "config_read" { pointers: JsonPointer },
    /// Write these parts of the configuration.
    ConfigWrite "config_write" { pointers: JsonPointer },
    /// Write log records.
    Logging "logging",
    /// Report metrics.
    Metrics "metrics",
    /// Report spans.
    Tracing "tracing",
}

fn parse_all<T: FromStr<Err = TextError>>(name: CapabilityName, texts: &[String]) -> Result<Vec<T>, CapabilityError> {
    let parsed = texts.iter().map(|text| text.parse());
    parsed
        .collect::<Result<_, _>>()
        .map_err(|source| CapabilityError::Parameter { name, source })
}

impl fmt::Display for CapabilityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CapabilityName {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let known = Self::ALL.into_iter().find(|name| name.as_str() == text);
        known.ok_or_else(|| CapabilityError::Name { name: text.to_owned() })
    }
}

/// Prints `NAME`, or `NAME:` and a JSON list of the parameters.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parameters() {
            None => write!(f, "{}", self.name()),
            Some(parameters) => write!(f, "{}:{}", self.name(), serde_json::Value::from(parameters)),
        }
    }
}

/// Reads `NAME`, `NAME:PARAMETER`, or `NAME:` and a JSON list of parameters.
impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let Some((name, parameter)) = text.split_once(':') else {
            return text.parse::<CapabilityName>()?.with(&[]);
        };
        let name: CapabilityName = name.parse()?;
        if !parameter.starts_with("[\"") && parameter != "[]" {
            return name.with(&[parameter.to_owned()]);
        }
        match serde_json::from_str::<Vec<String>>(parameter) {
            Ok(list) => name.with(&list),
            Err(_no_list) => Err(CapabilityError::List {
                name,
                parameter: parameter.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_are_those_of_the_design_and_read_back() {
        let names = CapabilityName::ALL.map(CapabilityName::as_str).join(" ");
        assert_eq!(
            names,
            "filesystem_read filesystem_write filesystem_execute network_client network_server network_raw \
             process_spawn process_signal process_ptrace system_info system_metrics container_create container_start \
             container_stop container_delete container_exec host_command host_mount host_device config_read \
             config_write logging metrics tracing"
        );
        for name in CapabilityName::ALL {
            assert_eq!(name.as_str().parse(), Ok(name));
            let capability = name.with(&[]).unwrap();
            assert_eq!(capability.to_string().parse(), Ok(capability.clone()));
            let json = serde_json::to_string(&capability).unwrap();
            assert_eq!(serde_json::from_str::<Capability>(&json).unwrap(), capability);
        }
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        assert_eq!(text.parse::<Capability>().unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_fault_names_the_capability() {
        refused("logging:x", r#"capability logging takes no parameter: remove "x""#);
        refused("filesystem_read:etc", "parameter of capability filesystem_read");
        refused(
            r#"filesystem_read:["/a",1]"#,
            "parameters of capability filesystem_read: \"[\\\"/a\\\",1]\" is no JSON list of strings: write NAME:[\"A\",\"B\"]",
        );
        let unknown = "root".parse::<Capability>().unwrap_err().to_string();
        assert!(unknown.starts_with(r#""root" is no capability: use one of filesystem_read, "#));
    }

    #[test]
    fn one_parameter_needs_no_list() {
        let one: Capability = "network_client:[::1]:80".parse().unwrap();
        assert_eq!(one.to_string(), r#"network_client:["[::1]:80"]"#);
    }
}
