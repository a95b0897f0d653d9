//! Plugins as an operator has them: packages in a folder, commands beside nexcage's own, all in their sandboxes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers, too"
)]
#![expect(clippy::print_stderr, reason = "what cannot run here says so")]
#![expect(clippy::disallowed_methods, reason = "the tests start programs as a client does")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const NEXCAGE: &str = env!("CARGO_BIN_EXE_nexcage");

/// A user that is nobody here.
const NOBODY: u32 = 65_534;

/// A plugin directory, a configuration and a state root.
struct Node {
    dir: tempfile::TempDir,
}

impl Node {
    fn new(configuration: Value) -> Self {
        let host = Path::new(NEXCAGE).with_file_name("nexcage-plugin-host");
        assert!(host.is_file(), "{host:?} is not there: run cargo xtask host first");
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("plugins")).unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let node = Self { dir };
        node.configure(configuration);
        node
    }

    fn configure(&self, mut configuration: Value) {
        let manager = configuration.as_object_mut().unwrap();
        let manager = manager.entry("plugin_manager").or_insert_with(|| json!({}));
        let manager = manager.as_object_mut().unwrap();
        manager.insert("plugin_dir".into(), json!(self.dir.path().join("plugins")));
        manager.entry("require_signatures").or_insert_with(|| false.into());
        fs::write(self.dir.path().join("config.json"), configuration.to_string()).unwrap();
    }

    /// Builds a plugin, and makes a package of it.
    fn add(&self, name: &str, source: &str, flags: &[&str], change: impl FnOnce(&mut Value)) -> PathBuf {
        let base = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = self.dir.path().join("plugins").join(name);
        fs::create_dir(&folder).unwrap();
        let object = format!("{name}.nexcage-plugin");
        let status = Command::new("cc")
            .args([
                "-std=c11",
                "-D_GNU_SOURCE",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-shared",
                "-fPIC",
                "-I",
            ])
            .arg(base.join("../../plugin-abi/include"))
            .args(flags)
            .arg(base.join(source))
            .arg("-o")
            .arg(folder.join(&object))
            .status()
            .unwrap();
        assert!(status.success());
        let digest = Sha256::digest(fs::read(folder.join(&object)).unwrap());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut manifest = json!({
            "name": name, "version": "1.0.0", "description": "for tests", "api": "^1", "nexcage_version": ">=0.1",
            "kinds": ["cli_command"], "capabilities": ["logging", "metrics"], "files": {object: digest},
        });
        change(&mut manifest);
        fs::write(folder.join("plugin-manifest.json"), manifest.to_string()).unwrap();
        folder
    }

    /// Takes an example as `cargo xtask examples` packs it.
    fn example(&self, name: &str) {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/examples");
        let from = examples.join(name);
        assert!(from.is_dir(), "{from:?} is not there: run cargo xtask examples first");
        let to = self.dir.path().join("plugins").join(name);
        fs::create_dir(&to).unwrap();
        for file in ["plugin-manifest.json".to_owned(), format!("{name}.nexcage-plugin")] {
            fs::copy(from.join(&file), to.join(&file)).unwrap();
        }
    }

    fn tool(&self, change: impl FnOnce(&mut Value)) -> PathBuf {
        self.add("tool", "tests/plugins/tool.c", &[], change)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(NEXCAGE);
        command.arg("--root").arg(self.dir.path().join("root"));
        command.arg("--config").arg(self.dir.path().join("config.json"));
        command.args(args).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Exit code, standard output, standard error.
    fn say(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.run(args);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn json(&self, args: &[&str]) -> Value {
        let (code, out, err) = self.say(args);
        assert_eq!(code, 0, "{args:?}: {err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Asks the broker through the tool: status and answer.
    fn ask(&self, effect: &str, input: &Value) -> (i32, String) {
        let (code, out, err) = self.say(&["tool", "ask", effect, &input.to_string()]);
        assert_eq!(err, "");
        (code, out)
    }

    #[track_caller]
    fn check_fails(&self, args: &[&str], expected: &str) {
        let (code, out, err) = self.say(args);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}: {err}");
        assert!(err.contains(expected), "{args:?}: {err}");
        self.check_nothing_left();
    }

    /// No host outlives its command.
    #[track_caller]
    fn check_nothing_left(&self) {
        let ours = self.dir.path().to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").unwrap() {
            let path = entry.unwrap().path();
            let mounts = fs::read_to_string(path.join("mountinfo")).unwrap_or_default();
            let is_host = fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm == "nexcage-plugin-\n");
            assert!(!(is_host && mounts.contains(&ours)), "{path:?} is left");
        }
    }
}

