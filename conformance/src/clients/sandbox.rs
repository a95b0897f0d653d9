//! One client with one runtime in namespaces and a cgroup subtree of its own.
//!
//! Three processes: `enter` joins the cgroups and makes the namespaces, `init` is pid 1 there, remakes the mounts and
//! reaps, `work` runs the cases. When init ends, for whatever reason, the kernel ends every process of the sandbox and
//! drops its mounts and interfaces; the caller of `enter` only has to remove the cgroups.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::case::{Step, sh};
use super::client::{Client, SEARCH_PATH};
use super::job::Job;
use super::place::{Place, exit_code};
use super::report::Record;
use super::run::{Verdict, command, run_case, run_step};

/// The folder of a sandbox, `$S`: short, because socket paths below it may not pass 108 bytes.
const FOLDER: &str = "/run/s";
/// Where version 2 is mounted when it is alone, and the folder of all mounts otherwise.
const V2_ROOT: &str = "/sys/fs/cgroup";
const IMAGE_SCRIPT: &str = include_str!("../../clients/image.sh");
/// Programs on the search path of every line.
const TOOLS: &[(&str, &str)] = &[("cgroup-value", include_str!("../../clients/cgroup-value.sh"))];
/// The name of this program in the sandbox: it has the CRI client.
const OWN: &str = "nexcage-clients";
/// Files that lines name as `$S/NAME`.
const FILES: &[(&str, &str)] = &[("no-mkdir.json", include_str!("../../clients/no-mkdir.json"))];

/// A step of making the sandbox that was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The mounted hierarchies are read from there.
    #[error("read {path:?}")]
    Read { path: PathBuf, source: io::Error },
    /// A cgroup of the sandbox.
    #[error("write {path:?}")]
    Write { path: PathBuf, source: io::Error },
    /// Root and a kernel with every namespace are needed.
    #[error("make namespaces (root is needed)")]
    Unshare { source: nix::Error },
    /// The next process of the sandbox.
    #[error("start {what:?}")]
    Start { what: String, source: io::Error },
    /// A mount inside the sandbox.
    #[error("mount {fstype} on {on:?}")]
    Mount {
        fstype: String,
        on: PathBuf,
        source: nix::Error,
    },
    /// The end of the parent must end the sandbox.
    #[error("ask for SIGKILL at the parent's end")]
    Tie { source: nix::Error },
    /// The parent of the processes in the sandbox.
    #[error("wait for a process")]
    Wait { source: nix::Error },
    /// A result that could not be handed over.
    #[error("write a result")]
    Report { source: io::Error },
    /// No table has that name.
    #[error("unknown client {name:?}")]
    UnknownClient { name: String },
}

type Result<T> = std::result::Result<T, SandboxError>;

/// A mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Where it is mounted.
    pub(super) at: PathBuf,
    /// `cgroup` or `cgroup2`.
    fstype: String,
    /// Its controllers or name, as mount takes them; empty for version 2.
    options: String,
}

impl Hierarchy {
    fn is_beside_v1(&self) -> bool {
        self.fstype == "cgroup2" && self.at != Path::new(V2_ROOT)
    }
}

/// The hierarchies that are mounted below `/sys/fs/cgroup`.
pub(super) fn read_hierarchies() -> Result<Vec<Hierarchy>> {
    let path = PathBuf::from("/proc/self/mountinfo");
    let text = fs::read_to_string(&path).map_err(|source| SandboxError::Read { path, source })?;
    Ok(text.lines().filter_map(parse_hierarchy).collect())
}

/// The cgroup mounts elsewhere, which runc would take for the ones to use when they come first.
fn read_strays() -> Result<Vec<PathBuf>> {
    let path = PathBuf::from("/proc/self/mountinfo");
    let text = fs::read_to_string(&path).map_err(|source| SandboxError::Read { path, source })?;
    let strays = text.lines().filter_map(parse_cgroup_mount);
    let strays = strays.map(|(at, ..)| at).filter(|at| !at.starts_with(V2_ROOT));
    Ok(strays.map(PathBuf::from).collect())
}

/// Where a cgroup hierarchy is mounted, its type and the options of its file system.
fn parse_cgroup_mount(line: &str) -> Option<(&str, &str, &str)> {
    let (left, right) = line.split_once(" - ")?;
    let at = left.split(' ').nth(4)?;
    let mut right = right.split(' ');
    let fstype = right.next().filter(|fstype| matches!(*fstype, "cgroup" | "cgroup2"))?;
    Some((at, fstype, right.nth(1).unwrap_or_default()))
}

