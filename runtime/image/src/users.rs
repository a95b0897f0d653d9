//! The user that an image names, looked up in the image's own files.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nexcage_sys::file::{self, FileError, Resolve};
use rustix::fs::{FileType, OFlags};

/// The largest passwd or group file that is read.
const MAX_FILE: u64 = 16 << 20;

/// A user that cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// The root filesystem cannot be opened.
    #[error("open root filesystem")]
    Rootfs(#[source] FileError),
    /// A database of the image cannot be read.
    #[error("read {file:?} of the root filesystem")]
    Read {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is no such user.
    #[error("find user {0:?}: it is not in /etc/passwd of the root filesystem")]
    NoUser(String),
    /// There is no such group.
    #[error("find group {0:?}: it is not in /etc/group of the root filesystem")]
    NoGroup(String),
}

/// A user by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

impl User {
    /// Looks up `USER[:GROUP]`, each a name or a number.
    ///
    /// * `rootfs`: its passwd and group files are read; a link in it cannot lead out of it.
    /// * `text`: empty is root.
    ///
    /// Without a group it is that of the passwd entry, and further groups are those that list the user.
    ///
    /// # Errors
    ///
    /// [`UserError`].
    ///
    /// Spec: [config, User](https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md).
    pub fn find(rootfs: &Path, text: &str) -> Result<Self, UserError> {
        let passwd = read(rootfs, "etc/passwd")?;
        let group = read(rootfs, "etc/group")?;
        resolve(text, &passwd, &group)
    }
}

fn read(rootfs: &Path, file: &str) -> Result<Vec<u8>, UserError> {
    let root = file::open_root(rootfs).map_err(UserError::Rootfs)?;
    let failed = |source| UserError::Read {
        file: Path::new("/").join(file),
        source,
    };
    // A fifo or device must not hold this up.
    let flags = (OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
        .bits()
        .cast_signed();
    let opened = match file::open_below(root.as_fd(), Path::new(file), flags, 0, Resolve::InRoot) {
        Ok(opened) => opened,
        Err(FileError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(FileError::Open { source, .. }) => return Err(failed(source)),
        Err(other) => return Err(failed(io::Error::other(other))),
    };
    let mode = rustix::fs::fstat(&opened)
        .map_err(|errno| failed(errno.into()))?
        .st_mode;
    if FileType::from_raw_mode(mode) != FileType::RegularFile {
        return Err(failed(io::Error::other("not a regular file")));
    }
    let mut bytes = Vec::new();
    File::from(opened)
        .take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

/// One line of a database, by fields.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Vec<&str>> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| Some(std::str::from_utf8(line).ok()?.split(':').collect()))
}

fn number(fields: &[&str], at: usize) -> Option<u32> {
    fields.get(at)?.parse().ok()
}

fn resolve(text: &str, passwd: &[u8], group: &[u8]) -> Result<User, UserError> {
    let (user, wanted_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let by_name = lines(passwd).find(|fields| fields.first() == Some(&user));
    let as_number: Option<u32> = user.parse().ok();
    let entry = by_name.or_else(|| lines(passwd).find(|fields| as_number.is_some() && number(fields, 2) == as_number));
    let entry = entry.as_deref().unwrap_or_default();
    let uid = number(entry, 2)
        .or(as_number)
        .ok_or_else(|| UserError::NoUser(user.to_owned()))?;
    if let Some(wanted) = wanted_group {
        return Ok(User {
            uid,
            gid: find_group(wanted, group)?,
            groups: Vec::new(),
        });
    }
    let gid = number(entry, 3).unwrap_or(0);
    let name = entry.first().copied().filter(|name| !name.is_empty());
    let groups = lines(group).filter_map(|fields| {
        let members = fields.get(3)?;
        let is_member = name.is_some_and(|name| members.split(',').any(|member| member == name));
        number(&fields, 2).filter(|found| is_member && *found != gid)
    });
    Ok(User {
        uid,
        gid,
        groups: groups.collect(),
    })
}

fn find_group(wanted: &str, group: &[u8]) -> Result<u32, UserError> {
    lines(group)
        .find(|fields| fields.first() == Some(&wanted))
        .and_then(|fields| number(&fields, 2))
        .or_else(|| wanted.parse().ok())
        .ok_or_else(|| UserError::NoGroup(wanted.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nbad\n\xff:x:1:1\nweb:x:33:34::/w:/bin/sh\n99:x:7:8::/:\n";
    const GROUP: &[u8] = b"root:x:0:\nweb:x:34:web\ndisk:x:6:web,other\naudio:x:29:other\n";

    #[track_caller]
    fn check(text: &str, uid: u32, gid: u32, groups: &[u32]) {
        let groups = groups.to_vec();
        assert_eq!(
            resolve(text, PASSWD, GROUP).unwrap(),
            User { uid, gid, groups },
            "{text:?}"
        );
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        check("", 0, 0, &[]);
        check("web", 33, 34, &[6]);
        check("33", 33, 34, &[6]);
        check("web:disk", 33, 6, &[]);
        check("web:77", 33, 77, &[]);
        check("1234", 1234, 0, &[]);
        check("1234:5", 1234, 5, &[]);
        check(":audio", 0, 29, &[]);
        check("99", 7, 8, &[]);
    }

    #[test]
    fn unknown_names_are_errors() {
        assert!(matches!(resolve("nobody", PASSWD, GROUP), Err(UserError::NoUser(name)) if name == "nobody"));
        assert!(matches!(resolve("web:no", PASSWD, GROUP), Err(UserError::NoGroup(name)) if name == "no"));
    }

    #[test]
    fn files_are_those_of_the_root_filesystem() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        let write = |path: PathBuf, text: &[u8]| {
            let mut file = File::options().write(true).create_new(true).open(path).unwrap();
            io::Write::write_all(&mut file, text).unwrap();
        };
        write(dir.path().join("passwd"), b"me:x:5:5::/:\n");
        std::os::unix::fs::symlink("../../passwd", root.join("etc/passwd")).unwrap();
        assert!(
            matches!(User::find(&root, "me"), Err(UserError::NoUser(_))),
            "the link ends in the root"
        );
        write(root.join("passwd"), b"me:x:6:6::/:\n");
        assert_eq!(User::find(&root, "me").unwrap().uid, 6);
    }
}
