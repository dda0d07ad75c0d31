use std::io::Write as _;
use std::time::Duration;

use bytes::BytesMut;
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode};
use tonic_types::pb::Status;
use url::Url;

use super::client::{Failure, TIMEOUT, Taken, short};
use crate::config::TraceExportConfig;
use crate::domain::Timestamp;
use crate::http_body::bounded_body;

const PROTOBUF: &str = "application/x-protobuf";

/// What an answer may hold: some numbers and a text.
const ANSWER_LIMIT: usize = 64 * 1024;

pub(super) struct HttpClient {
    client: Client,
    url: Url,
    headers: HeaderMap,
    gzip: bool,
}

impl HttpClient {
    pub(super) fn new(
        config: &TraceExportConfig,
        authorities: Option<Vec<u8>>,
    ) -> Result<Self, String> {
        let unusable = |error: reqwest::Error| crate::error_chain(&error.without_url());
        // A second one is refused, which is as good.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        // A redirect would carry the headers to another host.
        let mut builder = Client::builder().timeout(TIMEOUT).redirect(Policy::none());
        if let Some(pem) = authorities {
            let authorities = Certificate::from_pem_bundle(&pem).map_err(unusable)?;
            builder = builder.tls_certs_only(authorities);
        }
        Ok(Self {
            client: builder.build().map_err(unusable)?,
            url: config.url().ok_or("traces.export.endpoint is missing")?,
            headers: config.header_map(),
            gzip: config.gzip,
        })
    }

    pub(super) async fn send(&self, request: ExportTraceServiceRequest) -> Result<Taken, Failure> {
        let later = |problem| Failure::Later {
            problem,
            wait: None,
        };
        let mut body = request.encode_to_vec();
        let mut builder = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, PROTOBUF);
        if self.gzip {
            body = compressed(&body).map_err(|error| later(error.to_string()))?;
            builder = builder.header(CONTENT_ENCODING, "gzip");
        }
        // The query of the URL may be a secret.
        let broken = |error: reqwest::Error| later(crate::error_chain(&error.without_url()));
        let response = builder.body(body).send().await.map_err(broken)?;
        read(response).await
    }
}

fn compressed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

async fn read(response: Response) -> Result<Taken, Failure> {
    let status = response.status();
    let header = |name| response.headers().get(name)?.to_str().ok();
    let is_protobuf = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with(PROTOBUF));
    let wait = header(RETRY_AFTER).and_then(|text| retry_after(text, Timestamp::now()));
    let body = bounded_body(response, ANSWER_LIMIT).await;
    let body = body.ok().flatten().unwrap_or_default();
    if status.is_success() {
        // Many backends answer with nothing, or with JSON.
        let answer = is_protobuf.then(|| ExportTraceServiceResponse::decode(body).ok());
        return Ok(Taken::of(answer.flatten().unwrap_or_default()));
    }
    Err(judge(status, &said(is_protobuf, body), wait))
}

/// What the backend says to its refusal.
fn said(is_protobuf: bool, body: BytesMut) -> String {
    if is_protobuf {
        return short(&Status::decode(body).unwrap_or_default().message);
    }
    short(&String::from_utf8_lossy(&body))
}

fn judge(status: StatusCode, said: &str, wait: Option<Duration>) -> Failure {
    let why = match said {
        "" if status.is_redirection() => {
            ", a redirect, which is not followed; configure the URL to which it leads".to_owned()
        }
        "" => String::new(),
        said => format!(": {said}"),
    };
    let problem = format!("it answered {}{why}", status.as_u16());
    match status.as_u16() {
        429 | 502 | 503 | 504 => Failure::Later { problem, wait },
        _ => Failure::Refused { problem },
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp(date.timestamp().as_millisecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_to_try_again() {
        let later: Vec<u16> = (300..600)
            .filter(|status| {
                let status = StatusCode::from_u16(*status).unwrap();
                matches!(judge(status, "", None), Failure::Later { .. })
            })
            .collect();
        assert_eq!(later, [429, 502, 503, 504]);
        let refused = |problem: &str| Failure::Refused {
            problem: problem.to_owned(),
        };
        let judged = judge(StatusCode::UNAUTHORIZED, "no key", None);
        assert_eq!(judged, refused("it answered 401: no key"));
        let judged = judge(StatusCode::FOUND, "", None);
        assert!(format!("{judged:?}").contains("redirect"), "{judged:?}");
    }

    #[test]
    fn a_backend_says_how_long_to_wait() {
        let now = Timestamp::parse("2026-11-30T02:00:00Z").unwrap();
        let check = |text: &str, expected: Option<u64>| {
            let wait = retry_after(text, now).map(|wait| wait.as_secs());
            assert_eq!(wait, expected, "{text}");
        };
        check("120", Some(120));
        check("Mon, 30 Nov 2026 02:00:30 GMT", Some(30));
        check("Mon, 30 Nov 2026 01:00:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
    }

    #[test]
    fn what_a_backend_says_is_read_in_its_own_form() {
        let status = Status {
            message: "no such tenant".to_owned(),
            ..Status::default()
        };
        let body = BytesMut::from(&status.encode_to_vec()[..]);
        assert_eq!(said(true, body), "no such tenant");
        assert_eq!(said(true, BytesMut::from(&b"\xff\xff"[..])), "");
        assert_eq!(said(false, BytesMut::from(&b"no\nkey\x1b"[..])), "no key ");
    }
}
