//! The product as its users meet it: real processes, containers, clients and browser.
//!
//! Each test has a platform of its own, with ports from the system and a data folder
//! that is removed, also when the test fails. What a test needs and does not find
//! fails it with how to install it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test stops at what it did not expect, and runs beside the product"
)]

mod browser;
mod faults;
mod kills;
mod kubectl;
mod registry;
mod releases;
mod render;
mod session;
mod store;
mod streams;
mod templates;
mod world;
