//! Flags of `plugin` and `config`.

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

/// What is done with the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigAction {
    /// Say whether it is good.
    Check,
    /// Print what holds.
    Show,
}

/// Arguments of `config`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ConfigArgs {
    /// check or show
    #[arg(value_name = "action", value_parser = parse_config_action)]
    pub action: ConfigAction,
}

fn parse_config_action(text: &str) -> Result<ConfigAction, String> {
    match text {
        "check" => Ok(ConfigAction::Check),
        "show" => Ok(ConfigAction::Show),
        _ => Err("unknown action: want check or show".into()),
    }
}
