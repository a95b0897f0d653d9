//! The extensions, a trait each. A function that a plugin does not write answers that it is unsupported.

use std::collections::BTreeMap;

use nexcage_plugin_abi::Extension;
use nexcage_plugin_abi::table::{
    NXC_API_VERSION, NxcBackend, NxcCliCommand, NxcHook, NxcIntegration, NxcMonitoring, NxcNetwork, NxcSecurity,
    NxcStorage,
};
use nexcage_plugin_types::hook::HookPoint;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::export::{Tables, run};
use crate::host::size;
use crate::{Call, Plugin, PluginError};

/// A command as help shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What the user types.
    pub name: String,
    /// What it does, in a line.
    pub about: String,
}

/// A command that is asked about or run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// What the user typed.
    pub command: String,
    /// What came after it.
    #[serde(default)]
    pub args: Vec<String>,
    /// Those of the standard streams that are terminals.
    #[serde(default)]
    pub terminals: Vec<String>,
}

/// What came of a command. Long output, and input, go by [`Call::stream`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Zero for success.
    pub exit_code: u8,
    /// For standard output.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
}

/// What happens at a hook point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Where.
    pub point: HookPoint,
    /// What it is about; each point has its own form.
    #[serde(default)]
    pub data: Value,
}

/// A plugin's answer to an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// It may go on.
    Allow,
    /// It may go on, changed.
    Adjust {
        /// A JSON Patch, RFC 6902.
        patch: Value,
    },
    /// It may not.
    Deny {
        /// Why, for people.
        reason: String,
    },
}

/// A measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Letters, digits and underscores, the unit last.
    pub name: String,
    /// The value.
    pub value: f64,
    /// What it belongs to.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A container that something is to be done with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerInput {
    /// Its id.
    pub id: String,
    /// Everything else, by the function.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

/// A container that is to be judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityInput {
    /// Its id.
    pub id: String,
    /// Its config.json.
    pub config: Value,
}

/// A volume that something is to be done with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeInput {
    /// Its name.
    pub name: String,
    /// What a new one should be.
    #[serde(default)]
    pub options: Value,
}

/// A container's network that something is to be done with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkInput {
    /// The container's id.
    pub id: String,
    /// The network's name.
    #[serde(default)]
    pub network: String,
    /// What the attachment should be.
    #[serde(default)]
    pub options: Value,
}

/// A question to a system beside nexcage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What is asked.
    pub method: String,
    /// What it is asked with.
    #[serde(default)]
    pub params: Value,
}

impl Command {
    /// A command.
    pub fn new(name: impl Into<String>, about: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            about: about.into(),
        }
    }
}

impl Output {
    /// Success with a text for standard output.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            stdout: text.into(),
            ..Self::default()
        }
    }
}

impl Verdict {
    /// A refusal.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::Deny { reason: reason.into() }
    }
}

/// Makes a trait, and the table whose functions call it.
macro_rules! extension {
    ($(#[$doc:meta])* $extension:ident $table:ident { $($(#[$function_doc:meta])* $function:ident($input:ty) -> $output:ty;)* }) => {
        $(#[$doc])*
        pub trait $extension: Plugin {
            $(
                $(#[$function_doc])*
                ///
                /// # Errors
                ///
                /// Why it was not done; unsupported where a plugin does not write it.
                #[expect(unused_variables, reason = "names for whoever writes it")]
                fn $function(&self, call: &Call, input: $input) -> Result<$output, PluginError> {
                    Err(PluginError::unsupported(concat!("the plugin has no ", stringify!($function))))
                }
            )*
        }

        impl<P: $extension> Tables<P> {
            /// Name and table of the extension.
            #[expect(non_upper_case_globals, reason = "named as the trait, so that export_plugin! finds it")]
            pub const $extension: (&'static str, $table) = (Extension::$extension.id(), $table {
                struct_size: size::<$table>(),
                api_version: NXC_API_VERSION,
                $($function: {
                    unsafe extern "C" fn shim<P: $extension>(
                        ctx: *mut core::ffi::c_void,
                        call: u64,
                        input: nexcage_plugin_abi::table::NxcStr,
                    ) -> i32 {
                        // SAFETY: as the host gave them.
                        unsafe { run::<P, $input, $output>(ctx, call, input, P::$function) }
                    }
                    Some(shim::<P>)
                },)*
            });
        }
    };
}

extension! {
    /// Commands in nexcage's command line.
    CliCommand NxcCliCommand {
        /// Names the commands.
        list_commands(()) -> Vec<Command>;
        /// Helps with one.
        help(Invocation) -> String;
        /// Refuses arguments that `execute` would refuse.
        validate(Invocation) -> ();
        /// Runs one.
        execute(Invocation) -> Output;
        /// Offers words that may stand in place of the last argument.
        complete(Invocation) -> Vec<String>;
    }
}

extension! {
    /// Events of hook points.
    Hook NxcHook {
        /// Answers an event.
        event(Event) -> Verdict;
    }
}

extension! {
    /// Measured values.
    Monitoring NxcMonitoring {
        /// Measures.
        collect(()) -> Vec<Measurement>;
    }
}

extension! {
    /// Decisions on containers.
    Security NxcSecurity {
        /// Judges a container.
        check(SecurityInput) -> Verdict;
    }
}

extension! {
    /// A system beside nexcage, such as a cluster manager.
    Integration NxcIntegration {
        /// Makes ready to talk to it.
        connect(()) -> Value;
        /// Ends that.
        disconnect(()) -> ();
        /// Asks it.
        request(Request) -> Value;
    }
}

extension! {
    /// Volumes.
    Storage NxcStorage {
        /// Makes one.
        create(VolumeInput) -> Value;
        /// Says where it is to be found.
        attach(VolumeInput) -> Value;
        /// Ends what `attach` began.
        detach(VolumeInput) -> ();
        /// Removes one.
        remove(VolumeInput) -> ();
        /// Names them.
        list(()) -> Vec<String>;
    }
}

extension! {
    /// A container's networks.
    Network NxcNetwork {
        /// Attaches a container.
        attach(NetworkInput) -> Value;
        /// Ends what `attach` began.
        detach(NetworkInput) -> ();
        /// Says what a container has.
        status(NetworkInput) -> Value;
    }
}

extension! {
    /// What makes a container real.
    Backend NxcBackend {
        /// Says what it can do.
        features(()) -> Value;
        /// Makes a container whose program waits for `start`.
        create(ContainerInput) -> Value;
        /// Runs the container's program.
        start(ContainerInput) -> ();
        /// Signals it.
        kill(ContainerInput) -> ();
        /// Removes the container.
        remove(ContainerInput) -> ();
        /// Says how it is.
        state(ContainerInput) -> Value;
        /// Runs another program in it.
        exec(ContainerInput) -> Value;
        /// Freezes it.
        pause(ContainerInput) -> ();
        /// Thaws it.
        resume(ContainerInput) -> ();
        /// Changes its limits.
        update(ContainerInput) -> ();
    }
}
