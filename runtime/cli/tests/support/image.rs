//! Images made by hand, and a place to run them in.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nexcage_image::Digest;
use serde_json::{Value, json};

use super::common::{Said, command};

/// One layer's uncompressed tar.
pub(crate) struct LayerTar(tar::Builder<Vec<u8>>);

impl LayerTar {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size as u64);
        header.set_uid(0);
        header.set_gid(0);
        header
    }

    pub(crate) fn file(mut self, name: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = Self::header(tar::EntryType::Regular, mode, content.len());
        self.0.append_data(&mut header, name, content).unwrap();
        self
    }

    pub(crate) fn directory(mut self, name: &str) -> Self {
        let mut header = Self::header(tar::EntryType::Directory, 0o755, 0);
        self.0.append_data(&mut header, name, &[][..]).unwrap();
        self
    }

    pub(crate) fn directory_of(mut self, name: &str, mode: u32, uid: u64) -> Self {
        let mut header = Self::header(tar::EntryType::Directory, mode, 0);
        header.set_uid(uid);
        self.0.append_data(&mut header, name, &[][..]).unwrap();
        self
    }

    pub(crate) fn symlink(mut self, name: &str, target: &str) -> Self {
        let mut header = Self::header(tar::EntryType::Symlink, 0o777, 0);
        self.0.append_link(&mut header, name, target).unwrap();
        self
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    /// A file whose name the tar crate would not write.
    pub(crate) fn evil(mut self, name: &str) -> Self {
        let mut header = Self::header(tar::EntryType::Regular, 0o644, 0);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        self.0.append(&header, &[][..]).unwrap();
        self
    }
}

/// The layer that all images here begin with.
pub(crate) fn busybox_layer() -> Vec<u8> {
    let busybox = std::fs::read("/bin/busybox")
        .or_else(|_| std::fs::read("/usr/bin/busybox"))
        .unwrap();
    let mut layer = LayerTar::new().file("bin/busybox", 0o755, &busybox);
    for applet in [
        "sh", "cat", "echo", "id", "ls", "pwd", "sleep", "stat", "touch", "true", "tty", "env", "wc",
    ] {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    for directory in ["dev", "proc", "sys", "tmp", "etc"] {
        layer = layer.directory(directory);
    }
    layer
        .file(
            "etc/passwd",
            0o644,
            b"root:x:0:0::/root:/bin/sh\nweb:x:33:34::/w:/bin/sh\n",
        )
        .file("etc/group", 0o644, b"root:x:0:\nweb:x:34:\nextra:x:77:web\n")
        .bytes()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn pack(bytes: &[u8], packing: Packing) -> (Vec<u8>, &'static str) {
    match packing {
        Packing::Plain => (bytes.to_vec(), "application/vnd.oci.image.layer.v1.tar"),
        Packing::Gzip => (gzip(bytes), "application/vnd.oci.image.layer.v1.tar+gzip"),
        Packing::Zstd => (
            ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest),
            "application/vnd.oci.image.layer.v1.tar+zstd",
        ),
    }
}

/// An OCI layout that is being written.
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
}

