//! Hides the cgroup hierarchies from libcontainer.
//!
//! libcontainer insists on moving its processes into a cgroup, by a file whose lock stalls an idle node, and which a
//! user without privileges may not write. The launcher is in the right cgroups already, so the crate gets plain files to
//! write to: on v2 by a path that leads out of the hierarchy, on v1 by covering the hierarchies in a mount namespace of
//! the launcher. Where that cannot be, it moves its processes to where they are.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nexcage_cgroups::{Cgroup, Layout};
use nexcage_sys::mount as mount_tree;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use oci_spec::runtime::{Mount, Spec};

use crate::executor::Kind;
use crate::launch::Launch;
use crate::rootfs::is_bind;

/// Folder in the container's directory that libcontainer takes for a cgroup.
const INERT: &str = "cgroup";
/// Where the v1 hierarchies are mounted, for libcontainer.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// Where the v2 half of a hybrid node is mounted.
const V2_HALF: &str = "/sys/fs/cgroup/unified";
/// Folder in the cover for what the container's mounts show of the covered.
const KEPT: &str = ".kept";
const NONE: Option<&Path> = None;

/// Prepares what libcontainer takes for cgroups, and returns the path that it joins.
///
/// * `spec`: the sources of its mounts are changed where they would show the cover.
///
/// Called in the launcher, which is in the container's cgroups.
pub(crate) fn inert_cgroup(request: &Launch<'_>, spec: &mut Spec) -> io::Result<PathBuf> {
    let shown = match request.cgroup.layout() {
        Layout::Unified => Shown::V2,
        Layout::Legacy | Layout::Hybrid if request.hide_cgroups => {
            let mut none = Vec::new();
            let mounts = match request.kind {
                Kind::Init(_) => spec.mounts_mut().as_mut().unwrap_or(&mut none),
                Kind::Exec => &mut none,
            };
            cover_v1(request.cgroup, mounts)?
        }
        Layout::Legacy | Layout::Hybrid => Shown::V1,
    };
    match shown {
        Shown::V2 => inert_directory(request.dir),
        // The caller's own cgroups.
        Shown::V1 => Ok(PathBuf::new()),
    }
}

/// Which hierarchies libcontainer sees.
enum Shown {
    V1,
    V2,
}

/// Covers the v1 hierarchies: with v2 where the node has it mounted, whose code in libcontainer reads no tables, else
/// with plain files.
fn cover_v1(cgroup: &Cgroup, mounts: &mut [Mount]) -> io::Result<Shown> {
    let v1 = || cgroup.mounted().filter(|(controllers, _)| !controllers.is_empty());
    if !v1().all(|(_, point)| point.starts_with(CGROUP_ROOT)) {
        return Ok(Shown::V1);
    }
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What is mounted on it must not appear on the node.
    match mount(NONE, CGROUP_ROOT, NONE, MsFlags::MS_PRIVATE, NONE) {
        Ok(()) => {}
        Err(Errno::EINVAL) => return Ok(Shown::V1),
        Err(errno) => return Err(errno.into()),
    }
    let kept = keep_visible(mounts)?;
    let v2 = match cgroup.layout() {
        _ if !kept.is_empty() => None,
        Layout::Hybrid => cgroup.path_of("").or_else(|| Some(PathBuf::from(V2_HALF))),
        Layout::Legacy | Layout::Unified => mounted_v2(),
    };
    if let Some(v2) = v2 {
        mount(Some(&v2), CGROUP_ROOT, NONE, MsFlags::MS_BIND, NONE)?;
        return Ok(Shown::V2);
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    // The root of a user namespace looks for what is kept in it.
    let options = Some("mode=711,size=1m");
    mount(Some("tmpfs"), CGROUP_ROOT, Some("tmpfs"), flags, options)?;
    let own = fs::read_to_string("/proc/self/cgroup")?;
    for (controllers, point) in v1() {
        if let Some(below) = find_own(&own, controllers) {
            plain_cgroup(controllers, &point.join(below))?;
        }
    }
    kept.iter().try_for_each(|(tree, place)| show(tree, place))?;
    Ok(Shown::V1)
}

/// Where the node has cgroup v2 mounted outside the place of the hierarchies. Mounting it once more would wait for a grace
/// period of the kernel.
fn mounted_v2() -> Option<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mut points = table.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let point = Path::new(mount.split(' ').nth(4)?);
        source.starts_with("cgroup2 ").then_some(point)
    });
    // A mount upon it may hide it.
    points
        .find(|point| statfs(*point).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC))
        .map(Path::to_owned)
}

