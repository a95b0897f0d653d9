//! `run --image` and `run --rootfs`, driven through the program with images made here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::excessive_nesting,
    clippy::disallowed_methods,
    reason = "test code"
)]

#[path = "support/common.rs"]
mod common;
#[path = "support/image.rs"]
mod image;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;

use common::{can_run, eventually};
use image::{LayerTar, Layout, Packing, Place, arch, busybox_layer, for_platform, gzip, named, put};
use nexcage_sys::pidfd::PidFd;
use nexcage_sys::signals::Signal;
use serde_json::{Value, json};

fn base() -> (Vec<u8>, Packing) {
    (busybox_layer(), Packing::Plain)
}

fn plain(layer: LayerTar) -> (Vec<u8>, Packing) {
    (layer.bytes(), Packing::Plain)
}

/// Sends a signal to a child that still runs.
fn send(child: &std::process::Child, signal: Signal) {
    let pidfd = PidFd::open(i32::try_from(child.id()).unwrap()).unwrap();
    pidfd.send_signal(signal).unwrap();
}

/// A layer that takes a while.
fn slow_layer() -> (Vec<u8>, Packing) {
    let layer = (0..12_000).fold(LayerTar::new(), |layer, number| {
        layer.file(&format!("many/{number}"), 0o644, b"x")
    });
    plain(layer)
}

#[test]
fn an_image_runs_from_every_kind_of_store() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let layers = [
        (busybox_layer(), Packing::Gzip),
        (
            LayerTar::new()
                .file("a/one", 0o644, b"1")
                .file("a/two", 0o644, b"2")
                .file("b/old", 0o644, b"o")
                .bytes(),
            Packing::Zstd,
        ),
        (
            LayerTar::new()
                .file("a/.wh.one", 0o644, b"")
                .file("b/.wh..wh..opq", 0o644, b"")
                .file("b/new", 0o644, b"n")
                .bytes(),
            Packing::Plain,
        ),
    ];
    let config = json!({
        "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo $A; pwd; id; echo /a/* /b/*; exit 42"],
        "Env": ["A=from image"], "WorkingDir": "/made/for/it", "User": "web",
    });
    let expected = "from image\n/made/for/it\nuid=33(web) gid=34(web) groups=77(extra)\n/a/two /b/new\n";
    let layout = place.layout(&layers, &config);
    let tar = layout.tar();
    let packed = place.path("packed.tar.gz");
    put(&packed, &gzip(&std::fs::read(&tar).unwrap()));
    let docker = docker_archive(&place, &layers, &config);
    for (transport, path) in [
        ("oci:", &layout.dir),
        ("", &tar),
        ("oci-archive:", &packed),
        ("docker-archive:", &docker),
    ] {
        let said = place
            .run(&["--image", &format!("{transport}{}", path.display())])
            .check(42);
        assert_eq!(said.out, expected, "{transport}");
        assert_eq!(said.err, "", "nothing is said without a terminal");
        let said = place.run_image(path, &["--", "echo", "--id"]).check(0);
        assert_eq!(said.out, "--id\n", "a command replaces entrypoint and command");
        place.check_nothing_left();
    }
    let whole = place.list("cache/layers").into_iter().filter(|name| name.len() == 64);
    assert_eq!(whole.count(), 3, "every store gave the same layers");
}

