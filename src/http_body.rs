//! Answers of HTTP servers, none of which is trusted with our memory.

use bytes::BytesMut;
use reqwest::Response;

/// The body of an answer; `None` if it is larger than `limit` bytes.
pub(crate) async fn bounded_body(
    mut response: Response,
    limit: usize,
) -> reqwest::Result<Option<BytesMut>> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
