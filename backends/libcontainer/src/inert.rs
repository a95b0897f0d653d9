//! What libcontainer sees of the cgroups: plain files.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use libcgroups::common::CgroupConfig;
use nexcage_cgroups::Layout;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use crate::launcher::Launch;

/// Folder in the container's directory that libcontainer takes for a cgroup.
const INERT: &str = "cgroup";

/// libcontainer insists on moving its processes into a cgroup, by a file whose lock stalls an idle node. The launcher is
/// in the right cgroups already, so the crate gets plain files to write to: on v2 by a path that leads out of the
/// hierarchy, on v1 by covering the hierarchies. Where that cannot be, it moves its processes to where they are.
pub(crate) fn cgroup(request: &Launch<'_>) -> io::Result<CgroupConfig> {
    let shown = match request.cgroup.layout() {
        Layout::Unified => Shown::V2,
        Layout::Legacy | Layout::Hybrid if request.hide_cgroups && request.sub_cgroup.is_none() => cover_v1(request)?,
        Layout::Legacy | Layout::Hybrid => Shown::V1,
    };
    let cgroup_path = match shown {
        Shown::V2 => directory(request.dir)?,
        // The caller's own cgroups.
        Shown::V1 => PathBuf::new(),
    };
    Ok(CgroupConfig {
        cgroup_path,
        systemd_cgroup: false,
        container_name: request.id.to_string(),
    })
}

/// Which hierarchies libcontainer sees.
enum Shown {
    V1,
    V2,
}

/// Where the v1 hierarchies are mounted, for libcontainer.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Covers the v1 hierarchies in a mount namespace of the launcher: with v2 where the node has it mounted, whose code in
/// libcontainer reads no tables, else with plain files.
fn cover_v1(request: &Launch<'_>) -> io::Result<Shown> {
    const NONE: Option<&Path> = None;
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let mut paths = request.cgroup.paths();
    if request.rootless {
        // Most hierarchies are not the container's: it stays in the caller's cgroups there.
        paths.extend(own_v1(&own));
    }
    let v2 = paths.get("");
    let v1 = || paths.iter().filter(|(controller, _)| !controller.is_empty());
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What is mounted on it must not appear on the node.
    if let Err(errno) = mount(NONE, CGROUP_ROOT, NONE, MsFlags::MS_PRIVATE, NONE) {
        return if errno == Errno::EINVAL {
            Ok(Shown::V1)
        } else {
            Err(errno.into())
        };
    }
    if let Some(v2) = v2.cloned().or_else(mounted_v2) {
        mount(Some(&v2), CGROUP_ROOT, NONE, MsFlags::MS_BIND, NONE)?;
        return Ok(Shown::V2);
    }
    if !v1().all(|(controller, path)| is_plain(&own, controller, path)) {
        return Ok(Shown::V1);
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(
        Some("tmpfs"),
        CGROUP_ROOT,
        Some("tmpfs"),
        flags,
        Some("mode=700,size=1m"),
    )?;
    v1().try_for_each(|(controller, path)| plain_cgroup(controller, path))?;
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

/// This process's v1 cgroups by controller, and by the names of hierarchies with several.
fn own_v1(own: &str) -> Vec<(String, PathBuf)> {
    let lines = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let v1 = lines.filter(|(controllers, _)| !controllers.is_empty() && !controllers.contains('='));
    v1.flat_map(|(controllers, below)| {
        let several = controllers.contains(',').then_some(controllers);
        controllers.split(',').chain(several).map(move |name| {
            let path = Path::new(CGROUP_ROOT).join(name).join(below.trim_start_matches('/'));
            (name.to_owned(), path)
        })
    })
    .collect()
}

/// Whether libcontainer will look for this process's cgroup at `path`: not in a nested container, whose mounts show a
/// part of the hierarchy.
fn is_plain(own: &str, controller: &str, path: &Path) -> bool {
    let below = own.lines().find_map(|line| {
        let (controllers, below) = line.split_once(':')?.1.split_once(':')?;
        (controllers == controller || controllers.split(',').any(|c| c == controller)).then_some(below)
    });
    let Some(below) = below.and_then(|below| below.strip_prefix('/')) else {
        return false;
    };
    path.starts_with(CGROUP_ROOT) && path.ends_with(below)
}

/// The files that libcontainer reads and writes to move a process into a v1 cgroup.
fn plain_cgroup(controller: &str, path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    let make = |path: PathBuf, text: &[u8]| {
        fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?
            .write_all(text)
    };
    make(path.join("cgroup.procs"), b"")?;
    if controller == "cpuset" {
        for dir in path.ancestors().take_while(|dir| *dir != Path::new(CGROUP_ROOT)) {
            make(dir.join("cpuset.cpus"), b"0")?;
            make(dir.join("cpuset.mems"), b"0")?;
        }
    }
    Ok(())
}

/// A directory with a file where libcontainer writes process ids, as a path from the root of the hierarchies.
fn directory(dir: &Path) -> io::Result<PathBuf> {
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
    use super::*;

    #[test]
    fn own_cgroups_are_found_by_controller_and_hierarchy() {
        let own = "4:cpu,cpuacct:/a/b\n3:pids:/\n2:name=systemd:/x\n0::/y\n";
        let found: Vec<_> = own_v1(own)
            .into_iter()
            .map(|(name, path)| (name, path.display().to_string()))
            .collect();
        let expected = [
            ("cpu", "/sys/fs/cgroup/cpu/a/b"),
            ("cpuacct", "/sys/fs/cgroup/cpuacct/a/b"),
            ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/a/b"),
            ("pids", "/sys/fs/cgroup/pids/"),
        ];
        assert_eq!(found, expected.map(|(name, path)| (name.to_owned(), path.to_owned())));
        for (name, path) in own_v1(own) {
            assert!(is_plain(own, &name, &path), "{name}");
        }
    }
}