/// The tar of `docker save`, with a layer behind a link.
fn docker_archive(place: &Place, layers: &[(Vec<u8>, Packing)], config: &Value) -> std::path::PathBuf {
    let layout = Layout::new(place.path("for-docker"));
    let manifest = layout.image(layers, config, arch());
    let manifest: Value = serde_json::from_slice(&std::fs::read(layout.blob_path(&manifest)).unwrap()).unwrap();
    let config = std::fs::read(layout.blob_path(&manifest["config"])).unwrap();
    let name = format!("{}.json", nexcage_image::Digest::of(&config).hex());
    let mut archive = LayerTar::new().file(&name, 0o644, &config);
    let mut names = Vec::new();
    for (number, layer) in manifest["layers"].as_array().unwrap().iter().enumerate() {
        let content = std::fs::read(layout.blob_path(layer)).unwrap();
        archive = archive
            .file(&format!("{number}.tar"), 0o644, &content)
            .symlink(&format!("{number}/layer.tar"), &format!("../{number}.tar"));
        names.push(format!("{number}/layer.tar"));
    }
    let items = json!([{ "Config": name, "RepoTags": ["docker.io/test/image:1"], "Layers": names }]);
    let path = place.path("docker.tar");
    put(
        &path,
        &archive
            .file("manifest.json", 0o644, items.to_string().as_bytes())
            .bytes(),
    );
    path
}

#[test]
fn a_name_chooses_among_several_images() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let layout = Layout::new(place.path("layout"));
    let images: Vec<Value> = ["docker.io/test/one:1", "two:latest"]
        .into_iter()
        .map(|name| {
            let config = json!({ "Cmd": ["/bin/echo", name] });
            named(layout.image(&[base()], &config, arch()), name)
        })
        .collect();
    layout.index(&images);
    let tar = layout.tar();
    place
        .run_image(&tar, &[])
        .check(1)
        .check_err("the archive holds several, add \":\" and one of these names: docker.io/test/one:1, two:latest");
    let path = tar.display().to_string();
    for (name, expected) in [
        ("docker.io/test/one:1", "docker.io/test/one:1"),
        ("one:1", "docker.io/test/one:1"),
        ("two:latest", "two:latest"),
    ] {
        let said = place.run(&["--image", &format!("{path}:{name}")]).check(0);
        assert_eq!(said.out.trim(), expected);
    }
    place
        .run(&["--image", &format!("{path}:three")])
        .check(1)
        .check_err("choose image \"three\": the archive holds docker.io/test/one:1, two:latest");
    layout.index(&[images[0].clone(), named(images[0].clone(), "alias")]);
    let said = place.run_image(&layout.dir, &[]).check(0);
    assert_eq!(
        said.out.trim(),
        "docker.io/test/one:1",
        "one image may have several names"
    );
    place.check_nothing_left();
}

#[test]
fn the_image_for_this_platform_is_chosen() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let layout = Layout::new(place.path("layout"));
    let image = |said: &str, arch: &str| layout.image(&[base()], &json!({ "Cmd": ["/bin/echo", said] }), arch);
    let inner = layout.nested(&[
        for_platform(image("foreign", "s390x"), "s390x"),
        for_platform(image("ours", arch()), arch()),
    ]);
    layout.index(&[layout.nested(&[inner])]);
    assert_eq!(place.run_image(&layout.dir, &[]).check(0).out, "ours\n");
    layout.index(&[
        for_platform(image("foreign", "s390x"), "s390x"),
        for_platform(image("ours", arch()), arch()),
    ]);
    assert_eq!(place.run_image(&layout.dir, &[]).check(0).out, "ours\n");
    layout.index(&[layout.nested(&[for_platform(image("foreign", "s390x"), "s390x")])]);
    let why = format!("the image is for linux/s390x, this machine is linux/{}", arch());
    place.run_image(&layout.dir, &[]).check(1).check_err(&why);
    layout.index(&[image("foreign", "s390x")]);
    place.run_image(&layout.dir, &[]).check(1).check_err(&why);
    let deep = (0..9).fold(image("deep", arch()), |inner, _| layout.nested(&[inner]));
    layout.index(&[deep]);
    place
        .run_image(&layout.dir, &[])
        .check(1)
        .check_err("nested more than 8 deep");
    place.check_nothing_left();
}

