#![expect(clippy::disallowed_methods, reason = "files of the test's own folder")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{Loaded, load};

struct Node(TempDir);

impl Node {
    fn new(files: &[(&str, &str)]) -> Self {
        let node = Self(TempDir::new().unwrap());
        fs::create_dir(node.path("config.d")).unwrap();
        for (name, text) in files {
            fs::write(node.path(name), text).unwrap();
            fs::set_permissions(node.path(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(node.path("config.d"), fs::Permissions::from_mode(0o755)).unwrap();
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> Result<Loaded, String> {
        load(Some(&self.path("config.json"))).map_err(|error| {
            let text = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            text.replace(&*self.0.path().to_string_lossy(), "D")
        })
    }

    fn files(&self) -> Vec<String> {
        let files = self.load().unwrap().files;
        files
            .iter()
            .map(|path| path.strip_prefix(self.0.path()).unwrap().to_string_lossy().into_owned())
            .collect()
    }
}

const MAX: fn(u32) -> String = |count| format!(r#"{{"plugin_manager": {{"max_plugins": {count}}}}}"#);

#[test]
fn drop_ins_come_after_in_the_order_of_their_names() {
    let node = Node::new(&[
        ("config.json", &MAX(1)),
        ("config.d/20-b.json", &MAX(3)),
        ("config.d/10-a.json", &MAX(2)),
        ("config.d/30.json~", "no"),
        ("config.d/.40.json", "no"),
        ("config.d/README", "no"),
    ]);
    assert_eq!(
        node.files(),
        ["config.json", "config.d/10-a.json", "config.d/20-b.json"]
    );
    assert_eq!(node.load().unwrap().configuration.plugin_manager.max_plugins, 3);
}

#[test]
fn a_file_that_is_given_must_be_there() {
    let node = Node::new(&[]);
    assert_eq!(
        node.load().unwrap_err(),
        "read configuration \"D/config.json\": No such file or directory (os error 2)"
    );
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let node = Node::new(&[("config.json", "{}"), ("config.d/a.json", "{}")]);
    for (name, mode) in [("config.json", 0o664), ("config.d/a.json", 0o646), ("config.d", 0o777)] {
        let before = fs::metadata(node.path(name)).unwrap().permissions();
        fs::set_permissions(node.path(name), fs::Permissions::from_mode(mode)).unwrap();
        let text = node.load().unwrap_err();
        assert!(
            text.starts_with(&format!("read configuration \"D/{name}\": it belongs to uid ")),
            "{text}"
        );
        assert!(
            text.ends_with(&format!(
                " and has mode {mode:03o}: give it to root, writable by nobody else"
            )),
            "{text}"
        );
        fs::set_permissions(node.path(name), before).unwrap();
    }
    assert!(node.load().is_ok());
}

#[test]
fn what_is_no_file_or_no_configuration_is_refused() {
    let node = Node::new(&[("config.json", "{\"plugins\": []}")]);
    let text = node.load().unwrap_err();
    assert!(text.starts_with("read \"D/config.json\": at \"/plugins\": "), "{text}");
    fs::remove_file(node.path("config.json")).unwrap();
    fs::create_dir(node.path("config.json")).unwrap();
    assert_eq!(
        node.load().unwrap_err(),
        "read configuration \"D/config.json\": it is no regular file"
    );
}

#[test]
fn a_file_without_an_end_is_not_read_whole() {
    let node = Node::new(&[("config.json", "")]);
    fs::OpenOptions::new()
        .write(true)
        .open(node.path("config.json"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let text = node.load().unwrap_err();
    assert!(text.starts_with("read \"D/config.json\": at \"\": "), "{text}");
}
