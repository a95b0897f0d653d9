//! Conformance cases for any OCI runtime.
#![forbid(unsafe_code)]

pub mod clients;
pub mod cri;
