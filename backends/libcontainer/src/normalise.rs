//! The config as libcontainer understands it.
//!
//! Pure. What libcontainer would get wrong is taken out of the config here, and either was done before, or is mended
//! afterwards in the container's namespaces (see `mend.rs`):
//!
//! * `resources`: limits are the cgroup crate's work;
//! * `noNewPrivileges: false`: libcontainer takes it for true when it orders seccomp;
//! * empty namespace paths: opened as files;
//! * mounts without a source, mount options that are not the kernel's, and the v1 `cgroup` mount, which libcontainer
//!   always mounts writable;
//! * a volume on `/dev`: libcontainer would make links and devices in it, so it gets a tmpfs there instead;
//! * OCI hooks: see [`crate::relay`];
//! * `HOME` and `PATH`: libcontainer would ask the node's user database, and insists on a search path.

use std::path::{Path, PathBuf};

use nexcage_cgroups::{Cgroup, Layout};
use nexcage_sys::mount::Attributes;
use oci_spec::OciSpecError;
use oci_spec::runtime::{Linux, LinuxNamespaceType, Mount, MountBuilder, Process, Spec};

use crate::mend::Mend;
use crate::rootfs::{clean, is_bind, is_devpts};

/// A config for libcontainer and what is to be mended after it ran.
#[derive(Debug)]
pub(crate) struct Normalised {
    pub(crate) spec: Spec,
    pub(crate) mends: Vec<Mend>,
}

/// How the container gets its view of v1 hierarchies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Views {
    /// Cloned on the node and mounted by the mending child.
    Mended,
    /// As bind mounts of the config: the caller may clone no mount of the node.
    Bound,
}

/// Normalises the config of a new container.
pub(crate) fn for_create(spec: &Spec, cgroup: &Cgroup, views: Views) -> Result<Normalised, OciSpecError> {
    let mut out = spec.clone();
    let mut mends = Vec::new();
    let mut linux = spec.linux().clone().unwrap_or_default();
    normalise_linux(&mut linux);
    drop_empty_names(&mut out);
    normalise_hostname(&mut out, &linux, &mut mends);
    if let Some(volume) = volume_on_dev(spec) {
        mends.push(volume);
        linux.set_devices(None);
    }
    out.set_mounts(Some(normalise_mounts(spec, cgroup, views, &mut mends)?));
    out.set_linux(Some(linux));
    normalise_process(&mut out);
    Ok(Normalised { spec: out, mends })
}

/// Normalises the config of an exec: the process is the one to run, the namespaces are those of the container.
pub(crate) fn for_exec(spec: &Spec, namespaces: Vec<oci_spec::runtime::LinuxNamespace>) -> Spec {
    let mut out = spec.clone();
    let mut linux = spec.linux().clone().unwrap_or_default();
    normalise_linux(&mut linux);
    linux.set_namespaces(Some(namespaces));
    linux
        .set_net_devices(None)
        .set_uid_mappings(None)
        .set_gid_mappings(None)
        .set_time_offsets(None);
    out.set_linux(Some(linux)).set_hooks(None);
    normalise_process(&mut out);
    out
}

fn normalise_linux(linux: &mut Linux) {
    linux.set_resources(None).set_cgroups_path(None);
    // libcontainer knows the names without the `r`, and is recursive all the same.
    if let Some(name) = linux
        .rootfs_propagation()
        .as_deref()
        .and_then(|p| p.strip_prefix('r'))
        .map(str::to_owned)
    {
        linux.set_rootfs_propagation(Some(name));
    }
    let namespaces = linux
        .namespaces()
        .clone()
        .unwrap_or_default()
        .into_iter()
        .map(|mut ns| {
            if ns.path().as_ref().is_some_and(|p| p.as_os_str().is_empty()) {
                ns.set_path(None);
            }
            ns
        });
    let namespaces = namespaces.collect();
    linux.set_namespaces(Some(namespaces));
}

fn normalise_process(spec: &mut Spec) {
    let Some(process) = spec.process_mut() else { return };
    if process.no_new_privileges() == Some(false) {
        process.set_no_new_privileges(None);
    }
    process.set_env(Some(placeholder_env(process)));
    // Written by the launcher before it forks, in the runtime's privileges.
    process.set_oom_score_adj(None);
}

