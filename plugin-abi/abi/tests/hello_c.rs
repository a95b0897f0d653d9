//! The example plugin in C reads JSON as strictly as it claims, and prints it back whole.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: a compiler may inherit what it has, and a helper that panics fails it"
)]

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexcage_plugin_abi::host::{Answer, CallError, Failure, Function};
use nexcage_plugin_abi::{Extension, Host, Level, Loaded, Status};

/// Keeps what is logged.
#[derive(Default)]
struct Listening(Arc<Mutex<Vec<String>>>);

impl Host for Listening {
    fn log(&self, level: Level, target: &str, message: &str) {
        self.0.lock().unwrap().push(format!("{level:?} {target}: {message}"));
    }
    fn metric(&self, _name: &str, _value: f64, _labels: &[u8]) {}
    fn broker_call(&self, _call: u64, method: &str, _input: &[u8]) -> Result<Answer, Failure> {
        Err(Failure {
            status: Status::PermissionDenied,
            text: method.to_owned(),
        })
    }
    fn is_cancelled(&self, _call: u64) -> bool {
        false
    }
    fn time_left(&self, _call: u64) -> Option<Duration> {
        None
    }
}

fn load(host: Listening) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let object = folder.path().join("hello.so");
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I"])
        .arg(base.join("../include"))
        .arg(base.join("../examples/hello-c/hello.c"))
        .arg("-o")
        .arg(&object)
        .status()
        .unwrap();
    assert!(status.success());
    Loaded::open(&object, Box::new(host)).unwrap()
}

const EXECUTE: Function<'_> = Function::Of(Extension::CliCommand, "execute");

#[track_caller]
fn check(plugin: &Loaded, function: Function<'_>, input: &str, expected: &str) {
    let answer = match plugin.call(function, 1, input.as_bytes()) {
        Ok(reply) => String::from_utf8(reply).unwrap(),
        Err(CallError::Failed { source, .. }) => source.to_string(),
        Err(error) => error.to_string(),
    };
    assert_eq!(answer, expected, "{input}");
}

#[track_caller]
fn check_greeting(plugin: &Loaded, input: &str, greeting: &str) {
    let expected = format!("{{\"exit_code\":0,\"stdout\":\"{greeting}!\\n\",\"stderr\":\"\"}}");
    check(plugin, EXECUTE, input, &expected);
}

#[test]
fn names_go_out_as_they_came() {
    let plugin = load(Listening::default());
    check_greeting(&plugin, r#"{"command":"hello-c"}"#, "Hello, world");
    check_greeting(&plugin, r#"{"args":[],"command":"hello-c"}"#, "Hello, world");
    for name in [
        "",
        "Ada",
        "ü",
        r#"\"\\\/\b\f\n\r\t"#,
        r"\u0001\u00fC",
        r"\ud83d\ude00",
        "}]",
    ] {
        let input =
            format!(r#" {{ "x": [ {{}}, -1.5e+3, null, "]" ], "args": ["{name}"], "command": "hello\u002dc" }} "#);
        check_greeting(&plugin, &input, &format!("Hello, {name}"));
    }
}

#[test]
fn what_is_no_json_is_refused() {
    let plugin = load(Listening::default());
    let refused = r#"invalid argument: read the input: want {"command", "args"}"#;
    for tail in [
        "",
        "}}",
        "} x",
        ",}",
        ":1}",
        r#","x":01}"#,
        r#","x":1.}"#,
        r#","x":1e}"#,
        r#","x":-}"#,
        r#","x":nul}"#,
        r#","x":"\x"}"#,
        r#","x":"\u12g4"}"#,
        r#","x":"\ud800"}"#,
        r#","x":"\udc00"}"#,
        r#","x":"\ud800\u0041"}"#,
        ",\"x\":\"\n\"}",
        r#","x":"#,
        r#","x":"\"#,
        r#","x":"\u1"#,
        r#","x":[1,]}"#,
        r#","x":{"a"}}"#,
        r#","x":[}]}"#,
    ] {
        check(&plugin, EXECUTE, &format!(r#"{{"command":"hello-c"{tail}"#), refused);
    }
    for input in ["", "[]", "null", "{}", r#"{"command":1}"#] {
        check(&plugin, EXECUTE, input, refused);
    }
    let deep = format!(r#"{{"command":"hello-c","x":{}"#, "[".repeat(100_000));
    check(&plugin, EXECUTE, &deep, refused);
}

#[test]
fn what_it_cannot_greet_is_refused() {
    let plugin = load(Listening::default());
    let args = |args: &str| format!(r#"{{"command":"hello-c","args":{args}}}"#);
    let list = "invalid argument: args: want a list of strings";
    for bad in ["null", "{}", "[1]", r#"["a",["b"]]"#] {
        check(&plugin, EXECUTE, &args(bad), list);
    }
    let many = "invalid argument: greet one at a time: at most one NAME";
    check(&plugin, EXECUTE, &args(r#"["a","b"]"#), many);
    let long = format!("[\"{}\"]", "x".repeat(4097));
    check(
        &plugin,
        EXECUTE,
        &args(&long),
        "invalid argument: NAME is longer than 4096 bytes",
    );
    let other = "unsupported: this command is none of hello-c's";
    check(&plugin, EXECUTE, r#"{"command":"bye"}"#, other);
}

#[test]
fn the_configuration_is_taken_whole_or_not_at_all() {
    let plugin = load(Listening::default());
    check(&plugin, Function::Init, "null", "");
    check(&plugin, Function::ConfigReload, r#"{"greet\u0069ng":"G\u00fc\"t"}"#, "");
    let bad = "invalid argument: ";
    let checks = [
        ("[]", "configuration: want an object"),
        (r#"{"greeting":"x"} x"#, "configuration: want an object"),
        (
            r#"{"greeting":"x","x":1}"#,
            "configuration: greeting is its only member",
        ),
        (r#"{"greeting":1}"#, "greeting: want a string"),
    ];
    for (input, text) in checks {
        check(&plugin, Function::ConfigReload, input, &format!("{bad}{text}"));
    }
    let long = format!(r#"{{"greeting":"{}"}}"#, "x".repeat(257));
    check(
        &plugin,
        Function::ConfigReload,
        &long,
        &format!("{bad}greeting: at most 256 bytes"),
    );
    check_greeting(&plugin, r#"{"command":"hello-c"}"#, r#"G\u00fc\"t, world"#);
    check(&plugin, Function::ConfigReload, "{}", "");
    check_greeting(&plugin, r#"{"command":"hello-c"}"#, "Hello, world");
}

#[test]
fn its_start_is_logged() {
    let host = Listening::default();
    let said = Arc::clone(&host.0);
    let plugin = load(host);
    let event = Function::Of(Extension::Hook, "event");
    for point in ["system.startup", "system.shutdown"] {
        let input = format!(r#"{{"point":"{point}","data":{{}}}}"#);
        check(&plugin, event, &input, r#"{"verdict":"allow"}"#);
    }
    assert_eq!(*said.lock().unwrap(), ["Info hello: hello has started"]);
    let refused = r#"invalid argument: read the event: want {"point", "data"}"#;
    check(&plugin, event, r#"{"data":{}}"#, refused);
}