#[test]
fn a_malicious_layer_is_refused_by_name_and_leaves_nothing() {
    if !can_run() {
        return;
    }
    let evil = |layer: LayerTar, entry: &str, why: &str| {
        let place = Place::new();
        let (bytes, packing) = plain(layer);
        let digest = nexcage_image::Digest::of(&bytes);
        let layout = place.layout(&[base(), (bytes, packing)], &json!({ "Cmd": ["/bin/true"] }));
        place
            .run_image(&layout.dir, &[])
            .check(1)
            .check_err(&format!("layer {digest}: unpack entry {entry:?}: {why}"));
        place.check_nothing_left();
        assert!(!place.path("outside").exists() && !Path::new("/nexcage-evil").exists());
    };
    evil(
        LayerTar::new().evil("/nexcage-evil"),
        "/nexcage-evil",
        "name is absolute",
    );
    evil(
        LayerTar::new().evil("../../../outside"),
        "../../../outside",
        "name contains \"..\"",
    );
    evil(
        LayerTar::new()
            .symlink("tmp/a", "/")
            .file("tmp/a/nexcage-evil", 0o644, b""),
        "tmp/a/nexcage-evil",
        "parent \"tmp/a\" is a symbolic link",
    );
}

#[test]
fn a_changed_image_is_refused() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let layout = place.layout(&[(busybox_layer(), Packing::Gzip)], &json!({ "Cmd": ["/bin/true"] }));
    let index: Value = serde_json::from_slice(&std::fs::read(layout.dir.join("index.json")).unwrap()).unwrap();
    let manifest_path = layout.blob_path(&index["manifests"][0]);
    let manifest: Value = serde_json::from_slice(&std::fs::read(&manifest_path).unwrap()).unwrap();
    for path in [
        manifest_path,
        layout.blob_path(&manifest["config"]),
        layout.blob_path(&manifest["layers"][0]),
    ] {
        let good = std::fs::read(&path).unwrap();
        let mut changed = good.clone();
        // The last byte of gzip's trailer or of a JSON document: the latter becomes a space.
        *changed.last_mut().unwrap() ^= b'}' ^ b' ';
        put(&path, &changed);
        let said = place.run_image(&layout.dir, &[]).check(1);
        let is_told =
            said.err.contains("the image is damaged or was changed") || said.err.contains("truncated or damaged");
        assert!(is_told, "{}", said.err);
        put(&path, &[&good[..], b" "].concat());
        place
            .run_image(&layout.dir, &[])
            .check(1)
            .check_err("the image is damaged");
        put(&path, &good);
    }
    place.run_image(&layout.dir, &[]).check(0);
    place.check_nothing_left();
}

#[test]
fn a_layer_that_is_not_the_configs_is_refused() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let layers = [base()];
    let docker = docker_archive(&place, &layers, &json!({ "Cmd": ["/bin/true"] }));
    // The same length, so that the archive stays whole: only the digest tells.
    let mut bytes = std::fs::read(&docker).unwrap();
    let at = bytes.windows(9).position(|window| window == b"web:x:33:").unwrap();
    bytes[at] = b'W';
    put(&docker, &bytes);
    place.run_image(&docker, &[]).check(1).check_err("digest is sha256:");
    place.check_nothing_left();
    assert!(
        place.list("cache/layers").iter().all(|name| name.ends_with(".lock")),
        "no layer is kept"
    );
}

#[test]
fn a_truncated_archive_is_refused() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let tar = place.layout(&[base()], &json!({ "Cmd": ["/bin/true"] })).tar();
    let whole = std::fs::read(&tar).unwrap();
    for length in [0, 100, 700, whole.len() / 2] {
        put(&tar, &whole[..length]);
        let said = place.run_image(&tar, &[]).check(1);
        let is_told = ["truncated", "not a tar file, or damaged"]
            .iter()
            .any(|text| said.err.contains(text));
        assert!(is_told, "{length}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    }
    put(&tar, &whole);
    place.run_image(&tar, &[]).check(0);
    place.check_nothing_left();
}

#[test]
fn an_image_over_the_limit_is_refused() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let bomb = gzip(&LayerTar::new().file("zeroes", 0o644, &vec![0; 8 << 20]).bytes());
    let layout = Layout::new(place.path("layout"));
    let image = layout.image(
        &[base(), (bomb, Packing::Plain)],
        &json!({ "Cmd": ["/bin/true"] }),
        arch(),
    );
    layout.index(&[image]);
    place
        .run_image(&layout.dir, &["--image-limit", "4m"])
        .check(1)
        .check_err("more than 4194304 bytes (raise it with --image-limit)");
    place.check_nothing_left();
}

