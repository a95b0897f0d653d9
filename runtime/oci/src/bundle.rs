//! A bundle: the folder that holds a config.json, and what that file says.
//!
//! Reading it says whether it is a config at all; whether this node can run it is `validate`'s to say.
//!
//! Spec: [Filesystem Bundle](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/bundle.md).

use std::io;
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Spec;

use crate::document::{self, DocumentError, Parsed, Source, Warning};
use crate::json::JsonError;
use crate::lenient;

/// The name of the config in its bundle.
pub const CONFIG_NAME: &str = "config.json";

/// A bundle that was read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bundle {
    /// The folder: absolute, without links.
    pub path: PathBuf,
    /// The config as it is in its file, unknown fields and all.
    pub config_raw: Vec<u8>,
    /// The config.
    pub spec: Spec,
    /// Absolute path of the root file system; it may not exist.
    pub rootfs: PathBuf,
    /// What in the config the runtime goes on without.
    pub warnings: Vec<Warning>,
}

/// Why a bundle was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The folder cannot be reached.
    #[error("open bundle {path:?}")]
    Open {
        /// The folder, as given.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What was given is no folder.
    #[error("open bundle {0:?}: not a directory: give the folder that holds config.json")]
    NotDirectory(PathBuf),
    /// The folder holds no config.
    #[error("JSON specification file {0:?} not found: give --bundle the folder that holds it")]
    NoConfig(PathBuf),
    /// The config was not read.
    #[error(transparent)]
    Config(#[from] DocumentError),
    /// The config is not written for this major version of the spec.
    #[error("{path:?}: at \"/ociVersion\": {version:?} is not supported: write a config for runtime-spec 1.x")]
    Version {
        /// The config.
        path: PathBuf,
        /// What it says.
        version: String,
    },
    /// The config names no root file system.
    #[error("{0:?}: at \"/root/path\": root must be specified: name the folder of the root file system")]
    NoRoot(PathBuf),
}

impl Bundle {
    /// Reads the bundle in `path`.
    ///
    /// config.json must be a regular file, reached through links or not, of at most [`document::MAX_BYTES`] in UTF-8.
    /// Unknown fields are logged and left alone, as the spec asks; they stay in `config_raw`.
    ///
    /// # Errors
    ///
    /// [`BundleError`]: one variant a step. Nothing on the machine has been changed.
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        let path = match path.canonicalize() {
            Ok(path) if path.is_dir() => path,
            Ok(path) => return Err(BundleError::NotDirectory(path)),
            Err(source) => {
                return Err(BundleError::Open {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let config = path.join(CONFIG_NAME);
        let config_raw = match document::read_bytes(&config, Source::Regular) {
            Ok(bytes) => bytes,
            Err(DocumentError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(BundleError::NoConfig(config));
            }
            Err(error) => return Err(error.into()),
        };
        let Parsed {
            value: spec,
            mut warnings,
        } = match parse(&config_raw) {
            Ok(parsed) => parsed,
            Err(source) => return Err(DocumentError::Parse { path: config, source }.into()),
        };
        check_version(&config, spec.version(), &mut warnings)?;
        let rootfs = match spec.root().as_ref().map(|root| root.path().as_path()) {
            Some(root) if !root.as_os_str().is_empty() => clean(&path.join(root)),
            _ => return Err(BundleError::NoRoot(config)),
        };
        Ok(Self {
            path,
            config_raw,
            spec,
            rootfs,
            warnings,
        })
    }
}

/// Reads the bytes of a config.json.
///
/// # Errors
///
/// [`JsonError`], which names the place. The version and the root are not looked at.
pub fn parse(config: &[u8]) -> Result<Parsed<Spec>, JsonError> {
    document::parse(config, lenient::mend_config)
}

fn check_version(config: &Path, version: &str, warnings: &mut Vec<Warning>) -> Result<(), BundleError> {
    if version.is_empty() {
        let text = "missing, read as 1.0.0: write the version of the runtime spec".to_owned();
        warnings.push(Warning {
            pointer: "/ociVersion".to_owned(),
            text,
        });
        return Ok(());
    }
    let mut numbers = version.split(['-', '+']).next().unwrap_or_default().split('.');
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_supported = numbers.next() == Some("1") && numbers.all(is_number);
    let error = || BundleError::Version {
        path: config.to_owned(),
        version: version.to_owned(),
    };
    if is_supported { Ok(()) } else { Err(error()) }
}

/// Removes `.`, `..` and double slashes by the text alone, as runc does before it looks at the path.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                cleaned.pop();
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests;
