use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::web::problem::Problem;

/// Refuses a change that a page of another site started. Browsers say where a request comes from in
/// `Sec-Fetch-Site` and `Origin`; a request with neither does not come from a page (curl), and forms
/// carry a token as well.
pub(in crate::web) async fn refuse_cross_site_changes(request: Request, next: Next) -> Response {
    if request.method().is_safe() || comes_from_here(request.headers()) {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::FORBIDDEN,
        "The request comes from another site",
        "changes are accepted from Redrive's own pages and from clients that send no Origin; open \
         the page again under its usual address",
    )
    .into_response()
}

fn comes_from_here(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let site_is_ours =
        text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let host = text(header::HOST.as_str()).unwrap_or("");
    let origin_is_ours = text(header::ORIGIN.as_str()).is_none_or(|origin| {
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    });
    site_is_ours && origin_is_ours
}

/// Compares the token of a form with the one of the cookie in a time that does not tell where they
/// differ. An empty token proves nothing.
pub(in crate::web) fn proofs_match(sent: &str, expected: &str) -> bool {
    if expected.is_empty() || sent.len() != expected.len() {
        return false;
    }
    let differences = sent
        .bytes()
        .zip(expected.bytes())
        .fold(0, |differences, (a, b)| differences | (a ^ b));
    differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_needs_to_come_from_our_own_pages_or_from_no_page() {
        let check = |pairs: &[(&'static str, &str)], expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert("host", "127.0.0.1:8750".parse().unwrap());
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            assert_eq!(comes_from_here(&headers), expected, "{pairs:?}");
        };
        check(&[], true);
        check(&[("sec-fetch-site", "same-origin")], true);
        check(&[("sec-fetch-site", "none")], true);
        check(&[("sec-fetch-site", "same-site")], false);
        check(&[("sec-fetch-site", "cross-site")], false);
        check(&[("origin", "http://127.0.0.1:8750")], true);
        check(&[("origin", "http://127.0.0.1:9999")], false);
        check(&[("origin", "null")], false);
        check(&[("origin", "http://evil.example")], false);
        check(
            &[
                ("origin", "http://127.0.0.1:8750"),
                ("sec-fetch-site", "cross-site"),
            ],
            false,
        );
    }

    #[test]
    fn an_empty_token_proves_nothing() {
        assert!(proofs_match("abc", "abc"));
        assert!(!proofs_match("abd", "abc"));
        assert!(!proofs_match("", ""));
        assert!(!proofs_match("ab", "abc"));
    }
}
