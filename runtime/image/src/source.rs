//! Where the parts of an image are read from: a directory or an archive.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nexcage_sys::file::{self, FileError, Resolve};
use rustix::fs::{FileType, OFlags};

use crate::archive::{Archive, ArchiveError};
use crate::digest::{Digest, Digesting};
use crate::observer::Observer;

/// The largest index, manifest or config that is read.
const MAX_DOCUMENT: u64 = 8 << 20;

/// A part of an image that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The store is neither a directory nor a file.
    #[error("open image {0:?}: neither a directory nor a regular file")]
    Kind(PathBuf),
    /// The store could not be looked at.
    #[error("open image {path:?}")]
    Open {
        /// The store.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The directory could not be opened.
    #[error("open image layout")]
    OpenFolder(#[source] FileError),
    /// The archive could not be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A part could not be opened.
    #[error("open {part:?} of the image")]
    OpenPart {
        /// Its name in the store.
        part: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A part could not be read.
    #[error("read {part:?} of the image")]
    Read {
        /// Its name in the store.
        part: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A part has another size than the image says.
    #[error("read {part:?} of the image: {found} bytes instead of {expected}: the image is damaged")]
    Size {
        /// Its name in the store.
        part: PathBuf,
        /// What the image says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A document is too large to be one.
    #[error("read {part:?} of the image: {size} bytes, more than the {MAX_DOCUMENT} of any index, manifest or config")]
    TooLarge {
        /// Its name in the store.
        part: PathBuf,
        /// Its size.
        size: u64,
    },
    /// A part has another digest than the image says.
    #[error("verify {part:?} of the image: digest is {found}, not {expected}: the image is damaged or was changed")]
    Digest {
        /// Its name in the store.
        part: PathBuf,
        /// What the image says.
        expected: Digest,
        /// What was computed.
        found: Digest,
    },
}

/// An opened store.
#[derive(Debug)]
pub(crate) enum Source {
    Folder(OwnedFd),
    Archive(Archive),
}

impl Source {
    pub(crate) fn open(
        path: &Path,
        spill: &Path,
        limit: u64,
        observer: &mut dyn Observer,
    ) -> Result<Self, SourceError> {
        let meta = path.metadata().map_err(|source| SourceError::Open {
            path: path.to_owned(),
            source,
        })?;
        if meta.is_dir() {
            file::open_root(path).map(Self::Folder).map_err(SourceError::OpenFolder)
        } else if meta.is_file() {
            Ok(Self::Archive(Archive::open(path, spill, limit, observer)?))
        } else {
            Err(SourceError::Kind(path.to_owned()))
        }
    }

    pub(crate) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// Whether there is a part of this name.
    pub(crate) fn has(&self, part: &Path) -> bool {
        match self {
            Self::Folder(folder) => open_in(folder, part).is_ok(),
            Self::Archive(archive) => archive.has(part),
        }
    }

    /// Opens a part for reading, and checks its size when one is expected.
    pub(crate) fn part(&self, part: &Path, size: Option<u64>) -> Result<(Box<dyn Read + '_>, u64), SourceError> {
        let failed = |source| SourceError::OpenPart {
            part: part.to_owned(),
            source,
        };
        let (reader, found): (Box<dyn Read + '_>, u64) = match self {
            Self::Folder(folder) => {
                let file = open_in(folder, part).map_err(failed)?;
                let found = file.metadata().map_err(failed)?.len();
                (Box::new(file.take(found)), found)
            }
            Self::Archive(archive) => {
                let (reader, found) = archive.member(part).map_err(failed)?;
                (Box::new(reader), found)
            }
        };
        match size {
            Some(expected) if expected != found => Err(SourceError::Size {
                part: part.to_owned(),
                expected,
                found,
            }),
            _ => Ok((Box::new(BufReader::new(reader)), found)),
        }
    }

    /// Reads an index, manifest or config, and checks what is known of it.
    pub(crate) fn document(
        &self,
        part: &Path,
        size: Option<u64>,
        digest: Option<&Digest>,
    ) -> Result<Vec<u8>, SourceError> {
        let (reader, size) = self.part(part, size)?;
        if size > MAX_DOCUMENT {
            return Err(SourceError::TooLarge {
                part: part.to_owned(),
                size,
            });
        }
        let mut bytes = Vec::new();
        let mut reader = Digesting::new(reader);
        reader.read_to_end(&mut bytes).map_err(|source| SourceError::Read {
            part: part.to_owned(),
            source,
        })?;
        let (found, _) = reader.finish();
        check_digest(part, digest, found)?;
        Ok(bytes)
    }
}

/// Compares a computed digest with the one that the image says, where it says one.
pub(crate) fn check_digest(part: &Path, expected: Option<&Digest>, found: Digest) -> Result<(), SourceError> {
    match expected {
        Some(expected) if *expected != found => Err(SourceError::Digest {
            part: part.to_owned(),
            expected: expected.clone(),
            found,
        }),
        _ => Ok(()),
    }
}

/// Opens a regular file below a layout's directory; links may not lead out of it.
fn open_in(folder: &OwnedFd, part: &Path) -> io::Result<File> {
    let flags = (OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
        .bits()
        .cast_signed();
    let file = file::open_below(folder.as_fd(), part, flags, 0, Resolve::Beneath).map_err(FileError::into_io)?;
    let mode = rustix::fs::fstat(&file)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::RegularFile {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file.into())
}
