//! What an entry of a layer says, checked before anything is made of it.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::Timespec;
use tar::EntryType;

/// Why an entry is refused, or was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Names are relative to the root of the layer.
    #[error("name is absolute")]
    Absolute,
    /// Names lead downwards only.
    #[error("name contains \"..\"")]
    ParentDir,
    /// A part of the name is a symbolic link in this layer.
    #[error("parent {0:?} is a symbolic link")]
    LinkParent(PathBuf),
    /// A part of the name is a file in this layer.
    #[error("parent {0:?} is not a directory")]
    NotDirectory(PathBuf),
    /// The target of a hard link is no name in the layer.
    #[error("hard link to {target:?}")]
    HardLink {
        /// The target.
        target: PathBuf,
        /// Why it is refused.
        source: Box<EntryError>,
    },
    /// A link without a target.
    #[error("link has no target")]
    NoTarget,
    /// The target of a hard link is not there, or cannot be linked.
    #[error("hard link to {target:?}, which must be in the same layer")]
    Link {
        /// The target.
        target: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A whiteout without a name.
    #[error("whiteout of {0:?}")]
    Whiteout(PathBuf),
    /// An attribute by which a layer would steer the overlay.
    #[error("extended attribute {0:?} belongs to the overlay file system")]
    Reserved(String),
    /// A kind of entry that no layer has.
    #[error("entry type {0:?} is not known")]
    Type(char),
    /// A field of the header cannot be used.
    #[error("{field} is not valid")]
    Field {
        /// The field.
        field: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A number in the header is out of range.
    #[error("{field} {value} is out of range")]
    Range {
        /// The field.
        field: &'static str,
        /// What it says.
        value: u64,
    },
    /// A step of making it was refused by the kernel.
    #[error("{step}")]
    Make {
        /// The step.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The owner was refused by the kernel.
    #[error("set owner {uid}:{gid} (without privileges, /etc/subuid and /etc/subgid must give you as many ids)")]
    Owner {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// An attribute was refused by the kernel.
    #[error("set extended attribute {name:?}")]
    Attribute {
        /// The attribute.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The content could not be read.
    #[error("read content")]
    Read(#[source] io::Error),
}

/// What is to be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink(PathBuf),
    HardLink(PathBuf),
    Fifo,
    Char(u32, u32),
    Block(u32, u32),
    /// Nothing: a global header.
    Nothing,
}

/// Who owns a file, and what else is known of it.
#[derive(Debug)]
pub(super) struct Meta {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) mtime: Timespec,
    pub(super) attributes: Vec<(String, Vec<u8>)>,
}

/// What a name in a layer asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// The root of the layer.
    Root,
    /// A file; relative, without `.` and `..`.
    File(PathBuf),
    /// A file of a lower layer that is gone.
    Whiteout(PathBuf),
    /// A directory whose content in lower layers is gone.
    Opaque(PathBuf),
    /// Book-keeping of another file system.
    Ignored,
}

/// Reads a name.
pub(super) fn parse_name(bytes: &[u8]) -> Result<Name, EntryError> {
    let path = check_path(bytes)?;
    let (Some(file), Some(folder)) = (path.file_name(), path.parent()) else {
        return Ok(Name::Root);
    };
    match file.as_bytes() {
        b".wh..wh..opq" => Ok(Name::Opaque(folder.to_owned())),
        name if name.starts_with(b".wh..wh.") => Ok(Name::Ignored),
        b".wh." | b".wh.." | b".wh..." => Err(EntryError::Whiteout(path)),
        name => Ok(match name.strip_prefix(b".wh.") {
            Some(gone) => Name::Whiteout(folder.join(OsStr::from_bytes(gone))),
            None => Name::File(path),
        }),
    }
}

/// Takes a relative path without `..`, and removes each `.`.
fn check_path(bytes: &[u8]) -> Result<PathBuf, EntryError> {
    let mut checked = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(bytes)).components() {
        match component {
            Component::Normal(part) => checked.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err(EntryError::ParentDir),
            Component::RootDir | Component::Prefix(_) => return Err(EntryError::Absolute),
        }
    }
    Ok(checked)
}

/// Reads what an entry is to become.
pub(super) fn parse_kind<R: Read>(entry: &tar::Entry<'_, R>) -> Result<Kind, EntryError> {
    let header = entry.header();
    let device = || -> Result<(u32, u32), EntryError> {
        let field = |source| EntryError::Field {
            field: "device number",
            source,
        };
        let major = header.device_major().map_err(field)?;
        let minor = header.device_minor().map_err(field)?;
        Ok((major.unwrap_or(0), minor.unwrap_or(0)))
    };
    let target = || {
        entry
            .link_name_bytes()
            .filter(|t| !t.is_empty())
            .ok_or(EntryError::NoTarget)
    };
    Ok(match header.entry_type() {
        // As the first tar programs wrote directories.
        EntryType::Regular if entry.path_bytes().ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(OsStr::from_bytes(&target()?).into()),
        EntryType::Link => Kind::HardLink(hard_link(&target()?)?),
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char => device().map(|(major, minor)| Kind::Char(major, minor))?,
        EntryType::Block => device().map(|(major, minor)| Kind::Block(major, minor))?,
        EntryType::XGlobalHeader => Kind::Nothing,
        other => return Err(EntryError::Type(char::from(other.as_byte()))),
    })
}

fn hard_link(target: &[u8]) -> Result<PathBuf, EntryError> {
    let refused = |source| EntryError::HardLink {
        target: OsStr::from_bytes(target).into(),
        source: Box::new(source),
    };
    match check_path(target).map_err(refused)? {
        path if path.as_os_str().is_empty() => Err(EntryError::NoTarget),
        path => Ok(path),
    }
}

/// Reads owner, mode, time and attributes.
pub(super) fn parse_meta<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Meta, EntryError> {
    let header = entry.header();
    let field = |field| move |source| EntryError::Field { field, source };
    let id = |field, value: u64| u32::try_from(value).map_err(|_large| EntryError::Range { field, value });
    let mut meta = Meta {
        uid: id("uid", header.uid().map_err(field("uid"))?)?,
        gid: id("gid", header.gid().map_err(field("gid"))?)?,
        mode: header.mode().map_err(field("mode"))? & 0o7777,
        mtime: Timespec {
            tv_sec: i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0),
            tv_nsec: 0,
        },
        attributes: Vec::new(),
    };
    let Some(extensions) = entry.pax_extensions().map_err(field("extended header"))? else {
        return Ok(meta);
    };
    for extension in extensions {
        let extension = extension.map_err(field("extended header"))?;
        let key = String::from_utf8_lossy(extension.key_bytes()).into_owned();
        if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
            meta.attributes
                .push((name.to_owned(), extension.value_bytes().to_vec()));
        } else if key == "mtime" {
            let text = extension.value().map_err(|error| EntryError::Field {
                field: "mtime",
                source: io::Error::other(error),
            })?;
            meta.mtime = parse_time(text).ok_or_else(|| EntryError::Field {
                field: "mtime",
                source: io::ErrorKind::InvalidData.into(),
            })?;
        } else if key.starts_with("GNU.sparse.") {
            return Err(EntryError::Type('S'));
        }
    }
    Ok(meta)
}

