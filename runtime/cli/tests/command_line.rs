//! Drives the built program where it needs no container.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]
#![expect(clippy::disallowed_methods, reason = "the tests start the program as a client does")]

use std::path::Path;
use std::process::{Command, Output};

fn nexcage(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexcage"));
    command.args(args);
    command
}

fn run(args: &[&str]) -> Output {
    nexcage(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn version_has_the_lines_clients_read() {
    let output = run(&["--version"]);
    assert!(output.status.success() && output.stderr.is_empty());
    let version = text(&output.stdout);
    let lines: Vec<_> = version.lines().collect();
    assert_eq!(lines[0], format!("nexcage version {}", env!("CARGO_PKG_VERSION")));
    assert!(lines.contains(&"spec: 1.3.0"), "{version}");
    assert!(lines.iter().any(|line| line.starts_with("libseccomp: 2.")), "{version}");
}

#[test]
fn probes_work_without_an_environment() {
    // Podman asks whether a runtime can checkpoint by the exit code of the first and the text of the second.
    let help = nexcage(&["checkpoint", "--help"]).env_clear().output().unwrap();
    assert!(help.status.success() && help.stderr.is_empty());
    let probe = nexcage(&["restore", "--lsm-mount-context"])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(probe.status.code(), Some(1));
    assert!(text(&probe.stderr).contains("flag needs an argument"));
    for args in [&["--version"][..], &["features"]] {
        let output = nexcage(args).env_clear().env("XDG_RUNTIME_DIR", "").output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn features_print_one_document_and_nothing_else() {
    let output = run(&["features"]);
    assert!(output.status.success() && output.stderr.is_empty());
    let features: oci_spec::runtime::Features = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(features.oci_version_max(), "1.3.0");
}

#[test]
fn wrong_flags_leave_one_line_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.json");
    let output = run(&[
        "--log",
        log.to_str().unwrap(),
        "--log-format=json",
        "create",
        "--nope",
        "c",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "nexcage: flag provided but not defined: -nope\n");
    assert!(text(&output.stdout).starts_with("Incorrect Usage: flag provided but not defined: -nope\n\nCreate"));
    let record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(log).unwrap()).unwrap();
    assert_eq!(
        (&record["level"], &record["msg"]),
        (&"error".into(), &"flag provided but not defined: -nope".into())
    );
}

#[test]
fn unknown_command_exits_with_3() {
    let output = run(&["nosuch"]);
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(3), true));
}

#[test]
fn log_that_cannot_be_opened_does_not_hide_the_error() {
    let output = run(&["--log", "/no/such/dir/log", "create"]);
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    assert!(stderr.starts_with("nexcage: \"nexcage create\" requires exactly 1 argument(s)\nnexcage: append to log"));
}

#[test]
fn spec_writes_a_config_once() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().to_str().unwrap();
    assert!(run(&["spec", "--bundle", bundle]).status.success());
    let spec = oci_spec::runtime::Spec::load(dir.path().join("config.json")).unwrap();
    assert_eq!(spec.root().as_ref().unwrap().path(), Path::new("rootfs"));
    let again = run(&["spec", "-b", bundle]);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(
        text(&again.stderr),
        "nexcage: File config.json exists. Remove it first\n"
    );
    let nowhere = run(&["spec", "-b", &format!("{bundle}/none")]);
    assert!(text(&nowhere.stderr).ends_with("No such file or directory (os error 2)\n"));
}

/// The two programs must agree on all but their name, the version they write and the ambient set newer runc dropped.
#[test]
fn spec_is_runcs() {
    for flags in [&["spec"][..], &["spec", "--rootless"]] {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let runc = match Command::new("runc").args(flags).current_dir(theirs.path()).status() {
            Ok(status) => status,
            Err(error) => {
                eprintln!("not compared with runc: {error}");
                return;
            }
        };
        assert!(runc.success() && nexcage(flags).current_dir(ours.path()).status().unwrap().success());
        let read = |dir: &Path| {
            let text = std::fs::read_to_string(dir.join("config.json")).unwrap();
            let mut spec: serde_json::Value = serde_json::from_str(&text).unwrap();
            spec["hostname"] = "".into();
            spec["ociVersion"] = "".into();
            spec["process"]["capabilities"]
                .as_object_mut()
                .unwrap()
                .remove("ambient");
            for capabilities in spec["process"]["capabilities"].as_object_mut().unwrap().values_mut() {
                capabilities.as_array_mut().unwrap().sort_by_key(ToString::to_string);
            }
            spec
        };
        assert_eq!(read(ours.path()), read(theirs.path()), "{flags:?}");
    }
}

