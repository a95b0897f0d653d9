//! The directory that a layer becomes, in the form that the overlay file system reads.
//!
//! Every name is resolved below the directory's descriptor and through no link, so no entry can reach outside.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nexcage_sys::file::{self, FileError, Resolve};
use rustix::fs::{
    AtFlags, Dev, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat,
    linkat, lsetxattr, makedev, mkdirat, mknodat, openat, setxattr, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::entry::{EntryError, Kind, Meta, Name, parse_kind, parse_meta, parse_name};
use super::{BUFFER, LayerError};

/// What this process may do to the files of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Everything: root of the node.
    Node,
    /// Root of a user namespace that maps many ids: no device nodes.
    Mapped,
    /// Root of a user namespace that maps one id: all files belong to it.
    Flat,
}

impl Privilege {
    /// The attribute that makes a directory opaque for the overlay.
    #[must_use]
    pub const fn opaque_attribute(self) -> &'static str {
        match self {
            Self::Node => "trusted.overlay.opaque",
            Self::Mapped | Self::Flat => "user.overlay.opaque",
        }
    }
}

/// A layer's directory while it is filled.
pub(super) struct Tree {
    root: Rc<OwnedFd>,
    privilege: Privilege,
    /// The folder of the last entry: the next one is mostly in it, too.
    last: Option<(PathBuf, Rc<OwnedFd>)>,
    /// Directories get their times last: what is put in them changes these.
    times: BTreeMap<PathBuf, Timespec>,
    /// Directories without an entry.
    implied: BTreeSet<PathBuf>,
    devices: u64,
    attributes: u64,
    buffer: Vec<u8>,
}

const NONE: Mode = Mode::empty();

fn make(step: &'static str) -> impl Fn(Errno) -> EntryError {
    move |errno| EntryError::Make {
        step,
        source: errno.into(),
    }
}

