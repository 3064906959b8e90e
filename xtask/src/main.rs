//! The project's own chores: `cargo xtask <chore>`.

mod codegen;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("codegen") => codegen::run(args.iter().any(|arg| arg == "--check")),
        _ => anyhow::bail!("usage: cargo xtask codegen [--check]"),
    }
}
