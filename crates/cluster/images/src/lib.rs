//! Container images: the content store, the OCI distribution registry over it,
//! packing an executable into an image, and unpacking an image to a root file system.
//!
//! It never runs a container, never asks who a caller is (the binary passes an
//! [`registry::Access`]) and never talks to another registry: what is to be run
//! here is pushed here.

mod digest;
mod error;
pub mod pack;
mod reference;
pub mod registry;
mod store;
pub mod unpack;

pub use digest::Digest;
pub use error::Error;
pub use reference::{REGISTRY_HOST, Reference};
pub use store::{Image, Manifest, Store, Target, Upload};
