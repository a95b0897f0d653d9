//! The plugins that are there: found in the operator's folder, each with what stands in the way of loading it.
//!
//! Nothing of a plugin runs here. A package that cannot be used is a fault of that plugin and of no other.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nexcage_plugin_types::text::PluginName;
use nexcage_plugin_types::{Capability, Configuration, Manifest};
use semver::Version;

use crate::grants::{GrantError, grants};
use crate::order::{OrderError, order_for};
use crate::ownership;
use crate::package::{Package, PackageError};

#[cfg(test)]
mod tests;

/// The version of the plugin interface that this nexcage offers.
const API: Version = Version::new(1, 0, 0);

/// Why a plugin is not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The folder of plugins cannot be read.
    #[error("read plugin directory {path:?}")]
    Read {
        /// The folder.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Somebody else can put plugins there.
    #[error("read plugin directory {path:?}: others than root can write it: give it to root, writable by nobody else")]
    Owner {
        /// The folder.
        path: PathBuf,
    },
    /// There is no such plugin.
    #[error("find plugin {name:?} in {folder:?}: see \"nexcage plugin list\"")]
    Unknown {
        /// The name.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// Its package cannot be used.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Two folders hold a plugin of this name.
    #[error("load plugin {name:?}: both {first:?} and {second:?} hold one of this name: remove one")]
    Twice {
        /// The plugin.
        name: String,
        /// A folder.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// There are more plugins than may be.
    #[error("load plugin {name:?}: it is one more than plugin_manager.max_plugins, {max}: disable others, or raise it")]
    TooMany {
        /// The plugin.
        name: String,
        /// How many there may be.
        max: u32,
    },
    /// The operator disabled it.
    #[error("load plugin {name:?}: it is disabled: \"nexcage plugin enable {name}\" enables it")]
    Disabled {
        /// The plugin.
        name: String,
    },
    /// It was made for another version.
    #[error("load plugin {name:?}: it needs {what} {wanted}, this is {found}")]
    Version {
        /// The plugin.
        name: String,
        /// What it needs.
        what: &'static str,
        /// The range in its manifest.
        wanted: String,
        /// What is there.
        found: Version,
    },
    /// Nothing says who made it.
    #[error(
        "load plugin {name:?}: it has no signature that this nexcage can verify: where its folder is trusted, set plugin_manager.require_signatures to false"
    )]
    Unsigned {
        /// The plugin.
        name: String,
    },
    /// It wants more memory than all plugins may have.
    #[error(
        "load plugin {name:?}: max_memory_mb is {wanted}, plugin_manager.memory_limit_mb is {limit}: raise it, if the node has the memory"
    )]
    Memory {
        /// The plugin.
        name: String,
        /// What its manifest asks for.
        wanted: u32,
        /// What all may have.
        limit: u32,
    },
    /// Its shared object is not among the files of its manifest.
    #[error("load plugin {name:?}: its manifest lists no file {object:?}")]
    NoObject {
        /// The plugin.
        name: String,
        /// The file that was looked for.
        object: String,
    },
    /// What it depends on cannot be loaded.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// It asks for what it may not have.
    #[error(transparent)]
    Grant(#[from] GrantError),
}

/// The plugins of a folder, and what the operator says of them.
#[derive(Debug)]
pub struct Registry {
    configuration: Configuration,
    plugins: BTreeMap<PluginName, Package>,
    /// Folders whose package cannot be used.
    faults: BTreeMap<PathBuf, RegistryError>,
    is_missing: bool,
}

impl Registry {
    /// Finds the plugins of the operator's folder.
    ///
    /// A folder that is not there holds none: see [`Registry::is_missing`].
    ///
    /// # Errors
    ///
    /// [`RegistryError::Read`], [`RegistryError::Owner`].
    pub fn discover(configuration: Configuration) -> Result<Self, RegistryError> {
        let path = configuration.plugin_manager.plugin_dir.clone();
        let mut registry = Self {
            configuration,
            plugins: BTreeMap::new(),
            faults: BTreeMap::new(),
            is_missing: false,
        };
        match folders(&path) {
            Ok(folders) => folders.into_iter().for_each(|folder| registry.add(&folder)),
            Err(RegistryError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                registry.is_missing = true;
            }
            Err(error) => return Err(error),
        }
        registry.limit();
        Ok(registry)
    }

    /// A registry of one package, wherever it is; for its author.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Package`].
    pub fn of_package(mut configuration: Configuration, path: &Path) -> Result<Self, RegistryError> {
        let package = Package::open(path)?;
        configuration.plugin_manager.require_signatures = false;
        Ok(Self {
            configuration,
            plugins: BTreeMap::from([(package.manifest().name.clone(), package)]),
            faults: BTreeMap::new(),
            is_missing: false,
        })
    }

