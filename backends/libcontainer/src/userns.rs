//! The launcher in the container's user namespace, where a caller without privileges needs one to mount at all.
//!
//! libcontainer makes the namespace later than its first effect, the joining of a cgroup. So the launcher makes (or
//! joins) it before, the runtime maps its users, and the config that libcontainer gets has none.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use nexcage_backend::Error;
use nexcage_cgroups::{Cgroup, Layout};
use nexcage_sys::{command, dumpable, userns};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Gid, Uid, setresgid, setresuid};
use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Spec};

use crate::link::{self, FromContainer, ToContainer};
use crate::namespaces;

/// Whether the launcher has to be in the container's user namespace to cover the cgroups.
pub(crate) fn must_be_entered(spec: &Spec, cgroup: &Cgroup) -> bool {
    userns::euid() != 0
        && cgroup.layout() != Layout::Unified
        && namespaces::has(spec, LinuxNamespaceType::User)
        && namespaces::has(spec, LinuxNamespaceType::Mount)
}

/// Enters the user namespace of the config, as its root, and takes it out of the config. In the launcher.
pub(crate) fn enter(spec: &mut Spec, link: &OwnedFd) -> Result<(), String> {
    let path = take_namespace(spec);
    match path {
        Some(path) => {
            let namespace = File::open(&path).map_err(|e| format!("open the user namespace {path:?}: {e}"))?;
            setns(namespace, CloneFlags::CLONE_NEWUSER).map_err(|e| format!("join the user namespace: {e}"))?;
        }
        None => make(link)?,
    }
    become_root().map_err(|e| format!("become root of the user namespace: {e}"))
}

/// Takes the ids that the user namespace of this process maps to root, with every power there.
pub(crate) fn become_root() -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}

/// Removes the user namespace and its mappings from the config, and returns its path if it has one.
fn take_namespace(spec: &mut Spec) -> Option<std::path::PathBuf> {
    let linux = spec.linux_mut().as_mut()?;
    let namespaces = linux.namespaces().clone().unwrap_or_default();
    let (user, others): (Vec<_>, Vec<_>) = namespaces
        .into_iter()
        .partition(|ns| ns.typ() == LinuxNamespaceType::User);
    linux
        .set_namespaces(Some(others))
        .set_uid_mappings(None)
        .set_gid_mappings(None);
    user.into_iter().find_map(|ns| ns.path().clone())
}

fn make(link: &OwnedFd) -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|e| format!("make a user namespace: {e}"))?;
    // Only then may the runtime, the same user, write the mappings.
    dumpable::set_dumpable(true).map_err(|e| format!("become dumpable: {e}"))?;
    let answer = link::ask(&link.as_fd(), &FromContainer::MapUsers);
    dumpable::set_dumpable(false).map_err(|e| format!("become undumpable: {e}"))?;
    match answer.map_err(|e| format!("ask for user mappings: {e}"))? {
        ToContainer::Go => Ok(()),
        _ => Err("map users".to_owned()),
    }
}

/// Writes the mappings of the config for the launcher's new user namespace. In the runtime.
pub(crate) fn map(spec: &Spec, launcher: i32) -> Result<(), Error> {
    let failed = |step| move |source| Error::Launch { step, source };
    let linux = spec.linux().clone().unwrap_or_default();
    let (uids, gids) = (linux.uid_mappings().clone(), linux.gid_mappings().clone());
    let file = |name: &str| format!("/proc/{launcher}/{name}");
    // Without privileges the kernel asks for this, since leaving a group can be a gain (CVE-2014-8989).
    write(&file("setgroups"), "deny").map_err(failed("deny setgroups in the user namespace"))?;
    let uids = Table {
        own: userns::euid(),
        file: file("uid_map"),
        tool: "newuidmap",
        mappings: uids.unwrap_or_default(),
    };
    uids.write(launcher).map_err(failed("map users"))?;
    let gids = Table {
        own: userns::egid(),
        file: file("gid_map"),
        tool: "newgidmap",
        mappings: gids.unwrap_or_default(),
    };
    gids.write(launcher).map_err(failed("map groups"))
}

/// One table of ids and the ways to write it.
struct Table {
    own: u32,
    file: String,
    tool: &'static str,
    mappings: Vec<LinuxIdMapping>,
}

impl Table {
    /// The own id alone can be mapped by anybody; more is granted by the node's tables of subordinate ids.
    fn write(&self, launcher: i32) -> io::Result<()> {
        if let [only] = self.mappings.as_slice()
            && only.size() == 1
            && only.host_id() == self.own
        {
            return write(&self.file, &format!("{} {} 1", only.container_id(), self.own));
        }
        let mut args = vec![launcher.to_string()];
        for mapping in &self.mappings {
            args.extend([mapping.container_id(), mapping.host_id(), mapping.size()].map(|n| n.to_string()));
        }
        command::output(self.tool, &args).map(drop).map_err(|source| {
            let hint = match source.kind() {
                io::ErrorKind::NotFound => ": install it (Debian: uidmap), or map only the own id",
                _ => ": check /etc/subuid and /etc/subgid",
            };
            io::Error::new(source.kind(), format!("{}: {source}{hint}", self.tool))
        })
    }
}

fn write(path: &str, text: &str) -> io::Result<()> {
    fs::File::options().write(true).open(path)?.write_all(text.as_bytes())
}
