//! The default state directory: the same for every process of a user, whatever its environment.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use nexcage_sys::userns;

use crate::args::{Globals, Rootless};

/// Whether this process lacks privileges over the node.
pub(crate) fn is_rootless(globals: &Globals) -> bool {
    match globals.rootless {
        Rootless::Yes => true,
        Rootless::No => false,
        // When the map cannot be read, privileges cannot be told from those over a user namespace: assume the less.
        Rootless::Auto => userns::euid() != 0 || userns::is_in_user_namespace().unwrap_or(true),
    }
}

/// The state directory.
pub(crate) fn state_dir(globals: &Globals) -> Result<PathBuf> {
    if let Some(root) = &globals.root {
        return Ok(root.clone());
    }
    let uid = userns::euid();
    if uid == 0 && !is_rootless(globals) {
        return Ok(PathBuf::from("/run/nexcage"));
    }
    let set = std::env::var_os("XDG_RUNTIME_DIR")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from);
    if let Some(dir) = set {
        return Ok(dir.join("nexcage"));
    }
    if uid == 0 {
        return Ok(PathBuf::from("/run/nexcage"));
    }
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    if usual.metadata().is_ok_and(|m| m.is_dir() && m.uid() == uid) {
        return Ok(usual.join("nexcage"));
    }
    bail!("no state directory: set XDG_RUNTIME_DIR, or name one with --root");
}
