//! `nexcage-plugin-host`: holds one plugin, confined, and serves it to the runtime that started it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use nexcage_plugin_abi::host::{self, Loaded};
use nexcage_plugin_host::command;
use nexcage_plugin_host::life::{Loader, live};
use nexcage_plugin_host::sandbox::Layers;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(command::ARGUMENT) {
        return command::run();
    }
    let loader = Loader {
        preload: host::preload,
        load: Loaded::open,
    };
    live(loader, Layers::All)
}
