//! The registry with a stock client: an image goes in and out unchanged.
#![expect(clippy::unwrap_used, reason = "it is a test")]

use std::process::Command;

use http::HeaderMap;
use images::{
    Reference, Store,
    registry::{Action, Verdict},
};

#[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
async fn serve(store: Store) -> u16 {
    let access = |headers: HeaderMap, _: Option<String>, _: Action| async move {
        if headers.contains_key("authorization") { Verdict::Allow } else { Verdict::Unauthenticated }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, images::registry::router(store, access)).await });
    port
}

async fn skopeo(args: Vec<String>) -> String {
    let run = move || Command::new("skopeo").args(args).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().expect("skopeo is missing: apt-get install skopeo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_pulls_and_pushes_an_image_unchanged() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (Store::open(dir.path()).unwrap(), Store::open(other.path()).unwrap());
    let reference = Reference::parse("registry.cluster.local/team/shell:1").unwrap();
    let digest = images::pack::pack(&from, "/bin/sh".as_ref(), &reference, &images::pack::Config::default()).unwrap();
    let (from_port, to_port) = (serve(from).await, serve(to.clone()).await);
    skopeo(words(&format!(
        "copy --src-tls-verify=false --dest-tls-verify=false --src-creds x:t --dest-creds x:t \
         docker://127.0.0.1:{from_port}/team/shell:1 docker://127.0.0.1:{to_port}/team/shell:1"
    )))
    .await;
    assert_eq!(to.image(&reference).unwrap().digest, digest);
    let inspected =
        skopeo(words(&format!("inspect --tls-verify=false --creds x:t docker://127.0.0.1:{to_port}/team/shell:1")))
            .await;
    assert!(inspected.contains(&digest.to_string()), "{inspected}");
    let cache = other.path().join("roots");
    let root =
        images::unpack::unpack(&to, &to.image(&reference).unwrap(), &cache, images::unpack::Limits::default()).unwrap();
    assert!(root.join("etc/passwd").exists());
}