fn parse_hierarchy(line: &str) -> Option<Hierarchy> {
    let (at, fstype, options) = parse_cgroup_mount(line)?;
    let kept = options
        .split(',')
        .filter(|option| !matches!(*option, "rw" | "ro" | "xattr" | "clone_children"));
    let kept: Vec<_> = kept.filter(|option| !option.starts_with("release_agent=")).collect();
    let options = if fstype == "cgroup2" {
        String::new()
    } else {
        kept.join(",")
    };
    at.starts_with(V2_ROOT).then(|| Hierarchy {
        at: at.into(),
        fstype: fstype.to_owned(),
        options,
    })
}

/// First process: joins new cgroups, makes the namespaces, starts init in them and waits for it.
///
/// Returns init's exit code. The cgroups are left for the caller to remove.
///
/// # Errors
///
/// The step that was refused; what was made before it ends with this process, but for the cgroups.
pub(super) fn enter(job: &Job) -> Result<u8> {
    tie_to_parent()?;
    let hierarchies = read_hierarchies()?;
    for hierarchy in &hierarchies {
        join_cgroup(hierarchy, &job.cgroup)?;
    }
    let flags = [
        CloneFlags::CLONE_NEWNS,
        CloneFlags::CLONE_NEWPID,
        CloneFlags::CLONE_NEWNET,
        CloneFlags::CLONE_NEWIPC,
        CloneFlags::CLONE_NEWUTS,
        CloneFlags::CLONE_NEWCGROUP,
    ];
    unshare(flags.into_iter().collect()).map_err(|source| SandboxError::Unshare { source })?;
    let status = start_stage("init", job)?.wait();
    let status = status.map_err(|source| SandboxError::Start {
        what: "init".to_owned(),
        source,
    })?;
    Ok(u8::try_from(exit_code(status)).unwrap_or(1))
}

fn tie_to_parent() -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).map_err(|source| SandboxError::Tie { source })
}

fn start_stage(stage: &str, job: &Job) -> Result<std::process::Child> {
    let text = serde_json::to_string(job).map_err(|source| SandboxError::Report { source: source.into() })?;
    command("/proc/self/exe")
        .args(["--stage", stage, "--job", &text])
        .spawn()
        .map_err(|source| SandboxError::Start {
            what: stage.to_owned(),
            source,
        })
}

fn join_cgroup(hierarchy: &Hierarchy, name: &str) -> Result<()> {
    let mut dir = hierarchy.at.join(name);
    create_cgroup(&dir)?;
    if hierarchy.is_beside_v1() {
        // One level deeper no controller can have been passed on; some runtimes refuse a hybrid tree that has any.
        dir.push("clients");
        create_cgroup(&dir)?;
    }
    if hierarchy.options.split(',').any(|option| option == "cpuset") {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            write_file(&dir.join(file), &read_file(&hierarchy.at.join(file))?)?;
        }
    }
    write_file(&dir.join("cgroup.procs"), "0")
}

fn create_cgroup(dir: &Path) -> Result<()> {
    DirBuilder::new().create(dir).map_err(|source| SandboxError::Write {
        path: dir.to_owned(),
        source,
    })
}

fn read_file(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| SandboxError::Read {
        path: path.to_owned(),
        source,
    })
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| SandboxError::Write {
            path: path.to_owned(),
            source,
        })
}

/// Second process, pid 1: remakes the mounts, starts the worker, reaps until it ends.
///
/// Returns the worker's exit code.
///
/// # Errors
///
/// The step that was refused.
pub(super) fn init(job: &Job) -> Result<u8> {
    tie_to_parent()?;
    let hierarchies = read_hierarchies()?;
    // Opened before /run is covered: they may lie there.
    let runtime = open_program(&job.runtime.path)?;
    let own = open_program(&read_own_path()?)?;
    mount_at("none", "/", "", MsFlags::MS_REC | MsFlags::MS_PRIVATE, "")?;
    mount_at("proc", "/proc", "proc", MsFlags::empty(), "")?;
    mount_cgroups(&hierarchies)?;
    mount_at("tmpfs", "/run", "tmpfs", MsFlags::empty(), "mode=755")?;
    for dir in ["bin", "io", "case", "tmp", "home", "overlay"] {
        make_dir(&Path::new(FOLDER).join(dir))?;
    }
    for name in ["etc", "var"] {
        cover(name)?;
    }
    for (name, text) in TOOLS {
        create_file(&Path::new(FOLDER).join("bin").join(name), text)?;
    }
    for (name, text) in FILES {
        create_file(&Path::new(FOLDER).join(name), text)?;
    }
    show_program(runtime, &runtime_path(job))?;
    show_program(own, &Path::new(FOLDER).join("bin").join(OWN))?;
    let worker = start_stage("work", job)?;
    reap_until(worker.id())
}