impl Layout {
    pub(crate) fn new(dir: PathBuf) -> Self {
        std::fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        let layout = Self { dir };
        layout.write("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }));
        layout
    }

    fn write(&self, name: &str, value: &Value) {
        put(&self.dir.join(name), value.to_string().as_bytes());
    }

    pub(crate) fn blob_path(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().unwrap();
        self.dir.join("blobs").join(digest.replace(':', "/"))
    }

    pub(crate) fn blob(&self, bytes: &[u8], kind: &str) -> Value {
        let digest = Digest::of(bytes);
        put(&self.dir.join("blobs/sha256").join(digest.hex()), bytes);
        json!({ "mediaType": kind, "digest": digest.to_string(), "size": bytes.len() })
    }

    pub(crate) fn json_blob(&self, value: &Value, kind: &str) -> Value {
        self.blob(value.to_string().as_bytes(), kind)
    }

    /// Adds an image; returns the descriptor of its manifest.
    pub(crate) fn image(&self, layers: &[(Vec<u8>, Packing)], config: &Value, arch: &str) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|(bytes, _)| Digest::of(bytes).to_string()).collect();
        let config = self.json_blob(
            &json!({
                "architecture": arch, "os": "linux", "config": config,
                "rootfs": { "type": "layers", "diff_ids": diff_ids },
            }),
            "application/vnd.oci.image.config.v1+json",
        );
        let layers: Vec<_> = layers
            .iter()
            .map(|(bytes, packing)| {
                let (bytes, kind) = pack(bytes, *packing);
                self.blob(&bytes, kind)
            })
            .collect();
        self.json_blob(
            &json!({ "schemaVersion": 2, "config": config, "layers": layers }),
            "application/vnd.oci.image.manifest.v1+json",
        )
    }

    pub(crate) fn index(&self, manifests: &[Value]) {
        self.write("index.json", &json!({ "schemaVersion": 2, "manifests": manifests }));
    }

    /// An index in a blob.
    pub(crate) fn nested(&self, manifests: &[Value]) -> Value {
        self.json_blob(
            &json!({ "schemaVersion": 2, "manifests": manifests }),
            "application/vnd.oci.image.index.v1+json",
        )
    }

    /// Writes the tar of the layout beside it.
    pub(crate) fn tar(&self) -> PathBuf {
        let path = self.dir.with_extension("tar");
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_dir_all(".", &self.dir).unwrap();
        put(&path, &builder.into_inner().unwrap());
        path
    }
}

pub(crate) fn named(mut descriptor: Value, name: &str) -> Value {
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    descriptor
}

pub(crate) fn for_platform(mut descriptor: Value, arch: &str) -> Value {
    descriptor["platform"] = json!({ "os": "linux", "architecture": arch });
    descriptor
}

/// This machine, in the images' words.
pub(crate) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub(crate) fn put(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

/// Directories for images, cache and state that go away together.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::Builder::new().prefix("nexcage-image-test").tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.path("cache/layers")
    }

    /// A layout with one image, and no name.
    pub(crate) fn layout(&self, layers: &[(Vec<u8>, Packing)], config: &Value) -> Layout {
        let layout = Layout::new(self.path("layout"));
        let image = layout.image(layers, config, arch());
        layout.index(&[image]);
        layout
    }

    pub(crate) fn program(&self) -> Command {
        let mut command = command(env!("CARGO_BIN_EXE_nexcage"));
        command.arg("--root").arg(self.path("state")).stdin(Stdio::null());
        command
    }

    /// `run` with the cache of this place.
    pub(crate) fn run_command(&self, args: &[&str]) -> Command {
        let mut command = self.program();
        command
            .args(["run", "--image-cache"])
            .arg(self.path("cache"))
            .args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.run_command(args).output().unwrap().into()
    }

    pub(crate) fn run_image(&self, image: &Path, args: &[&str]) -> Said {
        let mut all = vec!["--image", image.to_str().unwrap()];
        all.extend(args);
        self.run(&all)
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(name)).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    pub(crate) fn parts(&self) -> Vec<String> {
        let mut all = self.list("cache/layers");
        all.retain(|name| name.ends_with(".part"));
        all
    }

    /// Checks that no container, bundle, half a layer, or mount in any namespace is left.
    #[track_caller]
    pub(crate) fn check_nothing_left(&self) {
        assert_eq!(self.list("state"), Vec::<String>::new(), "containers");
        assert_eq!(self.list("cache/bundles"), Vec::<String>::new(), "bundles");
        assert_eq!(self.parts(), Vec::<String>::new(), "half unpacked layers");
        let own = self.dir.path().to_str().unwrap().to_owned();
        super::common::eventually("no mount is left", || {
            let processes = std::fs::read_dir("/proc").unwrap().flatten();
            let mut tables =
                processes.filter_map(|process| std::fs::read_to_string(process.path().join("mountinfo")).ok());
            !tables.any(|table| table.contains(&own))
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for id in self.list("state") {
            drop(self.program().args(["delete", "--force", &id]).status());
        }
    }
}
