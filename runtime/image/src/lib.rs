//! A temporary bundle from a root filesystem directory or an OCI image.
#![forbid(unsafe_code)]
