//! Where container state lives when the user does not say: the same place for every caller, whatever its environment.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::args::Globals;

const SYSTEM_ROOT: &str = "/run/nexcage";
const USER_DIRS: &str = "/run/user";

/// The state root cannot be told or made.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A user who is not root has no runtime directory.
    #[error(
        "find a state root for uid {uid}: XDG_RUNTIME_DIR is not set and {tried:?} is not a directory of that user: set XDG_RUNTIME_DIR or give --root"
    )]
    NoUserDir {
        /// The user.
        uid: u32,
        /// The directory that was looked at.
        tried: PathBuf,
    },
    /// The directory below the user's runtime directory cannot be made.
    #[error("create state root {path:?} (the path in $XDG_RUNTIME_DIR must be writable by the user)")]
    Create {
        /// The state root.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The sticky bit, which saves the directory from clean-up jobs, cannot be set.
    #[error("set the sticky bit of state root {path:?} (check the permissions of the path in $XDG_RUNTIME_DIR)")]
    Sticky {
        /// The state root.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Who calls, as far as the choice of the state root goes.
#[derive(Clone, Debug)]
struct Caller<'a> {
    euid: u32,
    /// The caller's uid outside the user namespace it is in; `None` outside any.
    outer_uid: Option<u32>,
    /// `USER`.
    user: Option<&'a OsStr>,
    /// `XDG_RUNTIME_DIR`.
    runtime_dir: Option<&'a OsStr>,
}

/// A state root that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    /// The machine's; made when the first container is.
    System(PathBuf),
    /// A directory of the user's own, made at once.
    User(PathBuf),
}

/// Returns the directory that holds the state of all containers of this caller.
///
/// `--root` comes first. Root gets `/run/nexcage`. Everyone else, root of a user namespace included, gets `nexcage` below
/// `$XDG_RUNTIME_DIR`, or below `/run/user/UID` when that variable is unset, empty or relative; that directory is made,
/// with the sticky bit set so that it is not pruned.
///
/// # Errors
///
/// [`RootError`]: there is no such directory, or it cannot be made.
pub fn state_root(globals: &Globals) -> Result<PathBuf, RootError> {
    if let Some(root) = &globals.root {
        return Ok(root.clone());
    }
    let (user, runtime_dir) = (std::env::var_os("USER"), std::env::var_os("XDG_RUNTIME_DIR"));
    let euid = nix::unistd::geteuid().as_raw();
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let caller = Caller {
        euid,
        outer_uid: outer_uid(&map, euid),
        user: user.as_deref(),
        runtime_dir: runtime_dir.as_deref(),
    };
    match choose(&caller, Path::new(USER_DIRS))? {
        Choice::System(root) => Ok(root),
        Choice::User(root) => make_sticky(root),
    }
}

/// Reads a uid map: `None` when it is the initial namespace's, else what `uid` is outside.
fn outer_uid(map: &str, uid: u32) -> Option<u32> {
    let mut extents = map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    if map.trim().is_empty() || extents.clone().eq([(0, 0, u32::MAX)]) {
        return None;
    }
    let outer = extents
        .find(|(inside, _, count)| uid.checked_sub(*inside).is_some_and(|offset| offset < *count))
        .and_then(|(inside, outside, _)| outside.checked_add(uid - inside));
    Some(outer.unwrap_or(uid))
}

fn choose(caller: &Caller<'_>, user_dirs: &Path) -> Result<Choice, RootError> {
    let system = Choice::System(SYSTEM_ROOT.into());
    let is_root = caller.euid == 0;
    if is_root && (caller.outer_uid.is_none() || caller.user == Some(OsStr::new("root"))) {
        return Ok(system);
    }
    if let Some(dir) = caller.runtime_dir.map(Path::new).filter(|dir| dir.is_absolute()) {
        return Ok(Choice::User(dir.join("nexcage")));
    }
    let uid = caller.outer_uid.unwrap_or(caller.euid);
    let dir = user_dirs.join(uid.to_string());
    // Owned by the caller as seen from here: inside a user namespace the owner's uid is mapped, too.
    let is_ours = std::fs::symlink_metadata(&dir).is_ok_and(|found| found.is_dir() && found.uid() == caller.euid);
    match (is_ours, is_root) {
        (true, _) => Ok(Choice::User(dir.join("nexcage"))),
        // Root of a container that has its own /run, as runc.
        (false, true) => Ok(system),
        (false, false) => Err(RootError::NoUserDir { uid, tried: dir }),
    }
}

