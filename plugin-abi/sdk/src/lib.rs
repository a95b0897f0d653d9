//! What a nexcage plugin written in Rust is made with.
//!
//! A plugin is a type with [`Plugin`], a trait for each extension that it has, and one line of [`export_plugin!`]:
//!
//! ```
//! use nexcage_plugin::{Call, CliCommand, Command, Invocation, Output, Plugin, PluginError, Value};
//!
//! struct Hello;
//!
//! impl Plugin for Hello {
//!     fn init(_config: Value) -> Result<Self, PluginError> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl CliCommand for Hello {
//!     fn list_commands(&self, _call: &Call, _input: ()) -> Result<Vec<Command>, PluginError> {
//!         Ok(vec![Command::new("hello", "Say hello")])
//!     }
//!
//!     fn execute(&self, _call: &Call, _input: Invocation) -> Result<Output, PluginError> {
//!         nexcage_plugin::info!("somebody is greeted");
//!         Ok(Output::text("Hello!\n"))
//!     }
//! }
//!
//! nexcage_plugin::export_plugin!(Hello, name: "hello", extensions: [CliCommand]);
//! # fn main() {}
//! ```
//!
//! A plugin has no files, no network and no programs of its own: what it needs it asks for by [`Call`], and gets as far as
//! its manifest says and the operator grants. Panics are caught and become errors. [`testing`] loads a plugin into a
//! unit test by the same C tables as nexcage does.
#![expect(
    unsafe_code,
    reason = "the C tables are filled here, so that a plugin needs none of it; every block says why it is sound"
)]

mod call;
mod error;
#[doc(hidden)]
pub mod export;
mod extensions;
mod host;
mod plugin;
pub mod testing;

pub use call::{Answer, Call, Stream};
pub use error::PluginError;
pub use extensions::{
    Backend, CliCommand, Command, ContainerInput, Event, Hook, Integration, Invocation, Measurement, Monitoring,
    Network, NetworkInput, Output, Request, Security, SecurityInput, Storage, Verdict, VolumeInput,
};
pub use host::{Level, log, metric};
pub use nexcage_plugin_types::hook::HookPoint;
pub use plugin::{Health, Plugin};
pub use serde_json::{Value, json};

/// Logs that an operation failed.
#[macro_export]
macro_rules! error {
    ($($text:tt)*) => { $crate::log($crate::Level::Error, module_path!(), &format!($($text)*)) };
}

/// Logs that it goes on with less.
#[macro_export]
macro_rules! warn {
    ($($text:tt)*) => { $crate::log($crate::Level::Warn, module_path!(), &format!($($text)*)) };
}

/// Logs that a status changed.
#[macro_export]
macro_rules! info {
    ($($text:tt)*) => { $crate::log($crate::Level::Info, module_path!(), &format!($($text)*)) };
}

/// Logs a step.
#[macro_export]
macro_rules! debug {
    ($($text:tt)*) => { $crate::log($crate::Level::Debug, module_path!(), &format!($($text)*)) };
}

/// Makes a type the plugin of this shared object: defines `nexcage_plugin_entry`.
///
/// * the type, which has [`Plugin`] and the traits named under `extensions`;
/// * `name`: as in the manifest. The version is the crate's.
///
/// One crate has one plugin. The crate may deny `unsafe_code`, but not forbid it.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty, name: $name:literal, extensions: [$($extension:ident),* $(,)?]) => {
        #[allow(unsafe_code, reason = "the one symbol that the C interface asks for")]
        const _: () = {
            static SLOT: $crate::export::Slot<$plugin> =
                $crate::export::Slot::new($name, env!("CARGO_PKG_VERSION"), find);

            fn find(name: &[u8]) -> *const ::core::ffi::c_void {
                $(
                    if name == $crate::export::Tables::<$plugin>::$extension.0.as_bytes() {
                        return ::core::ptr::from_ref(&$crate::export::Tables::<$plugin>::$extension.1).cast();
                    }
                )*
                ::core::ptr::null()
            }

            /// The entry of the plugin.
            ///
            /// # Safety
            ///
            /// Called by a nexcage plugin host, once.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn nexcage_plugin_entry(
                host_api: u32,
                host: *const $crate::export::NxcHost,
                plugin: *mut *const $crate::export::NxcPlugin,
            ) -> i32 {
                // SAFETY: handed on as the host gave them.
                unsafe { $crate::export::enter(&SLOT, host_api, host, plugin) }
            }

            // SAFETY: the function above follows the interface.
            unsafe impl $crate::testing::Exported for $plugin {
                const ENTRY: $crate::export::NxcEntry = nexcage_plugin_entry;
            }
        };
    };
}
