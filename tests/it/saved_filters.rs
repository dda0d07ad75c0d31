//! Saved filters by plain forms and by the API, and the values that the filter bar offers.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::dashboard::Dashboard;
use crate::support::visitor::{Visitor, api, client, get};

#[tokio::test]
async fn a_filter_is_saved_linked_and_removed_with_plain_forms() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let url = dashboard.url("/saved-filters");
    for (name, filter, complaint) in [
        (" ", "status:open", "needs a name"),
        ("x", "", "filter first"),
        ("x", "status:odd", "use one of"),
    ] {
        let fields = [("name", name), ("filter", filter)];
        let (status, _, page) = visitor.post(&url, &fields).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(page.contains(complaint), "{page}");
    }
    let fields = [("name", "still <open>"), ("filter", "status:open")];
    let (status, headers, _) = visitor.post(&url, &fields).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let list = headers["location"].to_str().unwrap();
    let (_, _, page) = get(&dashboard, list).await;
    let saved = "Remove “still &lt;open&gt;”";
    assert!(page.contains(saved), "{page}");
    let gone = dashboard.url("/saved-filters/remove");
    let (status, _, _) = visitor.post(&gone, &[("name", "still <open>")]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (_, _, page) = get(&dashboard, list).await;
    assert!(!page.contains(saved), "{page}");
    let audit = api(&dashboard, "/audit").await;
    let entry = &audit["items"][0];
    assert_eq!(entry["action"], "filter.remove");
    assert_eq!(entry["detail"]["before"], "status:open");
}

#[tokio::test]
async fn the_api_saves_replaces_lists_and_removes() {
    let dashboard = Dashboard::busy().await;
    let url = dashboard.url("/api/v1/saved-filters");
    for filter in ["system:kafka", "system:rabbitmq"] {
        let body = json!({ "name": "a/b", "filter": filter });
        let response = client().post(&url).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
    }
    let listed = api(&dashboard, "/saved-filters").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["filter"], "system:rabbitmq");
    for expected in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let response = client()
            .delete(format!("{url}/a%2Fb"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), expected);
    }
}

#[tokio::test]
async fn the_filter_bar_offers_values_that_there_are() {
    let dashboard = Dashboard::busy().await;
    for page in ["/dead-letters", "/dead-letters/list", "/discards"] {
        let (_, _, html) = get(&dashboard, page).await;
        for term in ["source:orders", "dlq:orders.dlq"] {
            assert!(
                html.contains(&format!("<option value=\"{term}\">")),
                "{page}: {term}"
            );
        }
    }
}
