//! A tar file as a store of named members that are read in any order.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::compression::Decoder;
use crate::observer::Observer;

/// More members than any image has; each costs memory.
const MAX_MEMBERS: usize = 100_000;
/// Links of `docker save` lead to a layer directly.
const MAX_LINKS: usize = 8;
/// Between two looks at the observer.
const CHUNK: u64 = 1 << 20;

/// An archive that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file could not be opened.
    #[error("open archive {path:?}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A compressed archive could not be unpacked to a temporary file.
    #[error("decompress archive {path:?} to a temporary file in {folder:?}")]
    Decompress {
        /// The archive.
        path: PathBuf,
        /// Where the file is.
        folder: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The compressed archive is larger than is allowed.
    #[error("decompress archive {path:?}: larger than {limit} bytes (raise it with --image-limit)")]
    TooLarge {
        /// The archive.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The observer said so.
    #[error("decompress archive {path:?}: stopped")]
    Stopped {
        /// The archive.
        path: PathBuf,
    },
    /// The list of members could not be read.
    #[error("read archive {path:?}: not a tar file, or damaged")]
    List {
        /// The archive.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A member ends behind the end of the file.
    #[error("read archive {path:?}: truncated in member {member:?}")]
    Truncated {
        /// The archive.
        path: PathBuf,
        /// The member.
        member: PathBuf,
    },
    /// There are more members than any image has.
    #[error("read archive {path:?}: more than {MAX_MEMBERS} members")]
    TooMany {
        /// The archive.
        path: PathBuf,
    },
}

/// A seekable tar file and where its members are.
#[derive(Debug)]
pub(crate) struct Archive {
    file: File,
    members: HashMap<PathBuf, Member>,
}

#[derive(Debug)]
enum Member {
    File { offset: u64, size: u64 },
    Link(PathBuf),
}

impl Archive {
    /// Lists the members of a tar file; a compressed one is unpacked first.
    ///
    /// * `spill`: folder of the temporary file, which has no name.
    /// * `limit`: the most bytes of that file.
    /// * `observer`: asked whether to stop meanwhile.
    pub(crate) fn open(
        path: &Path,
        spill: &Path,
        limit: u64,
        observer: &mut dyn Observer,
    ) -> Result<Self, ArchiveError> {
        let open = |source| ArchiveError::Open {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(open)?;
        let decoder = Decoder::new(BufReader::new(&file)).map_err(open)?;
        let file = if decoder.is_compressed() {
            decompress(decoder, (path, spill), limit, observer)?
        } else {
            drop(decoder);
            (&file).seek(SeekFrom::Start(0)).map_err(open)?;
            file
        };
        let members = list(&file, path)?;
        Ok(Self { file, members })
    }

    pub(crate) fn has(&self, name: &Path) -> bool {
        self.find(name).is_some()
    }

    /// Opens a member for reading.
    ///
    /// Returns it and its size; `NotFound` when there is none of that name.
    pub(crate) fn member(&self, name: &Path) -> io::Result<(impl Read + '_, u64)> {
        let (offset, size) = self.find(name).ok_or(io::ErrorKind::NotFound)?;
        (&self.file).seek(SeekFrom::Start(offset))?;
        Ok(((&self.file).take(size), size))
    }

    fn find(&self, name: &Path) -> Option<(u64, u64)> {
        let mut name = clean(name);
        for _ in 0..MAX_LINKS {
            match self.members.get(&name)? {
                Member::File { offset, size } => return Some((*offset, *size)),
                Member::Link(target) => name.clone_from(target),
            }
        }
        None
    }
}

fn decompress(
    mut decoder: impl Read,
    (path, folder): (&Path, &Path),
    limit: u64,
    observer: &mut dyn Observer,
) -> Result<File, ArchiveError> {
    let failed = |source| ArchiveError::Decompress {
        path: path.to_owned(),
        folder: folder.to_owned(),
        source,
    };
    let mut file = tempfile::tempfile_in(folder).map_err(failed)?;
    let mut left = limit;
    loop {
        if observer.is_stopped(Duration::ZERO) {
            return Err(ArchiveError::Stopped { path: path.to_owned() });
        }
        let copied = io::copy(&mut (&mut decoder).take(CHUNK), &mut file).map_err(failed)?;
        if copied == 0 {
            break;
        }
        left = left.checked_sub(copied).ok_or_else(|| ArchiveError::TooLarge {
            path: path.to_owned(),
            limit,
        })?;
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok(file)
}

fn list(file: &File, path: &Path) -> Result<HashMap<PathBuf, Member>, ArchiveError> {
    let failed = |source| ArchiveError::List {
        path: path.to_owned(),
        source,
    };
    let length = file.metadata().map_err(failed)?.len();
    let mut members = HashMap::new();
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = clean(&entry.path().map_err(failed)?);
        let kind = entry.header().entry_type();
        let end = entry.raw_file_position().checked_add(entry.size());
        if end.is_none_or(|end| end > length) {
            return Err(ArchiveError::Truncated {
                path: path.to_owned(),
                member: name,
            });
        }
        if members.len() == MAX_MEMBERS {
            return Err(ArchiveError::TooMany { path: path.to_owned() });
        }
        if kind.is_file() {
            let (offset, size) = (entry.raw_file_position(), entry.size());
            members.insert(name, Member::File { offset, size });
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name().map_err(failed)?.unwrap_or_default();
            let folder = name.parent().filter(|_| kind.is_symlink()).unwrap_or(Path::new(""));
            members.insert(name.clone(), Member::Link(clean(&folder.join(target))));
        }
    }
    Ok(members)
}

/// The name by the text alone, without `.`, `..` and the leading slash: a key in the table, never a path on the node.
fn clean(name: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => cleaned.push(part),
            Component::ParentDir => {
                cleaned.pop();
            }
            _ => {}
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::observer::silent::Silent;

    fn sample() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |name: &str, kind: tar::EntryType, link: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            if link.is_empty() {
                builder.append_data(&mut header, name, bytes).unwrap();
            } else {
                builder.append_link(&mut header, name, link).unwrap();
            }
        };
        add("./a.tar", tar::EntryType::Regular, "", b"aaa");
        add("x/layer.tar", tar::EntryType::Symlink, "../a.tar", b"");
        add("y", tar::EntryType::Symlink, "z", b"");
        add("z", tar::EntryType::Symlink, "y", b"");
        builder.into_inner().unwrap()
    }

    fn open(bytes: &[u8], limit: u64) -> Result<Archive, ArchiveError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i.tar");
        let mut file = File::options().write(true).create_new(true).open(&path).unwrap();
        file.write_all(bytes).unwrap();
        Archive::open(&path, dir.path(), limit, &mut Silent::default())
    }

    #[track_caller]
    fn read(archive: &Archive, name: &str) -> Vec<u8> {
        let (mut reader, size) = archive.member(Path::new(name)).unwrap();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, size);
        bytes
    }

    #[test]
    fn members_are_found_by_name_and_through_links() {
        let archive = open(&sample(), 0).unwrap();
        assert_eq!(read(&archive, "a.tar"), b"aaa");
        assert_eq!(read(&archive, "x/layer.tar"), b"aaa");
        assert!(!archive.has(Path::new("y")), "a circle of links ends");
        assert!(archive.member(Path::new("no")).is_err());
    }

    #[test]
    fn compressed_archive_is_read_up_to_the_limit() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&sample()).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(read(&open(&packed, 1 << 20).unwrap(), "a.tar"), b"aaa");
        let error = open(&packed, 600).unwrap_err();
        assert!(matches!(error, ArchiveError::TooLarge { limit: 600, .. }), "{error:?}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i.tar.gz");
        File::options()
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap()
            .write_all(&packed)
            .unwrap();
        let mut stopped = Silent {
            stop: true,
            ..Silent::default()
        };
        let error = Archive::open(&path, dir.path(), 1 << 20, &mut stopped).unwrap_err();
        assert!(matches!(error, ArchiveError::Stopped { .. }), "{error:?}");
    }

    #[test]
    fn truncated_archive_is_told() {
        let whole = sample();
        let error = open(whole.get(..513).unwrap(), 0).unwrap_err();
        assert!(
            matches!(error, ArchiveError::Truncated { ref member, .. } if member == Path::new("a.tar")),
            "{error:?}"
        );
        let error = open(&[1; 2000], 0).unwrap_err();
        assert!(matches!(error, ArchiveError::List { .. }), "{error:?}");
    }
}
