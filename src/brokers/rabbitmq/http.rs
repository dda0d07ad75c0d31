//! GET requests that are bounded in time and size.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::RabbitMqError;
use crate::config::Secret;
use crate::http_body::bounded_body;

/// An error's explanation is shown to people; a broker's may be endless.
const MAX_REASON_BYTES: usize = 300;

/// One HTTP interface of a broker.
pub(super) struct HttpApi {
    client: Client,
    /// With user and password, which the client turns into a header; never printed.
    base: Url,
    /// What it is called in messages.
    api: String,
    /// The configuration key that leads here.
    key: &'static str,
    timeout: Duration,
    requests: Mutex<BTreeMap<&'static str, u64>>,
}

/// What is asked, and how large an answer may be.
pub(super) struct Request<'a> {
    /// Names the request in metrics and messages.
    pub(super) name: &'static str,
    /// Segments are percent-encoded here, so that a virtual host `/` is one.
    pub(super) segments: &'a [&'a str],
    /// As it stands in the URL.
    pub(super) query: Option<&'a str>,
    pub(super) limit: usize,
}

impl HttpApi {
    pub(super) fn new(
        name: &str,
        key: &'static str,
        url: &Secret,
        timeout: Duration,
    ) -> Result<Self, RabbitMqError> {
        let unusable = |reason: String| RabbitMqError::Configuration { key, reason };
        let base =
            Url::parse(url.expose()).map_err(|error| unusable(format!("no URL ({error})")))?;
        if !base.has_host() {
            return Err(unusable("it has no host".to_owned()));
        }
        // The client asserts that there is one, even for plain text; a second one is refused, which is
        // as good.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| unusable(format!("no HTTP client for it ({error})")))?;
        let port = base.port_or_known_default().unwrap_or(0);
        let api = format!("{name} at {}:{port}", base.host_str().unwrap_or(""));
        Ok(Self {
            client,
            base,
            api,
            key,
            timeout,
            requests: Mutex::default(),
        })
    }

    /// What it is called in messages.
    pub(super) fn address(&self) -> &str {
        &self.api
    }

    /// Requests since the last call, by name.
    pub(super) fn take_requests(&self) -> BTreeMap<&'static str, u64> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut requests)
    }

    /// The body of a successful answer; `None` if there is no such thing (404).
    pub(super) async fn get(&self, request: Request<'_>) -> Result<Option<Bytes>, RabbitMqError> {
        // The client's own time-out starts anew with each redirect or retry; this one does not.
        match tokio::time::timeout(self.timeout, self.exchange(&request)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.timed_out(request.name)),
        }
    }

    async fn exchange(&self, request: &Request<'_>) -> Result<Option<Bytes>, RabbitMqError> {
        self.count(request.name);
        let response = self
            .client
            .get(self.url(request))
            .send()
            .await
            .map_err(|error| self.broken(request.name, error))?;
        match response.status() {
            StatusCode::OK => self.body(request, response).await.map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(self.refused(request, status, response).await),
        }
    }

    fn url(&self, request: &Request<'_>) -> Url {
        let mut url = self.base.clone();
        let mut path = url.path().trim_end_matches('/').to_owned();
        for segment in request.segments {
            path.push('/');
            path.push_str(&encoded(segment));
        }
        url.set_path(&path);
        url.set_query(request.query);
        url
    }

    async fn body(
        &self,
        request: &Request<'_>,
        response: Response,
    ) -> Result<Bytes, RabbitMqError> {
        match bounded_body(response, request.limit).await {
            Ok(Some(body)) => Ok(body.freeze()),
            Ok(None) => Err(RabbitMqError::AnswerTooLarge {
                api: self.api.clone(),
                request: request.name,
                limit: request.limit,
            }),
            Err(error) => Err(self.broken(request.name, error)),
        }
    }

    async fn refused(
        &self,
        request: &Request<'_>,
        status: StatusCode,
        response: Response,
    ) -> RabbitMqError {
        let explanation = Request {
            limit: 64 * 1024,
            ..*request
        };
        let body = self.body(&explanation, response).await.unwrap_or_default();
        let reason = reason_of(&body);
        let api = self.api.clone();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if reason.contains("management") => {
                RabbitMqError::TagMissing { api, reason }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RabbitMqError::LoginRefused {
                api,
                key: self.key,
                reason,
            },
            status => RabbitMqError::UnexpectedStatus {
                api,
                key: self.key,
                request: request.name,
                status: status.as_u16(),
            },
        }
    }

    fn broken(&self, request: &'static str, error: reqwest::Error) -> RabbitMqError {
        if error.is_timeout() {
            return self.timed_out(request);
        }
        // The URL is left out because it may be long; the innermost cause says most.
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        RabbitMqError::Unreachable {
            api: self.api.clone(),
            key: self.key,
            reason: shortened(&cause.to_string()),
        }
    }

    fn timed_out(&self, request: &'static str) -> RabbitMqError {
        RabbitMqError::Timeout {
            api: self.api.clone(),
            request,
            timeout: self.timeout,
        }
    }

    /// The answer came and cannot be understood.
    pub(super) fn nonsense(&self, request: &'static str, reason: &str) -> RabbitMqError {
        RabbitMqError::Nonsense {
            api: self.api.clone(),
            key: self.key,
            request,
            reason: shortened(reason),
        }
    }

    fn count(&self, request: &'static str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(request).or_default() += 1;
    }
}

/// A name as a segment of a path. Paths of URLs may hold brackets and others as they are, which RabbitMQ answers
/// with 400.
fn encoded(segment: &str) -> String {
    let bytes = url::form_urlencoded::byte_serialize(segment.as_bytes());
    bytes.collect::<String>().replace('+', "%20")
}

/// RabbitMQ explains itself as `{"error": …, "reason": …}`.
fn reason_of(body: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let reason = parsed
        .as_ref()
        .and_then(|body| body.get("reason"))
        .and_then(serde_json::Value::as_str);
    shortened(reason.unwrap_or("no reason given"))
}

/// For messages and names: a broker's may be endless, and hold what moves a terminal's cursor.
pub(super) fn shortened(text: &str) -> String {
    let mut end = text.len().min(MAX_REASON_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().filter(|c| !c.is_control()).collect()
}
