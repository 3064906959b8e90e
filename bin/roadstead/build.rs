//! Links the binary for one address.
//!
//! A program that may be loaded anywhere writes the addresses of its tables at each start:
//! megabytes that every process then holds for itself, before the first line of `main`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |key: &str| std::env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
