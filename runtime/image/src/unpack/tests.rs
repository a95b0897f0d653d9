use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};

use tar::EntryType;

use super::*;
use crate::observer::silent::Silent;

/// A layer tar, written by hand where the tar crate refuses what an attacker would write.
struct Layered(tar::Builder<Vec<u8>>);

impl Layered {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn header(kind: EntryType, name: &str, link: &str, size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        let put = |field: &mut [u8], text: &str| field.get_mut(..text.len()).unwrap().copy_from_slice(text.as_bytes());
        put(&mut header.as_old_mut().name, name);
        put(&mut header.as_old_mut().linkname, link);
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(if kind.is_dir() { 0o750 } else { 0o4640 });
        header.set_uid(11);
        header.set_gid(12);
        header.set_mtime(1_000_000);
        header.set_cksum();
        header
    }

    fn file(mut self, name: &str, content: &[u8]) -> Self {
        let header = Self::header(EntryType::Regular, name, "", content.len());
        self.0.append(&header, content).unwrap();
        self
    }

    fn add(mut self, kind: EntryType, name: &str, link: &str) -> Self {
        self.0.append(&Self::header(kind, name, link, 0), &[][..]).unwrap();
        self
    }

    fn directory(self, name: &str) -> Self {
        self.add(EntryType::Directory, name, "")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, name, target)
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Link, name, target)
    }

    fn device(mut self, name: &str, major: u32, minor: u32) -> Self {
        let mut header = Self::header(EntryType::Char, name, "", 0);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        header.set_cksum();
        self.0.append(&header, &[][..]).unwrap();
        self
    }

    fn extended(mut self, key: &str, value: &[u8]) -> Self {
        self.0.append_pax_extensions([(key, value)]).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A store with one layer, the directory for it, and a place outside that no layer may touch.
struct Bench {
    dir: tempfile::TempDir,
    privilege: Privilege,
    budget: Budget,
    observer: Silent,
}

impl Bench {
    /// What can be tested without privileges is: owners and devices are then left alone.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("layer")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        write(&dir.path().join("outside/file"), b"untouched");
        let privilege = if nexcage_sys::userns::euid() == 0 {
            Privilege::Node
        } else {
            Privilege::Flat
        };
        Self {
            dir,
            privilege,
            budget: Budget::new(1 << 20, 100),
            observer: Silent::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("layer").join(name)
    }

    fn outside(&self) -> String {
        self.dir.path().join("outside").display().to_string()
    }

    fn unpack(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        let diff_id = Digest::of(bytes);
        self.unpack_as(bytes, &diff_id, None)
    }

    fn unpack_as(&mut self, bytes: &[u8], diff_id: &Digest, digest: Option<Digest>) -> Result<(), LayerError> {
        write(&self.dir.path().join("blob"), bytes);
        let source = Source::open(self.dir.path(), self.dir.path(), 0, &mut Silent::default()).unwrap();
        let layer = Layer {
            part: "blob".into(),
            digest,
            size: None,
        };
        let to = self.dir.path().join("layer");
        unpack(
            &source,
            (&layer, diff_id),
            (&to, self.privilege),
            &mut self.budget,
            &mut self.observer,
        )
        .map(drop)
    }

    /// Checks that a layer is refused with one line that names the entry, and that nothing outside has changed.
    #[track_caller]
    fn check_refused(mut self, layer: Layered, entry: &str, why: &str) {
        let error = self.unpack(&layer.bytes()).unwrap_err();
        let LayerError::Entry { entry: named, source } = error else {
            panic!("{error:?}")
        };
        assert_eq!(named, Path::new(entry));
        let text = format!(
            "{source}: {}",
            std::error::Error::source(&source)
                .map(ToString::to_string)
                .unwrap_or_default()
        );
        assert!(text.contains(why), "{text:?} says {why:?}");
        self.check_outside();
    }

    #[track_caller]
    fn check_outside(&self) {
        let outside = self.dir.path().join("outside");
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"untouched");
        assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
    }
}

