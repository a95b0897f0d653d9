use std::io::Write;

use serde_json::json;

use super::*;

#[test]
fn size_limit_names_both_numbers() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"12345").unwrap();
    assert_eq!(read_capped(file.path(), Source::Regular, 5).unwrap(), b"12345");
    let error = read_capped(file.path(), Source::Regular, 4).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "read {:?}: 5 bytes, at most 4 are read: make the document smaller",
            file.path()
        )
    );
}

#[test]
fn an_endless_stream_is_cut_off() {
    let error = read_capped(Path::new("/dev/zero"), Source::Stream, 10_000).unwrap_err();
    assert!(
        matches!(
            error,
            DocumentError::TooLarge {
                size: 10_001,
                limit: 10_000,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn what_is_no_regular_file_is_named() {
    let check = |path: &str, expected: &str| {
        let error = read_bytes(Path::new(path), Source::Regular).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        "/",
        "open \"/\": it is a directory, not a regular file: put the document itself there",
    );
    check(
        "/dev/null",
        "open \"/dev/null\": it is a character device, not a regular file: put the document itself there",
    );
    let error = read_bytes(Path::new("/"), Source::Stream).unwrap_err();
    assert!(matches!(error, DocumentError::NotRegular { .. }), "{error}");
}

#[test]
fn a_pipe_in_place_of_a_config_does_not_hold_us() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("config.json");
    let mut mkfifo = nexcage_sys::command::Program::new(Path::new("/usr/bin/mkfifo"));
    mkfifo.argv(&["mkfifo", fifo.to_str().unwrap()]);
    assert!(mkfifo.spawn().unwrap().finish(b"", None, 0).unwrap().status.success());
    let error = read_bytes(&fifo, Source::Regular).unwrap_err();
    assert!(
        matches!(
            error,
            DocumentError::NotRegular {
                kind: "a named pipe",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_link_to_a_document_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = tempfile::NamedTempFile::new_in(&dir).unwrap();
    file.write_all(b"{}").unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(file.path(), &link).unwrap();
    assert_eq!(read_bytes(&link, Source::Regular).unwrap(), b"{}");
}

#[test]
fn unknown_fields_are_found_by_pointer() {
    let written = json!({"a": 1, "x": {}, "list": [{"b": 1, "y/z": 2}]});
    let known = json!({"a": 1, "list": [{"b": 1}], "other": 2});
    assert_eq!(unknown_fields(&written, &known), ["/x", "/list/0/y~1z"]);
}
