//! Plugins from the runtime's side.
#![forbid(unsafe_code)]

pub mod audit;
mod below;
pub mod breaker;
pub mod broker;
mod causes;
pub mod commands;
pub mod configuration;
pub mod connection;
pub mod elf;
pub mod granted;
pub mod grants;
pub mod journal;
pub mod ledger;
pub mod order;
mod ownership;
pub mod package;
pub mod process;
pub mod registry;
pub mod running;
pub mod schema;
