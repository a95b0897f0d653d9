//! Flags of `plugin`.

use std::path::PathBuf;

/// What is done with a plugin's package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginAction {
    /// Check manifest and files.
    Validate,
    /// Print the manifest in its new form.
    Migrate,
}

/// Arguments of `plugin`.
#[derive(Clone, Debug, clap::Args)]
pub struct PluginArgs {
    /// validate or migrate
    #[arg(value_name = "action", value_parser = parse_action)]
    pub action: PluginAction,
    /// folder of a package, or a manifest
    #[arg(value_name = "path")]
    pub path: PathBuf,
}

fn parse_action(text: &str) -> Result<PluginAction, String> {
    match text {
        "validate" => Ok(PluginAction::Validate),
        "migrate" => Ok(PluginAction::Migrate),
        _ => Err("unknown action: want validate or migrate".into()),
    }
}