#[test]
fn a_full_disk_leaves_nothing() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let big = plain(LayerTar::new().file("big", 0o644, &vec![7; 4 << 20]));
    let layout = place.layout(&[big], &json!({ "Cmd": ["/bin/true"] }));
    let cache = place.path("cache");
    std::fs::create_dir(&cache).unwrap();
    // A mount namespace of its own: the small disk goes away with it.
    let script = format!(
        "mount -t tmpfs -o size=2m,mode=700 none {cache:?} || exit 99; {program:?} --root {state:?} run --image-cache \
         {cache:?} --image {image:?}; code=$?; find {cache:?} -name '*.part' -o -path '*bundles/*'; exit $code",
        cache = cache,
        program = env!("CARGO_BIN_EXE_nexcage"),
        state = place.path("state"),
        image = layout.dir,
    );
    let output = common::command("unshare")
        .args(["-m", "sh", "-c", &script])
        .output()
        .unwrap();
    let said = common::Said::from(output).check(1);
    assert_eq!(said.out, "", "left on the small disk");
    said.check_err("unpack entry \"big\": write content: No space left on device");
    place.check_nothing_left();
}

#[test]
fn one_image_is_run_many_times_at_once() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let layers = [
        base(),
        plain((0..2000).fold(LayerTar::new(), |layer, n| layer.file(&format!("m/{n}"), 0o644, b""))),
    ];
    let layout = place.layout(
        &layers,
        &json!({ "Cmd": ["/bin/sh", "-c", "echo x > /own && ls /m | wc -l"] }),
    );
    let runs: Vec<_> = (0..6)
        .map(|_| {
            let mut command = place.run_command(&["--image", layout.dir.to_str().unwrap()]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for run in runs {
        let said = common::Said::from(run.wait_with_output().unwrap()).check(0);
        assert_eq!((said.out.trim(), said.err.as_str()), ("2000", ""));
    }
    place.check_nothing_left();
    for layer in place.list("cache/layers") {
        assert!(
            !place.layers().join(layer).join("own").exists(),
            "layers are never written to"
        );
    }
}

#[test]
fn what_a_killed_run_leaves_is_removed_by_the_next() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let layout = place.layout(&[base(), slow_layer()], &json!({ "Cmd": ["/bin/true"] }));
    let mut run = place
        .run_command(&["--image", layout.dir.to_str().unwrap()])
        .spawn()
        .unwrap();
    eventually("a layer with many files is being unpacked", || {
        place
            .parts()
            .iter()
            .any(|part| place.layers().join(part).join("many").exists())
    });
    send(&run, Signal::KILL);
    run.wait().unwrap();
    assert_eq!(place.parts().len(), 1, "the kill came in the middle");
    assert_eq!(place.list("cache/bundles").len(), 1);
    // Another image: the leftovers are removed all the same.
    let other = Layout::new(place.path("other"));
    other.index(&[other.image(&[base()], &json!({ "Cmd": ["/bin/true"] }), arch())]);
    place.run_image(&other.dir, &[]).check(0);
    place.check_nothing_left();
    place.run_image(&layout.dir, &[]).check(0);
    place.check_nothing_left();
}

#[test]
fn signals_end_the_unpacking_and_leave_nothing() {
    if !can_run() {
        return;
    }
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = Place::new();
        let layout = place.layout(&[slow_layer()], &json!({ "Cmd": ["/bin/true"] }));
        let mut command = place.run_command(&["--image", layout.dir.to_str().unwrap()]);
        let run = command.stderr(Stdio::piped()).spawn().unwrap();
        eventually("a layer is being unpacked", || !place.parts().is_empty());
        send(&run, signal);
        let said = common::Said::from(run.wait_with_output().unwrap()).check(code);
        assert!(said.err.contains(&format!("interrupted by {signal}")), "{}", said.err);
        place.check_nothing_left();
    }
}

