//! `cargo xtask header`: makes the C header of the plugin interface from the Rust structs.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

/// Write plugin-abi/include/nexcage_plugin.h from plugin-abi/abi/src/table.rs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when the header is not what would be written.
    #[arg(long)]
    pub(crate) check: bool,
}

const SOURCE: &str = "plugin-abi/abi/src/table.rs";
const HEADER: &str = "plugin-abi/include/nexcage_plugin.h";

/// The Rust names and what C calls them.
const NAMES: [(&str, &str); 14] = [
    ("NxcStr", "nxc_str"),
    ("NxcSink", "nxc_sink"),
    ("NxcHost", "nxc_host"),
    ("NxcFunction", "nxc_function"),
    ("NxcPlugin", "nxc_plugin"),
    ("NxcCliCommand", "nxc_cli_command"),
    ("NxcHook", "nxc_hook"),
    ("NxcBackend", "nxc_backend"),
    ("NxcIntegration", "nxc_integration"),
    ("NxcMonitoring", "nxc_monitoring"),
    ("NxcStorage", "nxc_storage"),
    ("NxcNetwork", "nxc_network"),
    ("NxcSecurity", "nxc_security"),
    ("NxcEntry", "nxc_entry"),
];

const BEGINNING: &str = "/* The interface between nexcage and a plugin.
 *
 * No memory ever changes its owner: strings are lent for the call, and output goes through reply_write. Every struct
 * starts with its size and version, and fields are only ever appended: use none beyond the struct_size of the other side.
 */";

const END: &str = "#ifdef __cplusplus
extern \"C\" {
#endif

/* What a plugin defines. */
int32_t nexcage_plugin_entry(uint32_t host_api, const nxc_host *host, const nxc_plugin **plugin);

#ifdef __cplusplus
}
#endif";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut wanted = Vec::new();
    generate()?.write(&mut wanted);
    if fs::read(HEADER).is_ok_and(|found| found == wanted) {
        return Ok(ExitCode::SUCCESS);
    }
    if args.check {
        writeln!(
            std::io::stderr(),
            "header: {HEADER} is not what {SOURCE} says: run cargo xtask header"
        )
        .context("print")?;
        return Ok(ExitCode::FAILURE);
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(HEADER);
    file.and_then(|mut file| file.write_all(&wanted))
        .with_context(|| format!("write {HEADER}"))?;
    Ok(ExitCode::SUCCESS)
}

fn generate() -> Result<cbindgen::Bindings> {
    let renamed = NAMES.map(|(rust, c)| (rust.to_owned(), c.to_owned()));
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        header: Some(BEGINNING.to_owned()),
        trailer: Some(END.to_owned()),
        autogen_warning: Some("/* Made by `cargo xtask header`; do not edit. */".to_owned()),
        include_guard: Some("NEXCAGE_PLUGIN_H".to_owned()),
        sys_includes: ["stddef.h", "stdint.h"].map(str::to_owned).to_vec(),
        no_includes: true,
        usize_is_size_t: true,
        documentation_style: cbindgen::DocumentationStyle::C,
        export: cbindgen::ExportConfig {
            include: NAMES.map(|(rust, _)| rust.to_owned()).to_vec(),
            rename: renamed.into_iter().collect(),
            ..cbindgen::ExportConfig::default()
        },
        ..cbindgen::Config::default()
    };
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(SOURCE)
        .generate()
        .with_context(|| format!("read {SOURCE}"))
}
