//! `/metrics`: which format and which coding a scrape gets.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;

use super::AppState;
use super::problem::Problem;
use crate::metrics::{Format, Metrics};

pub(crate) async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Response {
    answer_scrape(state.metrics, &headers).await
}

/// The exposition for Prometheus. It is encoded already: a scrape waits for no broker and no store.
pub async fn answer_scrape(metrics: Arc<Metrics>, headers: &HeaderMap) -> Response {
    let format = format(headers);
    let gzip = takes_gzip(headers);
    // The first compressed scrape would hold up other requests.
    let parts = tokio::task::spawn_blocking(move || {
        if gzip {
            vec![metrics.render_gzip(format)]
        } else {
            metrics.render_parts(format)
        }
    });
    let parts = match parts.await {
        Ok(parts) => parts,
        Err(error) => {
            return Problem::internal("the metrics cannot be shown", &error).into_response();
        }
    };
    let length: usize = parts.iter().map(Bytes::len).sum();
    let parts = parts.into_iter().map(Ok::<_, Infallible>);
    let mut response = Body::from_stream(stream::iter(parts)).into_response();
    let described = response.headers_mut();
    described.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let text = HeaderValue::from_static;
    described.insert(header::CONTENT_TYPE, text(format.content_type()));
    described.insert(header::VARY, text("accept, accept-encoding"));
    if gzip {
        described.insert(header::CONTENT_ENCODING, text("gzip"));
    }
    response
}

/// `OpenMetrics` if the scraper names it and likes nothing better; the text format for everybody else,
/// browsers among them, whatever they say.
fn format(headers: &HeaderMap) -> Format {
    let ranges = weighted(headers, &header::ACCEPT);
    let best = |matches: fn(&Choice<'_>) -> bool| {
        let qualities = ranges.iter().filter(|range| matches(range));
        qualities.map(|range| range.quality).max().unwrap_or(0)
    };
    let openmetrics = best(|range| {
        range.is("application/openmetrics-text") && range.parameter_is("version", &["1.0.0"])
    });
    let text = best(|range| range.is("text/plain") && range.parameter_is("version", &["0.0.4"]));
    if openmetrics > 0 && openmetrics >= text {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// Whether gzip is taken, and not less gladly than the plain text.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = weighted(headers, &header::ACCEPT_ENCODING);
    let quality = |name: &str| {
        let named = codings.iter().find(|coding| coding.is(name));
        named.map(|coding| coding.quality)
    };
    let gzip = quality("gzip").or_else(|| quality("*")).unwrap_or(0);
    gzip > 0 && gzip >= quality("identity").unwrap_or(0)
}

/// One element of a header that lists what a client takes.
struct Choice<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    /// Thousandths.
    quality: u16,
}

impl<'a> Choice<'a> {
    fn parse(element: &'a str) -> Self {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let parameters: Vec<(&str, &str)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(key, value)| (key.trim(), value.trim().trim_matches('"')))
            .collect();
        let mut qualities = parameters.iter().filter(|p| p.0.eq_ignore_ascii_case("q"));
        let quality = qualities
            .next()
            .map_or(1000, |(_, value)| thousandths(value));
        Self {
            name,
            parameters,
            quality,
        }
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The parameter is absent, or one of these.
    fn parameter_is(&self, name: &str, values: &[&str]) -> bool {
        let mut parameters = self.parameters.iter();
        let given = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name));
        given.is_none_or(|(_, value)| values.contains(value))
    }
}

/// A quality as RFC 9110 writes it; what is none is not wanted.
fn thousandths(text: &str) -> u16 {
    let quality: Option<f32> = text.parse().ok();
    let quality = quality.filter(|quality| (0.0..=1.0).contains(quality));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000"
    )]
    quality.map_or(0, |quality| (quality * 1000.0).round() as u16)
}

/// All elements of a header that may be repeated. What is no text is none.
fn weighted<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<Choice<'a>> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|element| Choice::parse(element.trim()))
        .filter(|choice| !choice.name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{BrokerHealth, ClusterSnapshot, Snapshot, System, Timestamp};

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn check_format(accept: &str, expected: Format) {
        let headers = headers(&header::ACCEPT, &[accept]);
        assert_eq!(format(&headers), expected, "{accept}");
    }

    #[test]
    fn prometheus_itself_gets_openmetrics() {
        let check = |accept: &str| check_format(accept, Format::OpenMetrics);
        // Prometheus 2.42.
        check(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        );
        // Prometheus 3, without and with protocol buffers.
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        );
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        );
    }

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        let check = check_format;
        check("application/openmetrics-text", Format::OpenMetrics);
        check(
            "text/plain;version=0.0.4, Application/OpenMetrics-Text; Version=\"1.0.0\"",
            Format::OpenMetrics,
        );
        check(
            "application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.9",
            Format::Text,
        );
        check(
            "application/openmetrics-text;version=1.0.0;q=0",
            Format::Text,
        );
        check(
            "application/openmetrics-text;version=1.0.0;q=2",
            Format::Text,
        );
        check("application/openmetrics-text;version=0.0.1", Format::Text);
        check("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text);
        check("*/*", Format::Text);
        check("", Format::Text);
        check(",;=,;;q=,", Format::Text);
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }

    #[tokio::test]
    async fn a_scrape_is_answered_whole_and_says_how_long_it_is() {
        let metrics = Arc::new(Metrics::new(Duration::from_secs(10)));
        metrics.observe_snapshot(&Snapshot {
            taken_at: Timestamp::from_seconds(1),
            clusters: vec![Arc::new(ClusterSnapshot {
                name: "k".into(),
                system: System::Kafka,
                health: BrokerHealth::default(),
                detail: None,
            })],
        });
        let asked = headers(&header::ACCEPT_ENCODING, &["identity"]);
        let response = answer_scrape(metrics, &asked).await;
        let length = response.headers()[header::CONTENT_LENGTH].clone();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX);
        let body = body.await.unwrap();
        assert_eq!(length, body.len().to_string());
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.starts_with("# HELP redrive_broker_up"), "{text}");
        assert!(text.contains("\nredrive_build_info{"), "{text}");
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let check = |accepted: &[&str], expected| {
            let headers = headers(&header::ACCEPT_ENCODING, accepted);
            assert_eq!(takes_gzip(&headers), expected, "{accepted:?}");
        };
        check(&["gzip"], true);
        check(&["deflate, GZIP;q=0.5"], true);
        check(&["deflate", "gzip"], true);
        check(&["*"], true);
        check(&["identity;q=0.5, *;q=0.7"], true);
        check(&["gzip;q=0"], false);
        check(&["gzip; q=0.000, *"], false);
        check(&["*;q=0"], false);
        check(&["identity, gzip;q=0.5"], false);
        check(&["identity"], false);
        check(&["gzippy, br"], false);
        check(&["gzip;q=much"], false);
        check(&[], false);
    }
}