/// Names that libcontainer insists on. The executor builds the real environment from the original config.
fn placeholder_env(process: &Process) -> Vec<String> {
    let mut env = process.env().clone().unwrap_or_default();
    if !env
        .iter()
        .any(|e| e.strip_prefix("HOME=").is_some_and(|h| !h.is_empty()))
    {
        env.retain(|e| !e.starts_with("HOME="));
        env.push("HOME=/".to_owned());
    }
    env
}

/// libcontainer takes an empty name for one to set.
fn drop_empty_names(spec: &mut Spec) {
    let given = |name: &Option<String>| name.clone().filter(|n| !n.is_empty());
    let (host, domain) = (given(spec.hostname()), given(spec.domainname()));
    spec.set_hostname(host).set_domainname(domain);
}

/// libcontainer sets the host name of a new UTS namespace only.
fn normalise_hostname(spec: &mut Spec, linux: &Linux, mends: &mut Vec<Mend>) {
    let joined = linux
        .namespaces()
        .iter()
        .flatten()
        .any(|ns| ns.typ() == LinuxNamespaceType::Uts && ns.path().is_some());
    if !joined {
        return;
    }
    if let Some(name) = spec.hostname().clone() {
        mends.push(Mend::Hostname(name));
    }
    if let Some(name) = spec.domainname().clone() {
        mends.push(Mend::Domainname(name));
    }
}

fn normalise_mounts(
    spec: &Spec,
    cgroup: &Cgroup,
    views: Views,
    mends: &mut Vec<Mend>,
) -> Result<Vec<Mount>, OciSpecError> {
    let mounts = spec.mounts().clone().unwrap_or_default();
    let mut out = Vec::with_capacity(mounts.len());
    for mount in mounts {
        if mount.typ().as_deref() == Some("cgroup") && cgroup.layout() != Layout::Unified {
            out.extend(cgroup_v1_view(&mount, cgroup, views, mends)?);
        } else if is_dev_volume(&mount) {
            out.push(tmpfs(
                Path::new(DEV),
                &["nosuid", "strictatime", "mode=755", "size=65536k"],
            )?);
            out.extend(devpts_of_volume(&mount, has_terminal(spec))?);
            // Only its propagation: the volume itself is mounted by its own mend.
            normalise_mount(mount, mends);
        } else {
            out.push(normalise_mount(mount, mends));
        }
    }
    Ok(out)
}

fn normalise_mount(mut mount: Mount, mends: &mut Vec<Mend>) -> Mount {
    if mount.source().is_none() {
        let source = mount.typ().clone().unwrap_or_else(|| "none".to_owned());
        mount.set_source(Some(PathBuf::from(source)));
    }
    let (ours, theirs): (Vec<_>, Vec<_>) = mount
        .options()
        .clone()
        .unwrap_or_default()
        .into_iter()
        .partition(|o| is_ours(o));
    let destination = mount.destination().clone();
    let sets_mode = theirs.iter().any(|o| o.starts_with("mode="));
    let copies_up = ours.iter().any(|o| o == "tmpcopyup");
    if mount.typ().as_deref() == Some("tmpfs") && !sets_mode && !copies_up {
        mends.push(Mend::CoveredMode(destination.clone()));
    }
    for option in ours {
        if option == "tmpcopyup" {
            mends.push(Mend::CopyUp {
                path: destination.clone(),
                sets_mode,
            });
        } else if let Some(propagation) = propagation(&option) {
            mends.push(Mend::Propagation {
                destination: destination.clone(),
                propagation,
            });
        }
    }
    mount.set_options(Some(theirs));
    mount
}

fn is_ours(option: &str) -> bool {
    option == "tmpcopyup" || propagation(option).is_some()
}

/// Propagation of a mount, as options name it; the second is whether submounts follow.
fn propagation(option: &str) -> Option<crate::mend::Propagation> {
    use crate::mend::{Propagation, PropagationType as Type};
    let (name, recursive) = match option.strip_prefix('r') {
        Some(rest) if Type::parse(rest).is_some() => (rest, true),
        _ => (option, false),
    };
    Type::parse(name).map(|kind| Propagation { kind, recursive })
}