/// Reads seconds since 1970 with a fraction, also before 1970.
fn parse_time(text: &str) -> Option<Timespec> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: i64 = digits.parse().ok()?;
    Some(if whole.starts_with('-') && nanos > 0 {
        Timespec {
            tv_sec: seconds.checked_sub(1)?,
            tv_nsec: 1_000_000_000 - nanos,
        }
    } else {
        Timespec {
            tv_sec: seconds,
            tv_nsec: nanos,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &Name) {
        assert_eq!(parse_name(name.as_bytes()).unwrap(), *expected, "{name:?}");
    }

    #[test]
    fn names_are_cleaned_and_whiteouts_told() {
        check("./a//b/./c/", &Name::File("a/b/c".into()));
        check("./", &Name::Root);
        check("a/.wh.b", &Name::Whiteout("a/b".into()));
        check("a/.wh..wh..opq", &Name::Opaque("a".into()));
        check(".wh..wh..opq", &Name::Opaque("".into()));
        check(".wh..wh.plnk", &Name::Ignored);
        check("a/..b", &Name::File("a/..b".into()));
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["/etc/passwd", "../x", "a/../../x", "a/..", "/.wh.x", "../.wh.x"] {
            let error = parse_name(name.as_bytes()).unwrap_err();
            assert!(
                matches!(error, EntryError::Absolute | EntryError::ParentDir),
                "{name:?}"
            );
        }
        for name in [".wh.", "a/.wh..", "a/.wh..."] {
            let error = parse_name(name.as_bytes()).unwrap_err();
            assert!(matches!(error, EntryError::Whiteout(_)), "{name:?}");
        }
    }

    #[test]
    fn times_have_fractions() {
        let check = |text, seconds, nanos| {
            let time = parse_time(text).unwrap();
            assert_eq!((time.tv_sec, time.tv_nsec), (seconds, nanos), "{text}");
        };
        check("12", 12, 0);
        check("12.5", 12, 500_000_000);
        check("12.0000000019", 12, 1);
        check("-1.25", -2, 750_000_000);
        assert!(parse_time("x").is_none());
        assert!(parse_time("1.x").is_none());
    }
}
