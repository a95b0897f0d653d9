//! hello: the command `hello-rust [NAME]`, a hook at system.startup and a health check.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nexcage_plugin::{
    Call, CliCommand, Command, Event, Health, Hook, HookPoint, Invocation, Output, Plugin, PluginError, Value, Verdict,
};
use serde::Deserialize;

/// The longest greeting, in bytes.
const GREETING_MAX: usize = 256;

/// The longest name, in bytes.
const NAME_MAX: usize = 4096;

/// What the operator may say.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Config {
    greeting: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            greeting: "Hello".to_owned(),
        }
    }
}

impl Config {
    fn parse(config: Value) -> Result<Self, PluginError> {
        let parsed = <Option<Self> as Deserialize>::deserialize(config);
        let config = parsed
            .map_err(|error| PluginError::invalid_argument(error.to_string()))?
            .unwrap_or_default();
        if config.greeting.len() > GREETING_MAX {
            return Err(PluginError::invalid_argument(format!(
                "greeting: at most {GREETING_MAX} bytes"
            )));
        }
        Ok(config)
    }
}

/// The plugin.
#[derive(Debug)]
struct Hello {
    config: Mutex<Config>,
}

impl Hello {
    fn config(&self) -> MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plugin for Hello {
    fn init(config: Value) -> Result<Self, PluginError> {
        Ok(Self {
            config: Mutex::new(Config::parse(config)?),
        })
    }

    fn config_reload(&self, config: Value) -> Result<(), PluginError> {
        *self.config() = Config::parse(config)?;
        Ok(())
    }

    fn health_check(&self) -> Health {
        Health::well("hello is well")
    }
}

impl CliCommand for Hello {
    fn list_commands(&self, _call: &Call, _input: ()) -> Result<Vec<Command>, PluginError> {
        Ok(vec![Command::new("hello-rust", "Greet somebody")])
    }

    fn help(&self, _call: &Call, _input: Invocation) -> Result<String, PluginError> {
        Ok("Greet somebody, the world if nobody is named.\n\nUsage: nexcage hello-rust [NAME]".to_owned())
    }

    fn validate(&self, _call: &Call, input: Invocation) -> Result<(), PluginError> {
        match input.args.as_slice() {
            [] => Ok(()),
            [name] if name.len() <= NAME_MAX => Ok(()),
            [_] => Err(PluginError::invalid_argument(format!(
                "NAME is longer than {NAME_MAX} bytes"
            ))),
            _ => Err(PluginError::invalid_argument("greet one at a time: at most one NAME")),
        }
    }

    fn execute(&self, _call: &Call, input: Invocation) -> Result<Output, PluginError> {
        let name = input.args.first().map_or("world", String::as_str);
        Ok(Output::text(format!("{}, {name}!\n", self.config().greeting)))
    }

    fn complete(&self, _call: &Call, _input: Invocation) -> Result<Vec<String>, PluginError> {
        Ok(vec!["world".to_owned()])
    }
}

impl Hook for Hello {
    fn event(&self, _call: &Call, event: Event) -> Result<Verdict, PluginError> {
        if event.point == HookPoint::SystemStartup {
            nexcage_plugin::info!("hello has started");
        }
        Ok(Verdict::Allow)
    }
}

nexcage_plugin::export_plugin!(Hello, name: "hello-rust", extensions: [CliCommand, Hook]);

#[cfg(test)]
mod tests {
    use nexcage_plugin::testing::{FakeHost, TestPlugin};
    use nexcage_plugin::{Level, json};

    use super::*;

    fn load(config: &Value) -> TestPlugin {
        FakeHost::new().load::<Hello>(config).unwrap()
    }

    #[test]
    fn somebody_is_greeted() {
        let hello = load(&Value::Null);
        assert_eq!(
            hello.run_command("hello-rust", &[]).unwrap(),
            Output::text("Hello, world!\n")
        );
        assert_eq!(
            hello.run_command("hello-rust", &["\"\\"]).unwrap().stdout,
            "Hello, \"\\!\n"
        );
        let error = hello.run_command("hello-rust", &["a", "b"]).unwrap_err();
        assert_eq!(
            error,
            PluginError::invalid_argument("greet one at a time: at most one NAME")
        );
    }

    #[test]
    fn the_operator_chooses_the_greeting() {
        let hello = load(&json!({"greeting": "Good day"}));
        assert_eq!(
            hello.run_command("hello-rust", &[]).unwrap().stdout,
            "Good day, world!\n"
        );
        hello.config_reload(&json!({"greeting": "Bye"})).unwrap();
        assert!(hello.config_reload(&json!({"greeting": 7})).is_err());
        assert_eq!(hello.run_command("hello-rust", &["you"]).unwrap().stdout, "Bye, you!\n");
        assert!(
            FakeHost::new()
                .load::<Hello>(&json!({"greeting": "x".repeat(300)}))
                .is_err()
        );
    }

    #[test]
    fn the_start_is_logged_and_allowed() {
        let hello = load(&Value::Null);
        let event = |point| Event {
            point,
            data: Value::Null,
        };
        assert_eq!(hello.event(&event(HookPoint::SystemStartup)).unwrap(), Verdict::Allow);
        assert_eq!(hello.event(&event(HookPoint::SystemShutdown)).unwrap(), Verdict::Allow);
        assert_eq!(hello.heard().log, [(Level::Info, "hello has started".to_owned())]);
        assert_eq!(hello.health_check().unwrap(), Health::well("hello is well"));
    }
}
