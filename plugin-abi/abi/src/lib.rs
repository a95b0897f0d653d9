//! The C interface between nexcage and a plugin: tables of functions, their versions, and the loader's side of both.
//!
//! [`table`] holds what C sees; `plugin-abi/include/nexcage_plugin.h` is made from it. [`extension`] names the functions of every
//! extension, [`negotiate`] decides whether two sides fit, and [`host`] loads and calls a plugin. This crate knows no
//! manifest, no sandbox and no wire.
#![expect(
    unsafe_code,
    reason = "pointers of a plugin's tables are read here, and its functions called; every block says why it is sound"
)]

pub mod extension;
pub mod host;
pub mod negotiate;
pub mod status;
pub mod table;

pub use extension::Extension;
pub use host::{CallError, Host, LoadError, Loaded};
pub use status::{Level, Status};