fn write(path: &Path, bytes: &[u8]) {
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

fn is_root() -> bool {
    let is_root = nexcage_sys::userns::euid() == 0;
    if !is_root {
        eprintln!("NOT RUN: owners, devices and trusted attributes need root");
    }
    is_root
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn names_that_lead_out_are_refused() {
    Bench::new().check_refused(Layered::new().file("/etc/x", b""), "/etc/x", "absolute");
    Bench::new().check_refused(Layered::new().file("../x", b""), "../x", "\"..\"");
    Bench::new().check_refused(Layered::new().file("a/../../x", b""), "a/../../x", "\"..\"");
    Bench::new().check_refused(Layered::new().directory("../d"), "../d", "\"..\"");
    Bench::new().check_refused(Layered::new().symlink("../s", "x"), "../s", "\"..\"");
    Bench::new().check_refused(Layered::new().file("/.wh.x", b""), "/.wh.x", "absolute");
    Bench::new().check_refused(Layered::new().file("a/.wh...", b""), "a/.wh...", "whiteout");
}

#[test]
fn a_parent_that_is_a_link_is_refused() {
    let through = |entry: &str| {
        let bench = Bench::new();
        let layer = Layered::new().symlink("a", &bench.outside()).file(entry, b"");
        bench.check_refused(layer, entry, "symbolic link");
    };
    through("a/x");
    through("a/b/x");
    through("a/.wh.file");
    through("a/.wh..wh..opq");
    let bench = Bench::new();
    let layer = Layered::new().symlink("d/a", &bench.outside()).directory("d/a/x");
    bench.check_refused(layer, "d/a/x", "symbolic link");
    let bench = Bench::new();
    let layer = Layered::new().file("f", b"").file("f/x", b"");
    bench.check_refused(layer, "f/x", "not a directory");
}

#[test]
fn hard_links_stay_in_the_layer() {
    let bench = Bench::new();
    let target = format!("{}/file", bench.outside());
    bench.check_refused(Layered::new().hard_link("h", &target), "h", "absolute");
    Bench::new().check_refused(Layered::new().hard_link("h", "../outside/file"), "h", "\"..\"");
    Bench::new().check_refused(Layered::new().hard_link("h", "none"), "h", "No such file");
    let bench = Bench::new();
    let layer = Layered::new().symlink("a", &bench.outside()).hard_link("h", "a/file");
    bench.check_refused(layer, "h", "symbolic link");
}

#[test]
fn a_link_is_replaced_and_never_written_through() {
    let mut bench = Bench::new();
    let file = format!("{}/file", bench.outside());
    let layer = Layered::new()
        .symlink("f", &file)
        .file("f", b"mine")
        .symlink("d", &bench.outside())
        .directory("d")
        .file("d/x", b"mine")
        .symlink("s", &file)
        .hard_link("h", "s")
        .file("h", b"mine")
        .directory("tree")
        .file("tree/x", b"")
        .file("tree", b"mine");
    bench.unpack(&layer.bytes()).unwrap();
    for name in ["f", "d/x", "h", "tree"] {
        assert_eq!(fs::read(bench.path(name)).unwrap(), b"mine", "{name}");
        assert!(fs::symlink_metadata(bench.path(name)).unwrap().is_file(), "{name}");
    }
    assert_eq!(fs::read_link(bench.path("s")).unwrap(), Path::new(&file));
    bench.check_outside();
}

#[test]
fn owners_modes_times_attributes_and_links_are_kept() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new();
    // File capabilities, version 2: cap_net_raw.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let layer = Layered::new()
        .directory("./")
        .directory("d/")
        .extended("SCHILY.xattr.security.capability", &capability)
        .file("d/f", b"content")
        .hard_link("d/h", "d/f")
        .symlink("d/s", "/anywhere")
        .extended("mtime", b"5.25")
        .add(EntryType::Fifo, "d/p", "")
        .device("d/c", 1, 3);
    bench.unpack(&layer.bytes()).unwrap();
    let file = fs::symlink_metadata(bench.path("d/f")).unwrap();
    assert_eq!(
        (file.uid(), file.gid(), file.mtime(), file.nlink()),
        (11, 12, 1_000_000, 2)
    );
    assert_eq!(file.permissions().mode() & 0o7777, 0o4640);
    assert_eq!(
        attribute(&bench.path("d/f"), "security.capability").as_deref(),
        Some(&capability[..])
    );
    assert_eq!(file.ino(), fs::symlink_metadata(bench.path("d/h")).unwrap().ino());
    for directory in ["d", ""] {
        let meta = fs::symlink_metadata(bench.path(directory)).unwrap();
        assert_eq!((meta.uid(), meta.mtime()), (11, 1_000_000), "{directory:?}");
        assert_eq!(meta.permissions().mode() & 0o7777, 0o750, "{directory:?}");
    }
    assert_eq!(fs::symlink_metadata(bench.path("d/s")).unwrap().uid(), 11);
    let fifo = fs::symlink_metadata(bench.path("d/p")).unwrap();
    assert!(fifo.file_type().is_fifo());
    assert_eq!((fifo.mtime(), fifo.mtime_nsec()), (5, 250_000_000));
    let device = fs::symlink_metadata(bench.path("d/c")).unwrap();
    assert_eq!(device.rdev(), rustix::fs::makedev(1, 3));
}

#[test]
fn whiteouts_become_the_overlays() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new();
    let layer = Layered::new()
        .file("a/.wh.gone", b"")
        .file("b/.wh..wh..opq", b"")
        .file("b/new", b"")
        // The whiteout is for what is below; what the layer itself has of the name stays.
        .file("c/.wh.again", b"")
        .file("c/again/x", b"")
        .directory("c/dir")
        .file("c/.wh.dir", b"")
        .file("c/kept", b"k")
        .file("c/.wh.kept", b"")
        .file(".wh..wh.plnk", b"");
    bench.unpack(&layer.bytes()).unwrap();
    let gone = fs::symlink_metadata(bench.path("a/gone")).unwrap();
    assert!(gone.file_type().is_char_device());
    assert_eq!(gone.rdev(), 0);
    for opaque in ["b", "c/again", "c/dir"] {
        let value = attribute(&bench.path(opaque), "trusted.overlay.opaque");
        assert_eq!(value.as_deref(), Some(&b"y"[..]), "{opaque}");
    }
    assert_eq!(attribute(&bench.path("c"), "trusted.overlay.opaque"), None);
    assert_eq!(fs::read(bench.path("c/kept")).unwrap(), b"k");
    assert!(!bench.path(".wh..wh.plnk").exists());
}