#[test]
fn a_signal_ends_the_wait_for_another_process() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let (bytes, packing) = base();
    let lock = format!("{}.lock", nexcage_image::Digest::of(&bytes).hex());
    let layout = place.layout(&[(bytes, packing)], &json!({ "Cmd": ["/bin/true"] }));
    place.run_image(&layout.dir, &[]).check(0);
    let file = std::fs::File::open(place.layers().join(&lock)).unwrap();
    let held = nexcage_sys::lock::FileLock::lock(file, nexcage_sys::lock::LockKind::Exclusive).unwrap();
    std::fs::remove_dir_all(place.layers().join(lock.trim_end_matches(".lock"))).unwrap();
    let mut run = place
        .run_command(&["--image", layout.dir.to_str().unwrap()])
        .spawn()
        .unwrap();
    eventually("a bundle is made", || !place.list("cache/bundles").is_empty());
    send(&run, Signal::TERM);
    assert_eq!(run.wait().unwrap().code(), Some(143));
    drop(held);
    place.run_image(&layout.dir, &[]).check(0);
    place.check_nothing_left();
}

#[test]
fn a_container_whose_runtime_was_killed_keeps_its_bundle_while_it_runs() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let layout = place.layout(&[base()], &json!({ "Cmd": ["/bin/sh", "-c", "echo up; sleep 1000"] }));
    let mut command = place.run_command(&["--id", "orphan", "--image", layout.dir.to_str().unwrap()]);
    let mut run = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(run.stdout.take().unwrap()), &mut line).unwrap();
    assert_eq!(line, "up\n");
    let bundles = place.list("cache/bundles");
    send(&run, Signal::KILL);
    run.wait().unwrap();
    place.run_image(&layout.dir, &["--", "true"]).check(0);
    assert_eq!(place.list("cache/bundles"), bundles, "the container still runs");
    place.program().args(["kill", "orphan", "KILL"]).status().unwrap();
    eventually("the container stops", || {
        let output = place.program().args(["state", "orphan"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("stopped")
    });
    place.run_image(&layout.dir, &["--", "true"]).check(0);
    place.check_nothing_left();
}

#[test]
fn signals_reach_the_container_and_nothing_is_left() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done";
    let layout = place.layout(&[base()], &json!({ "Cmd": ["/bin/sh", "-c", script] }));
    let mut command = place.run_command(&["--image", layout.dir.to_str().unwrap()]);
    let mut run = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(run.stdout.take().unwrap()), &mut line).unwrap();
    send(&run, Signal::TERM);
    assert_eq!(run.wait().unwrap().code(), Some(5));
    place.check_nothing_left();
}

#[test]
fn a_container_that_does_not_start_leaves_nothing() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let layout = place.layout(&[base()], &json!({ "User": "nobody" }));
    place
        .run_image(&layout.dir, &[])
        .check(1)
        .check_err("the image names no command");
    place
        .run_image(&layout.dir, &["--", "true"])
        .check(1)
        .check_err("find user \"nobody\": it is not in /etc/passwd");
    place.check_nothing_left();
    let layout = Layout::new(place.path("second"));
    layout.index(&[layout.image(&[base()], &json!({}), arch())]);
    place
        .run_image(&layout.dir, &["--", "nosuch"])
        .check(1)
        .check_err("executable file not found in $PATH");
    for (flag, text) in [
        ("--detach", "--detach does not go with"),
        ("--keep", "--keep does not go with"),
    ] {
        place
            .run_image(&layout.dir, &[flag, "--", "true"])
            .check(1)
            .check_err(text);
    }
    place.check_nothing_left();
}

