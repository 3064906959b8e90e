//! The registry by its protocol: each request as a client sends it.

use axum::body::to_bytes;
use serde_json::Value;
use tower::ServiceExt;

use super::*;

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    router: Router,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let access = |headers: HeaderMap, repository: Option<String>, action| async move {
        match headers.get("who").map(|value| value.to_str().unwrap().to_owned()).as_deref() {
            None => Verdict::Unauthenticated,
            Some("reader") if action == Action::Push || repository.as_deref() == Some("secret") => Verdict::Denied,
            Some(_) => Verdict::Allow,
        }
    };
    let router = router_with(store.clone(), access, Settings { blob_limit: 100 });
    World { _dir: dir, store, router }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        body["errors"][0]["code"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl World {
    async fn send(&self, who: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = http::Request::builder().method(method).uri(path);
        if !who.is_empty() {
            request = request.header("who", who);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: to_bytes(body, 1 << 20).await.unwrap().to_vec(),
        }
    }

    async fn writer(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.send("writer", method, path, &[], body).await
    }

    async fn push_blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let answer = self.writer("POST", &format!("/v2/{name}/blobs/uploads/?digest={digest}"), bytes).await;
        assert_eq!(answer.status, 201);
        digest
    }

    async fn push_manifest(&self, name: &str, tag: &str, more: Value) -> Digest {
        let config = self.push_blob(name, b"{}").await;
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config.to_string(), "size": 2 },
            "layers": [],
        });
        manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.writer("PUT", &format!("/v2/{name}/manifests/{tag}"), manifest.to_string().as_bytes()).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        Digest::parse(answer.header("docker-content-digest")).unwrap()
    }
}

#[tokio::test]
async fn only_who_may_does() {
    let world = world();
    let answer = world.send("", "GET", "/v2/", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHORIZED"));
    assert!(answer.header("www-authenticate").starts_with("Basic realm="));
    let answer = world.send("reader", "POST", "/v2/a/blobs/uploads/", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "DENIED"));
    assert_eq!(world.send("reader", "GET", "/v2/secret/tags/list", &[], b"").await.status, 403);
    assert_eq!(world.send("reader", "GET", "/v2/", &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_blob_comes_in_pieces_and_is_read_in_ranges() {
    let world = world();
    let start = world.writer("POST", "/v2/team/app/blobs/uploads/", b"").await;
    assert_eq!(start.status, 202);
    let place = start.header("location").to_owned();
    let piece = world.send("writer", "PATCH", &place, &[("content-range", "0-4")], b"hello").await;
    assert_eq!((piece.status, piece.header("range")), (202, "0-4"));
    let wrong = world.send("writer", "PATCH", &place, &[("content-range", "9-9")], b"x").await;
    assert_eq!(wrong.status, 416);
    assert_eq!(world.writer("GET", &place, b"").await.header("range"), "0-4");
    let digest = Digest::of(b"hello world");
    let escaped = digest.to_string().replace(':', "%3A");
    let end = world.writer("PUT", &format!("{place}?digest={escaped}"), b" world").await;
    assert_eq!((end.status, end.header("location")), (201, format!("/v2/team/app/blobs/{digest}").as_str()));
    let path = format!("/v2/team/app/blobs/{digest}");
    let head = world.writer("HEAD", &path, b"").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "11", 0));
    for (range, expected) in
        [("bytes=0-4", "hello"), ("bytes=6-", "world"), ("bytes=-3", "rld"), ("bytes=6-99", "world")]
    {
        let part = world.send("writer", "GET", &path, &[("range", range)], b"").await;
        assert_eq!((part.status, part.body.as_slice()), (206, expected.as_bytes()), "{range}");
    }
    assert_eq!(world.send("writer", "GET", &path, &[("range", "bytes=11-")], b"").await.status, 416);
    assert_eq!(world.writer("GET", &format!("/v2/other/blobs/{digest}"), b"").await.code(), "BLOB_UNKNOWN");
}

#[tokio::test]
async fn wrong_large_and_damaged_content_is_refused() {
    let world = world();
    let other = Digest::of(b"other");
    let answer = world.writer("POST", &format!("/v2/a/blobs/uploads/?digest={other}"), b"content").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "DIGEST_INVALID"));
    let large = [b'x'; 101];
    let answer = world.writer("POST", &format!("/v2/a/blobs/uploads/?digest={}", Digest::of(&large)), &large).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "SIZE_INVALID"));
    let digest = world.push_blob("a", b"content").await;
    std::fs::write(world.store.blob_path(&digest), b"c0ntent").unwrap();
    assert_eq!(world.writer("GET", &format!("/v2/a/blobs/{digest}"), b"").await.code(), "DIGEST_INVALID");
    world.push_blob("a", b"content").await;
    assert_eq!(
        world.writer("GET", &format!("/v2/a/blobs/{digest}"), b"").await.body,
        b"content",
        "pushing again heals it"
    );
    for path in ["/v2/A/manifests/1", "/v2/a/../b/manifests/1", "/v2/a/manifests/.x"] {
        assert!(matches!(world.writer("GET", path, b"").await.status, 400 | 404), "{path}");
    }
}

