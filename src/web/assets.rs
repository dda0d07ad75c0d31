//! Stylesheet, scripts and icons, embedded in the binary. Their URL carries a digest of all of them,
//! so that a browser may keep them for ever and modules of two versions never meet.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rust_embed::RustEmbed;

use super::problem::Problem;
use crate::domain::digest_of_fields;
use crate::web::path::Path;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Assets;

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Assets::iter().collect();
    names.sort_unstable();
    let files = names.iter().filter_map(|name| Assets::get(name));
    let digests: Vec<_> = files.map(|file| file.metadata.sha256_hash()).collect();
    let mut version = digest_of_fields(digests.iter().map(<[u8; 32]>::as_slice));
    version.truncate(12);
    version
});

/// The URL of an asset.
pub(crate) fn url(name: &str) -> String {
    format!("/static/{}/{name}", *VERSION)
}

/// Serves one asset, for ever if the URL names the version that this binary holds.
pub(crate) async fn serve(
    Path((version, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file =
        Assets::get(&name).ok_or_else(|| Problem::not_found("there is no such file of Redrive"))?;
    let cache = if version == *VERSION {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let etag = format!("\"{}\"", *VERSION);
    let etag = HeaderValue::from_str(&etag)
        .map_err(|error| Problem::internal("an asset has no digest", &error))?;
    let known = headers.get(header::IF_NONE_MATCH) == Some(&etag);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file.data.into_owned().into_response()
    };
    let mime = HeaderValue::from_str(file.metadata.mimetype())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, mime);
    headers.insert(header::ETAG, etag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    Ok(response)
}