#[test]
fn an_id_that_is_taken_is_not_touched() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let layout = place.layout(&[base()], &json!({ "Cmd": ["/bin/sh", "-c", "echo up; sleep 1000"] }));
    let image = layout.dir.to_str().unwrap();
    let mut command = place.run_command(&["--id", "taken", "--image", image]);
    let mut run = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(run.stdout.take().unwrap()), &mut line).unwrap();
    place
        .run(&["--id", "taken", "--image", image])
        .check(1)
        .check_err("container with given ID already exists");
    let output = place.program().args(["state", "taken"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("running"));
    place.program().args(["kill", "taken", "KILL"]).status().unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(137));
    place.check_nothing_left();
}

#[test]
fn many_layers_fit_and_one_may_come_twice() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let mut layers = vec![base()];
    layers.extend((0..127).map(|n| {
        plain(
            LayerTar::new()
                .file(&format!("n/{n}"), 0o644, b"")
                .file("top", 0o644, n.to_string().as_bytes()),
        )
    }));
    layers.push(layers[5].clone());
    let layout = place.layout(&layers, &json!({ "Cmd": ["/bin/sh", "-c", "ls /n | wc -l; cat /top"] }));
    let said = place.run_image(&layout.dir, &[]).check(0);
    assert_eq!(said.out, "127\n4");
    place.check_nothing_left();
}

#[test]
fn a_directory_that_a_layer_only_implies_is_as_a_lower_one_says() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let lower = LayerTar::new()
        .directory_of("sticky", 0o1777, 0)
        .directory_of("own", 0o715, 33)
        .directory_of("own/deep", 0o750, 34)
        .directory_of("fresh", 0o700, 33);
    let middle = LayerTar::new().file("own/deep/x", 0o644, b"");
    let upper = LayerTar::new()
        .file("sticky/x", 0o644, b"")
        .file("own/deep/y", 0o644, b"")
        .file("new/x", 0o644, b"")
        .file("fresh/.wh..wh..opq", 0o644, b"");
    let command = "stat -c %a:%u /sticky /own /own/deep /new /fresh; ls /sticky /own/deep";
    let layers = [base(), plain(lower), plain(middle), plain(upper)];
    let layout = place.layout(&layers, &json!({ "Cmd": ["/bin/sh", "-c", command] }));
    let expected = "1777:0\n715:33\n750:34\n755:0\n755:0\n/own/deep:\nx\ny\n\n/sticky:\nx\n";
    for _ in 0..2 {
        assert_eq!(place.run_image(&layout.dir, &[]).check(0).out, expected);
    }
    place.check_nothing_left();
}

#[test]
fn a_root_filesystem_is_written_to_unless_an_overlay_is_asked_for() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let root = place.path("root");
    tar::Archive::new(&busybox_layer()[..]).unpack(&root).unwrap();
    let path = root.to_str().unwrap();
    let overlay = format!("{path}:O");
    let said = place
        .run(&["--rootfs", &overlay, "--", "sh", "-c", "touch /x && ls -d /x; exit 3"])
        .check(3);
    assert_eq!(said.out, "/x\n");
    assert!(!root.join("x").exists(), "changes to the overlay are thrown away");
    let said = place
        .run(&["--rootfs", path, "--", "sh", "-c", "touch /x && pwd && id"])
        .check(0);
    assert_eq!(said.out, "/\nuid=0(root) gid=0(root)\n");
    assert!(root.join("x").exists(), "changes to the directory stay");
    place.check_nothing_left();
    let missing = place.path("missing");
    place
        .run(&["--rootfs", missing.to_str().unwrap(), "--", "sh"])
        .check(1)
        .check_err("No such file or directory");
    place
        .run(&["--rootfs", root.join("etc/passwd").to_str().unwrap(), "--", "sh"])
        .check(1)
        .check_err("not a directory");
    place
        .run(&["--rootfs", path, "--", "nosuch"])
        .check(1)
        .check_err("executable file not found in $PATH");
    place.check_nothing_left();
}