#[tokio::test]
async fn a_blob_is_mounted_from_where_it_may_be_read() {
    let world = world();
    let digest = world.push_blob("from", b"shared").await;
    let answer = world.writer("POST", &format!("/v2/to/blobs/uploads/?mount={digest}&from=from"), b"").await;
    assert_eq!(answer.status, 201);
    assert_eq!(world.writer("GET", &format!("/v2/to/blobs/{digest}"), b"").await.body, b"shared");
    let answer = world.writer("POST", &format!("/v2/to/blobs/uploads/?mount={digest}&from=nowhere"), b"").await;
    assert_eq!(answer.status, 202, "an upload begins instead");
}

#[tokio::test]
async fn manifests_are_whole_tagged_listed_and_deleted() {
    let world = world();
    let broken = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "digest": Digest::of(b"none").to_string(), "size": 4 }, "layers": [] });
    let answer = world.writer("PUT", "/v2/a/manifests/1", broken.to_string().as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "MANIFEST_BLOB_UNKNOWN"));
    assert_eq!(world.writer("PUT", "/v2/a/manifests/1", b"nonsense").await.code(), "MANIFEST_INVALID");
    let digest = world.push_manifest("a", "1", json!({})).await;
    for tag in ["2", "3"] {
        assert_eq!(world.push_manifest("a", tag, json!({})).await, digest);
    }
    let head = world.writer("HEAD", "/v2/a/manifests/1", b"").await;
    assert_eq!(head.header("docker-content-digest"), digest.to_string());
    assert_eq!(head.header("content-type"), "application/vnd.oci.image.manifest.v1+json");
    let page = world.writer("GET", "/v2/a/tags/list?n=2", b"").await;
    assert_eq!(page.json()["tags"], json!(["1", "2"]));
    assert_eq!(page.header("link"), "</v2/a/tags/list?n=2&last=2>; rel=\"next\"");
    let page = world.writer("GET", "/v2/a/tags/list?n=2&last=2", b"").await;
    assert_eq!((page.json()["tags"].clone(), page.header("link")), (json!(["3"]), ""));
    assert_eq!(world.writer("GET", "/v2/_catalog", b"").await.json(), json!({ "repositories": ["a"] }));
    assert_eq!(world.writer("DELETE", "/v2/a/manifests/1", b"").await.status, 202);
    assert_eq!(world.writer("GET", "/v2/a/manifests/1", b"").await.code(), "MANIFEST_UNKNOWN");
    assert_eq!(world.writer("DELETE", &format!("/v2/a/manifests/{digest}"), b"").await.status, 202);
    assert_eq!(world.writer("GET", "/v2/a/tags/list", b"").await.json()["tags"], json!([]));
    assert_eq!(world.writer("GET", "/v2/none/tags/list", b"").await.code(), "NAME_UNKNOWN");
}

#[tokio::test]
async fn referrers_name_what_refers_to_a_manifest() {
    let world = world();
    let subject = world.push_manifest("a", "1", json!({})).await;
    let about =
        json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject.to_string(), "size": 1 });
    let sbom = world.push_manifest("a", "sbom", json!({ "artifactType": "text/sbom", "subject": about })).await;
    let path = format!("/v2/a/referrers/{subject}");
    let found = world.writer("GET", &path, b"").await;
    assert_eq!(found.json()["manifests"][0]["digest"], sbom.to_string());
    let none = world.writer("GET", &format!("{path}?artifactType=other"), b"").await;
    assert_eq!((none.json()["manifests"].clone(), none.header("oci-filters-applied")), (json!([]), "artifactType"));
}

#[test]
fn paths_are_read_from_their_end() {
    for (path, expected) in [
        ("a/manifests/1", Some(Place::Manifest("a", "1"))),
        ("a/manifests/manifests/manifests/x", Some(Place::Manifest("a/manifests/manifests", "x"))),
        ("a/blobs/uploads/", Some(Place::Uploads("a"))),
        ("a/blobs/uploads/id", Some(Place::Upload("a", "id"))),
        ("a/blobs/x", Some(Place::Blob("a", "x"))),
        ("tags/list/tags/list", Some(Place::Tags("tags/list"))),
        ("nothing", None),
    ] {
        assert_eq!(Place::parse(path, &Method::GET), expected, "{path}");
    }
}
