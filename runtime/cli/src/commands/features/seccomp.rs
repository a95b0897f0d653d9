//! What the linked libseccomp and the running kernel can filter: each value is tried, none is assumed.

use std::str::FromStr as _;

use libseccomp::{ScmpAction, ScmpArch, ScmpFilterContext, ScmpSyscall};
use serde_json::{Value, json};

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

const ACTIONS: [(&str, ScmpAction); 9] = [
    ("SCMP_ACT_ALLOW", ScmpAction::Allow),
    ("SCMP_ACT_ERRNO", ScmpAction::Errno(1)),
    ("SCMP_ACT_KILL", ScmpAction::KillThread),
    ("SCMP_ACT_KILL_PROCESS", ScmpAction::KillProcess),
    ("SCMP_ACT_KILL_THREAD", ScmpAction::KillThread),
    ("SCMP_ACT_LOG", ScmpAction::Log),
    ("SCMP_ACT_NOTIFY", ScmpAction::Notify),
    ("SCMP_ACT_TRACE", ScmpAction::Trace(0)),
    ("SCMP_ACT_TRAP", ScmpAction::Trap),
];

const ARCHS: [&str; 23] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

type SetFlag = fn(&mut ScmpFilterContext) -> bool;

const FLAGS: [(&str, SetFlag); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", |filter| filter.set_ctl_tsync(true).is_ok()),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", |filter| {
        filter.set_ctl_ssb(true).is_ok()
    }),
    ("SECCOMP_FILTER_FLAG_LOG", |filter| filter.set_ctl_log(true).is_ok()),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", |filter| {
        filter.set_ctl_waitkill(true).is_ok()
    }),
];

/// Tries everything and writes the document's `linux.seccomp`.
pub(super) fn document() -> Value {
    let names = |flags: &[(&'static str, SetFlag)]| flags.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let supported: Vec<_> = FLAGS.into_iter().filter(|(_, set)| is_settable(*set)).collect();
    json!({
        "enabled": true,
        "actions": ACTIONS.iter().filter(|(_, action)| is_action(*action)).map(|(name, _)| *name).collect::<Vec<_>>(),
        "operators": OPERATORS,
        "archs": ARCHS.into_iter().filter(|name| is_arch(name)).collect::<Vec<_>>(),
        "knownFlags": names(&FLAGS),
        "supportedFlags": names(&supported),
    })
}

/// A filter with this as its default action asks library and kernel whether they know it.
fn is_action(action: ScmpAction) -> bool {
    ScmpFilterContext::new(action).is_ok()
}

/// The library resolves a system call only for an architecture that it knows.
fn is_arch(name: &str) -> bool {
    ScmpArch::from_str(name).is_ok_and(|arch| ScmpSyscall::from_name_by_arch("read", arch).is_ok())
}

fn is_settable(set: SetFlag) -> bool {
    ScmpFilterContext::new(ScmpAction::Allow).is_ok_and(|mut filter| set(&mut filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(key: &str) -> Vec<String> {
        document()[key]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn basics_of_every_kernel_are_found() {
        assert!(list("actions").contains(&"SCMP_ACT_ERRNO".to_owned()));
        assert!(list("archs").contains(&"SCMP_ARCH_X86_64".to_owned()));
        assert!(!is_arch("SCMP_ARCH_NONE"));
    }

    #[test]
    fn supported_flags_are_known_ones() {
        let known = list("knownFlags");
        assert!(list("supportedFlags").iter().all(|flag| known.contains(flag)));
    }
}
