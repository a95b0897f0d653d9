//! What this machine must have before a guest can boot.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::process::is_installed;

/// Programs, and the Debian package that brings each.
const PROGRAMS: [(&str, &str); 5] = [
    ("linux.uml", "user-mode-linux"),
    ("debootstrap", "debootstrap"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("apt-config", "apt"),
];

/// Directories that may serve as mount point for what a guest sees; which one is used shows only in its own namespace.
const BASES: [&str; 4] = ["/mnt", "/media", "/srv", "/opt"];

/// Where Debian puts the modules of User-Mode Linux.
pub(crate) const MODULES: &str = "/usr/lib/uml/modules";

/// Checks that this process may boot guests and that the programs are there.
///
/// # Errors
///
/// Not root, or packages are missing: then with the command that installs them.
pub(crate) fn check_host() -> Result<()> {
    let missing = find_missing(is_installed);
    ensure!(
        missing.is_empty(),
        "find the programs of the guest: run `apt-get install {}`",
        missing.join(" ")
    );
    ensure!(
        is_root()?,
        "boot a guest as an ordinary user: it needs root, for namespaces and for debootstrap"
    );
    Ok(())
}

/// Picks the directory that everything the guest sees is mounted below: one that hides none of `sources`.
///
/// # Errors
///
/// Every candidate is missing or holds one of the sources.
pub(crate) fn find_base(sources: &[&Path]) -> Result<PathBuf> {
    let free = |base: &&&str| Path::new(base).is_dir() && !sources.iter().any(|source| source.starts_with(base));
    match BASES.iter().find(free) {
        Some(base) => Ok(PathBuf::from(base)),
        None => bail!("find a mount point: each of {BASES:?} is missing or holds a directory that the guest needs"),
    }
}

fn find_missing(has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<_> = PROGRAMS
        .iter()
        .filter(|(name, _)| !has(name))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    packages
}

fn is_root() -> Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status").context("read \"/proc/self/status\"")?;
    let uids = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .context("find the user id of this process")?;
    Ok(uids.split_whitespace().nth(1) == Some("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_packages_are_named_once() {
        assert_eq!(find_missing(|_| true), [""; 0]);
        assert_eq!(
            find_missing(|name| name == "linux.uml"),
            ["debootstrap", "util-linux", "apt"]
        );
    }

    #[test]
    fn base_hides_no_source() {
        let below = Path::new("/mnt/project");
        let base = find_base(&[below, Path::new("/home")]).unwrap();
        assert!(!below.starts_with(&base), "{base:?}");
    }
}
