use super::*;

/// A bundle in a temporary folder with this config.
fn bundle(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/nonexistent", dir.path().join("dangling")).unwrap();
    let mut file = tempfile::NamedTempFile::new_in(&dir).unwrap();
    std::io::Write::write_all(&mut file, config.as_bytes()).unwrap();
    file.persist(dir.path().join(CONFIG_NAME)).unwrap();
    dir
}

/// Loads a bundle with this config and checks the error's whole chain; `B` stands for the bundle's path.
#[track_caller]
fn check(config: &str, expected: &str) {
    let dir = bundle(config);
    let path = dir.path().canonicalize().unwrap();
    let error = Bundle::load(dir.path()).unwrap_err();
    let chain = chain(&error).replace(path.to_str().unwrap(), "B");
    assert_eq!(chain, expected);
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

const MINIMAL: &str = r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"}}"#;

#[test]
fn paths_become_absolute() {
    let dir = bundle(r#"{"ociVersion":"1.0.2-dev","root":{"path":"./a/../rootfs/"},"x-new":{"a":1}}"#);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(".", &link).unwrap();
    let loaded = Bundle::load(&link).unwrap();
    let path = dir.path().canonicalize().unwrap();
    assert_eq!(loaded.path, path);
    assert_eq!(loaded.rootfs, path.join("rootfs"));
    assert_eq!(loaded.warnings, []);
    assert!(String::from_utf8(loaded.config_raw).unwrap().contains("x-new"));
    let dir = bundle(r#"{"ociVersion":"1.0.2-dev","root":{"path":"/some/where"}}"#);
    assert_eq!(Bundle::load(dir.path()).unwrap().rootfs, Path::new("/some/where"));
}

#[test]
fn every_1_x_version_is_accepted() {
    for version in ["1.0.0", "1.0.2-dev", "1.2.1", "1.3.0", "1.99.0+build.5", "1.0.0-rc5"] {
        let dir = bundle(&MINIMAL.replace("1.0.2", version));
        assert_eq!(Bundle::load(dir.path()).unwrap().warnings, [], "{version}");
    }
    let dir = bundle(r#"{"root":{"path":"rootfs"}}"#);
    let warnings = Bundle::load(dir.path()).unwrap().warnings;
    assert_eq!(
        warnings[0].to_string(),
        "/ociVersion: missing, read as 1.0.0: write the version of the runtime spec"
    );
}

#[test]
fn other_versions_are_refused() {
    for version in ["0.9.0", "2.0.0", "10.0.0", "1.x", "latest", "1..0"] {
        let fix = "is not supported: write a config for runtime-spec 1.x";
        let expected = format!("\"B/config.json\": at \"/ociVersion\": {version:?} {fix}");
        check(&MINIMAL.replace("1.0.2", version), &expected);
    }
}

#[test]
fn a_missing_root_is_refused() {
    let expected =
        "\"B/config.json\": at \"/root/path\": root must be specified: name the folder of the root file system";
    check(r#"{"ociVersion":"1.0.2"}"#, expected);
    check(r#"{"ociVersion":"1.0.2","root":{}}"#, expected);
    check(r#"{"ociVersion":"1.0.2","root":null}"#, expected);
}

#[test]
fn a_bad_document_is_named_by_file_and_place() {
    let at = "parse \"B/config.json\": ";
    check("", &format!("{at}line 1 column 0, at \"\": EOF while parsing a value"));
    check(
        "null",
        &format!("{at}at \"\": invalid type: null, expected struct Spec"),
    );
    check(
        "[]",
        &format!("{at}at \"\": invalid type: sequence, expected struct Spec"),
    );
    check(
        "{\n\"root\":{\"path\":",
        &format!("{at}line 2 column 15, at \"/root/path\": EOF while parsing a value"),
    );
    check(
        &format!("{MINIMAL}x"),
        &format!("{at}line 1 column 48, at \"\": trailing characters"),
    );
    check(
        r#"{"ociVersion":"1.0.2","root":{"path":"a"},"root":{"path":"b"}}"#,
        &format!("{at}line 1 column 48: duplicate key \"/root\": keep one of the two"),
    );
    check(
        r#"{"root":{"path":7}}"#,
        &format!("{at}at \"/root/path\": invalid type: integer `7`, expected path string"),
    );
    check(
        r#"{"root":["rootfs",true]}"#,
        &format!("{at}at \"/root\": invalid type: sequence, expected struct Root"),
    );
    check(
        r#"{"linux":{"namespaces":[{"type":"pid"},{"type":"moon"}]}}"#,
        &format!(
            "{at}at \"/linux/namespaces/1/type\": unknown variant `moon`, expected one of `mount`, `cgroup`, `uts`, \
             `ipc`, `user`, `pid`, `network`, `time`"
        ),
    );
    check(
        r#"{"process":{"rlimits":[{"type":"RLIMIT_NOFILE","hard":-1}]}}"#,
        &format!("{at}at \"/process/rlimits/0/hard\": invalid value: integer `-1`, expected u64"),
    );
    check(
        r#"{"process":{"args":["a",{"b":1}]}}"#,
        &format!("{at}at \"/process/args/1\": invalid type: map, expected a string"),
    );
}

#[test]
fn a_missing_bundle_or_config_is_named() {
    let error = Bundle::load(Path::new("/no/such/bundle")).unwrap_err();
    assert_eq!(
        chain(&error),
        "open bundle \"/no/such/bundle\": No such file or directory (os error 2)"
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    let error = Bundle::load(dir.path()).unwrap_err();
    let fix = "give --bundle the folder that holds it";
    assert_eq!(
        chain(&error),
        format!("JSON specification file {:?} not found: {fix}", path.join(CONFIG_NAME))
    );
    let error = Bundle::load(Path::new("/dev/null")).unwrap_err();
    let fix = "give the folder that holds config.json";
    assert_eq!(
        chain(&error),
        format!("open bundle \"/dev/null\": not a directory: {fix}")
    );
}

#[test]
fn dots_are_cleaned_by_the_text_alone() {
    let check = |path: &str, expected: &str| assert_eq!(clean(Path::new(path)), Path::new(expected), "{path}");
    check("/b/./rootfs//x/", "/b/rootfs/x");
    check("/b/../../rootfs", "/rootfs");
    check("/b/a/..", "/b");
}
