//! OCI documents and the programs they name: container id, bundle and config, state, OCI hooks.
#![forbid(unsafe_code)]