/// Our empty list against runc's, byte for byte.
#[test]
fn list_head_is_runcs() {
    let root = tempfile::tempdir().unwrap();
    let runc = match Command::new("runc").arg("--root").arg(root.path()).arg("list").output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("not compared with runc: {error}");
            return;
        }
    };
    assert_eq!(text(&runc.stdout), nexcage_cli::output::list::table(&[]));
}

#[test]
fn closed_standard_output_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = nexcage(&["--version"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("nexcage: write standard output: No space left on device"));
}

#[test]
fn debug_lines_stay_out_of_a_normal_run() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    assert!(run(&["--log", log.to_str().unwrap(), "features"]).status.success());
    assert!(!log.exists());
}

/// A plugin's package with this manifest, and the file `plugin.so` that holds `code`.
fn plugin_package(manifest: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plugin-manifest.json"), manifest).unwrap();
    std::fs::write(folder.path().join("plugin.so"), "code").unwrap();
    folder
}

const MANIFEST: &str = r#"{"name": "hello", "version": "1.2.3", "description": "says hello", "api": "^1",
    "nexcage_version": ">=0.1.0",
    "files": {"plugin.so": "5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b"}}"#;

#[test]
fn a_plugins_package_is_validated() {
    let folder = plugin_package(MANIFEST);
    let path = folder.path().to_str().unwrap();
    let output = run(&["plugin", "validate", path]);
    assert_eq!(
        text(&output.stdout),
        "hello 1.2.3: manifest is good, its file is the one listed\n"
    );
    let output = run(&["plugin", "validate", &format!("{path}/plugin-manifest.json")]);
    assert_eq!(text(&output.stdout), "hello 1.2.3: manifest is good\n");

    std::fs::write(folder.path().join("plugin.so"), "c0de").unwrap();
    let output = run(&["plugin", "validate", path]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("verify \"plugin.so\" of plugin package"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_bad_manifest_is_one_line_with_file_place_and_fix() {
    let folder = plugin_package(&MANIFEST.replace("1.2.3", "one"));
    let output = run(&["plugin", "validate", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("plugin-manifest.json\": at \"/version\": "), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_manifest_of_the_old_form_is_migrated() {
    let old = r#"{"api_version": 1, "name": "hello", "version": "1.2.3", "description": "says hello",
        "nexcage_version": ">=0.7.0", "capabilities": ["logging"]}"#;
    let folder = plugin_package(old);
    let output = run(&["plugin", "migrate", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let new = text(&output.stdout);
    assert!(new.contains("\"api\": \"^1\"") && !new.contains("api_version"), "{new}");
    // What it prints is good, and stays as it is.
    let again = plugin_package(&new);
    let path = again.path().to_str().unwrap();
    assert!(run(&["plugin", "validate", path]).status.success());
    assert_eq!(text(&run(&["plugin", "migrate", path]).stdout), new);
}

#[test]
fn plugin_takes_an_action_and_a_path() {
    let output = run(&["plugin", "load", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("want one of list, info, enable, "),
        "{}",
        text(&output.stderr)
    );
    let output = run(&["plugin", "validate", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("open \"/nonexistent\": No such file"),
        "{}",
        text(&output.stderr)
    );
}

/// Writes a file that nobody else can write, whatever the umask.
fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_configuration_is_checked_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    write_private(
        &file,
        r#"{"plugin_manager": {"max_plugins": 7, "plugin_dir": "/nonexistent"}}"#,
    );
    let drop_ins = folder.path().join("config.d");
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
        .create(&drop_ins)
        .unwrap();
    let file = file.to_str().unwrap();
    let output = run(&["--config", file, "config", "check"]);
    let warning = "warning: plugin directory /nonexistent is not there: no plugin will be found";
    assert_eq!(text(&output.stdout), format!("{file}: good\n{warning}\n"));
    assert!(output.status.success() && output.stderr.is_empty());

    write_private(&drop_ins.join("10.json"), r#"{"plugin_manager": {"max_plugins": 8}}"#);
    let output = run(&["config", "show", "--config", file]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["plugin_manager"]["max_plugins"], 8);
    assert_eq!(shown["plugin_manager"]["require_signatures"], true);

    write_private(&drop_ins.join("10.json"), r#"{"plugin_manager": {"max_plugin": 8}}"#);
    let output = run(&["--config", file, "config", "check"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("config.d/10.json\": at \"/plugin_manager"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    // A command that needs no plugin does not read it.
    assert!(run(&["--config", file, "features"]).status.success());
}
