//! portal: being built.
