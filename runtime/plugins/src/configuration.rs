//! The operator's configuration, from its files.
//!
//! `config.json` first, then the files of `config.d` beside it whose names end in `.json`, in the order of their names. They
//! say what plugins may do, so nobody but root and the caller may have written them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nexcage_plugin_types::configuration::Layer;
use nexcage_plugin_types::text::PluginName;
use nexcage_plugin_types::{Configuration, DocumentError};
use nexcage_sys::file::{self, Durability};
use nexcage_sys::lock::{FileLock, LockKind};
use serde_json::Value;

use crate::ownership;

#[cfg(test)]
mod tests;

/// Where the configuration is, unless the caller says otherwise.
pub const FILE: &str = "/etc/nexcage/config.json";

/// The file of `config.d` in which `nexcage plugin enable` and `disable` keep what they are told.
const ENABLED: &str = "90-nexcage-enabled.json";

/// The file of `config.d` in which the broker keeps what plugins write.
const WRITTEN: &str = "91-nexcage-written.json";

/// Bytes of the longest file; the reader of documents refuses the same.
const FILE_MAX: u64 = 1 << 20;

/// A configuration that cannot be used: nothing of it holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// A file or folder cannot be opened or read.
    #[error("read configuration {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A file cannot be kept.
    #[error("write configuration {path:?}")]
    Write {
        /// The folder.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A file is no regular one.
    #[error("read configuration {path:?}: it is no regular file")]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else can have written a file.
    #[error(
        "read configuration {path:?}: it belongs to uid {uid} and has mode {mode:03o}: give it to root, writable by nobody else"
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// What a file says is not a configuration.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// A configuration and the files that it was read from, in their order.
#[derive(Debug)]
pub struct Loaded {
    /// What holds.
    pub configuration: Configuration,
    /// What it was read from.
    pub files: Vec<PathBuf>,
}

/// Reads the configuration.
///
/// * `given`: a file that the caller names, which must exist; without one it is [`FILE`], and may be missing.
///
/// # Errors
///
/// [`ConfigurationError`], for the first file at fault.
pub fn load(given: Option<&Path>) -> Result<Loaded, ConfigurationError> {
    let main = given.unwrap_or(Path::new(FILE));
    let mut layers = Vec::new();
    let mut files = Vec::new();
    match read(main) {
        Ok(layer) => {
            layers.push(layer);
            files.push(main.to_owned());
        }
        Err(ConfigurationError::Read { source, .. }) if given.is_none() && source.kind() == io::ErrorKind::NotFound => {
        }
        Err(error) => return Err(error),
    }
    for path in drop_ins(main)? {
        layers.push(read(&path)?);
        files.push(path);
    }
    Ok(Loaded {
        configuration: Configuration::merge(layers),
        files,
    })
}

/// Keeps whether a plugin is loaded, in a file of `config.d` that is this program's own.
///
/// * `given`: as for [`load`].
///
/// Returns the file.
///
/// # Errors
///
/// [`ConfigurationError`]; the file is as it was.
pub fn set_enabled(given: Option<&Path>, plugin: &PluginName, enabled: bool) -> Result<PathBuf, ConfigurationError> {
    change(given, ENABLED, |layer| {
        layer.plugins.entry(plugin.clone()).or_default().enabled = Some(enabled);
    })
}

/// Keeps a member of a plugin's own configuration, in a file of `config.d` that is this program's own.
///
/// * `given`: as for [`load`].
///
/// Returns the file.
///
/// # Errors
///
/// [`ConfigurationError`]; the file is as it was.
pub fn set_member(
    given: Option<&Path>,
    plugin: &PluginName,
    member: String,
    value: Value,
) -> Result<PathBuf, ConfigurationError> {
    change(given, WRITTEN, |layer| {
        let own = layer.plugins.entry(plugin.clone()).or_default();
        own.config.get_or_insert_default().insert(member, value);
    })
}

/// Changes a file of `config.d`; two commands never do so at the same time.
fn change(given: Option<&Path>, file: &str, change: impl FnOnce(&mut Layer)) -> Result<PathBuf, ConfigurationError> {
    let folder = given.unwrap_or(Path::new(FILE)).with_file_name("config.d");
    let failed = |source| ConfigurationError::Write {
        path: folder.clone(),
        source,
    };
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder);
    made.map_err(failed)?;
    let lock = file::open_append(&folder.join(".lock"), 0o600).map_err(|error| failed(error.into_io()))?;
    let _held = FileLock::lock(lock, LockKind::Exclusive).map_err(failed)?;
    let path = folder.join(file);
    let mut layer = match read(&path) {
        Ok(layer) => layer,
        Err(ConfigurationError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Layer::default(),
        Err(error) => return Err(error),
    };
    change(&mut layer);
    let mut text = serde_json::to_vec_pretty(&layer).unwrap_or_default();
    text.push(b'\n');
    file::write_atomic(&path, &text, 0o644, Durability::Synced).map_err(|error| failed(error.into_io()))?;
    Ok(path)
}

fn drop_ins(main: &Path) -> Result<Vec<PathBuf>, ConfigurationError> {
    let folder = main.with_file_name("config.d");
    let failed = |source| ConfigurationError::Read {
        path: folder.clone(),
        source,
    };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    check_owner(&folder, &folder.metadata().map_err(failed)?)?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        // Editors leave hidden and backup files beside a file.
        let is_hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "json") && !is_hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Layer, ConfigurationError> {
    let failed = |source| ConfigurationError::Read {
        path: path.to_owned(),
        source,
    };
    // What is checked is what is read: the open file. A FIFO must not stop the runtime.
    let mut options = File::options();
    let opened = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let opened = opened.map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(ConfigurationError::NotRegular { path: path.to_owned() });
    }
    check_owner(path, &metadata)?;
    let mut bytes = Vec::new();
    opened.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Layer::parse(&path.to_string_lossy(), &bytes)?)
}

fn check_owner(path: &Path, metadata: &fs::Metadata) -> Result<(), ConfigurationError> {
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o777);
    if ownership::is_trusted(metadata) {
        return Ok(());
    }
    Err(ConfigurationError::Owner {
        path: path.to_owned(),
        uid,
        mode,
    })
}
