//! Plugins from the runtime's side.
#![forbid(unsafe_code)]

pub mod audit;
pub mod breaker;
pub mod broker;
pub mod connection;
pub mod granted;
pub mod ledger;
pub mod package;
pub mod process;
