//! schema: being built.
