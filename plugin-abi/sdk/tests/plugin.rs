//! A plugin made with the SDK, entered and called through its C tables.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test, and a plugin that panics where it is told"
)]

use nexcage_plugin::testing::FakeHost;
use nexcage_plugin::{
    Call, CliCommand, Event, Hook, HookPoint, Invocation, Level, Measurement, Monitoring, Output, Plugin, PluginError,
    Value, Verdict, json,
};
use nexcage_plugin_abi::{Extension, Status};

/// A panic whose destructor panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("again")
    }
}

struct Sample {
    config: Value,
}

impl Plugin for Sample {
    fn init(config: Value) -> Result<Self, PluginError> {
        match config.as_str() {
            Some("refuse") => Err(PluginError::not_found("no \"thing\"")),
            Some("panic") => panic!("in {}", "init"),
            _ => Ok(Self { config }),
        }
    }

    fn health_check(&self) -> nexcage_plugin::Health {
        panic!("in health_check")
    }
}

impl CliCommand for Sample {
    fn execute(&self, call: &Call, input: Invocation) -> Result<Output, PluginError> {
        match input.command.as_str() {
            "panic" => panic!("in execute"),
            "bomb" => std::panic::panic_any(Bomb),
            "config" => Ok(Output::text(call.config_read("/a")?.to_string())),
            "file" => call.read_file("/x").map(|_| Output::default()),
            "wait" => Ok(Output::text(format!("{} {:?}", call.is_cancelled(), call.time_left()))),
            "thread" => {
                let worker = std::thread::spawn(|| nexcage_plugin::warn!("from {}", "a thread"));
                worker.join().unwrap();
                nexcage_plugin::metric("threads", 1.0, &[("kind", "worker")]);
                Ok(Output::default())
            }
            _ => Ok(Output::text(self.config.to_string())),
        }
    }
}

impl Hook for Sample {
    fn event(&self, _call: &Call, event: Event) -> Result<Verdict, PluginError> {
        match event.point {
            HookPoint::ContainerPreCreate => Ok(Verdict::Adjust { patch: json!([]) }),
            _ => Ok(Verdict::deny("no")),
        }
    }
}

impl Monitoring for Sample {
    fn collect(&self, _call: &Call, _input: ()) -> Result<Vec<Measurement>, PluginError> {
        Ok(Vec::new())
    }
}

nexcage_plugin::export_plugin!(Sample, name: "sample", extensions: [CliCommand, Hook]);

#[test]
fn functions_get_their_input_and_reply() {
    let plugin = FakeHost::new().load::<Sample>(&json!({"k": 1})).unwrap();
    assert_eq!(plugin.run_command("show", &[]).unwrap().stdout, "{\"k\":1}");
    assert_eq!(plugin.run_command("wait", &[]).unwrap().stdout, "false Some(30s)");
    let event = |point| Event {
        point,
        data: json!({"id": "c"}),
    };
    assert_eq!(
        plugin.event(&event(HookPoint::ContainerPreStart)).unwrap(),
        Verdict::deny("no")
    );
    let adjusted = plugin.event(&event(HookPoint::ContainerPreCreate)).unwrap();
    assert_eq!(
        serde_json::to_value(adjusted).unwrap(),
        json!({"verdict": "adjust", "patch": []})
    );
}

#[test]
fn a_panic_is_an_error_of_one_call() {
    let plugin = FakeHost::new().load::<Sample>(&Value::Null).unwrap();
    let error = plugin.run_command("panic", &[]).unwrap_err();
    assert_eq!(error, PluginError::internal("panicked: in execute"));
    assert_eq!(plugin.health_check().unwrap_err().text, "panicked: in health_check");
    assert_eq!(plugin.run_command("bomb", &[]).unwrap_err().text, "panicked: no text");
    assert!(plugin.run_command("show", &[]).is_ok());
    drop(plugin);
    let error = FakeHost::new().load::<Sample>(&json!("panic")).map(drop).unwrap_err();
    assert_eq!(error.text, "panicked: in init");
}

#[test]
fn a_plugin_that_does_not_start_says_why_and_may_be_tried_again() {
    let error = FakeHost::new().load::<Sample>(&json!("refuse")).map(drop).unwrap_err();
    assert_eq!((error.status, error.text.as_str()), (Status::NotFound, "no \"thing\""));
    FakeHost::new().load::<Sample>(&Value::Null).unwrap();
    let held = FakeHost::new().load::<Sample>(&Value::Null).unwrap();
    let error = FakeHost::new().load::<Sample>(&Value::Null).map(drop).unwrap_err();
    assert_eq!(error.text, "this test has a plugin already: drop it first");
    drop(held);
}

#[test]
fn effects_are_asked_of_the_host() {
    let host = FakeHost::new().answer("config.read", json!(7)).cancel();
    let plugin = host.load::<Sample>(&Value::Null).unwrap();
    assert_eq!(plugin.run_command("config", &[]).unwrap().stdout, "7");
    assert_eq!(plugin.run_command("wait", &[]).unwrap().stdout, "true Some(30s)");
    let error = plugin.run_command("file", &[]).unwrap_err();
    assert_eq!(
        error,
        PluginError::permission_denied("the test's host does not answer file.open")
    );
    let asked = plugin.heard().effects;
    assert_eq!(asked[0], ("config.read".into(), json!({"pointer": "/a"})));
    assert_eq!(asked[1], ("file.open".into(), json!({"path": "/x", "access": "read"})));
}

#[test]
fn threads_log_and_measure() {
    let plugin = FakeHost::new().load::<Sample>(&Value::Null).unwrap();
    plugin.run_command("thread", &[]).unwrap();
    let heard = plugin.heard();
    assert_eq!(heard.log, [(Level::Warn, "from a thread".to_owned())]);
    assert_eq!(heard.metrics, [("threads".to_owned(), 1.0)]);
}

#[test]
fn what_a_plugin_does_not_have_is_unsupported() {
    let plugin = FakeHost::new().load::<Sample>(&Value::Null).unwrap();
    let unsupported = |extension, function| {
        plugin
            .ask::<Value>(extension, function, &json!({"command": "x"}))
            .unwrap_err()
    };
    assert_eq!(
        unsupported(Extension::CliCommand, "help").text,
        "the plugin has no help"
    );
    // A trait alone is not exported.
    assert_eq!(
        unsupported(Extension::Monitoring, "collect").status,
        Status::Unsupported
    );
    let error = plugin
        .ask::<Value>(Extension::Hook, "event", &json!({"point": "nowhere"}))
        .unwrap_err();
    assert_eq!(error.status, Status::InvalidArgument);
    let error = plugin.config_reload(&Value::Null).unwrap_err();
    assert_eq!(error.status, Status::Unsupported);
}