#[test]
fn a_cache_that_others_can_change_is_refused() {
    if !can_run() {
        return;
    }
    let place = Place::new();
    let layout = place.layout(&[base()], &json!({ "Cmd": ["/bin/true"] }));
    let cache = place.path("cache");
    std::fs::create_dir(&cache).unwrap();
    std::fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    place
        .run_image(&layout.dir, &[])
        .check(1)
        .check_err("it must belong to this user, and be writable by nobody else");
}

#[test]
fn an_image_gets_a_terminal_and_shows_its_progress_there() {
    if !can_run() {
        return;
    }
    if common::command("script").arg("--version").output().is_err() {
        eprintln!("NOT RUN: needs script, of util-linux");
        return;
    }
    let place = Place::new();
    let layout = place.layout(&[base(), slow_layer()], &json!({ "Cmd": ["/bin/tty"] }));
    let line = format!(
        "{:?} --root {:?} run --image-cache {:?} --image {:?}",
        env!("CARGO_BIN_EXE_nexcage"),
        place.path("state"),
        place.path("cache"),
        layout.dir,
    );
    let mut script = common::command("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null());
    let said = common::Said::from(script.output().unwrap()).check(0);
    assert!(said.out.contains("unpacking image"), "{:?}", said.out);
    assert!(said.out.contains("/dev/pts/0"), "{:?}", said.out);
    place.check_nothing_left();
}

#[test]
fn a_user_without_privileges_runs_an_image() {
    if !can_run() {
        return;
    }
    let denied = common::command("setpriv")
        .args([
            "--reuid=65533",
            "--regid=65533",
            "--clear-groups",
            "unshare",
            "-Ur",
            "true",
        ])
        .status();
    if !denied.is_ok_and(|status| status.success()) {
        eprintln!("NOT RUN: needs setpriv, unshare and user namespaces for users");
        return;
    }
    let place = Place::new();
    let layers = [
        base(),
        plain(LayerTar::new().file("a/x", 0o644, b"1").file("b/x", 0o644, b"")),
        plain(
            LayerTar::new()
                .file("a/.wh.x", 0o644, b"")
                .file("b/.wh..wh..opq", 0o644, b"")
                .file("b/y", 0o644, b""),
        ),
    ];
    let layout = place.layout(
        &layers,
        &json!({ "Cmd": ["/bin/sh", "-c", "id -u; echo /a/* /b/*; touch /own; exit 9"] }),
    );
    let home = place.path("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(65533), Some(65533)).unwrap();
    // The program, too, must be where that user can reach it.
    let program = place.path("nexcage");
    std::fs::copy(env!("CARGO_BIN_EXE_nexcage"), &program).unwrap();
    std::fs::set_permissions(place.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = |args: &[&str]| {
        let mut command = common::command("setpriv");
        command
            .args(["--reuid=65533", "--regid=65533", "--clear-groups"])
            .arg(&program)
            .args(args)
            .stdin(Stdio::null())
            .current_dir(&home)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &home)
            .env("XDG_RUNTIME_DIR", &home);
        command
    };
    let image = layout.dir.to_str().unwrap();
    let mut running = program(&["run", "--id", "user", "--image", image, "--", "sleep", "1000"])
        .spawn()
        .unwrap();
    eventually("the container runs", || {
        let output = program(&["state", "user"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("running")
    });
    let said = common::Said::from(
        program(&["exec", "user", "sh", "-c", "id -u; exit 4"])
            .output()
            .unwrap(),
    );
    assert_eq!(said.check(4).out, "0\n", "exec enters the user namespace of the run");
    common::Said::from(program(&["kill", "user", "KILL"]).output().unwrap()).check(0);
    assert_eq!(running.wait().unwrap().code(), Some(137));
    let run =
        |image: &Path| common::Said::from(program(&["run", "--image", image.to_str().unwrap()]).output().unwrap());
    for _ in 0..2 {
        let said = run(&layout.dir).check(9);
        assert_eq!(said.out, "0\n/a/* /b/y\n");
    }
    let data = home.join(".local/share/nexcage");
    assert_eq!(std::fs::metadata(&data).unwrap().uid(), 65533);
    assert_eq!(std::fs::read_dir(data.join("bundles")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(home.join("nexcage")).unwrap().count(), 0);
    place.check_nothing_left();
}

/// Runs a client's command, and says what it said when it fails.
#[track_caller]
fn client(program: &str, args: &[&str]) -> String {
    let output = common::command(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = common::Said::from(output).check(0);
    said.out
}

fn is_installed(program: &str) -> bool {
    let is_there = common::command(program).arg("--version").output().is_ok();
    if !is_there {
        eprintln!("NOT RUN: {program} is not installed");
    }
    is_there
}

#[test]
fn what_real_clients_save_is_run() {
    if !can_run() || !is_installed("podman") || !is_installed("buildah") {
        return;
    }
    let place = Place::new();
    let root = place.path("context/root");
    tar::Archive::new(&busybox_layer()[..]).unpack(&root).unwrap();
    put(&root.join("gone"), b"");
    put(&root.join("setuid"), b"");
    let file = "FROM scratch\nCOPY root /\nRUN busybox rm /gone && busybox chmod 4711 /setuid\nENV FROM=client\nWORKDIR /here\nUSER web\n\
                CMD [\"/bin/sh\", \"-c\", \"echo $FROM; pwd; id -u; ls /gone 2>&1; stat -c %a:%u /setuid\"]\n";
    put(&place.path("context/Containerfile"), file.as_bytes());
    let path = |name: &str| place.path(name).display().to_string();
    let (store, run, context) = (path("store"), path("runroot"), path("context"));
    let global = ["--root", &store, "--runroot", &run, "--storage-driver", "vfs"];
    let client = |program: &str, args: &[&str]| client(program, &[&global[..], args].concat());
    client(
        "buildah",
        &[
            "bud",
            "--layers",
            "--isolation",
            "chroot",
            "-t",
            "localhost/saved:1",
            &context,
        ],
    );
    client("podman", &["tag", "localhost/saved:1", "localhost/other:2"]);
    let saved = |format: &str| {
        let to = path(format);
        client(
            "podman",
            &["save", "--quiet", "--format", format, "-o", &to, "localhost/saved:1"],
        );
        to
    };
    let mut images = vec![saved("oci-archive"), saved("docker-archive"), saved("oci-dir")];
    let pushed = path("pushed");
    client(
        "buildah",
        &["push", "--quiet", "localhost/saved:1", &format!("oci:{pushed}:tag")],
    );
    images.extend([pushed.clone(), format!("oci:{pushed}:tag")]);
    let expected = "client\n/here\n33\nls: /gone: No such file or directory\n4711:0\n";
    for image in &images {
        let said = place.run(&["--image", image]).check(0);
        assert_eq!((said.out.as_str(), said.err.as_str()), (expected, ""), "{image}");
    }
    if is_installed("skopeo") {
        let copied = path("copied");
        let (from, to) = (format!("oci:{pushed}:tag"), format!("oci-archive:{copied}:tag"));
        self::client("skopeo", &["copy", "--quiet", &from, &to]);
        assert_eq!(place.run(&["--image", &copied]).check(0).out, expected);
    }
    place.check_nothing_left();
}