#[test]
fn plugins_in_c_and_rust_add_a_command_each() {
    for name in ["hello-c", "hello-rust"] {
        let node = Node::new(json!({"plugins": {name: {"config": {"greeting": "Good day"}}}}));
        node.example(name);
        assert_eq!(node.say(&[name]), (0, "Good day, world!\n".into(), String::new()));
        assert_eq!(node.say(&[name, "a\"b\\c\u{1}ü"]).1, "Good day, a\"b\\c\u{1}ü!\n");
        let (_, help, _) = node.say(&["--help"]);
        let line = format!("Commands of plugins:\n  {name}  Greet somebody (plugin {name})\n");
        assert!(help.contains(&line), "{help}");
        let own = node.say(&[name, "--help"]);
        assert!(own.1.ends_with(&format!("Usage: nexcage {name} [NAME]\n")), "{own:?}");
        assert_eq!(node.say(&["help", name]), own);
        let error = format!("nexcage: {name}: greet one at a time: at most one NAME\n");
        node.check_fails(&[name, "a", "b"], &error);
        let (code, health, _) = node.say(&["plugin", "health"]);
        assert!(code == 0 && health.ends_with("hello is well\n"), "{health}");
        assert_eq!(node.say(&["plugin", "reload", name]).1, format!("{name}: reloaded\n"));
        let folder = node.dir.path().join("plugins").join(name);
        let (code, out, err) = node.say(&["plugin", "test", folder.to_str().unwrap()]);
        assert_eq!(code, 0, "{err}");
        assert!(
            out.contains("\nok nexcage.hook/1 event: {\"verdict\":\"allow\"}\n"),
            "{out}"
        );
        assert!(out.ends_with("ok end\n"), "{out}");
        node.check_nothing_left();
    }
}

