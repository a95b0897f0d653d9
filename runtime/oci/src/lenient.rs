//! Makes what real clients write fit the strict types of `oci-spec`: drops, renames or fills in, and says so.
//!
//! Every rule here is one that runc follows by its language or by its code: an absent struct is an empty one, an unknown
//! capability is left out, the type bits of a device's mode do not count. What runc refuses is refused elsewhere.

use serde_json::{Map, Value};

use crate::document::Warning;

type Object = Map<String, Value>;

/// Every Linux capability by its kernel name, without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// The file type in a mode: not part of what a device node is given.
const S_IFMT: u64 = 0o170_000;

/// Sections of a config that concern other platforms, and fields that `oci-spec` invents.
const NOT_LINUX: [&str; 6] = ["windows", "solaris", "zos", "freebsd", "uidMappings", "gidMappings"];

/// Mends a whole config.json.
pub(crate) fn mend_config(config: &mut Value, warnings: &mut Vec<Warning>) {
    let Value::Object(config) = config else { return };
    for section in NOT_LINUX {
        if config.shift_remove(section).is_some() {
            tracing::debug!(section, "section for another platform ignored");
        }
    }
    for mount in objects(config.get_mut("mounts")) {
        fill(mount, "destination", || Value::from(""));
    }
    for list in config
        .get_mut("hooks")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut)
    {
        for hook in objects(Some(list)) {
            fill(hook, "path", || Value::from(""));
        }
    }
    if let Some(process) = config.get_mut("process") {
        mend_process(process, "/process", warnings);
    }
    if let Some(linux) = object(config, "linux") {
        mend_linux(linux, warnings);
    }
}

/// Mends a process: the one in a config, or the whole file that `exec` is given.
pub(crate) fn mend_process(process: &mut Value, pointer: &str, warnings: &mut Vec<Warning>) {
    let Value::Object(process) = process else { return };
    fill(process, "user", || Value::Object(Map::new()));
    fill(process, "cwd", || Value::from(""));
    if let Some(sets) = object(process, "capabilities") {
        for (set, list) in sets {
            drop_unknown_capabilities(list, &format!("{pointer}/capabilities/{set}"), warnings);
        }
    }
    let flags = object(process, "scheduler").and_then(|scheduler| scheduler.get_mut("flags"));
    for flag in flags.and_then(Value::as_array_mut).into_iter().flatten() {
        // `oci-spec` derives another spelling than the spec's for this one.
        if flag.as_str() == Some("SCHED_FLAG_DL_OVERRUN") {
            *flag = Value::from("SCHED_FLAG_D_L_OVERRUN");
        }
    }
    if let Some(affinity) = object(process, "execCPUAffinity") {
        tidy_cpu_list(affinity, "initial");
        tidy_cpu_list(affinity, "final");
    }
}

/// Mends the resources of a config, or the whole document that `update` is given.
pub(crate) fn mend_resources(resources: &mut Value, pointer: &str, warnings: &mut Vec<Warning>) {
    let Value::Object(resources) = resources else { return };
    for rule in objects(resources.get_mut("devices")) {
        drop_if(rule, "type", |value| value.as_str() == Some(""));
    }
    // A limit that is absent is not a limit of 0.
    drop_if(resources, "pids", |pids| {
        pids.as_object().is_some_and(|pids| !pids.contains_key("limit"))
    });
    for (index, huge) in objects(resources.get_mut("hugepageLimits")).enumerate() {
        let Some(limit) = huge.get_mut("limit") else { continue };
        if limit.as_u64().is_some_and(|bytes| i64::try_from(bytes).is_err()) {
            *limit = Value::from(i64::MAX);
            let text = format!("limit cut to {} bytes, more than any machine has", i64::MAX);
            warnings.push(Warning {
                pointer: format!("{pointer}/hugepageLimits/{index}/limit"),
                text,
            });
        }
    }
}

fn mend_linux(linux: &mut Object, warnings: &mut Vec<Warning>) {
    for namespace in objects(linux.get_mut("namespaces")) {
        drop_if(namespace, "path", |path| path.as_str() == Some(""));
    }
    for device in objects(linux.get_mut("devices")) {
        if let Some(mode) = device.get_mut("fileMode")
            && let Some(bits) = mode.as_u64()
        {
            *mode = Value::from(bits & !S_IFMT);
        }
    }
    for text in ["cgroupsPath", "rootfsPropagation", "mountLabel"] {
        drop_if(linux, text, |value| value.as_str() == Some(""));
    }
    if let Some(resources) = linux.get_mut("resources") {
        mend_resources(resources, "/linux/resources", warnings);
    }
    let rules = object(linux, "seccomp").and_then(|seccomp| seccomp.get_mut("syscalls"));
    for rule in objects(rules) {
        fill(rule, "names", || Value::Array(Vec::new()));
        for arg in objects(rule.get_mut("args")) {
            fill(arg, "index", || Value::from(0));
            fill(arg, "value", || Value::from(0));
        }
    }
}

fn drop_unknown_capabilities(list: &mut Value, pointer: &str, warnings: &mut Vec<Warning>) {
    let Value::Array(list) = list else { return };
    let mut index = 0_usize;
    list.retain(|name| {
        let is_known = name.as_str().is_none_or(is_capability);
        if !is_known {
            let text = format!("unknown capability {name} ignored: check its name");
            warnings.push(Warning {
                pointer: format!("{pointer}/{index}"),
                text,
            });
        }
        index = index.saturating_add(1);
        is_known
    });
}

fn is_capability(name: &str) -> bool {
    name.strip_prefix("CAP_")
        .is_some_and(|name| CAPABILITIES.binary_search(&name).is_ok())
}

/// Drops the spaces and empty elements that runc reads past, and a list of nothing else.
fn tidy_cpu_list(affinity: &mut Object, key: &str) {
    let Some(list) = affinity.get(key).and_then(Value::as_str) else {
        return;
    };
    let parts: Vec<&str> = list.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        affinity.shift_remove(key);
    } else {
        let tidy = parts.join(",");
        affinity.insert(key.to_owned(), Value::from(tidy));
    }
}

fn object<'a>(parent: &'a mut Object, key: &str) -> Option<&'a mut Object> {
    parent.get_mut(key).and_then(Value::as_object_mut)
}

fn objects(list: Option<&mut Value>) -> impl Iterator<Item = &mut Object> {
    list.and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

fn fill(object: &mut Object, key: &str, value: impl FnOnce() -> Value) {
    if !object.contains_key(key) {
        object.insert(key.to_owned(), value());
    }
}

fn drop_if(object: &mut Object, key: &str, is_unwanted: impl FnOnce(&Value) -> bool) {
    if object.get(key).is_some_and(is_unwanted) {
        object.shift_remove(key);
    }
}

#[cfg(test)]
mod tests;