#[test]
fn a_layer_cannot_steer_the_overlay() {
    for key in [
        "SCHILY.xattr.trusted.overlay.redirect",
        "SCHILY.xattr.user.overlay.opaque",
    ] {
        let layer = Layered::new().extended(key, b"/secret").directory("d");
        Bench::new().check_refused(layer, "d", "belongs to the overlay");
    }
}

#[test]
fn devices_need_privileges() {
    let mut bench = Bench::new();
    bench.privilege = Privilege::Flat;
    let layer = Layered::new().device("null", 1, 3).file("f", b"");
    bench.unpack(&layer.bytes()).unwrap();
    assert!(!bench.path("null").exists());
    assert_eq!(bench.observer.warnings.len(), 1);
    assert!(
        bench.observer.warnings[0].contains("1 device nodes"),
        "{:?}",
        bench.observer.warnings
    );
}

#[test]
fn long_names_are_read() {
    let mut bench = Bench::new();
    let name = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Layered::header(EntryType::Regular, "", "", 1);
    builder.append_data(&mut header, &name, &b"x"[..]).unwrap();
    bench.unpack(&builder.into_inner().unwrap()).unwrap();
    assert_eq!(fs::read(bench.path(&name)).unwrap(), b"x");
    let layer = Layered::new().extended("path", b"../../evil").file("f", b"");
    Bench::new().check_refused(layer, "../../evil", "\"..\"");
}

