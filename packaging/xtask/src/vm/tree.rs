//! The root file system of the guest: a directory made once by debootstrap and shared, read-only, by every guest.
//!
//! It is a hostfs root and not an image, measured: no image to build (mkfs of 300 MB) and no second copy on disk; a plain
//! guest is up in 2 s. hostfs shows neither extended attributes nor whiteouts, and the tree needs none: `newuidmap` is
//! setuid, and all that is written goes to the tmpfs on top.

mod files;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::process::program;
use crate::vm::mirror;
use files::{DIRS, FILES, LINES, LINKS, MASKED, PACKAGES, TRIM};

/// A tree that stays as it is while this value lives.
pub(crate) struct Tree {
    pub(crate) path: PathBuf,
    /// Held shared: a rebuild waits for it, a sweep passes over it.
    _lock: File,
}

/// Gives the tree of this version of the recipe, made now if it is missing.
///
/// * `cache`: directory of all trees; created if missing.
/// * `mirror`: archive to install from; `None` asks apt's configuration.
/// * `rebuild`: make the tree anew even if it is there; waits for the guests that use it.
///
/// # Errors
///
/// Names the step; a tree half made is never used and is removed by the next call.
pub(crate) fn open_tree(cache: &Path, mirror: Option<&str>, rebuild: bool) -> Result<Tree> {
    fs::create_dir_all(cache).with_context(|| format!("create {cache:?}"))?;
    let path = cache.join(format!("debian-12-{:016x}", fingerprint()));
    let lock_path = path.with_extension("lock");
    let lock = open_lock(&lock_path)?;
    if rebuild || !path.exists() {
        lock.lock().with_context(|| format!("lock {lock_path:?}"))?;
        // Another process may have made it while this one waited.
        if rebuild || !path.exists() {
            remove_tree(&path)?;
            build(&path, mirror)?;
        }
        sweep(cache, &path)?;
        lock.unlock().with_context(|| format!("unlock {lock_path:?}"))?;
    }
    lock.lock_shared().with_context(|| format!("lock {lock_path:?}"))?;
    if !path.exists() {
        bail!("find {path:?}: it was removed a moment ago; run the command again");
    }
    Ok(Tree { path, _lock: lock })
}

fn build(path: &Path, mirror: Option<&str>) -> Result<()> {
    let start = Instant::now();
    let partial = path.with_extension("partial");
    remove_tree(&partial)?;
    let mirror = mirror.map_or_else(mirror::read_mirror, |given| Ok(given.to_owned()))?;
    tell(&format!(
        "making the guest's root file system in {path:?} (once, about a minute)"
    ));
    debootstrap(&partial, &mirror, &path.with_extension("log"))?;
    for surplus in TRIM {
        remove_tree(&partial.join(surplus))?;
    }
    lay_over(&partial).with_context(|| format!("set up {partial:?}"))?;
    fs::rename(&partial, path).with_context(|| format!("rename {partial:?} to {path:?}"))?;
    tell(&format!("made it in {} s", start.elapsed().as_secs()));
    Ok(())
}

/// Runs debootstrap in namespaces of its own: its mounts and processes end with it, and it with us.
fn debootstrap(target: &Path, mirror: &str, log_path: &Path) -> Result<()> {
    let log = create(log_path, 0o644).with_context(|| format!("create {log_path:?}"))?;
    let mut command = program("setpriv");
    command
        .args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--pid",
            "--mount",
            "--propagation",
            "private",
            "--fork",
        ])
        .args(["--kill-child=KILL", "debootstrap", "--variant=minbase"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(mirror::SUITE)
        .arg(target)
        .arg(mirror)
        .stdout(log.try_clone().context("duplicate the descriptor of the log")?)
        .stderr(log);
    mirror::set_proxy(&mut command)?;
    let status = command.status().context("start debootstrap")?;
    if !status.success() {
        let text = fs::read_to_string(log_path).with_context(|| format!("read {log_path:?}"))?;
        let lines: Vec<_> = text.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(5)..)
            .unwrap_or_default()
            .join("\n  ");
        bail!("run debootstrap ({status}); the end of {log_path:?}:\n  {tail}");
    }
    Ok(())
}

fn lay_over(root: &Path) -> Result<()> {
    for dir in DIRS {
        fs::create_dir_all(root.join(dir)).with_context(|| format!("create {dir:?}"))?;
    }
    for (file, mode, text) in FILES {
        replace(&root.join(file), mode, text).with_context(|| format!("write {file:?}"))?;
    }
    for (file, line) in LINES {
        let append = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o644)
            .open(root.join(file));
        append
            .and_then(|mut open| open.write_all(line.as_bytes()))
            .with_context(|| format!("append to {file:?}"))?;
    }
    for (path, target) in LINKS {
        link(&root.join(path), target)?;
    }
    for unit in MASKED {
        link(&root.join("etc/systemd/system").join(unit), "/dev/null")?;
    }
    // Each generator is a process at every boot, and none has anything to generate here.
    let generators = root.join("usr/lib/systemd/system-generators");
    for entry in fs::read_dir(&generators).with_context(|| format!("read {generators:?}"))? {
        let name = entry.with_context(|| format!("read {generators:?}"))?.file_name();
        link(&root.join("etc/systemd/system-generators").join(name), "/dev/null")?;
    }
    Ok(())
}

fn link(path: &Path, target: &str) -> Result<()> {
    make_room(path)?;
    symlink(target, path).with_context(|| format!("link {path:?}"))
}

/// Makes the directory of a new file and removes an old one.
fn make_room(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("create {parent:?}"))?;
    }
    remove_tree(path)
}

fn replace(path: &Path, mode: u32, text: &str) -> Result<()> {
    make_room(path)?;
    create(path, mode)?.write_all(text.as_bytes())?;
    // The umask of the caller must not show in the guest.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(())
}

fn create(path: &Path, mode: u32) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
}

/// Removes trees of other versions that no guest uses.
fn sweep(cache: &Path, keep: &Path) -> Result<()> {
    for entry in fs::read_dir(cache).with_context(|| format!("read {cache:?}"))? {
        let path = entry.with_context(|| format!("read {cache:?}"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path == keep || !name.starts_with("debian-12-") || path.extension().is_some() {
            continue;
        }
        if open_lock(&path.with_extension("lock"))?.try_lock().is_ok() {
            remove_tree(&path)?;
        }
    }
    Ok(())
}

/// Opens the lock file of a tree. It stays when the tree goes: removing it would let two processes lock two files.
fn open_lock(path: &Path) -> Result<File> {
    let options = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .open(path);
    options.with_context(|| format!("open {path:?}"))
}

/// Removes a file, link or directory; nothing there is fine.
fn remove_tree(path: &Path) -> Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("look at {path:?}")),
    };
    let removed = if kind.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.with_context(|| format!("remove {path:?}"))
}

/// Hashes all that the tree depends on (64-bit FNV-1a), so that a changed recipe makes a new tree.
fn fingerprint() -> u64 {
    let lists = [&PACKAGES[..], &TRIM, &DIRS, &MASKED];
    let files = FILES.iter().flat_map(|(path, _, text)| [*path, *text]);
    let lines = LINES.iter().chain(&LINKS).flat_map(|(path, line)| [*path, *line]);
    let parts = lists.into_iter().flatten().copied().chain(files).chain(lines);
    parts
        .flat_map(|part| part.bytes().chain([0]))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

fn tell(message: &str) {
    // Progress only: a closed standard error must not stop the work.
    let _ignored = writeln!(std::io::stderr(), "vm: {message}");
}
