//! gitops: being built.
