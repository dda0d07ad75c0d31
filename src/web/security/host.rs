use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::web::problem::Problem;

/// The names under which the dashboard may be asked for, beside loopback.
#[derive(Clone, Debug)]
pub(in crate::web) struct AllowedHosts {
    /// Lower case, with a port where the configuration gives one.
    names: Arc<[String]>,
}

impl AllowedHosts {
    pub(in crate::web) fn new(hosts: &[String]) -> Self {
        Self {
            names: hosts.iter().map(|host| canonical(host)).collect(),
        }
    }

    /// Whether a `Host` header names loopback or a configured host.
    fn allows(&self, authority: &Authority) -> bool {
        let host = canonical(authority.host());
        if is_loopback(&host) {
            return true;
        }
        let with_port = canonical(authority.as_str());
        self.names
            .iter()
            .any(|name| *name == host || *name == with_port)
    }
}

/// Refuses a request for a foreign name: a page elsewhere can make a browser resolve its own name to
/// this machine (DNS rebinding) and would then count as same-origin.
pub(in crate::web) async fn refuse_foreign_hosts(
    State(hosts): State<AllowedHosts>,
    request: Request,
    next: Next,
) -> Response {
    let named = request.headers().get(header::HOST).map(|value| {
        let text = value.to_str().ok().filter(|text| !text.contains('@'));
        text.and_then(|text| text.parse::<Authority>().ok())
    });
    let target = request.uri().authority().cloned().map(Some);
    let mut authorities = named.into_iter().chain(target).peekable();
    let is_named = authorities.peek().is_some();
    let is_allowed =
        authorities.all(|authority| authority.is_some_and(|authority| hosts.allows(&authority)));
    if is_named && is_allowed {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "This name is not served here",
        "the request's Host is neither loopback nor listed; if this is how you reach Redrive, add \
         the name to `http.hosts` in redrive.toml and restart",
    )
    .into_response()
}

fn canonical(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_configured_names_are_served() {
        let hosts = AllowedHosts::new(&["Redrive.example".to_owned(), "other:81".to_owned()]);
        let check = |host: &str, expected: bool| {
            assert_eq!(hosts.allows(&host.parse().unwrap()), expected, "{host}");
        };
        check("127.0.0.1:8750", true);
        check("127.9.9.9", true);
        check("localhost:1", true);
        check("[::1]:8750", true);
        check("redrive.example", true);
        check("redrive.EXAMPLE.:99", true);
        check("other:81", true);
        check("other:82", false);
        check("evil.example", false);
        check("localhost.evil.example", false);
        check("127.0.0.1.evil.example", false);
        check("192.168.0.1", false);
        check("[::]", false);
    }
}