#[test]
fn bombs_end_at_the_budget() {
    let mut bench = Bench::new();
    let error = bench.unpack(&Layered::new().file("f", &vec![0; 2 << 20]).bytes());
    assert!(
        matches!(error, Err(LayerError::TooLarge(limit)) if limit == 1 << 20),
        "{error:?}"
    );
    let many = (0..101).fold(Layered::new(), |layer, number| layer.file(&number.to_string(), b""));
    let error = Bench::new().unpack(&many.bytes());
    assert!(matches!(error, Err(LayerError::TooMany(100))), "{error:?}");
    let mut bench = Bench::new();
    bench.budget = Budget::new(u64::MAX, 100);
    let error = bench.unpack(
        &Layered::new()
            .extended("comment", &vec![b'x'; 5 << 20])
            .file("f", b"")
            .bytes(),
    );
    assert!(matches!(error, Err(LayerError::Header)), "{error:?}");
}

#[test]
fn sparse_files_count_with_their_holes() {
    let mut header = Layered::header(EntryType::GNUSparse, "hole", "", 0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.realsize = *b"00100000000\0";
    gnu.sparse[0].offset = *b"00100000000\0";
    gnu.sparse[0].numbytes = *b"00000000000\0";
    header.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header, &[][..]).unwrap();
    let error = Bench::new().unpack(&builder.into_inner().unwrap());
    assert!(matches!(error, Err(LayerError::TooLarge(_))), "{error:?}");
}

#[test]
fn budget_is_shared_by_all_layers() {
    let mut bench = Bench::new();
    bench
        .unpack(&Layered::new().file("a", &vec![0; 600 << 10]).bytes())
        .unwrap();
    let error = bench.unpack(&Layered::new().file("b", &vec![0; 600 << 10]).bytes());
    assert!(matches!(error, Err(LayerError::TooLarge(_))), "{error:?}");
}

#[test]
fn digests_are_compared() {
    let bytes = Layered::new().file("f", b"x").bytes();
    let good = Digest::of(&bytes);
    let error = Bench::new().unpack_as(&bytes, &Digest::of(b"other"), None);
    assert!(
        matches!(error, Err(LayerError::Source(SourceError::Digest { .. }))),
        "{error:?}"
    );
    let error = Bench::new().unpack_as(&bytes, &good, Some(Digest::of(b"other")));
    assert!(
        matches!(error, Err(LayerError::Source(SourceError::Digest { .. }))),
        "{error:?}"
    );
    Bench::new().unpack_as(&bytes, &good, Some(good.clone())).unwrap();
    // What follows the last entry is part of the digest.
    let padded = [&bytes[..], &[7; 700]].concat();
    Bench::new().unpack(&padded).unwrap();
    let error = Bench::new().unpack_as(&padded, &good, None);
    assert!(
        matches!(error, Err(LayerError::Source(SourceError::Digest { .. }))),
        "{error:?}"
    );
}

#[test]
fn truncated_or_foreign_bytes_are_an_error() {
    let bytes = Layered::new().file("f", &[1; 2000]).bytes();
    for cut in [600, 1500, 2100] {
        let error = Bench::new().unpack(bytes.get(..cut).unwrap());
        assert!(matches!(error, Err(LayerError::Stream { .. })), "{cut}: {error:?}");
    }
    let error = Bench::new().unpack(&[b'#'; 3000]);
    assert!(matches!(error, Err(LayerError::Stream { .. })), "{error:?}");
}

#[test]
fn an_observer_can_stop() {
    let mut bench = Bench::new();
    bench.observer.stop = true;
    let error = bench.unpack(&Layered::new().file("f", b"").bytes());
    assert!(matches!(error, Err(LayerError::Stopped)), "{error:?}");
}

#[test]
fn unknown_entry_types_are_refused() {
    let layer = Layered::new().add(EntryType::new(b'V'), "v", "");
    Bench::new().check_refused(layer, "v", "'V' is not known");
}
