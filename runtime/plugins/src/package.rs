//! A plugin's package: a folder with a manifest, and the files that the manifest lists.
//!
//! A package is data of a stranger. Nothing is opened by a path that leads through a link or out of the folder, nothing but
//! regular files is read, and none whole without a limit.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nexcage_plugin_types::text::{PackagePath, Sha256};
use nexcage_plugin_types::{DocumentError, Manifest};
use nexcage_sys::file::{self, FileError, Resolve};
use sha2::Digest as _;

#[cfg(test)]
mod tests;

/// The manifest's name.
pub const MANIFEST: &str = "plugin-manifest.json";

/// Bytes of the longest manifest.
const MANIFEST_MAX: u64 = 1 << 20;

/// Bytes of the largest file of a package.
const FILE_MAX: u64 = 256 << 20;

/// A package whose manifest was read.
#[derive(Debug)]
pub struct Package {
    folder: OwnedFd,
    path: PathBuf,
    manifest: Manifest,
}

/// A package that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The folder or a file in it cannot be opened.
    #[error("open plugin package {path:?}")]
    Open {
        /// The folder.
        path: PathBuf,
        /// The step.
        #[source]
        source: FileError,
    },
    /// A file is no regular one.
    #[error("read {file:?} of plugin package {path:?}: it is no regular file")]
    NotRegular {
        /// The folder.
        path: PathBuf,
        /// Its name in the package.
        file: String,
    },
    /// A file has more bytes than any may have.
    #[error("read {file:?} of plugin package {path:?}: more than {limit} bytes")]
    TooLarge {
        /// The folder.
        path: PathBuf,
        /// Its name in the package.
        file: String,
        /// How many it may have.
        limit: u64,
    },
    /// A file cannot be read.
    #[error("read {file:?} of plugin package {path:?}")]
    Read {
        /// The folder.
        path: PathBuf,
        /// Its name in the package.
        file: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The manifest is not one.
    #[error(transparent)]
    Manifest(#[from] DocumentError),
    /// A file is not the one that the manifest means.
    #[error("verify {:?} of plugin package {path:?}: its SHA-256 is {found}, the manifest says {expected}", .file.as_str())]
    Digest {
        /// The folder.
        path: PathBuf,
        /// Its name in the package.
        file: PackagePath,
        /// In the manifest.
        expected: Sha256,
        /// Of the file.
        found: String,
    },
}

impl Package {
    /// Opens a package and reads its manifest; the other files are not looked at.
    ///
    /// # Errors
    ///
    /// [`PackageError`].
    pub fn open(path: &Path) -> Result<Self, PackageError> {
        let opened = |source| PackageError::Open {
            path: path.to_owned(),
            source,
        };
        let folder = file::open_root(path).map_err(opened)?;
        let mut bytes = Vec::new();
        read_file(path, &folder, MANIFEST, MANIFEST_MAX, |piece| {
            bytes.extend_from_slice(piece)
        })?;
        let manifest = Manifest::parse(&path.join(MANIFEST).to_string_lossy(), &bytes)?;
        Ok(Self {
            folder,
            path: path.to_owned(),
            manifest,
        })
    }

    /// What the plugin declares.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the plugin's shared object in its package.
    #[must_use]
    pub fn object(&self) -> String {
        format!("{}.nexcage-plugin", self.manifest.name)
    }

    /// Reads a file of the package.
    ///
    /// # Errors
    ///
    /// [`PackageError`].
    pub fn read(&self, file: &str) -> Result<Vec<u8>, PackageError> {
        let mut bytes = Vec::new();
        read_file(&self.path, &self.folder, file, FILE_MAX, |piece| {
            bytes.extend_from_slice(piece)
        })?;
        Ok(bytes)
    }

    /// Compares every file that the manifest lists with its digest there.
    ///
    /// Returns how many there are.
    ///
    /// # Errors
    ///
    /// [`PackageError`] for the first file that is missing, no file, or another one.
    pub fn check_files(&self) -> Result<usize, PackageError> {
        for (file, expected) in &self.manifest.files {
            let mut hash = sha2::Sha256::new();
            read_file(&self.path, &self.folder, file.as_str(), FILE_MAX, |piece| {
                hash.update(piece)
            })?;
            let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            if found != expected.as_str() {
                return Err(PackageError::Digest {
                    path: self.path.clone(),
                    file: file.clone(),
                    expected: expected.clone(),
                    found,
                });
            }
        }
        Ok(self.manifest.files.len())
    }
}

/// Gives the content of a file to a function, piece by piece.
fn read_file(
    path: &Path,
    folder: &OwnedFd,
    name: &str,
    limit: u64,
    mut each: impl FnMut(&[u8]),
) -> Result<(), PackageError> {
    let failed = |source| PackageError::Read {
        path: path.to_owned(),
        file: name.to_owned(),
        source,
    };
    // A FIFO in a package must not stop the runtime.
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = file::open_below(folder.as_fd(), Path::new(name), flags, 0, Resolve::NoLinks);
    let opened = File::from(opened.map_err(|source| PackageError::Open {
        path: path.to_owned(),
        source,
    })?);
    if !opened.metadata().map_err(failed)?.is_file() {
        return Err(PackageError::NotRegular {
            path: path.to_owned(),
            file: name.to_owned(),
        });
    }
    let mut rest = opened.take(limit.saturating_add(1));
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0_u64;
    loop {
        let count = rest.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(());
        }
        total = total.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if total > limit {
            return Err(PackageError::TooLarge {
                path: path.to_owned(),
                file: name.to_owned(),
                limit,
            });
        }
        each(buffer.get(..count).unwrap_or_default());
    }
}
