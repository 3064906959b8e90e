//! routes: being built.