#[test]
fn streams_exit_code_and_terminal_go_through_the_bridge() {
    let node = Node::new(json!({}));
    node.tool(|_| {});
    assert_eq!(node.say(&["tool", "x"]), (4, "out\n".into(), "err\n".into()));
    let mut child = node
        .command(&["tool", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let all = vec![b'x'; 300_000];
    let sent = all.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(out == all, "{} bytes came back", out.len());

    let (pty, pts) = pty_process::blocking::open().unwrap();
    let mut command = pty_process::blocking::Command::new(NEXCAGE);
    command = command.arg("--root").arg(node.dir.path().join("root"));
    command = command
        .arg("--config")
        .arg(node.dir.path().join("config.json"))
        .args(["tool", "x"]);
    let mut child = command.spawn(pts).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    let mut text = [0; 64];
    let count = (&pty).read(&mut text).unwrap();
    assert_eq!(&text[..count], b"a terminal\r\n");
}

#[test]
fn a_plugin_never_shadows_nexcage_nor_another_plugin() {
    let node = Node::new(json!({}));
    node.tool(|_| {});
    let (code, _, err) = node.say(&["state", "nosuch"]);
    assert!(code == 1 && err.contains("nosuch"), "{err}");
    let (_, help, _) = node.say(&["--help"]);
    assert!(
        help.contains("command \"state\" of plugin \"tool\" is not offered: nexcage has one of this name"),
        "{help}"
    );
    assert_eq!(node.say(&["both"]).0, 4);
    node.add("zool", "tests/plugins/tool.c", &["-DNAME=\"zool\""], |_| {});
    let (code, _, err) = node.say(&["both"]);
    assert_eq!(code, 3);
    assert!(
        err.contains("command \"both\" is not offered: plugins \"tool\" and \"zool\" both have one of this name"),
        "{err}"
    );
    assert_eq!(node.say(&["zool"]).0, 4);
}

#[test]
fn a_plugin_that_fails_is_an_error_that_leaves_nothing() {
    let node = Node::new(json!({}));
    node.tool(|manifest| manifest["resource_requirements"] = json!({"timeout_seconds": 1}));
    node.check_fails(&["tool", "crash"], "execute: plugin host ended without an answer");
    node.check_fails(&["tool", "garbage"], "execute: read its answer: expected");
    node.check_fails(&["tool", "spin"], "execute: no answer in 1000 ms");
    let violations = node.json(&["plugin", "violations", "tool", "--format", "json"]);
    let texts: Vec<&str> = violations
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["text"].as_str().unwrap())
        .collect();
    assert_eq!(
        texts,
        [
            "nexcage.cli_command/1 execute: plugin host ended without an answer",
            "nexcage.cli_command/1 execute: no answer in 1000 ms"
        ]
    );
}

#[test]
fn a_plugin_that_fails_again_and_again_is_left_alone() {
    let node = Node::new(json!({}));
    node.tool(|_| {});
    for _ in 0..5 {
        node.check_fails(&["tool", "crash"], "plugin host ended");
    }
    node.check_fails(
        &["tool"],
        "load plugin \"tool\": it failed 5 times in a row and is left alone for ",
    );
    let list = node.json(&["plugin", "list", "-f", "json"]);
    assert_eq!(list[0]["state"], "error");
    assert_eq!(node.say(&["plugin", "reload", "tool"]).0, 0);
    assert_eq!(node.say(&["tool"]).0, 4);
}

#[test]
fn what_is_not_granted_is_refused_and_on_record() {
    let node = Node::new(json!({}));
    node.tool(|_| {});
    let (code, out, err) = node.say(&["tool", "ask", "file.open", r#"{"path":"/etc/hosts","access":"read"}"#]);
    assert_eq!(code, 3, "{err}");
    assert!(out.contains("capability filesystem_read is not granted for"), "{out}");
    let records = node.json(&["plugin", "violations", "-f", "json"]);
    assert_eq!(records[0]["kind"], "denial");
    let (code, out, _) = node.say(&["plugin", "audit", "--verify"]);
    assert!(code == 0 && out.contains(" records, the last one is "), "{out}");
    let log = node.dir.path().join("root/@plugins/audit.jsonl");
    let text = fs::read_to_string(&log).unwrap().replace("denial", "broker");
    fs::write(&log, text).unwrap();
    let (code, out, _) = node.say(&["plugin", "audit", "--verify"]);
    assert!(code == 1 && out.contains(" was altered"), "{out}");
}

#[test]
fn what_a_plugin_says_is_kept_and_harmless() {
    let node = Node::new(json!({}));
    node.tool(|_| {});
    node.say(&["tool", "log"]);
    node.say(&["tool", "measure"]);
    let (_, logs, _) = node.say(&["plugin", "logs", "tool"]);
    assert!(
        logs.ends_with(" warn tool: a line\\u{a}and \\u{1b}[31mmore\n"),
        "{logs}"
    );
    let stats = node.json(&["plugin", "stats", "-f", "json"]);
    assert_eq!(stats["tool"]["metrics"][0]["value"], 7.5);
    assert_eq!(stats["tool"]["calls"]["nexcage.cli_command/1 execute"]["count"], 2);
    let (code, health, _) = node.say(&["plugin", "health"]);
    assert_eq!(code, 1);
    assert!(
        health.ends_with("tool        unhealthy   a screw is loose\n"),
        "{health}"
    );
}

#[test]
fn what_stands_in_a_plugins_way_is_named() {
    let check = |configuration: Value, change: &dyn Fn(&mut Value), expected: &str| {
        let node = Node::new(configuration);
        node.tool(change);
        let list = node.json(&["plugin", "list", "-f", "json"]);
        assert_ne!(list[0]["state"], "unloaded");
        let (code, _, err) = node.say(&["plugin", "health", "tool"]);
        let health = node.say(&["plugin", "health", "tool"]).1;
        assert!(code == 1 && (health + &err).contains(expected), "{expected}: {err}");
    };
    let same: &dyn Fn(&mut Value) = &|_| {};
    check(
        json!({"plugin_manager": {"require_signatures": true}}),
        same,
        "no signature that this nexcage can verify",
    );
    check(
        json!({"plugins": {"tool": {"enabled": false}}}),
        same,
        "it is disabled: \"nexcage plugin enable tool\"",
    );
    check(
        json!({"security": {"denied_capabilities": ["metrics"]}}),
        same,
        "capability metrics is denied by security.denied_capabilities",
    );
    check(
        json!({}),
        &|manifest| manifest["capabilities"] = json!(["system_info"]),
        "capability system_info is not allowed",
    );
    check(
        json!({"plugin_manager": {"memory_limit_mb": 10}}),
        same,
        "max_memory_mb is 64, plugin_manager.memory_limit_mb is 10",
    );
    check(
        json!({}),
        &|manifest| manifest["api"] = json!("^2"),
        "it needs plugin API ^2, this is 1.0.0",
    );
    check(
        json!({}),
        &|manifest| manifest["nexcage_version"] = json!(">=9"),
        "it needs nexcage >=9",
    );
    check(
        json!({}),
        &|manifest| manifest["dependencies"] = json!({"other": {"version": "^1"}}),
        "plugin \"other\" is not there",
    );
    check(
        json!({}),
        &|manifest| manifest["files"] = json!({}),
        "its manifest lists no file \"tool.nexcage-plugin\"",
    );
}

#[test]
fn a_package_that_was_changed_is_not_loaded() {
    let node = Node::new(json!({}));
    let folder = node.tool(|_| {});
    let object = folder.join("tool.nexcage-plugin");
    let mut bytes = fs::read(&object).unwrap();
    bytes.push(0);
    fs::write(&object, bytes).unwrap();
    let (code, health, _) = node.say(&["plugin", "health"]);
    assert!(code == 1 && health.contains("its SHA-256 is "), "{health}");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let (_, list, _) = node.say(&["plugin", "list"]);
    assert!(list.contains("others than root can write it"), "{list}");
}

#[test]
fn a_plugin_of_another_major_version_or_one_that_will_not_start_says_why() {
    let node = Node::new(json!({"plugins": {"tool": {"config": {"mode": "refuse"}}}}));
    node.tool(|_| {});
    let (_, health, _) = node.say(&["plugin", "health"]);
    assert!(
        health.contains("start the plugin: call init: invalid argument: I will not start"),
        "{health}"
    );
    node.add(
        "other",
        "tests/plugins/tool.c",
        &["-DNAME=\"other\"", "-DVERSION=0x20000"],
        |_| {},
    );
    let (_, health, _) = node.say(&["plugin", "health", "other"]);
    assert!(
        health.contains("nxc_plugin has plugin API 2.0, this side has 1.0"),
        "{health}"
    );
    node.check_nothing_left();
}

#[test]
fn enabling_and_disabling_is_kept() {
    let node = Node::new(json!({}));
    node.tool(|_| {});
    assert_eq!(node.say(&["plugin", "disable", "tool"]).1, "tool: disabled\n");
    assert_eq!(node.say(&["tool"]).0, 3);
    assert_eq!(node.say(&["plugin", "enable", "tool"]).1, "tool: enabled\n");
    assert_eq!(node.say(&["tool"]).0, 4);
    node.check_fails(&["plugin", "enable", "nosuch"], "find plugin \"nosuch\" in ");
    let later = node.dir.path().join("config.d/99.json");
    fs::write(&later, r#"{"plugins": {"tool": {"enabled": true}}}"#).unwrap();
    node.check_fails(
        &["plugin", "disable", "tool"],
        "a later file of the same folder the opposite",
    );
}

#[test]
fn without_a_plugin_directory_there_is_a_warning_and_no_error() {
    let node = Node::new(json!({}));
    fs::remove_dir(node.dir.path().join("plugins")).unwrap();
    let (code, _, err) = node.say(&["plugin", "list"]);
    assert_eq!(code, 0);
    assert!(err.contains("warning: plugin directory "), "{err}");
    assert_eq!(node.say(&["nosuch"]).0, 3);
}

#[test]
fn a_user_has_plugins_too() {
    let node = Node::new(json!({}));
    node.tool(|_| {});
    if !nexcage_sys::userns::euid().eq(&0) {
        eprintln!("NOT RUN: only root can become another user");
        return;
    }
    let root = node.dir.path().join("root");
    chown(&root, Some(NOBODY), Some(NOBODY)).unwrap();
    let output = node.command(&["tool", "x"]).uid(NOBODY).gid(NOBODY).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{err}");
    assert_eq!(err, "err\n");
}

/// Programs of a table that each show one thing of their sandbox.
fn table(folder: &Path) -> Value {
    let shell = |script: &str| json!({"program": "/bin/sh", "args": ["-c", script], "env": {"PATH": "/bin:/usr/bin"}});
    let with = |script: &str, members: Value| {
        let mut command = shell(script);
        command
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        command
    };
    json!({
        "who": shell("id -u; echo $$; cat /proc/sys/kernel/hostname; grep -c CapEff:.0000000000000000 /proc/self/status"),
        "net": shell("wc -l < /proc/net/dev"),
        "node-net": with("wc -l < /proc/net/dev", json!({"network": true})),
        "write": shell(&format!("echo x > {}/nowhere", folder.display())),
        "write-there": with(&format!("echo x > {}/there", folder.display()), json!({"writable": [folder]})),
        "args": with("echo \"$0 $*\"; cat", json!({"takes_args": true})),
        "fails": shell("echo no >&2; exit 7"),
        "much": shell("yes | head -c 3000000"),
        "long": with("sleep 600 & sleep 600", json!({"timeout_seconds": 1})),
        "none": {"program": "/nonexistent"},
        "other": shell("true"),
    })
}

/// A plugin that may run most of the table's commands.
fn with_commands(written: &Path) -> Node {
    fs::set_permissions(written, fs::Permissions::from_mode(0o777)).unwrap();
    let node = Node::new(json!({
        "commands": table(written),
        "security": {"allowed_capabilities": ["logging", "metrics", "host_command"]},
    }));
    let names = [
        "who",
        "net",
        "node-net",
        "write",
        "write-there",
        "args",
        "fails",
        "much",
        "long",
        "none",
        "missing",
    ];
    node.tool(|manifest| manifest["capabilities"] = json!([{"host_command": {"commands": names}}]));
    node
}

#[test]
fn commands_of_the_operators_table_run_in_sandboxes_of_their_own() {
    let written = tempfile::tempdir().unwrap();
    let node = with_commands(written.path());
    let run = |input: Value| -> Value {
        let (code, out) = node.ask("command.execute", &input);
        assert_eq!(code, 0, "{out}");
        serde_json::from_str(&out).unwrap()
    };
    let out = |name: &str| run(json!({"command": name}))["stdout"].as_str().unwrap().to_owned();
    let is_root = nexcage_sys::userns::euid() == 0;
    let user = if is_root { "65534" } else { "0" };
    assert_eq!(out("who"), format!("{user}\n1\ncommand\n1\n"));
    assert_eq!(out("net").trim(), "3");
    let lines = fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    assert_eq!(out("node-net").trim(), lines.to_string());
    let refused = run(json!({"command": "write"}));
    assert_ne!(refused["exit_code"], 0);
    assert!(
        refused["stderr"].as_str().unwrap().contains("Read-only file system"),
        "{refused}"
    );
    assert_eq!(run(json!({"command": "write-there"}))["exit_code"], 0);
    assert_eq!(fs::read_to_string(written.path().join("there")).unwrap(), "x\n");
    let with = run(json!({"command": "args", "args": ["a b", "$(id)"], "stdin": "in"}));
    assert_eq!(with["stdout"], "a b $(id)\nin");
    let failed = run(json!({"command": "fails"}));
    assert_eq!((&failed["exit_code"], &failed["stderr"]), (&json!(7), &json!("no\n")));
    assert!(failed["duration_ms"].is_u64());
    let much = run(json!({"command": "much"}));
    assert_eq!(
        (&much["stdout_bytes"], &much["stdout_truncated"]),
        (&json!(1 << 20), &json!(true))
    );
    assert_eq!(much["stdout"].as_str().unwrap().len(), 64 << 10);
}

#[test]
fn commands_that_fail_say_why_and_leave_nothing() {
    let written = tempfile::tempdir().unwrap();
    let node = with_commands(written.path());
    let check = |input: Value, status: i32, expected: &str| {
        let (code, out) = node.ask("command.execute", &input);
        assert_eq!(code, status, "{out}");
        assert!(out.contains(expected), "{out}");
    };
    check(
        json!({"command": "long"}),
        5,
        "run command long: no answer within the deadline",
    );
    check(
        json!({"command": "none"}),
        7,
        "execute \"/nonexistent\": No such file or directory",
    );
    check(json!({"command": "missing"}), 4, "find \"command missing\"");
    check(
        json!({"command": "other"}),
        3,
        "capability host_command is not granted for \"other\"",
    );
    check(
        json!({"command": "who", "args": ["x"]}),
        1,
        "the operator's table lets it have no arguments",
    );
    check(json!({"command": "/bin/sh"}), 1, "read what command.execute asks for");
    node.check_nothing_left();
}

#[test]
fn a_plugin_writes_its_own_configuration_and_no_other() {
    let node = Node::new(json!({
        "security": {"allowed_capabilities": ["logging", "metrics", "config_write", "config_read"]},
        "plugins": {"tool": {"config": {"a": 1}}},
    }));
    node.tool(|manifest| {
        manifest["capabilities"] = json!([
            {"config_write": {"pointers": ["/plugins"]}}, {"config_read": {"pointers": ["/plugins/tool"]}}
        ]);
        manifest["configuration_schema"] = json!({"properties": {"b": {"type": "integer"}}});
    });
    let write = |pointer: &str, value: Value| node.ask("config.write", &json!({"pointer": pointer, "value": value}));
    assert_eq!(write("/plugins/tool/config/b", json!(2)), (0, "null".into()));
    let read = node.ask("config.read", &json!({"pointer": "/plugins/tool/config"}));
    assert_eq!(read, (0, "{\"a\":1,\"b\":2}".into()));
    let (code, out) = write("/plugins/tool/config/b", json!("x"));
    assert!(code == 1 && out.contains("is not of type \"integer\""), "{out}");
    let (code, out) = write("/plugins/other/config/b", json!(2));
    assert!(
        code == 1 && out.contains("name a member of the plugin's own configuration"),
        "{out}"
    );
    let (code, out) = write("/security/denied_capabilities", json!([]));
    assert!(
        code == 3 && out.contains("capability config_write is not granted"),
        "{out}"
    );
}

#[test]
fn shells_complete_commands_of_plugins() {
    let node = Node::new(json!({}));
    node.example("hello-rust");
    node.tool(|_| {});
    fs::create_dir(node.dir.path().join("root/web1")).unwrap();
    let complete = |words: &[&str]| {
        let mut command = Command::new(NEXCAGE);
        command
            .arg("__complete")
            .arg("--root")
            .arg(node.dir.path().join("root"));
        command
            .arg("--config")
            .arg(node.dir.path().join("config.json"))
            .args(words);
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete(&["hel"]), "help\nhello-rust\n");
    assert_eq!(complete(&["sta"]), "start\nstate\n");
    assert_eq!(complete(&["state", ""]), "web1\n");
    assert_eq!(complete(&["plugin", "info", ""]), "hello-rust\ntool\n");
    assert_eq!(complete(&["exec", "--cg"]), "--cgroup\n");
    assert_eq!(complete(&["hello-rust", "w"]), "world\n");
    // Without a function for it, and when it would be late: nothing, and no error.
    assert_eq!(complete(&["tool", ""]), "");
    for shell in ["bash", "zsh", "fish"] {
        assert!(node.say(&["completion", shell]).1.contains("nexcage __complete"));
    }
    let script = format!(
        "nexcage() {{ {NEXCAGE} \"$1\" --root {root} --config {config} \"${{@:2}}\"; }}\n\
         source <({NEXCAGE} completion bash)\nCOMP_WORDS=(nexcage hello-rust w)\nCOMP_CWORD=2\n_nexcage\n\
         echo \"${{COMPREPLY[@]}}\"",
        root = node.dir.path().join("root").display(),
        config = node.dir.path().join("config.json").display(),
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "world\n",
        "{:?}",
        output.stderr
    );
}

/// A bundle of the static busybox; `None` where containers cannot be made.
fn bundle(node: &Node) -> Option<PathBuf> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let is_root = nexcage_sys::userns::euid() == 0;
    if !is_root || busybox.is_none() {
        eprintln!("NOT RUN: needs root (here: {is_root}) and a static busybox (here: {busybox:?})");
        return None;
    }
    let bundle = node.dir.path().join("bundle");
    fs::create_dir_all(bundle.join("rootfs/bin")).unwrap();
    fs::copy(busybox?, bundle.join("rootfs/bin/busybox")).unwrap();
    let path = bundle.to_str().unwrap();
    assert_eq!(node.say(&["spec", "--bundle", path]).0, 0);
    let config = bundle.join("config.json");
    let mut value: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    value["process"]["terminal"] = json!(false);
    value["process"]["args"] = json!(["/bin/busybox", "sleep", "600"]);
    fs::write(&config, value.to_string()).unwrap();
    Some(bundle)
}

#[test]
fn a_plugin_makes_and_ends_containers_by_its_grants() {
    let capabilities = [
        "container_create",
        "container_start",
        "container_stop",
        "container_delete",
        "container_exec",
    ];
    let node = Node::new(json!({"security": {"allowed_capabilities": capabilities}}));
    let Some(bundle) = bundle(&node) else { return };
    node.tool(|manifest| manifest["capabilities"] = json!(capabilities));
    let ask = |effect: &str, input: Value| -> Value {
        let (code, out) = node.ask(effect, &input);
        assert_eq!(code, 0, "{effect}: {out}");
        serde_json::from_str(&out).unwrap()
    };
    let id = "made-by-plugin";
    let created = ask("container.create", json!({"id": id, "bundle": bundle}));
    assert_eq!(created["exit_code"], 0, "{created}");
    assert_eq!(node.json(&["state", id])["status"], "created");
    assert_eq!(ask("container.start", json!({"id": id}))["exit_code"], 0);
    assert_eq!(node.json(&["state", id])["status"], "running");
    let exec = ask(
        "container.exec",
        json!({"id": id, "args": ["/bin/busybox", "cat"], "stdin": "in"}),
    );
    assert_eq!(
        (&exec["exit_code"], &exec["stdout"]),
        (&json!(0), &json!("in")),
        "{exec}"
    );
    assert_eq!(
        ask("container.stop", json!({"id": id, "signal": "KILL"}))["exit_code"],
        0
    );
    let deleted = ask("container.delete", json!({"id": id, "force": true}));
    assert_eq!(deleted["exit_code"], 0, "{deleted}");
    let gone = ask("container.start", json!({"id": id}));
    assert_eq!(gone["exit_code"], 1);
    assert!(gone["stderr"].as_str().unwrap().contains("does not exist"), "{gone}");
    let (code, out) = node.ask("container.start", &json!({"id": "--help"}));
    assert!(code == 1 && out.contains("give a container id"), "{out}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of effects, each in a line or two")]
fn programs_devices_and_raw_sockets_come_by_their_grants() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let script = folder.path().join("script");
    fs::write(&script, "#!/bin/sh\necho \"$0 $1\"; id -u; cat\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("/bin/sh", folder.path().join("link")).unwrap();
    let node = Node::new(json!({
        "security": {"allowed_capabilities": ["filesystem_execute", "host_device", "network_raw", "tracing", "logging"]}
    }));
    node.tool(|manifest| {
        manifest["capabilities"] = json!([
            {"filesystem_execute": {"paths": [folder.path()]}}, {"host_device": {"paths": ["/dev/null"]}}, "network_raw",
            "tracing", "logging"
        ]);
    });
    let (code, out) = node.ask(
        "program.execute",
        &json!({"path": script, "args": ["a"], "stdin": "in"}),
    );
    assert_eq!(code, 0, "{out}");
    let ran: Value = serde_json::from_str(&out).unwrap();
    let user = if nexcage_sys::userns::euid() == 0 { 65_534 } else { 0 };
    assert_eq!(ran["stdout"], format!("{} a\n{user}\nin", script.display()));
    let check = |effect: &str, input: Value, status: i32, expected: &str| {
        let (code, out) = node.ask(effect, &input);
        assert_eq!(code, status, "{effect}: {out}");
        assert!(out.contains(expected), "{effect}: {out}");
    };
    check(
        "program.execute",
        json!({"path": folder.path().join("link")}),
        7,
        "symbolic links",
    );
    check(
        "program.execute",
        json!({"path": "/bin/true"}),
        3,
        "capability filesystem_execute is not granted",
    );
    check("device.open", json!({"path": "/dev/null", "access": "read"}), 0, "null");
    check(
        "device.open",
        json!({"path": "/dev/zero", "access": "read"}),
        3,
        "capability host_device is not granted",
    );
    check(
        "container.start",
        json!({"id": "x"}),
        3,
        "capability container_start is not granted",
    );
    if nexcage_sys::userns::euid() == 0 {
        check("network.raw", json!({"family": "ipv4", "protocol": 1}), 0, "null");
    }
    check(
        "network.raw",
        json!({"family": "unix", "protocol": 1}),
        1,
        "read what network.raw asks for",
    );
    let span = json!({"name": "work", "start_ns": 1, "duration_ns": 2, "attributes": {"a": "b"}});
    check("trace.span", span, 0, "null");
    assert!(
        node.say(&["plugin", "logs", "tool"])
            .1
            .contains("span: {\"name\":\"work\"")
    );
}

#[test]
fn what_is_not_offered_refuses_the_load() {
    let node = Node::new(json!({"security": {"allowed_capabilities": ["process_ptrace"]}}));
    node.tool(|manifest| manifest["capabilities"] = json!(["process_ptrace"]));
    let (_, list, _) = node.say(&["plugin", "list"]);
    assert!(
        list.contains("capability process_ptrace is not offered by this nexcage"),
        "{list}"
    );
}
