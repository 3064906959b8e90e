//! Serves the portal over sample objects, to look at its pages: `cargo run -p portal --example preview`.
#![allow(missing_docs, reason = "it is looked at, not called")]

#[path = "../tests/world/mod.rs"]
mod world;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let world = world::World::start(&address).await;
    world.write_logs();
    if std::env::args().nth(1).as_deref() != Some("empty") {
        for (name, environment, health, pods) in [
            ("catalog", "production", "Healthy", 3),
            ("orders", "development", "Healthy", 2),
            ("orders", "production", "Progressing", 4),
            ("payments", "development", "Degraded", 3),
            ("notifications-and-reminders", "development", "Missing", 0),
            ("users", "development", "Unknown", 1),
        ] {
            world.service(name, environment, health, pods).await;
        }
    }
    eprintln!("{}", world.portal.handle().login_link("system:admin", &["system:masters".to_owned()])?);
    axum::serve(listener, world.router.clone()).await?;
    Ok(())
}