impl Tree {
    /// Opens an empty directory.
    pub(super) fn open(directory: &Path, privilege: Privilege) -> Result<Self, LayerError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(directory, flags, NONE).map_err(|errno| LayerError::Directory {
            path: directory.to_owned(),
            source: errno.into(),
        })?;
        Ok(Self {
            root: Rc::new(root),
            privilege,
            last: None,
            times: BTreeMap::new(),
            implied: BTreeSet::new(),
            devices: 0,
            attributes: 0,
            buffer: vec![0; BUFFER],
        })
    }

    /// Makes what an entry asks for.
    pub(super) fn add<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<(), EntryError> {
        let kind = parse_kind(entry)?;
        if kind == Kind::Nothing {
            return Ok(());
        }
        match parse_name(&entry.path_bytes())? {
            Name::Ignored => Ok(()),
            Name::Opaque(folder) => {
                let folder = self.folder(&folder)?;
                self.make_opaque(&child(&folder, OsStr::new(".")))
            }
            Name::Whiteout(path) => self.white_out(&path),
            Name::Root => self.finish_root(&parse_meta(entry)?),
            Name::File(path) => self.add_file(&path, &kind, entry),
        }
    }

    /// Sets the times of directories.
    ///
    /// Returns what of the layer was left out, for the user, and the directories that no entry names.
    pub(super) fn finish(self) -> Result<(Vec<String>, BTreeSet<PathBuf>), LayerError> {
        for (path, mtime) in self.times.iter().rev() {
            let path = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            };
            match utimensat(&*self.root, path, &times(*mtime), AtFlags::SYMLINK_NOFOLLOW) {
                // A later entry took its place.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => {
                    return Err(LayerError::Entry {
                        entry: path.to_owned(),
                        source: make("set time")(errno),
                    });
                }
            }
        }
        let lost = [
            (self.devices, "device nodes, which need privileges over the node"),
            (
                self.attributes,
                "extended attributes, which the file system of the cache does not keep",
            ),
        ];
        let lost = lost.into_iter().filter(|(count, _)| *count > 0);
        let lost = lost.map(|(count, what)| format!("left out {count} {what}")).collect();
        Ok((lost, self.implied))
    }

    fn add_file<R: Read>(&mut self, path: &Path, kind: &Kind, entry: &mut tar::Entry<'_, R>) -> Result<(), EntryError> {
        let meta = parse_meta(entry)?;
        let (folder, name) = self.place(path)?;
        match kind {
            Kind::Directory => {
                self.make_directory(&folder, name, path, true)?;
                self.times.insert(path.to_owned(), meta.mtime);
                self.implied.remove(path);
            }
            Kind::File => self.write_file(&folder, name, entry)?,
            Kind::HardLink(target) => {
                let (from, from_name) = self.link_source(target)?;
                return self.replace(&folder, name, |folder, name| {
                    linkat(&*from, &from_name, folder, name, AtFlags::empty()).map_err(|errno| EntryError::Link {
                        target: target.clone(),
                        source: errno.into(),
                    })
                });
            }
            Kind::Symlink(target) => self.replace(&folder, name, |folder, name| {
                symlinkat(target, folder, name).map_err(make("make symbolic link"))
            })?,
            Kind::Fifo => self.make_node(&folder, name, FileType::Fifo, 0)?,
            Kind::Char(0, 0) => self.make_node(&folder, name, FileType::CharacterDevice, 0)?,
            Kind::Char(..) | Kind::Block(..) if self.privilege != Privilege::Node => {
                self.devices += 1;
                return Ok(());
            }
            Kind::Char(major, minor) => {
                self.make_node(&folder, name, FileType::CharacterDevice, makedev(*major, *minor))?;
            }
            Kind::Block(major, minor) => {
                self.make_node(&folder, name, FileType::BlockDevice, makedev(*major, *minor))?;
            }
            Kind::Nothing => return Ok(()),
        }
        self.set_meta(&folder, name, kind, &meta)
    }

    fn write_file<R: Read>(
        &mut self,
        folder: &OwnedFd,
        name: &OsStr,
        entry: &mut tar::Entry<'_, R>,
    ) -> Result<(), EntryError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.replace(folder, name, |folder, name| {
            openat(folder, name, flags, Mode::RUSR | Mode::WUSR).map_err(make("create file"))
        })?;
        let mut file = File::from(file);
        loop {
            let count = match entry.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(EntryError::Read(error)),
            };
            let bytes = self.buffer.get(..count).unwrap_or_default();
            file.write_all(bytes).map_err(|source| EntryError::Make {
                step: "write content",
                source,
            })?;
        }
    }

    fn make_node(&mut self, folder: &OwnedFd, name: &OsStr, kind: FileType, device: Dev) -> Result<(), EntryError> {
        self.replace(folder, name, |folder, name| {
            mknodat(folder, name, kind, Mode::RUSR | Mode::WUSR, device).map_err(make("make node"))
        })
    }

    /// Marks a file of lower layers as gone. What this very layer has of that name stays.
    fn white_out(&mut self, path: &Path) -> Result<(), EntryError> {
        let (folder, name) = self.place(path)?;
        match statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => self.make_opaque(&child(&folder, name)),
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => {
                mknodat(&*folder, name, FileType::CharacterDevice, NONE, 0).map_err(make("make whiteout"))
            }
            Err(errno) => Err(make("look for the file")(errno)),
        }
    }

    fn make_opaque(&self, path: &Path) -> Result<(), EntryError> {
        let name = self.privilege.opaque_attribute();
        setxattr(path, name, b"y", XattrFlags::empty()).map_err(|errno| EntryError::Attribute {
            name: name.to_owned(),
            source: errno.into(),
        })
    }

    fn finish_root(&mut self, meta: &Meta) -> Result<(), EntryError> {
        self.times.insert(PathBuf::new(), meta.mtime);
        let root = Rc::clone(&self.root);
        self.set_meta(&root, OsStr::new("."), &Kind::Directory, meta)
    }

    fn set_meta(&mut self, folder: &OwnedFd, name: &OsStr, kind: &Kind, meta: &Meta) -> Result<(), EntryError> {
        if self.privilege != Privilege::Flat {
            let (uid, gid) = (Uid::from_raw_unchecked(meta.uid), Gid::from_raw_unchecked(meta.gid));
            chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| {
                EntryError::Owner {
                    uid: meta.uid,
                    gid: meta.gid,
                    source: errno.into(),
                }
            })?;
        }
        // After the owner: changing that clears set-user-id bits and file capabilities.
        if !matches!(kind, Kind::Symlink(_)) {
            chmodat(folder, name, Mode::from_raw_mode(meta.mode), AtFlags::empty()).map_err(make("set mode"))?;
        }
        for (attribute, value) in &meta.attributes {
            self.set_attribute(&child(folder, name), kind, attribute, value)?;
        }
        utimensat(folder, name, &times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(make("set time"))
    }

    fn set_attribute(&mut self, path: &Path, kind: &Kind, name: &str, value: &[u8]) -> Result<(), EntryError> {
        if name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.") {
            return Err(EntryError::Reserved(name.to_owned()));
        }
        if !is_kept(name, kind, self.privilege) {
            return Ok(());
        }
        match lsetxattr(path, name, value, XattrFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP) => {
                self.attributes += 1;
                Ok(())
            }
            Err(errno) => Err(EntryError::Attribute {
                name: name.to_owned(),
                source: errno.into(),
            }),
        }
    }

    /// The folder of a path, made if need be, and the path's last part.
    fn place<'a>(&mut self, path: &'a Path) -> Result<(Rc<OwnedFd>, &'a OsStr), EntryError> {
        let folder = self.folder(path.parent().unwrap_or(Path::new("")))?;
        Ok((folder, path.file_name().unwrap_or(OsStr::new("."))))
    }

    fn folder(&mut self, path: &Path) -> Result<Rc<OwnedFd>, EntryError> {
        if path.as_os_str().is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some((last, folder)) = &self.last
            && last == path
        {
            return Ok(Rc::clone(folder));
        }
        let folder = match self.open_folder(path) {
            Err(EntryError::Make { source, .. }) if source.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
                self.make_folder(path)?
            }
            // A whiteout of this layer may be in its place; anything else is refused there.
            Err(EntryError::NotDirectory(_)) => self.make_folder(path)?,
            other => other?,
        };
        let folder = Rc::new(folder);
        self.last = Some((path.to_owned(), Rc::clone(&folder)));
        Ok(folder)
    }

    fn open_folder(&self, path: &Path) -> Result<OwnedFd, EntryError> {
        let flags = (OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW)
            .bits()
            .cast_signed();
        let errno = match file::open_below(self.root.as_fd(), path, flags, 0, Resolve::NoLinks) {
            Ok(folder) => return Ok(folder),
            Err(FileError::Open { source, .. }) => source,
            Err(other) => io::Error::other(other),
        };
        Err(match errno.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::LOOP) => EntryError::LinkParent(path.to_owned()),
            Some(Errno::NOTDIR) if self.is_link(path) => EntryError::LinkParent(path.to_owned()),
            Some(Errno::NOTDIR) => EntryError::NotDirectory(path.to_owned()),
            _ => EntryError::Make {
                step: "open parent directory",
                source: errno,
            },
        })
    }

    /// Whether the last part is a link: `O_NOFOLLOW` with `O_DIRECTORY` says only that it is no directory.
    fn is_link(&self, path: &Path) -> bool {
        let flags = (OFlags::PATH | OFlags::NOFOLLOW).bits().cast_signed();
        let stat = file::open_below(self.root.as_fd(), path, flags, 0, Resolve::Beneath)
            .ok()
            .and_then(|file| rustix::fs::fstat(&file).ok());
        stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_symlink())
    }

    fn make_folder(&mut self, path: &Path) -> Result<OwnedFd, EntryError> {
        let (folder, name) = self.place(path)?;
        self.make_directory(&folder, name, path, false)?;
        self.open_folder(path)
    }

    /// Makes a directory, or leaves the one that is there.
    ///
    /// * `is_named`: an entry of its own names it, which then takes the place of whatever is there; else only a
    ///   whiteout gives way.
    fn make_directory(
        &mut self,
        folder: &OwnedFd,
        name: &OsStr,
        path: &Path,
        is_named: bool,
    ) -> Result<(), EntryError> {
        let mode = Mode::from_raw_mode(0o755);
        match mkdirat(folder, name, mode) {
            // The umask must not cut the mode of a directory that no entry names.
            Ok(()) => {
                self.implied.insert(path.to_owned());
                return chmodat(folder, name, mode, AtFlags::empty()).map_err(make("set mode"));
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(make("make directory")(errno)),
        }
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(make("look for the file"))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_whiteout = kind == FileType::CharacterDevice && stat.st_rdev == 0;
        match (kind.is_dir(), is_whiteout || is_named) {
            (true, _) => return Ok(()),
            (false, true) => {}
            (false, false) => return Err(EntryError::NotDirectory(path.to_owned())),
        }
        unlinkat(folder, name, AtFlags::empty()).map_err(make("replace the file"))?;
        mkdirat(folder, name, mode).map_err(make("make directory"))?;
        chmodat(folder, name, mode, AtFlags::empty()).map_err(make("set mode"))?;
        if is_whiteout {
            self.make_opaque(&child(folder, name))?;
        }
        Ok(())
    }

    /// Makes a file; one that an earlier entry of the layer made gives way.
    fn replace<T>(
        &mut self,
        folder: &OwnedFd,
        name: &OsStr,
        create: impl Fn(&OwnedFd, &OsStr) -> Result<T, EntryError>,
    ) -> Result<T, EntryError> {
        match create(folder, name) {
            Err(EntryError::Make { source, .. } | EntryError::Link { source, .. })
                if source.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
        match unlinkat(folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                self.last = None;
                std::fs::remove_dir_all(child(folder, name)).map_err(|source| EntryError::Make {
                    step: "replace the directory",
                    source,
                })?;
            }
            Err(errno) => return Err(make("replace the file")(errno)),
            Ok(()) => {}
        }
        create(folder, name)
    }

    fn link_source(&self, target: &Path) -> Result<(Rc<OwnedFd>, PathBuf), EntryError> {
        let refused = |source| EntryError::HardLink {
            target: target.to_owned(),
            source: Box::new(source),
        };
        let name = target.file_name().ok_or(EntryError::NoTarget)?.into();
        let folder = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => Rc::new(self.open_folder(parent).map_err(refused)?),
            _ => Rc::clone(&self.root),
        };
        Ok((folder, name))
    }
}

/// Attributes that mean something on another machine, and that may be set here.
fn is_kept(name: &str, kind: &Kind, privilege: Privilege) -> bool {
    match name.split_once('.') {
        Some(("user", _)) => matches!(kind, Kind::File | Kind::Directory),
        Some(("security", name)) => name == "capability",
        Some(("trusted", _)) => privilege == Privilege::Node,
        Some(("system", name)) => name.starts_with("posix_acl_"),
        _ => false,
    }
}

fn times(mtime: Timespec) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: mtime,
    }
}

/// A path to a file in a folder for calls that take no descriptor; only its last part is under the layer's control.
fn child(folder: &OwnedFd, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name)
}
