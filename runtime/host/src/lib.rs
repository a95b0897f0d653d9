//! The plugin host: a process that holds one plugin and nothing else, and serves it to the runtime over a socket.
//!
//! It trusts the runtime that started it, and never the plugin: whatever the plugin's code does to this process, the
//! runtime believes no byte of it and ends it at the deadline.

pub mod serve;
