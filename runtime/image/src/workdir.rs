//! The working directory of an image, which need not be in any of its layers.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nexcage_sys::file::{self, FileError, Resolve};
use rustix::fs::{AtFlags, Mode, OFlags, chmodat, mkdirat};

/// A working directory that was not made.
#[derive(Debug, thiserror::Error)]
#[error("make working directory {path:?} in the root filesystem")]
pub struct WorkdirError {
    /// The directory.
    path: PathBuf,
    /// The kernel's answer.
    source: io::Error,
}

/// Makes a directory and its parents in a root filesystem, unless they are there.
///
/// * `rootfs`: links in it are followed, and end in it.
///
/// # Errors
///
/// [`WorkdirError`].
pub fn make_workdir(rootfs: &Path, path: &Path) -> Result<(), WorkdirError> {
    make(rootfs, path).map_err(|source| WorkdirError {
        path: path.to_owned(),
        source,
    })
}

fn make(rootfs: &Path, path: &Path) -> io::Result<()> {
    let root = file::open_root(rootfs).map_err(io::Error::other)?;
    let mut reached = PathBuf::from("/");
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        let next = reached.join(name);
        match open(&root, &next) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = open(&root, &reached)?;
                let mode = Mode::from_raw_mode(0o755);
                mkdirat(&folder, name, mode)?;
                chmodat(&folder, name, mode, AtFlags::empty())?;
            }
            Err(error) => return Err(error),
        }
        reached = next;
    }
    Ok(())
}

fn open(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = (OFlags::PATH | OFlags::DIRECTORY).bits().cast_signed();
    file::open_below(root.as_fd(), path, flags, 0, Resolve::InRoot).map_err(FileError::into_io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_inside_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        make_workdir(&root, Path::new("/a/b/c")).unwrap();
        assert!(root.join("a/b/c").is_dir());
        std::os::unix::fs::symlink("/../../target", root.join("link")).unwrap();
        std::fs::create_dir(root.join("target")).unwrap();
        make_workdir(&root, Path::new("/link/x")).unwrap();
        assert!(root.join("target/x").is_dir());
        std::os::unix::fs::symlink("/nowhere", root.join("dangling")).unwrap();
        let error = make_workdir(&root, Path::new("/dangling/x")).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        assert!(!dir.path().join("target").exists());
    }
}
