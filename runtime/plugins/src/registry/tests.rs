#![expect(clippy::disallowed_methods, reason = "files of the test's own folder")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use nexcage_plugin_types::Configuration;
use nexcage_plugin_types::configuration::Layer;
use semver::Version;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Registry, RegistryError};

const NEXCAGE: Version = Version::new(0, 1, 0);

fn add(folder: &Path, directory: &str, name: &str, change: impl FnOnce(&mut Value)) {
    let mut manifest = json!({
        "name": name, "version": "1.0.0", "description": "d", "api": "^1", "nexcage_version": "*",
        "files": {format!("{name}.nexcage-plugin"): "0".repeat(64)},
    });
    change(&mut manifest);
    fs::create_dir(folder.join(directory)).unwrap();
    fs::write(
        folder.join(directory).join("plugin-manifest.json"),
        manifest.to_string(),
    )
    .unwrap();
}

fn configuration(folder: &Path, mut manager: Value) -> Configuration {
    let members = manager.as_object_mut().unwrap();
    members.insert("plugin_dir".into(), json!(folder));
    members.insert("require_signatures".into(), json!(false));
    let text = json!({"plugin_manager": manager}).to_string();
    Configuration::merge([Layer::parse("c", text.as_bytes()).unwrap()])
}

/// A folder that a root's umask cannot have opened to others.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn names(registry: &Registry) -> Vec<&str> {
    registry
        .plugins()
        .map(|package| package.manifest().name.as_str())
        .collect()
}

fn faults(registry: &Registry) -> Vec<String> {
    registry.faults().map(|(_, error)| error.to_string()).collect()
}

#[test]
fn folders_are_plugins_and_nothing_else_is() {
    let folder = folder();
    add(folder.path(), "b", "b", |_| {});
    add(folder.path(), "a", "a", |_| {});
    add(folder.path(), ".hidden", "hidden", |_| {});
    fs::write(folder.path().join("file"), "").unwrap();
    symlink(folder.path().join("a"), folder.path().join("link")).unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let registry = Registry::discover(configuration(folder.path(), json!({}))).unwrap();
    assert_eq!(names(&registry), ["a", "b"]);
    let faults = faults(&registry);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("open plugin package"), "{faults:?}");
}

#[test]
fn a_name_that_two_have_is_nobodys() {
    let folder = folder();
    add(folder.path(), "one", "a", |_| {});
    add(folder.path(), "two", "a", |_| {});
    add(folder.path(), "b", "b", |_| {});
    let registry = Registry::discover(configuration(folder.path(), json!({}))).unwrap();
    assert_eq!(names(&registry), ["b"]);
    assert_eq!(faults(&registry).len(), 2);
    assert!(faults(&registry)[0].contains("both"), "{:?}", faults(&registry));
}

#[test]
fn more_than_may_be_are_put_aside_by_name() {
    let folder = folder();
    for name in ["c", "a", "b"] {
        add(folder.path(), name, name, |_| {});
    }
    let registry = Registry::discover(configuration(folder.path(), json!({"max_plugins": 2}))).unwrap();
    assert_eq!(names(&registry), ["a", "b"]);
    assert_eq!(
        faults(&registry),
        ["load plugin \"c\": it is one more than plugin_manager.max_plugins, 2: disable others, or raise it"]
    );
}

#[test]
fn what_others_can_write_is_not_believed() {
    let folder = folder();
    add(folder.path(), "a", "a", |_| {});
    fs::set_permissions(folder.path().join("a"), fs::Permissions::from_mode(0o775)).unwrap();
    let registry = Registry::discover(configuration(folder.path(), json!({}))).unwrap();
    assert!(names(&registry).is_empty() && faults(&registry).len() == 1);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o757)).unwrap();
    let error = Registry::discover(configuration(folder.path(), json!({}))).unwrap_err();
    assert!(matches!(error, RegistryError::Owner { .. }), "{error}");
}

#[test]
fn a_dependency_that_cannot_be_loaded_stands_in_the_way() {
    let folder = folder();
    add(folder.path(), "a", "a", |manifest| {
        manifest["dependencies"] = json!({"b": {"version": "^1"}})
    });
    add(folder.path(), "b", "b", |manifest| {
        manifest["capabilities"] = json!(["process_spawn"])
    });
    add(folder.path(), "c", "c", |manifest| {
        manifest["conflicts"] = json!({"a": "*"})
    });
    let registry =
        Registry::discover(configuration(folder.path(), json!({}))).unwrap_or_else(|error| panic!("{error}"));
    let check = |name: &str| {
        registry
            .check(registry.find(name).unwrap(), &NEXCAGE)
            .map_err(|error| error.to_string())
    };
    assert!(registry.find("nosuch").is_err());
    assert!(
        check("a").unwrap_err().contains("capability process_spawn"),
        "{:?}",
        check("a")
    );
    assert!(
        check("c").unwrap_err().contains("conflicts with \"a\""),
        "{:?}",
        check("c")
    );
}
