//! images: being built.