/// The container's view of the v1 hierarchies: a tmpfs with one bind mount of the container's own cgroup each.
fn cgroup_v1_view(
    mount: &Mount,
    cgroup: &Cgroup,
    views: Views,
    mends: &mut Vec<Mend>,
) -> Result<Vec<Mount>, OciSpecError> {
    let destination = mount.destination();
    let read_only = mount.options().iter().flatten().any(|o| o == "ro");
    let tmpfs = tmpfs(destination, &["noexec", "nosuid", "nodev", "mode=755"])?;
    let mut mounts = vec![tmpfs];
    for view in cgroup.views() {
        let path = destination.join(&view.name);
        match views {
            Views::Bound => mounts.push(bound_view(path, view.path, read_only)?),
            Views::Mended => mends.push(Mend::CgroupView {
                path,
                source: view.path,
                read_only,
            }),
        }
        for alias in view.aliases {
            mends.push(Mend::Link {
                path: destination.join(alias),
                to: PathBuf::from(&view.name),
            });
        }
    }
    if read_only {
        mends.push(Mend::ReadOnly(destination.clone()));
    }
    Ok(mounts)
}

fn bound_view(path: PathBuf, source: PathBuf, read_only: bool) -> Result<Mount, OciSpecError> {
    let mut options = vec!["bind", "nosuid", "nodev", "noexec"];
    options.extend(read_only.then_some("ro"));
    MountBuilder::default()
        .destination(path)
        .typ("bind")
        .source(source)
        .options(options.into_iter().map(str::to_owned).collect::<Vec<_>>())
        .build()
}

fn tmpfs(destination: &Path, options: &[&str]) -> Result<Mount, OciSpecError> {
    MountBuilder::default()
        .destination(destination)
        .typ("tmpfs")
        .source("tmpfs")
        .options(options.iter().map(ToString::to_string).collect::<Vec<_>>())
        .build()
}

const DEV: &str = "/dev";

/// The volume's own devpts, where a terminal is to come from it.
fn devpts_of_volume(volume: &Mount, terminal: bool) -> Result<Option<Mount>, OciSpecError> {
    let pts = volume.source().clone().unwrap_or_default().join("pts");
    if !terminal || !is_devpts(&pts) {
        return Ok(None);
    }
    MountBuilder::default()
        .destination(Path::new(DEV).join("pts"))
        .typ("bind")
        .source(pts)
        .options(vec!["bind".to_owned()])
        .build()
        .map(Some)
}

fn is_dev_volume(mount: &Mount) -> bool {
    is_bind(mount) && clean(mount.destination()) == Path::new(DEV)
}

fn has_terminal(spec: &Spec) -> bool {
    spec.process().as_ref().and_then(Process::terminal) == Some(true)
}

/// The volume on `/dev`, with what is mounted below it afterwards.
fn volume_on_dev(spec: &Spec) -> Option<Mend> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let index = mounts.iter().rposition(is_dev_volume)?;
    let volume = mounts.get(index)?;
    let later = mounts.iter().skip(index + 1).map(|m| clean(m.destination()));
    let mut below: Vec<PathBuf> = Vec::new();
    for path in later.filter(|at| at.starts_with(DEV) && at != Path::new(DEV)) {
        // What lies in another of these comes with it.
        if !below.iter().any(|known| path.starts_with(known)) {
            below.push(path);
        }
    }
    if has_terminal(spec) {
        below.push(Path::new(DEV).join("console"));
    }
    let options = volume.options().clone().unwrap_or_default();
    Some(Mend::DevVolume {
        source: volume.source().clone().unwrap_or_default(),
        recursive: options.iter().any(|o| o == "rbind"),
        attributes: options.iter().filter_map(|o| Attributes::of_option(o)).collect(),
        below,
    })
}

/// The path of the root filesystem as libcontainer reads it from the config.
pub(crate) fn set_rootfs(spec: &mut Spec, rootfs: &Path) {
    if let Some(root) = spec.root_mut() {
        root.set_path(rootfs.to_owned());
    }
}