    fn add(&mut self, folder: &Path) {
        let added = fs::metadata(folder)
            .map_err(|source| RegistryError::Read {
                path: folder.to_owned(),
                source,
            })
            .and_then(|metadata| match ownership::is_trusted(&metadata) {
                true => Ok(Package::open(folder)?),
                false => Err(RegistryError::Owner {
                    path: folder.to_owned(),
                }),
            });
        let package = match added {
            Ok(package) => package,
            Err(error) => {
                self.faults.insert(folder.to_owned(), error);
                return;
            }
        };
        let name = package.manifest().name.clone();
        if let Some(first) = self.plugins.get(&name) {
            // Neither is loaded: which one is meant cannot be told.
            let error = |first: &Path, second: &Path| RegistryError::Twice {
                name: name.to_string(),
                first: first.to_owned(),
                second: second.to_owned(),
            };
            self.faults.insert(first.path().to_owned(), error(first.path(), folder));
            self.faults.insert(folder.to_owned(), error(first.path(), folder));
            return;
        }
        self.plugins.insert(name, package);
    }

    /// Puts aside what is twice, and what is too much; the order of names decides.
    fn limit(&mut self) {
        let faults = &self.faults;
        self.plugins.retain(|_, package| !faults.contains_key(package.path()));
        let max = self.configuration.plugin_manager.max_plugins;
        let enabled = self.plugins.keys().filter(|name| self.configuration.is_enabled(name));
        let beyond: Vec<PluginName> = enabled
            .skip(usize::try_from(max).unwrap_or(usize::MAX))
            .cloned()
            .collect();
        for name in beyond {
            if let Some(package) = self.plugins.remove(&name) {
                let name = name.to_string();
                self.faults
                    .insert(package.path().to_owned(), RegistryError::TooMany { name, max });
            }
        }
    }

    /// Whether the operator's folder is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// What the operator says.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Every plugin whose package can be read, in the order of their names.
    pub fn plugins(&self) -> impl Iterator<Item = &Package> {
        self.plugins.values()
    }

    /// Folders whose package cannot be used, and why.
    pub fn faults(&self) -> impl Iterator<Item = (&Path, &RegistryError)> {
        self.faults.iter().map(|(path, error)| (path.as_path(), error))
    }

    /// Finds a plugin.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unknown`].
    pub fn find(&self, name: &str) -> Result<&Package, RegistryError> {
        let found = self.plugins.iter().find(|(known, _)| known.as_str() == name);
        found.map(|(_, package)| package).ok_or_else(|| RegistryError::Unknown {
            name: name.to_owned(),
            folder: self.configuration.plugin_manager.plugin_dir.clone(),
        })
    }

    /// Decides whether a plugin may be loaded, and with which powers.
    ///
    /// * `nexcage`: the version of this program.
    ///
    /// Returns its grants.
    ///
    /// # Errors
    ///
    /// [`RegistryError`], also for what it depends on.
    pub fn check(&self, package: &Package, nexcage: &Version) -> Result<Vec<Capability>, RegistryError> {
        let manifest = package.manifest();
        if !self.configuration.is_enabled(&manifest.name) {
            let name = manifest.name.to_string();
            return Err(RegistryError::Disabled { name });
        }
        let is_enabled = |name: &PluginName| self.configuration.is_enabled(name);
        let enabled = self.plugins.iter().filter(|(name, _)| is_enabled(name));
        let enabled: BTreeMap<PluginName, &Manifest> = enabled
            .map(|(name, package)| (name.clone(), package.manifest()))
            .collect();
        for needed in order_for(&manifest.name, &enabled)? {
            if let Some(package) = self.plugins.get(&needed) {
                self.check_alone(package, nexcage)?;
            }
        }
        Ok(grants(&self.configuration.security, manifest)?)
    }

    fn check_alone(&self, package: &Package, nexcage: &Version) -> Result<(), RegistryError> {
        let manifest = package.manifest();
        let name = || manifest.name.to_string();
        let ranges = [
            ("plugin API", &manifest.api, &API),
            ("nexcage", &manifest.nexcage_version, nexcage),
        ];
        if let Some((what, wanted, found)) = ranges.into_iter().find(|(_, range, version)| !range.matches(version)) {
            return Err(RegistryError::Version {
                name: name(),
                what,
                wanted: wanted.to_string(),
                found: found.clone(),
            });
        }
        if self.configuration.plugin_manager.require_signatures {
            return Err(RegistryError::Unsigned { name: name() });
        }
        let (wanted, limit) = (
            manifest.resource_requirements.max_memory_mb,
            self.configuration.plugin_manager.memory_limit_mb,
        );
        if wanted > limit {
            return Err(RegistryError::Memory {
                name: name(),
                wanted,
                limit,
            });
        }
        let object = package.object();
        if !manifest.files.keys().any(|file| file.as_str() == object) {
            return Err(RegistryError::NoObject { name: name(), object });
        }
        Ok(grants(&self.configuration.security, manifest).map(drop)?)
    }
}

/// The folders in the operator's folder, in the order of their names.
fn folders(path: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let failed = |source| RegistryError::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !ownership::is_trusted(&metadata) {
        return Err(RegistryError::Owner { path: path.to_owned() });
    }
    let mut folders = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        // Not what a link leads to: somebody else may own that.
        if !is_hidden && entry.file_type().map_err(failed)?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}
