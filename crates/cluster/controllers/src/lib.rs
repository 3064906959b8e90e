//! controllers: being built.
