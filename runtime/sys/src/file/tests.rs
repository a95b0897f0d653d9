use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nexcage-file-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn a_written_file_has_its_content_and_mode_and_no_leftover() {
    let folder = Folder::new("write");
    let path = folder.0.join("state.json");
    for content in ["one", "a longer second"] {
        write_atomic(&path, content.as_bytes(), 0o640, Durability::Synced).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(folder.names(), ["state.json"]);
}

#[test]
fn a_link_is_replaced_and_its_target_untouched() {
    let folder = Folder::new("link");
    let target = folder.0.join("target");
    write_atomic(&target, b"keep", 0o600, Durability::Volatile).unwrap();
    let link = folder.0.join("link");
    symlink(&target, &link).unwrap();
    write_atomic(&link, b"new", 0o600, Durability::Volatile).unwrap();
    assert_eq!(read_capped(&target, 100).unwrap(), b"keep");
    assert_eq!(read_capped(&link, 100).unwrap(), b"new");
}

#[test]
fn a_failed_rename_leaves_nothing() {
    let folder = Folder::new("rename");
    let path = folder.0.join("taken");
    std::fs::create_dir(&path).unwrap();
    let error = write_atomic(&path, b"x", 0o600, Durability::Volatile).unwrap_err();
    assert!(matches!(error, FileError::Rename { .. }), "{error:?}");
    assert_eq!(folder.names(), ["taken"]);
}

#[test]
fn a_long_name_and_a_missing_folder() {
    let folder = Folder::new("long");
    write_atomic(&folder.0.join("n".repeat(255)), b"x", 0o600, Durability::Volatile).unwrap();
    let error = write_atomic(&folder.0.join("no/such"), b"x", 0o600, Durability::Volatile).unwrap_err();
    assert!(matches!(error, FileError::OpenFolder { .. }), "{error:?}");
    assert!(matches!(
        write_atomic(Path::new("/"), b"", 0, Durability::Volatile),
        Err(FileError::NoName { .. })
    ));
}

#[test]
fn a_file_over_the_cap_is_refused() {
    let folder = Folder::new("cap");
    let path = folder.0.join("f");
    write_atomic(&path, b"12345", 0o600, Durability::Volatile).unwrap();
    assert_eq!(read_capped(&path, 5).unwrap(), b"12345");
    assert!(matches!(read_capped(&path, 4), Err(FileError::TooLarge { cap: 4, .. })));
    assert!(matches!(
        read_capped(Path::new("/dev/zero"), 4),
        Err(FileError::TooLarge { .. })
    ));
}

#[test]
fn create_new_refuses_what_exists() {
    let folder = Folder::new("new");
    let path = folder.0.join("f");
    create_new(&path, 0o600).unwrap();
    assert!(create_new(&path, 0o600).is_err());
    let link = folder.0.join("dangling");
    symlink(folder.0.join("nowhere"), &link).unwrap();
    assert!(create_new(&link, 0o600).is_err());
}

#[test]
fn a_path_cannot_lead_out_of_its_folder() {
    let folder = Folder::new("below");
    std::fs::create_dir(folder.0.join("root")).unwrap();
    write_atomic(&folder.0.join("secret"), b"s", 0o600, Durability::Volatile).unwrap();
    write_atomic(&folder.0.join("root/secret"), b"inside", 0o600, Durability::Volatile).unwrap();
    symlink("/secret", folder.0.join("root/absolute")).unwrap();
    symlink("../secret", folder.0.join("root/relative")).unwrap();
    let root = open_root(&folder.0.join("root")).unwrap();
    let read = |path: &str, resolve| {
        let file = open_below(root.as_fd(), Path::new(path), libc::O_RDONLY, 0, resolve)?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).unwrap();
        Ok::<_, FileError>(text)
    };
    for path in ["secret", "/secret", "../secret", "absolute", "relative"] {
        assert_eq!(read(path, Resolve::InRoot).unwrap(), "inside", "{path}");
    }
    for path in ["/secret", "../secret", "absolute", "relative"] {
        assert!(read(path, Resolve::Beneath).is_err(), "{path}");
        assert!(read(path, Resolve::NoLinks).is_err(), "{path}");
    }
    assert_eq!(read("secret", Resolve::NoLinks).unwrap(), "inside");
}
