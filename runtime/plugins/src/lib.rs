//! Plugins from the runtime's side.
#![forbid(unsafe_code)]

pub mod audit;
mod below;
pub mod breaker;
pub mod broker;
pub mod configuration;
pub mod connection;
pub mod granted;
pub mod grants;
pub mod ledger;
pub mod order;
pub mod package;
pub mod process;
