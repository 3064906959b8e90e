//! YAML as go-yaml v3 reads it (resources) and v2 writes it (what `kustomize build` prints).

mod emit;
pub(crate) mod json;
pub(crate) mod node;
pub(crate) mod read;
pub(crate) mod resolve;
pub(crate) mod write;

pub(crate) use emit::{emit, marshalled};
pub(crate) use node::{Key, Map, Node, Scalar, Seq, Style, Tag};
