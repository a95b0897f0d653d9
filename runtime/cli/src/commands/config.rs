//! `config`: the operator's configuration, checked and shown.

use std::fmt::Write as _;

use anyhow::Context as _;
use nexcage_plugins::configuration::{self, FILE, Loaded};

use crate::args::{ConfigAction, ConfigArgs, Globals};
use crate::output;

pub(super) fn run(globals: &Globals, args: ConfigArgs) -> anyhow::Result<()> {
    let loaded = configuration::load(globals.config.as_deref())?;
    match args.action {
        ConfigAction::Check => output::print(&checked(&loaded)?),
        ConfigAction::Show => {
            let text = serde_json::to_string_pretty(&loaded.configuration).context("print configuration")?;
            output::print(&(text + "\n"))
        }
    }
}

/// A line for each file, and one for a folder that is not there: no plugin is found then, and nothing else is wrong.
fn checked(loaded: &Loaded) -> anyhow::Result<String> {
    let mut text = String::new();
    for file in &loaded.files {
        writeln!(text, "{}: good", file.display()).context("print")?;
    }
    if loaded.files.is_empty() {
        writeln!(text, "{FILE} is not there: the defaults hold").context("print")?;
    }
    let plugins = &loaded.configuration.plugin_manager.plugin_dir;
    if !plugins.is_dir() {
        let plugins = plugins.display();
        writeln!(
            text,
            "warning: plugin directory {plugins} is not there: no plugin will be found"
        )
        .context("print")?;
    }
    Ok(text)
}
