//! Hook points, and what a plugin says of its place at one: priority, condition, write-set and failure policy.
//!
//! It knows no plugin and calls nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::{AbsolutePath, JsonPointer};

/// What a plugin may answer at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Nothing: it is told.
    Observe,
    /// It may refuse.
    Deny,
    /// It may refuse, and change the config.
    Mutate,
}

/// Makes the enum of hook points from one table: variant, name, power.
macro_rules! hook_points {
    ($($variant:ident $name:literal $power:ident,)*) => {
        /// A place in the lifecycle at which plugins are asked or told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum HookPoint {
            $(
                #[doc = concat!("`", $name, "`")]
                #[serde(rename = $name)]
                $variant,
            )*
        }

        impl HookPoint {
            /// Every hook point.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name as written in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What a plugin may answer here.
            #[must_use]
            pub const fn power(self) -> Power {
                match self {
                    $(Self::$variant => Power::$power,)*
                }
            }
        }
    };
}

hook_points! {
    SystemStartup "system.startup" Observe,
    SystemShutdown "system.shutdown" Observe,
    SystemConfigReload "system.config_reload" Observe,
    SystemHealthCheck "system.health_check" Observe,
    ContainerPreCreate "container.pre_create" Mutate,
    ContainerPostCreate "container.post_create" Observe,
    ContainerPreStart "container.pre_start" Deny,
    ContainerPostStart "container.post_start" Observe,
    ContainerPreStop "container.pre_stop" Observe,
    ContainerPostStop "container.post_stop" Observe,
    ContainerPreDelete "container.pre_delete" Observe,
    ContainerPostDelete "container.post_delete" Observe,
    ContainerPreExec "container.pre_exec" Mutate,
    ContainerPostExec "container.post_exec" Observe,
    ContainerPreUpdate "container.pre_update" Mutate,
    ContainerPostUpdate "container.post_update" Observe,
    ContainerExited "container.exited" Observe,
    OciPrestart "oci.prestart" Deny,
    OciCreateRuntime "oci.create_runtime" Deny,
    OciCreateContainer "oci.create_container" Deny,
    OciStartContainer "oci.start_container" Deny,
    OciPoststart "oci.poststart" Observe,
    OciPoststop "oci.poststop" Observe,
    CliPreCommand "cli.pre_command" Deny,
    CliPostCommand "cli.post_command" Observe,
    CliCommandError "cli.command_error" Observe,
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The order of plugins at a point; the first is asked first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before all others.
    Critical,
    /// Before most.
    High,
    /// What a subscription without a priority has.
    #[default]
    Normal,
    /// After most.
    Low,
    /// Told later, at least once; only where nothing can be denied.
    Background,
}

/// What counts when a plugin gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureAction {
    /// The operation is refused.
    Deny,
    /// The operation goes on, without counting the plugin as consulted.
    Allow,
    /// The plugin is asked again.
    Retry,
}

/// A condition that is looked at before any plugin is started; members that are absent hold always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// An annotation of the container and, where given, its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotation: Option<AnnotationIs>,
    /// The image, as the caller named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The command of nexcage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The place of a mount in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<AbsolutePath>,
    /// The backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

/// An annotation that a condition asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnotationIs {
    /// Its key.
    pub key: String,
    /// Its value; any value when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A plugin's place at one hook point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// The point.
    pub point: HookPoint,
    /// The order among plugins.
    #[serde(default)]
    pub priority: Priority,
    /// The condition; none means always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// What of the config the plugin may change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub write_set: Vec<JsonPointer>,
    /// When the plugin answers with an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<FailureAction>,
    /// When the plugin does not answer in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<FailureAction>,
    /// When the plugin cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unavailable: Option<FailureAction>,
}

/// The failure policy that holds, with defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePolicy {
    /// When the plugin answers with an error.
    pub on_error: FailureAction,
    /// When the plugin does not answer in time.
    pub on_timeout: FailureAction,
    /// When the plugin cannot be reached.
    pub on_unavailable: FailureAction,
}

/// Whether a plugin declares the kind `security`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It does: its absence refuses.
    Security,
    /// It does not.
    Other,
}

impl Subscription {
    /// The policy that holds: deny by default for security plugins and where the plugin may refuse or change something.
    #[must_use]
    pub fn failure_policy(&self, role: Role) -> FailurePolicy {
        let default = if role == Role::Security || self.point.power() != Power::Observe {
            FailureAction::Deny
        } else {
            FailureAction::Allow
        };
        FailurePolicy {
            on_error: self.on_error.unwrap_or(default),
            on_timeout: self.on_timeout.unwrap_or(default),
            on_unavailable: self.on_unavailable.unwrap_or(default),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, role: Role, expected: [FailureAction; 3]) {
        let subscription: Subscription = serde_json::from_str(json).unwrap();
        let policy = subscription.failure_policy(role);
        assert_eq!([policy.on_error, policy.on_timeout, policy.on_unavailable], expected);
    }

    #[test]
    fn who_may_deny_fails_closed_and_observers_fail_open() {
        use FailureAction::{Allow, Deny, Retry};
        check(r#"{"point":"container.pre_create"}"#, Role::Other, [Deny; 3]);
        check(r#"{"point":"container.post_create"}"#, Role::Other, [Allow; 3]);
        check(r#"{"point":"container.post_create"}"#, Role::Security, [Deny; 3]);
        let own = r#"{"point":"container.pre_exec","on_timeout":"retry","on_unavailable":"allow"}"#;
        check(own, Role::Other, [Deny, Retry, Allow]);
    }

    #[test]
    fn only_the_transactional_points_may_change_the_config() {
        let mutating = HookPoint::ALL
            .into_iter()
            .filter(|point| point.power() == Power::Mutate);
        let names: Vec<_> = mutating.map(HookPoint::as_str).collect();
        assert_eq!(
            names,
            ["container.pre_create", "container.pre_exec", "container.pre_update"]
        );
    }

    #[test]
    fn a_point_is_written_as_it_is_named() {
        for point in HookPoint::ALL {
            assert_eq!(serde_json::to_value(point).unwrap(), point.as_str());
        }
    }

    #[test]
    fn priorities_are_in_their_order() {
        use Priority::{Background, Critical, High, Low, Normal};
        let mut order = [Background, Low, Normal, High, Critical];
        order.sort();
        assert_eq!(order, [Critical, High, Normal, Low, Background]);
    }
}
