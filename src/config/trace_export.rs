use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::sections::at_least_a_second;
use super::{ConfigError, HumanDuration, Secret};

/// Where OTLP over HTTP takes traces.
const HTTP_PATH: &str = "/v1/traces";

/// `[traces.export]`: an OpenTelemetry backend that is sent the stitched traces.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TraceExportConfig {
    /// `http://collector:4317`; `https://` for TLS. Without it nothing is exported. For `http` a path is used as it
    /// stands, and `/v1/traces` where there is none. Its query is never shown.
    pub endpoint: Option<Secret>,
    /// OTLP over gRPC, or http/protobuf.
    pub protocol: ExportProtocol,
    /// Sent with every request, for example an API key. Values are never shown.
    pub headers: BTreeMap<String, Secret>,
    /// PEM: the authorities that may have signed the backend's certificate; without it, the system's. Read again
    /// after each failure.
    pub ca_file: Option<PathBuf>,
    /// Compresses requests.
    pub gzip: bool,
    /// The service of what Redrive itself did: replays, and the span around a trace.
    pub service_name: String,
    /// Traces without an error that took at least so long are exported whatever `sample_ratio` says.
    pub slow: HumanDuration,
    /// The share of the traces that are exported of those without dead letters that were not slow, from 0 to 1.
    pub sample_ratio: f64,
    /// A trace is exported when nothing new was seen of it for so long.
    pub quiet: HumanDuration,
    /// A trace that never is quiet is exported after so long.
    pub longest_wait: HumanDuration,
}

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportProtocol {
    #[default]
    Grpc,
    /// http/protobuf.
    Http,
}

impl ExportProtocol {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

impl Default for TraceExportConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: ExportProtocol::default(),
            headers: BTreeMap::new(),
            ca_file: None,
            gzip: true,
            service_name: "redrive".to_owned(),
            slow: HumanDuration::from_secs(60),
            sample_ratio: 1.0,
            quiet: HumanDuration::from_secs(30),
            longest_wait: HumanDuration::from_secs(600),
        }
    }
}

impl TraceExportConfig {
    /// Where requests go; `None` if nothing is exported.
    pub fn url(&self) -> Option<Url> {
        let mut url = Url::parse(self.endpoint.as_ref()?.expose()).ok()?;
        if self.protocol == ExportProtocol::Http && url.path() == "/" {
            url.set_path(HTTP_PATH);
        }
        Some(url)
    }

    /// The same without what may be a secret.
    pub fn shown_url(&self) -> Option<String> {
        let mut url = self.url()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url.to_string())
    }

    /// The configured headers, whose values are not printed.
    pub fn header_map(&self) -> HeaderMap {
        let header = |(name, value): (&String, &Secret)| {
            let mut secret = HeaderValue::from_str(value.expose()).ok()?;
            secret.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, secret))
        };
        self.headers.iter().filter_map(header).collect()
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let is_usable = |secret: &Secret| {
            Url::parse(secret.expose()).is_ok_and(|url| {
                let has_login = !url.username().is_empty() || url.password().is_some();
                matches!(url.scheme(), "http" | "https") && url.has_host() && !has_login
            })
        };
        if self.endpoint.as_ref().is_some_and(|url| !is_usable(url)) {
            return Err(ConfigError::invalid(
                "traces.export.endpoint",
                "is no URL such as http://collector:4317; a login belongs in traces.export.headers",
            ));
        }
        self.validate_headers()?;
        if self.service_name.is_empty() {
            let problem = "must not be empty: backends find spans by it";
            return Err(ConfigError::invalid("traces.export.service_name", problem));
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            let problem = format!("is {}; it must lie between 0 and 1", self.sample_ratio);
            return Err(ConfigError::invalid("traces.export.sample_ratio", problem));
        }
        at_least_a_second("traces.export.quiet", self.quiet)?;
        if self.longest_wait < self.quiet {
            return Err(ConfigError::invalid(
                "traces.export.longest_wait",
                "must not be shorter than traces.export.quiet",
            ));
        }
        Ok(())
    }

    fn validate_headers(&self) -> Result<(), ConfigError> {
        let invalid = |problem| Err(ConfigError::invalid("traces.export.headers", problem));
        for (name, value) in &self.headers {
            let parsed = HeaderName::from_bytes(name.as_bytes());
            if parsed.is_err() || is_reserved(&name.to_ascii_lowercase()) {
                return invalid(format!("{name:?} is no header that can be set"));
            }
            if HeaderValue::from_str(value.expose()).is_err() {
                return invalid(format!(
                    "the value of {name:?} has characters no header may have"
                ));
            }
        }
        Ok(())
    }
}

/// Headers that belong to the protocol.
fn is_reserved(name: &str) -> bool {
    let reserved = [
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "te",
        "transfer-encoding",
    ];
    reserved.contains(&name) || name.starts_with("grpc-")
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn a_path_is_used_as_it_stands() {
        let check = |text: &str, expected: &str| {
            let config = Config::parse(&format!("[traces.export]\n{text}"), []).unwrap();
            assert_eq!(config.traces.export.url().unwrap().as_str(), expected);
        };
        check("endpoint = 'http://c:4317'", "http://c:4317/");
        let http = |url: &str| format!("protocol = 'http'\nendpoint = '{url}'");
        check(&http("http://c:4318"), "http://c:4318/v1/traces");
        check(&http("https://c/otlp?key=1"), "https://c/otlp?key=1");
    }

    #[test]
    fn no_secret_is_printed() {
        let text = "[traces.export]\nprotocol = 'http'\nendpoint = 'http://c/?hush'\n\
                    headers = { x-api-key = 'hush' }";
        let config = Config::parse(text, []).unwrap();
        let export = &config.traces.export;
        assert_eq!(export.shown_url().unwrap(), "http://c/v1/traces");
        let headers = export.header_map();
        assert_eq!(headers["x-api-key"], "hush");
        assert!(!format!("{config:?} {headers:?}").contains("hush"));
    }

    #[test]
    fn mistakes_name_the_key_and_no_secret() {
        let check = |text: &str, expected: &str| {
            let text = format!("[traces.export]\n{text}");
            let error = Config::parse(&text, []).expect_err(&text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("hush"), "{text}: {error}");
        };
        check("endpoint = 'collector:4317/hush'", "traces.export.endpoint");
        check("endpoint = 'http://u:hush@c'", "traces.export.headers");
        check("headers = { 'a b' = 'hush' }", "\"a b\"");
        check("headers = { Content-Type = 'hush' }", "Content-Type");
        check("headers = { grpc-timeout = 'hush' }", "grpc-timeout");
        check("headers = { key = \"hush\\n\" }", "traces.export.headers");
        check("protocol = 'udp'", "udp");
        check("service_name = ''", "traces.export.service_name");
        check("sample_ratio = 1.5", "traces.export.sample_ratio");
        check("sample_ratio = nan", "traces.export.sample_ratio");
        check("quiet = '10ms'", "traces.export.quiet");
        check("longest_wait = '10s'", "traces.export.longest_wait");
    }
}
