//! containerd's CRI plugin, as a kubelet uses it.
//!
//! `cri` is the client of this crate; `pod`, `box`, `once`, `ended`, `log` and `away` are made of it by the set-up script.

use crate::clients::case::{Case, case, has, lacks, out, sh};

/// Pods and their containers.
pub const CRI: &[Case] = &[
    case("run", &[
        sh("pod $C"),
        sh("once $C $C . echo hello").wants(&[out("hello")]),
        sh("away $C"),
    ]),
    case("server", &[
        sh("cri version").wants(&[has(r#""runtime_name": "containerd""#), has(r#""runtime_api_version": "v1""#)]),
        sh("cri info | jq -r '.status.conditions[] | \"\\(.type) \\(.status)\"'").wants(&[has("RuntimeReady true")]),
    ]),
];
