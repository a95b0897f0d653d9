#![expect(clippy::disallowed_methods, reason = "files of the test's own folder")]

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{MANIFEST, MANIFEST_MAX, Package};

/// SHA-256 of `code`.
const CODE: &str = "5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b";

fn manifest(files: &Value) -> Value {
    json!({
        "name": "hello", "version": "1.2.3", "description": "says hello", "api": "^1", "nexcage_version": ">=0.1.0",
        "files": files,
    })
}

/// A package with this manifest, and `plugin.so` that holds `code`.
fn package(manifest: &Value) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(MANIFEST), manifest.to_string()).unwrap();
    fs::write(folder.path().join("plugin.so"), "code").unwrap();
    folder
}

/// What is wrong with a package, its folder called `P`.
fn fault(folder: &TempDir) -> String {
    let checked = Package::open(folder.path()).and_then(|package| package.check_files());
    let error = checked.unwrap_err();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.replace(&*folder.path().to_string_lossy(), "P")
}

#[test]
fn a_whole_package_is_good() {
    let folder = package(&manifest(&json!({ "plugin.so": CODE })));
    let package = Package::open(folder.path()).unwrap();
    assert_eq!(package.manifest().name.as_str(), "hello");
    assert_eq!(package.check_files().unwrap(), 1);
}

#[test]
fn a_changed_file_is_found() {
    let folder = package(&manifest(&json!({ "plugin.so": CODE })));
    fs::write(folder.path().join("plugin.so"), "c0de").unwrap();
    let text = fault(&folder);
    assert!(
        text.starts_with("verify \"plugin.so\" of plugin package \"P\": its SHA-256 is "),
        "{text}"
    );
    assert!(text.ends_with(&format!(", the manifest says {CODE}")), "{text}");
}

#[test]
fn a_missing_file_is_named() {
    let folder = package(&manifest(&json!({ "other.so": CODE })));
    let text = "open plugin package \"P\": open \"other.so\": No such file or directory (os error 2)";
    assert_eq!(fault(&folder), text);
    fs::remove_file(folder.path().join(MANIFEST)).unwrap();
    let text = "open plugin package \"P\": open \"plugin-manifest.json\": No such file or directory (os error 2)";
    assert_eq!(fault(&folder), text);
}

#[test]
fn links_are_not_followed() {
    for (name, target) in [("plugin.so", "/etc/passwd"), (MANIFEST, "other.json")] {
        let folder = package(&manifest(&json!({ "plugin.so": CODE })));
        fs::rename(folder.path().join(name), folder.path().join("other.json")).unwrap();
        symlink(target, folder.path().join(name)).unwrap();
        let text = format!("open plugin package \"P\": open {name:?}: Too many levels of symbolic links (os error 40)");
        assert_eq!(fault(&folder), text);
    }
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = package(&manifest(&json!({ "plugin.so": CODE })));
    fs::remove_file(folder.path().join("plugin.so")).unwrap();
    fs::create_dir(folder.path().join("plugin.so")).unwrap();
    assert_eq!(
        fault(&folder),
        "read \"plugin.so\" of plugin package \"P\": it is no regular file"
    );
}

#[test]
fn a_manifest_without_an_end_is_not_read_whole() {
    let folder = package(&Value::Null);
    let manifest = fs::OpenOptions::new()
        .write(true)
        .open(folder.path().join(MANIFEST))
        .unwrap();
    manifest.set_len(1 << 40).unwrap();
    let text = format!("read {MANIFEST:?} of plugin package \"P\": more than {MANIFEST_MAX} bytes");
    assert_eq!(fault(&folder), text);
}

#[test]
fn a_bad_manifest_names_file_place_and_fix() {
    let mut bad = manifest(&json!({}));
    bad["surprise"] = json!(1);
    let text = fault(&package(&bad));
    assert!(text.starts_with("read \"P/plugin-manifest.json\": at "), "{text}");
    assert!(text.contains("surprise"), "{text}");
}
