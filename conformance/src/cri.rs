//! A small client of the Container Runtime Interface (CRI, runtime.v1): what a kubelet asks of containerd, as verbs of a
//! command line.
//!
//! Debian 12 has containerd's CRI plugin but no `crictl`. Verbs, JSON field names and the wording of errors follow
//! crictl. Streaming (attach, exec with a terminal, port forwarding) is not part of it: that goes over a web server of
//! containerd, not over CRI itself.

mod grpc;
mod messages;
mod verbs;

pub use verbs::{Verb, run_verb};
