//! The namespaces of a running container, for exec.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType as Type, Spec};

/// Open namespaces of a container's init.
///
/// They are named to libcontainer by descriptor: the process of an id can be another one by the time a path is opened.
#[derive(Debug)]
pub(crate) struct Opened {
    files: Vec<(Type, File)>,
}

/// Whether the config gives the container a namespace of this kind, new or joined.
pub(crate) fn has(spec: &Spec, wanted: Type) -> bool {
    configured(spec).any(|ns| ns.typ() == wanted)
}

/// Whether the container gets a new namespace of this kind, in which no other process is.
pub(crate) fn makes(spec: &Spec, wanted: Type) -> bool {
    configured(spec).any(|ns| ns.typ() == wanted && path_of(ns).is_none())
}

/// The namespaces of the config.
pub(crate) fn configured(spec: &Spec) -> impl Iterator<Item = &LinuxNamespace> {
    let namespaces = spec.linux().as_ref().and_then(|l| l.namespaces().as_ref());
    namespaces.into_iter().flatten()
}

/// Path of a namespace that is joined; an empty one stands for a new namespace.
pub(crate) fn path_of(namespace: &LinuxNamespace) -> Option<&Path> {
    namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty())
}

/// Opens the namespaces of process `pid` that the config gives the container, or that it joined.
pub(crate) fn open(pid: i32, spec: &Spec) -> io::Result<Opened> {
    let mut files = Vec::new();
    for namespace in configured(spec) {
        let path = format!("/proc/{pid}/ns/{}", file_name(namespace.typ()));
        match File::open(path) {
            Ok(file) => files.push((namespace.typ(), file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound && namespace.typ() == Type::Time => {}
            Err(e) => return Err(e),
        }
    }
    if let Some(time) = open_time(pid, &files)? {
        files.push((Type::Time, time));
    }
    // A runtime that was root of a user namespace made the container in that one.
    let has_user = files.iter().any(|(typ, _)| *typ == Type::User);
    if !has_user && shares_user_namespace(pid) == Some(false) {
        files.push((Type::User, File::open(format!("/proc/{pid}/ns/user"))?));
    }
    Ok(Opened { files })
}

/// The time namespace that a restored container has got from CRIU, whatever the config says.
fn open_time(pid: i32, files: &[(Type, File)]) -> io::Result<Option<File>> {
    let inode = |path: &str| match std::fs::metadata(path) {
        Ok(found) => Ok(Some(found.ino())),
        // The kernel has none.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    };
    let path = format!("/proc/{pid}/ns/time");
    if files.iter().any(|(typ, _)| *typ == Type::Time) || inode(&path)? == inode("/proc/self/ns/time")? {
        return Ok(None);
    }
    File::open(path).map(Some)
}

/// Whether a process is in the caller's user namespace; `None` where the caller may not know.
pub(crate) fn shares_user_namespace(pid: i32) -> Option<bool> {
    let read = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/user")).ok();
    Some(read("self")? == read(&pid.to_string())?)
}

impl Opened {
    /// The namespaces as a config names them; valid in processes that inherit the descriptors.
    pub(crate) fn as_config(&self) -> Result<Vec<LinuxNamespace>, oci_spec::OciSpecError> {
        self.files
            .iter()
            .map(|(typ, file)| {
                let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
                LinuxNamespaceBuilder::default().typ(*typ).path(path).build()
            })
            .collect()
    }

    /// The descriptors to keep open across the fork.
    pub(crate) fn fds(&self) -> impl Iterator<Item = i32> + '_ {
        self.files.iter().map(|(_, file)| file.as_raw_fd())
    }
}

/// Name of a kind of namespace in `/proc/PID/ns`.
pub(crate) const fn file_name(typ: Type) -> &'static str {
    match typ {
        Type::Mount => "mnt",
        Type::Cgroup => "cgroup",
        Type::Uts => "uts",
        Type::Ipc => "ipc",
        Type::User => "user",
        Type::Pid => "pid",
        Type::Network => "net",
        Type::Time => "time",
    }
}
