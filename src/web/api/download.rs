//! Answers of any length: read from the store in parts as fast as the client takes them, so that memory
//! stays bounded and no read transaction waits for a network.

use std::future::Future;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use crate::store::StoreError;

/// One JSON document a line.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// What a browser needs to know of a file.
pub(super) struct Download {
    pub(super) media_type: &'static str,
    pub(super) name: &'static str,
}

impl Download {
    /// The file of `first` and of what `next` gives from `start` on, until it gives nothing. A failure of
    /// the store breaks the answer off, so that a client sees that the file is not whole.
    pub(super) fn of<S, T, F>(
        self,
        first: impl Into<Bytes>,
        start: S,
        next: impl FnMut(S) -> F + Send + 'static,
    ) -> Response
    where
        S: Send + 'static,
        T: Into<Bytes> + 'static,
        F: Future<Output = Result<Option<(T, S)>, StoreError>> + Send + 'static,
    {
        let parts = stream::try_unfold(start, next)
            .map_ok(Into::into)
            .inspect_err(|error| {
                let error = crate::error_chain(error);
                tracing::error!(error, "a download was broken off");
            });
        let first = stream::once(std::future::ready(Ok(first.into())));
        let body = Body::from_stream(first.chain(parts));
        let disposition = format!("attachment; filename=\"{}\"", self.name);
        let mut response = ([(header::CONTENT_TYPE, self.media_type)], body).into_response();
        if let Ok(value) = HeaderValue::from_str(&disposition) {
            response
                .headers_mut()
                .insert(header::CONTENT_DISPOSITION, value);
        }
        response
    }
}

/// A value as one line. What cannot be written as JSON does not occur among our wire types.
pub(super) fn json_line(value: &impl Serialize) -> String {
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}