fn open_program(path: &Path) -> Result<File> {
    File::open(path).map_err(|source| SandboxError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The path of this program; the link itself leads into a mount namespace of before, from which nothing can be bound.
fn read_own_path() -> Result<PathBuf> {
    let path = PathBuf::from("/proc/self/exe");
    fs::read_link(&path).map_err(|source| SandboxError::Read { path, source })
}

/// Makes a program visible at `on`.
fn show_program(program: File, on: &Path) -> Result<()> {
    create_file(on, "")?;
    let from = format!("/proc/self/fd/{}", program.as_raw_fd());
    mount_at(&from, &on.to_string_lossy(), "", MsFlags::MS_BIND, "")
}

fn runtime_path(job: &Job) -> PathBuf {
    Path::new(FOLDER).join("bin").join(&job.runtime.name)
}

fn mount_at(from: &str, on: &str, fstype: &str, flags: MsFlags, data: &str) -> Result<()> {
    mount(Some(from), on, Some(fstype), flags, Some(data)).map_err(|source| SandboxError::Mount {
        fstype: fstype.to_owned(),
        on: on.into(),
        source,
    })
}

fn make_dir(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).create(path);
    made.map_err(|source| SandboxError::Write {
        path: path.to_owned(),
        source,
    })
}

fn create_file(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| SandboxError::Write {
            path: path.to_owned(),
            source,
        })
}

/// Lays a writable layer over a folder of the machine, so that nothing written there reaches it.
fn cover(name: &str) -> Result<()> {
    let layer = format!("{FOLDER}/overlay/{name}");
    for dir in ["upper", "work"] {
        make_dir(&Path::new(&layer).join(dir))?;
    }
    let data = format!("lowerdir=/{name},upperdir={layer}/upper,workdir={layer}/work");
    mount_at("overlay", &format!("/{name}"), "overlay", MsFlags::empty(), &data)
}

/// Mounts the cgroup hierarchies anew, so that the sandbox's own cgroup is their root, and nothing else is there:
/// a plain folder among them makes some clients look for a controller that does not exist.
fn mount_cgroups(hierarchies: &[Hierarchy]) -> Result<()> {
    let root = Path::new(V2_ROOT);
    for at in read_strays()?.iter().map(PathBuf::as_path).chain([root]) {
        umount2(at, MntFlags::MNT_DETACH).map_err(|source| SandboxError::Mount {
            fstype: "none".to_owned(),
            on: at.to_owned(),
            source,
        })?;
    }
    let unified = hierarchies.iter().any(|hierarchy| hierarchy.at == root);
    if !unified {
        mount_at("tmpfs", V2_ROOT, "tmpfs", MsFlags::empty(), "mode=755")?;
    }
    for hierarchy in hierarchies {
        make_dir(&hierarchy.at)?;
        let at = hierarchy.at.to_string_lossy();
        mount_at("cgroup", &at, &hierarchy.fstype, MsFlags::empty(), &hierarchy.options)?;
    }
    if unified { leave_root(root) } else { Ok(()) }
}

/// Version 2 passes controllers on only from a cgroup without processes: moves this one to a leaf and passes all on.
fn leave_root(root: &Path) -> Result<()> {
    let leaf = root.join("clients");
    make_dir(&leaf)?;
    for pid in read_file(&root.join("cgroup.procs"))?.lines().filter(|pid| *pid != "0") {
        write_file(&leaf.join("cgroup.procs"), pid)?;
    }
    for controller in read_file(&root.join("cgroup.controllers"))?.split_whitespace() {
        write_file(&root.join("cgroup.subtree_control"), &format!("+{controller}"))?;
    }
    Ok(())
}

/// Waits for every child, as pid 1 must, until the worker has ended.
fn reap_until(worker: u32) -> Result<u8> {
    loop {
        let (pid, code) = match waitpid(None::<Pid>, None).map_err(|source| SandboxError::Wait { source })? {
            WaitStatus::Exited(pid, code) => (pid, u8::try_from(code).unwrap_or(1)),
            WaitStatus::Signaled(pid, _, _) => (pid, 1),
            _ => continue,
        };
        if u32::try_from(pid.as_raw()) == Ok(worker) {
            return Ok(code);
        }
    }
}

