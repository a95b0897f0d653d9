//! What a plugin's author needs before anything is loaded: `plugin validate` and `migrate`.

use std::path::Path;

use anyhow::Context as _;
use nexcage_plugin_types::Manifest;
use nexcage_plugins::package::{MANIFEST, Package};
use nexcage_plugins::schema;
use nexcage_sys::file;

use crate::output;

/// Bytes of the longest manifest.
const MANIFEST_MAX: u64 = 1 << 20;

/// Says what was checked; of a manifest alone that is less.
pub(super) fn validate(path: &Path) -> anyhow::Result<()> {
    if !path.is_dir() {
        let manifest = read(path)?;
        schema::check_schema(&manifest)?;
        return output::print(&format!("{} {}: manifest is good\n", manifest.name, manifest.version));
    }
    let package = Package::open(path)?;
    let files = package.check_files()?;
    let manifest = package.manifest();
    schema::check_schema(manifest)?;
    let text = match files {
        0 => "manifest is good, it lists no files: the plugin cannot be loaded".to_owned(),
        1 => "manifest is good, its file is the one listed".to_owned(),
        files => format!("manifest is good, its {files} files are those listed"),
    };
    output::print(&format!("{} {}: {text}\n", manifest.name, manifest.version))
}

pub(super) fn migrate(path: &Path) -> anyhow::Result<()> {
    let path = if path.is_dir() { &path.join(MANIFEST) } else { path };
    output::print(&read(path)?.print().context("print manifest")?)
}

fn read(path: &Path) -> anyhow::Result<Manifest> {
    let bytes = file::read_capped(path, MANIFEST_MAX)?;
    Ok(Manifest::parse(&path.to_string_lossy(), &bytes)?)
}