fn make_sticky(path: PathBuf) -> Result<PathBuf, RootError> {
    const STICKY: u32 = 0o1700;
    let create = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
    if let Err(source) = create {
        return Err(RootError::Create { path, source });
    }
    let mode = std::fs::metadata(&path).map(|found| found.permissions().mode() & 0o7777);
    let set = match mode {
        Ok(STICKY) => Ok(()),
        Ok(_) => std::fs::set_permissions(&path, std::fs::Permissions::from_mode(STICKY)),
        Err(source) => Err(source),
    };
    match set {
        Ok(()) => Ok(path),
        Err(source) => Err(RootError::Sticky { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(euid: u32, outer_uid: Option<u32>) -> Caller<'static> {
        Caller {
            euid,
            outer_uid,
            user: None,
            runtime_dir: None,
        }
    }

    #[track_caller]
    fn check(caller: &Caller<'_>, user_dirs: &Path, expected: &Choice) {
        assert_eq!(&choose(caller, user_dirs).unwrap(), expected);
    }

    fn user(path: &Path) -> Choice {
        Choice::User(path.to_owned())
    }

    #[test]
    fn root_ignores_the_environment() {
        let root = Caller {
            runtime_dir: Some(OsStr::new("/run/user/0")),
            ..caller(0, None)
        };
        check(&root, Path::new("/none"), &Choice::System(SYSTEM_ROOT.into()));
    }

    #[test]
    fn users_runtime_directory_comes_first() {
        let alice = Caller {
            runtime_dir: Some(OsStr::new("/x")),
            ..caller(1000, None)
        };
        check(&alice, Path::new("/none"), &user(Path::new("/x/nexcage")));
        let in_userns = Caller {
            euid: 0,
            outer_uid: Some(1000),
            ..alice
        };
        check(&in_userns, Path::new("/none"), &user(Path::new("/x/nexcage")));
        let called_root = Caller {
            user: Some(OsStr::new("root")),
            ..in_userns
        };
        check(&called_root, Path::new("/none"), &Choice::System(SYSTEM_ROOT.into()));
    }

    #[test]
    fn empty_or_relative_runtime_directory_is_unset() {
        let dirs = tempfile::tempdir().unwrap();
        let euid = nix::unistd::geteuid().as_raw();
        // Some uid outside, seen from a namespace in which the caller is whoever runs this test.
        let dir = dirs.path().join("1000");
        std::fs::create_dir(&dir).unwrap();
        for unset in [None, Some(OsStr::new("")), Some(OsStr::new("run"))] {
            let caller = Caller {
                runtime_dir: unset,
                ..caller(euid, Some(1000))
            };
            check(&caller, dirs.path(), &user(&dir.join("nexcage")));
        }
    }

    #[test]
    fn foreign_runtime_directory_is_refused() {
        let dirs = tempfile::tempdir().unwrap();
        let other = nix::unistd::geteuid().as_raw() + 7;
        std::fs::create_dir(dirs.path().join(other.to_string())).unwrap();
        let error = choose(&caller(other, None), dirs.path()).unwrap_err();
        assert!(
            matches!(error, RootError::NoUserDir { uid, .. } if uid == other),
            "{error}"
        );
        check(
            &caller(0, Some(other)),
            &dirs.path().join("none"),
            &Choice::System(SYSTEM_ROOT.into()),
        );
    }

    #[test]
    fn uid_maps_are_read() {
        assert_eq!(outer_uid("         0          0 4294967295\n", 0), None);
        assert_eq!(outer_uid("", 5), None);
        assert_eq!(outer_uid("0 1000 1\n1 100000 65536\n", 0), Some(1000));
        assert_eq!(outer_uid("0 1000 1\n1 100000 65536\n", 7), Some(100_006));
        assert_eq!(outer_uid("0 1000 1\n", 65534), Some(65534));
    }

    #[test]
    fn state_root_gets_the_sticky_bit() {
        let dirs = tempfile::tempdir().unwrap();
        let path = make_sticky(dirs.path().join("a/nexcage")).unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o1700);
    }
}
