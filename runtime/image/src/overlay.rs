//! Layers stacked into a root filesystem by the kernel's overlay.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::unpack::Privilege;

/// An overlay that was not mounted, or not removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// A directory or link beside the mount point could not be made.
    #[error("prepare {path:?} for the overlay")]
    Prepare {
        /// The path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The options could not be made.
    #[error("name the layers of the overlay")]
    Options(#[source] std::ffi::NulError),
    /// The overlay was refused.
    #[error(
        "mount an overlay of {layers} layers on {target:?}{}",
        hint(.source)
    )]
    Mount {
        /// How many layers.
        layers: usize,
        /// The mount point.
        target: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The overlay is still there.
    #[error("unmount {target:?}")]
    Unmount {
        /// The mount point.
        target: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What a user can do about the kernel's usual reasons.
fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::InvalidInput => {
            " (the image cache must not itself lie on an overlay or a network file system: give --image-cache)"
        }
        io::ErrorKind::PermissionDenied => " (without privileges it needs Linux 5.11)",
        _ => "",
    }
}

/// A mounted overlay.
#[derive(Debug)]
pub struct Overlay {
    target: PathBuf,
    is_mounted: bool,
}

impl Overlay {
    /// Mounts layers with a writable directory on top, in this process's mount namespace.
    ///
    /// * `lowers`: layer directories, the lowest first.
    /// * `folder`: an empty directory; gets the writable directory and the mount point `rootfs`.
    ///
    /// The kernel takes one page of options. So layers are named by links of a few bytes, relative to the working
    /// directory, which is changed for the call: 500 layers, the kernel's own limit, fit.
    ///
    /// # Errors
    ///
    /// [`OverlayError`].
    pub fn mount(lowers: &[PathBuf], folder: &Path, privilege: Privilege) -> Result<Self, OverlayError> {
        let links = folder.join("l");
        let target = folder.join("rootfs");
        for path in [
            &links,
            &target,
            &folder.join("upper"),
            &folder.join("work"),
            &folder.join("empty"),
        ] {
            fs::create_dir(path).map_err(prepare(path))?;
        }
        let lowers = visible(lowers, privilege);
        let empty = [folder.join("empty")];
        let lowers = if lowers.is_empty() { &empty[..] } else { lowers };
        let mut names = Vec::new();
        // The kernel wants the topmost first.
        for (number, lower) in lowers.iter().rev().enumerate() {
            let link = links.join(number.to_string());
            std::os::unix::fs::symlink(lower, &link).map_err(prepare(&link))?;
            names.push(number.to_string());
        }
        if let Some(top) = lowers.last() {
            copy_root(top, &folder.join("upper"), privilege)?;
        }
        let userxattr = if privilege == Privilege::Node { "" } else { ",userxattr" };
        let options = format!(
            "lowerdir={},upperdir=../upper,workdir=../work{userxattr}",
            names.join(":")
        );
        let options = CString::new(options).map_err(OverlayError::Options)?;
        mount_in(&links, &target, &options).map_err(|source| OverlayError::Mount {
            layers: names.len(),
            target: target.clone(),
            source,
        })?;
        Ok(Self {
            target,
            is_mounted: true,
        })
    }

    /// The mount point.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Detaches the overlay; processes that still use it keep it until they end.
    ///
    /// # Errors
    ///
    /// [`OverlayError::Unmount`].
    pub fn unmount(mut self) -> Result<(), OverlayError> {
        self.is_mounted = false;
        self.detach()
    }

    fn detach(&self) -> Result<(), OverlayError> {
        unmount(&self.target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).map_err(|errno| OverlayError::Unmount {
            target: self.target.clone(),
            source: errno.into(),
        })
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        if self.is_mounted {
            // The error that led here is the one to report; the mount ends with this process's mount namespace.
            let _is_detached = self.detach().is_ok();
        }
    }
}

fn prepare(path: &Path) -> impl Fn(io::Error) -> OverlayError + '_ {
    move |source| OverlayError::Prepare {
        path: path.to_owned(),
        source,
    }
}

/// Leaves out what lies below a layer whose root is opaque: the kernel looks at this attribute in directories only that
/// it finds by name.
fn visible(lowers: &[PathBuf], privilege: Privilege) -> &[PathBuf] {
    let is_opaque = |lower: &PathBuf| {
        let mut value = [0; 1];
        let name = privilege.opaque_attribute();
        rustix::fs::getxattr(lower, name, &mut value).is_ok_and(|length| value.get(..length) == Some(b"y"))
    };
    let first = lowers.iter().rposition(is_opaque).unwrap_or(0);
    lowers.get(first..).unwrap_or(lowers)
}

/// The root of an overlay looks like the root of its writable directory.
fn copy_root(from: &Path, to: &Path, privilege: Privilege) -> Result<(), OverlayError> {
    let meta = fs::metadata(from).map_err(prepare(from))?;
    match std::os::unix::fs::chown(to, Some(meta.uid()), Some(meta.gid())) {
        // The owner of a directory that is no layer may not be mapped into the user namespace.
        Err(error) if privilege == Privilege::Node || error.kind() != io::ErrorKind::InvalidInput => {
            return Err(prepare(to)(error));
        }
        _ => {}
    }
    fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777)).map_err(prepare(to))
}

fn mount_in(folder: &Path, target: &Path, options: &CString) -> io::Result<()> {
    let back = open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::chdir(folder)?;
    let mounted = mount("overlay", target, "overlay", MountFlags::NODEV, options.as_c_str());
    rustix::process::fchdir(&back)?;
    Ok(mounted?)
}
