//! Hands out a snapshot of the store while the server works, to those who may have everything.

use std::os::unix::fs::DirBuilderExt;

use axum::body::Body;
use http::{HeaderValue, Response, header};
use tokio_util::io::ReaderStream;

use crate::{server::Server, status::Failure};

/// Where the snapshot is read. It is no path of Kubernetes, and a right of its own.
pub(crate) const PATH: &str = "/roadstead/store/snapshot";

impl Server {
    /// Returns a snapshot of the store, as [`crate::store::restore`] takes it.
    pub(crate) async fn snapshot(&self) -> Result<Response<Body>, Failure> {
        let failed = |error: std::io::Error| Failure::internal(format!("Internal error occurred: {error}"));
        let folder = std::env::temp_dir().join(format!("snapshot-{}", uuid::Uuid::new_v4()));
        // Nobody else looks into it, from the first moment on.
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        let file = folder.join("store");
        let saved = self.store().save(&file).await;
        let opened = match &saved {
            Ok(()) => Some(tokio::fs::File::open(&file).await),
            Err(_) => None,
        };
        // An open file is read to its end, also when its name is gone.
        std::fs::remove_dir_all(&folder).map_err(failed)?;
        saved?;
        let file = opened.transpose().map_err(failed)?.ok_or_else(|| Failure::internal("the snapshot is gone"))?;
        let size = file.metadata().await.map_err(failed)?.len();
        let mut response = Response::new(Body::from_stream(ReaderStream::new(file)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
        Ok(response)
    }
}
