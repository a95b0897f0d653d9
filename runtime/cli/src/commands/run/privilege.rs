//! The namespaces in which images are unpacked and mounted: so that a user may, and so that no mount outlives the run.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nexcage_image::Privilege;
use nexcage_sys::command::Program;
use nexcage_sys::{namespace, userns};

/// How long the set-user-id programs that map ids may take.
const MAP_TIME: Duration = Duration::from_secs(10);

/// Moves a user into a user namespace in which it is root; root, of a user namespace too, stays where it is.
pub(super) fn enter_user_namespace() -> Result<()> {
    let (uid, gid) = (userns::euid(), userns::egid());
    if uid == 0 {
        return Ok(());
    }
    match Ranges::find(uid) {
        Some(ranges) => namespace::enter_user_namespace(|pid| ranges.map(pid, uid, gid))?,
        None => namespace::enter_user_namespace(|pid| map_one(pid, uid, gid))?,
    }
    // Needed to protect the program; the mounts of the run come in a further one.
    Ok(namespace::enter_mount_namespace()?)
}

/// Moves this process into a mount namespace of its own.
///
/// Returns what the process may do to the files of an image.
pub(super) fn enter_mount_namespace() -> Result<Privilege> {
    namespace::enter_mount_namespace()?;
    if !userns::is_in_user_namespace().context("read the uid map")? {
        return Ok(Privilege::Node);
    }
    let map = std::fs::read_to_string("/proc/self/uid_map").context("read the uid map")?;
    Ok(mapped(&map))
}

fn mapped(map: &str) -> Privilege {
    let counts = map
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    if counts.sum::<u64>() > 1 {
        Privilege::Mapped
    } else {
        Privilege::Flat
    }
}

fn map_one(pid: i32, uid: u32, gid: u32) -> io::Result<()> {
    let write = |file: &str, text: String| {
        let mut file = std::fs::File::options()
            .write(true)
            .open(format!("/proc/{pid}/{file}"))?;
        file.write_all(text.as_bytes())
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}

/// The ids that the administrator gave a user, and the programs that map them.
#[derive(Debug)]
struct Ranges {
    uids: (u64, u64),
    gids: (u64, u64),
    newuidmap: PathBuf,
    newgidmap: PathBuf,
}

impl Ranges {
    fn find(uid: u32) -> Option<Self> {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let name = user_name(&read("/etc/passwd"), uid);
        let path = std::env::var_os("PATH");
        Some(Self {
            uids: range(&read("/etc/subuid"), uid, name.as_deref())?,
            gids: range(&read("/etc/subgid"), uid, name.as_deref())?,
            newuidmap: program("newuidmap", path.as_ref())?,
            newgidmap: program("newgidmap", path.as_ref())?,
        })
    }

    fn map(&self, pid: i32, uid: u32, gid: u32) -> io::Result<()> {
        run_map(&self.newuidmap, pid, uid, self.uids)?;
        run_map(&self.newgidmap, pid, gid, self.gids)
    }
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    let number = uid.to_string();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    })
}

/// The first range of a user, by name or number: where it begins, and how many ids it has.
fn range(table: &str, uid: u32, name: Option<&str>) -> Option<(u64, u64)> {
    let number = uid.to_string();
    table.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let range = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (range.1 > 0 && (Some(owner) == name || owner == number)).then_some(range)
    })
}

fn program(name: &str, path: Option<&OsString>) -> Option<PathBuf> {
    let folders = path.map(std::env::split_paths).into_iter().flatten();
    folders
        .chain([PathBuf::from("/usr/bin")])
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn run_map(program: &Path, pid: i32, own: u32, (first, count): (u64, u64)) -> io::Result<()> {
    let name = program.display().to_string();
    let numbers = [pid.to_string(), "0".into(), own.to_string(), "1".into(), "1".into()];
    let mut argv = vec![name.clone()];
    argv.extend(numbers);
    argv.extend([first.to_string(), count.to_string()]);
    let mut command = Program::new(program);
    command.argv(&argv);
    let finished = command.spawn()?.finish(b"", Some(Instant::now() + MAP_TIME), 400)?;
    if finished.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&finished.stderr_tail).trim().to_owned();
    Err(io::Error::other(format!("{name}: {} {said}", finished.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_or_number() {
        let table = "other:1:2\nme:100000:65536\n1000:5:6\nme:7:8\n";
        assert_eq!(range(table, 1000, Some("me")), Some((100_000, 65_536)));
        assert_eq!(range(table, 1000, None), Some((5, 6)));
        assert_eq!(range(table, 7, Some("you")), None);
        assert_eq!(range("me:1:0\nme\n", 7, Some("me")), None);
        assert_eq!(user_name("root:x:0:0\nme:x:1000:1\n", 1000).as_deref(), Some("me"));
    }

    #[test]
    fn a_map_of_one_id_is_flat() {
        assert_eq!(mapped("         0       1000          1\n"), Privilege::Flat);
        assert_eq!(mapped("0 1000 1\n1 100000 65536\n"), Privilege::Mapped);
    }
}
