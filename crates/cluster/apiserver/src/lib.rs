//! apiserver: being built.
