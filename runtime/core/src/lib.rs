//! Lifecycle, state store and process handling of containers.
#![forbid(unsafe_code)]
