//! Flags of the commands that only look, and of those that take nothing but an id.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::units;

/// The argument of `start`, `state`, `pause` and `resume`.
#[derive(Clone, Debug, clap::Args)]
pub struct IdArgs {
    /// id of the container
    #[arg(value_name = "container-id")]
    pub id: String,
}

/// The form of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON array.
    Json,
}

impl Format {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            _ => Err("invalid format option: want table or json".into()),
        }
    }
}

/// Flags of `list`.
#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    /// table or json
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = Format::parse)]
    pub format: Format,
    /// print container ids only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Flags of `ps`.
#[derive(Clone, Debug, clap::Args)]
pub struct PsArgs {
    /// table or json
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = Format::parse)]
    pub format: Format,
    /// id of the container
    #[arg(value_name = "container-id")]
    pub id: String,
    /// options for ps
    #[arg(value_name = "ps options", num_args = 0.., trailing_var_arg = true)]
    pub ps_options: Vec<OsString>,
}

/// Flags of `events`.
#[derive(Clone, Debug, clap::Args)]
pub struct EventsArgs {
    /// time between two statistics
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = units::parse_interval)]
    pub interval: Duration,
    /// print the statistics once
    #[arg(long)]
    pub stats: bool,
    /// id of the container
    #[arg(value_name = "container-id")]
    pub id: String,
}

/// Flags of `spec`.
#[derive(Clone, Debug, clap::Args)]
pub struct SpecArgs {
    /// directory to write config.json into [default: current directory]
    #[arg(short, long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// write a config for a user who is not root
    #[arg(long)]
    pub rootless: bool,
}

/// `features` takes nothing.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct FeaturesArgs {}
