//! The config of a container that has a root filesystem and a command, but no bundle.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, bail};
use nexcage_image::User;
use oci_spec::image::Config;
use serde_json::{Map, Value, json};

use crate::commands::spec;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const TERM: &str = "TERM=xterm";

/// What differs from the config of `nexcage spec`.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) rootfs: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) cwd: String,
    pub(super) user: User,
    pub(super) terminal: bool,
    pub(super) rootless: bool,
}

impl Plan {
    /// The config.
    pub(super) fn config(&self) -> Value {
        let mut config = spec::example(spec::is_unified());
        if self.rootless {
            spec::make_rootless(&mut config, 0, 0);
            leave_user_namespace(&mut config);
        }
        if let Some(all) = config.as_object_mut() {
            all.insert("root".into(), json!({ "path": self.rootfs, "readonly": false }));
        }
        if let Some(process) = object(&mut config, "/process") {
            process.insert("args".into(), json!(self.args));
            process.insert("cwd".into(), json!(self.cwd));
            process.insert("terminal".into(), json!(self.terminal));
            process.insert("user".into(), self.user());
            process.insert("env".into(), json!(environment(&self.env, self.terminal)));
        }
        if self.user.uid != 0
            && let Some(capabilities) = object(&mut config, "/process/capabilities")
        {
            // As after setuid(2): what root may, its successor may not.
            capabilities.retain(|set, _| set == "bounding");
        }
        config
    }

    fn user(&self) -> Value {
        let User { uid, gid, groups } = &self.user;
        if groups.is_empty() {
            json!({ "uid": uid, "gid": gid })
        } else {
            json!({ "uid": uid, "gid": gid, "additionalGids": groups })
        }
    }
}

/// The process is in a user namespace already.
fn leave_user_namespace(config: &mut Value) {
    let Some(linux) = object(config, "/linux") else { return };
    linux.shift_remove("uidMappings");
    linux.shift_remove("gidMappings");
    if let Some(namespaces) = linux.get_mut("namespaces").and_then(Value::as_array_mut) {
        namespaces.retain(|namespace| namespace.get("type") != Some(&json!("user")));
    }
}

fn object<'a>(config: &'a mut Value, pointer: &str) -> Option<&'a mut Map<String, Value>> {
    config.pointer_mut(pointer)?.as_object_mut()
}

fn environment(env: &[String], terminal: bool) -> Vec<&str> {
    let has = |name: &str| env.iter().any(|entry| entry.split('=').next() == Some(name));
    let mut all = Vec::new();
    if !has("PATH") {
        all.push(PATH);
    }
    if terminal && !has("TERM") {
        all.push(TERM);
    }
    all.extend(env.iter().map(String::as_str));
    all
}

/// The command line, as text.
pub(super) fn texts(command: &[OsString]) -> Result<Vec<String>> {
    let text = |word: &OsString| match word.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("read the command: {word:?} is not valid UTF-8, which config.json cannot hold"),
    };
    command.iter().map(text).collect()
}

/// What a container of the image runs: the given command, else entrypoint and command of the image.
pub(super) fn args_of(image: &Config, command: &[OsString]) -> Result<Vec<String>> {
    if !command.is_empty() {
        return texts(command);
    }
    let parts = [image.entrypoint(), image.cmd()];
    let args: Vec<String> = parts.into_iter().flatten().flatten().cloned().collect();
    if args.is_empty() {
        bail!("the image names no command: add one at the end, as in \"-- sh\"");
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(user: User, rootless: bool) -> Plan {
        Plan {
            rootfs: "/r".into(),
            args: vec!["sh".into()],
            env: vec!["PATH=/x".into(), "A=b".into()],
            cwd: "/w".into(),
            user,
            terminal: true,
            rootless,
        }
    }

    #[test]
    fn config_is_valid_and_says_what_was_asked() {
        for rootless in [false, true] {
            let config = plan(User::default(), rootless).config();
            let parsed: oci_spec::runtime::Spec = serde_json::from_value(config.clone()).unwrap();
            assert_eq!(parsed.version(), "1.3.0");
            assert_eq!(config["root"], json!({ "path": "/r", "readonly": false }));
            assert_eq!(config["process"]["env"], json!(["TERM=xterm", "PATH=/x", "A=b"]));
            assert_eq!(config["process"]["user"], json!({ "uid": 0, "gid": 0 }));
            assert!(config["process"]["capabilities"]["effective"].is_array());
        }
    }

    #[test]
    fn another_user_has_no_capabilities() {
        let user = User {
            uid: 5,
            gid: 6,
            groups: vec![7],
        };
        let process = plan(user, false).config()["process"].clone();
        assert_eq!(process["user"], json!({ "uid": 5, "gid": 6, "additionalGids": [7] }));
        let sets: Vec<_> = process["capabilities"].as_object().unwrap().keys().collect();
        assert_eq!(sets, ["bounding"]);
    }

    #[test]
    fn command_replaces_the_images() {
        let mut image = Config::default();
        assert!(args_of(&image, &[]).is_err());
        image.set_entrypoint(Some(vec!["/e".into()]));
        image.set_cmd(Some(vec!["c".into()]));
        assert_eq!(args_of(&image, &[]).unwrap(), ["/e", "c"]);
        assert_eq!(args_of(&image, &["x".into()]).unwrap(), ["x"]);
    }
}