/// Third process: sets the client up, runs its cases and writes one record a line to standard output.
///
/// # Errors
///
/// [`SandboxError::Report`] when nobody reads the records, [`SandboxError::UnknownClient`] for a bad job.
pub(super) fn work(job: &Job) -> Result<u8> {
    let unknown = || SandboxError::UnknownClient {
        name: job.client.clone(),
    };
    let client = Client::named(&job.client).ok_or_else(unknown)?;
    let place = |id: &str| Place {
        client: client.name,
        name: id.to_owned(),
        dir: Path::new(FOLDER).join("case").join(id),
        io: Path::new(FOLDER).join("io"),
    };
    let mut out = io::stdout().lock();
    let setup: &[Step] = &[sh(IMAGE_SCRIPT).limit(60), sh(client.setup).limit(60)];
    let ready = place("setup");
    make_dir(&ready.dir)?;
    let failed = setup
        .iter()
        .map(|step| run_step(step, &ready))
        .find(|verdict| *verdict != Verdict::Ok);
    if let Some(verdict) = failed {
        return write_record(&mut out, &Record::new(job, "setup", verdict)).map(|()| 1);
    }
    for case in client.matching(&job.filter) {
        let here = place(case.id);
        make_dir(&here.dir)?;
        let started = std::time::Instant::now();
        let verdict = run_case(case, &here);
        if let Verdict::Fail(_) = verdict {
            run_step(&sh(client.sweep), &here);
        }
        let hopeless = case.id == "run" && verdict != Verdict::Ok;
        let record = Record::new(job, case.id, verdict).with_case(case, started.elapsed());
        write_record(&mut out, &record)?;
        if hopeless {
            // Each of the others would only fail after its time limit.
            return Ok(1);
        }
    }
    Ok(0)
}

fn write_record(out: &mut impl Write, record: &Record) -> Result<()> {
    serde_json::to_writer(&mut *out, record).map_err(|source| SandboxError::Report { source: source.into() })?;
    out.write_all(b"\n")
        .and_then(|()| out.flush())
        .map_err(|source| SandboxError::Report { source })
}

/// The whole environment of everything in the sandbox.
pub(super) fn environment(job: &Job) -> Vec<(&'static str, String)> {
    let client = Client::named(&job.client);
    let (program, remove) = client.map_or(("", ""), |client| (client.program, client.remove));
    vec![
        ("PATH", format!("{FOLDER}/bin:{SEARCH_PATH}")),
        ("HOME", format!("{FOLDER}/home")),
        ("TMPDIR", format!("{FOLDER}/tmp")),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("TERM", "xterm".to_owned()),
        ("S", FOLDER.to_owned()),
        ("CLI", program.to_owned()),
        ("RM", remove.to_owned()),
        ("IMG", "busybox:test".to_owned()),
        ("RT", runtime_path(job).to_string_lossy().into_owned()),
        ("RTNAME", job.runtime.name.clone()),
        ("CONTAINERS_CONF", format!("{FOLDER}/containers.conf")),
        ("CONTAINERS_STORAGE_CONF", format!("{FOLDER}/storage.conf")),
        ("BUILDAH_ISOLATION", "oci".to_owned()),
        ("BUILDAH_RUNTIME", runtime_path(job).to_string_lossy().into_owned()),
        ("CONTAINERD_ADDRESS", format!("{FOLDER}/c.sock")),
        ("CONTAINERD_SNAPSHOTTER", "native".to_owned()),
        ("DOCKER_HOST", format!("unix://{FOLDER}/d.sock")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cgroup_mounts_are_hierarchies() {
        let v1 = "31 24 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu";
        let named = "31 24 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd";
        let v2 = "31 24 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
        let options = |line| parse_hierarchy(line).map(|hierarchy| hierarchy.options);
        assert_eq!(options(v1).as_deref(), Some("cpu"));
        assert_eq!(options(named).as_deref(), Some("name=systemd"));
        assert_eq!(options(v2).as_deref(), Some(""));
        assert_eq!(options("31 24 0:27 / /proc rw - proc proc rw"), None);
        let elsewhere = "31 24 0:27 /.. /tmp/x/cpu rw - cgroup none rw,cpu";
        assert_eq!(options(elsewhere), None);
        assert_eq!(parse_cgroup_mount(elsewhere).map(|(at, ..)| at), Some("/tmp/x/cpu"));
    }
}
