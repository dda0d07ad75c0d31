//! Which parameters a route takes, as the document says. Another one is refused: a misspelt `filter` would quietly
//! select everything.

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use serde_json::Value;
use url::form_urlencoded;

use crate::web::AppState;
use crate::web::problem::Problem;

/// The route, behind a look at the names in its query.
pub(super) fn checked(
    document: &Value,
    (method, path): (&str, &str),
    handler: MethodRouter<AppState>,
) -> MethodRouter<AppState> {
    let names: Arc<[String]> = query_names(document, method, path).into();
    handler.layer(from_fn(move |request: Request, next: Next| {
        let names = Arc::clone(&names);
        async move { look(&names, request, next).await }
    }))
}

async fn look(names: &[String], request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    match unknown(names, query) {
        Some(problem) => Problem::bad_request(problem).into_response(),
        None => next.run(request).await,
    }
}

fn unknown(names: &[String], query: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let (name, _) = pairs.find(|(name, _)| !names.iter().any(|known| known == name))?;
    Some(match names {
        [] => format!("there is no parameter {name:?}; this takes none"),
        names => format!(
            "there is no parameter {name:?}; this takes {}",
            names.join(", ")
        ),
    })
}

fn query_names(document: &Value, method: &str, path: &str) -> Vec<String> {
    let parameters = &document["paths"][path][method]["parameters"];
    let parameters = parameters.as_array().map_or(&[][..], Vec::as_slice).iter();
    let parameters = parameters.map(|parameter| {
        let reference = parameter["$ref"]
            .as_str()
            .and_then(|to| to.strip_prefix('#'));
        reference.map_or(parameter, |pointer| {
            document.pointer(pointer).unwrap_or(parameter)
        })
    });
    let of_query = parameters.filter(|parameter| parameter["in"] == "query");
    let names = of_query.filter_map(|parameter| parameter["name"].as_str());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_document_does_not_have_is_refused_with_those_it_has() {
        let document: Value = serde_json::from_str(super::super::DOCUMENT).unwrap();
        let check = |path: &str, query: &str, expected: Option<&str>| {
            let names = query_names(&document, "get", path);
            assert_eq!(
                unknown(&names, query).as_deref(),
                expected,
                "{path}?{query}"
            );
        };
        check("/dead-letters", "", None);
        check("/dead-letters", "filter=a&limit=5", None);
        let group = "/consumer-groups/{cluster}/{group}/history";
        check(group, "range=1h", None);
        let expected = "there is no parameter \"limit\"; this takes range";
        check(group, "limit=5", Some(expected));
        let expected = "there is no parameter \"<a>\"; this takes none";
        check("/overview", "%3Ca%3E", Some(expected));
    }
}
