//! shop: being built.