/// Where this process is in the hierarchy of these controllers, as libcontainer looks for it.
fn find_own<'a>(own: &'a str, controllers: &[String]) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let (names, below) = line.split_once(':')?.1.split_once(':')?;
        let found = names.split(',').any(|name| controllers.iter().any(|c| c == name));
        found.then(|| below.trim_start_matches('/'))
    })
}

/// The files that libcontainer reads and writes to move a process into a v1 cgroup.
fn plain_cgroup(controllers: &[String], path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    make_file(&path.join("cgroup.procs"), b"")?;
    if controllers.iter().any(|c| c == "cpuset") {
        for dir in path.ancestors().take_while(|dir| *dir != Path::new(CGROUP_ROOT)) {
            make_file(&dir.join("cpuset.cpus"), b"0")?;
            make_file(&dir.join("cpuset.mems"), b"0")?;
        }
    }
    Ok(())
}

fn make_file(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true);
    options.open(path)?.write_all(text)
}

/// Copies what bind mounts of the config would show of the covered, and names the copies as their sources.
fn keep_visible(mounts: &mut [Mount]) -> io::Result<Vec<(OwnedFd, PathBuf)>> {
    let mut kept = Vec::new();
    for mount in mounts {
        let Some(source) = covered_source(mount) else { continue };
        let place = Path::new(CGROUP_ROOT).join(KEPT).join(kept.len().to_string());
        kept.push((mount_tree::clone_trees(&source)?, place.clone()));
        mount.set_source(Some(place));
    }
    Ok(kept)
}

/// The source of a bind mount that lies in the hierarchies' directory, or brings it along.
fn covered_source(mount: &Mount) -> Option<PathBuf> {
    if !is_bind(mount) {
        return None;
    }
    let recursive = mount.options().iter().flatten().any(|option| option == "rbind");
    // A source that is not there is libcontainer's to name.
    let source = fs::canonicalize(mount.source().as_ref()?).ok()?;
    let inside = source.starts_with(CGROUP_ROOT);
    let around = recursive && Path::new(CGROUP_ROOT).starts_with(&source);
    (inside || around).then_some(source)
}

/// Attaches a copy in the cover.
fn show(tree: &OwnedFd, place: &Path) -> io::Result<()> {
    let is_dir = fs::File::from(tree.try_clone()?).metadata()?.is_dir();
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    if is_dir {
        fs::create_dir(place)?;
    } else {
        make_file(place, b"")?;
    }
    mount_tree::attach(tree.as_fd(), place)
}

/// A directory with a file where libcontainer writes process ids, as a path from the root of the hierarchies.
fn inert_directory(dir: &Path) -> io::Result<PathBuf> {
    let inert = dir.join(INERT);
    match fs::create_dir(&inert) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    fs::File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(inert.join("cgroup.procs"))?;
    Ok(Path::new("../../..").join(inert.strip_prefix("/").unwrap_or(&inert)))
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::MountBuilder;

    use super::*;

    #[test]
    fn own_cgroup_is_found_by_any_controller_of_the_hierarchy() {
        let own = "9:name=systemd:/\n4:memory:/a/b\n2:cpu,cpuacct:/c\n0::/u\n";
        for (controllers, expected) in [
            (&["memory"][..], Some("a/b")),
            (&["cpuacct", "cpu"], Some("c")),
            (&["name=systemd"], Some("")),
            (&["pids"], None),
        ] {
            let controllers: Vec<String> = controllers.iter().map(ToString::to_string).collect();
            assert_eq!(find_own(own, &controllers), expected, "{controllers:?}");
        }
    }

    #[test]
    fn only_mounts_that_would_show_the_cover_are_kept() {
        for (typ, source, options, expected) in [
            ("bind", "/sys", &["rbind"][..], true),
            ("none", "/sys", &["rbind", "ro"], true),
            ("bind", "/", &["rbind"], true),
            ("bind", "/sys", &["bind"], false),
            ("bind", "/proc", &["rbind"], false),
            ("bind", CGROUP_ROOT, &["bind"], true),
            ("bind", "/sys/../sys/fs/cgroup", &[], true),
            ("bind", "/sys/fs/cgroup/not-there", &["bind"], false),
            ("sysfs", "/sys", &["ro"], false),
        ] {
            let mount = MountBuilder::default()
                .destination("/x")
                .typ(typ)
                .source(source)
                .options(options.iter().map(ToString::to_string).collect::<Vec<_>>())
                .build()
                .unwrap();
            assert_eq!(covered_source(&mount).is_some(), expected, "{source} {options:?}");
        }
    }
}
