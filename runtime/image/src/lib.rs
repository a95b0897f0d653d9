//! Images on disk, and the root filesystems made of them.
//!
//! It opens OCI layouts and the archives of `podman save` and `docker save`, verifies every byte it uses, keeps unpacked
//! layers, and stacks them in an overlay. It must not know how a container is made, nor reach any network.
#![forbid(unsafe_code)]

mod archive;
mod cache;
mod compression;
mod digest;
mod docker;
mod found;
mod image;
mod implied;
mod layout;
mod observer;
mod overlay;
mod reference;
mod scratch;
mod source;
mod unpack;
mod users;
mod workdir;

pub use archive::ArchiveError;
pub use cache::{Cache, CacheError, make_private};
pub use digest::{Digest, DigestError};
pub use found::ImageError;
pub use image::Image;
pub use implied::{ImpliedError, restore_implied};
pub use observer::Observer;
pub use overlay::{Overlay, OverlayError};
pub use reference::{Reference, ReferenceError, Transport};
pub use scratch::{Scratch, ScratchError};
pub use source::SourceError;
pub use unpack::{Budget, EntryError, LayerError, Privilege};
pub use users::{User, UserError};
pub use workdir::{WorkdirError, make_workdir};
