//! An edit that is left, resumed, discarded or finished, with plain forms.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::dashboard::Dashboard;
use crate::support::visitor::{Visitor, api, client, get};

const EDITOR: &str = "/dead-letters/13/edit";

fn form<'a>(body: &'a str, step: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("builds_on", "0"),
        ("headers", "1"),
        ("h0-name", "x-new"),
        ("h0-kind", "text"),
        ("h0-value", "kept"),
        ("body_form", "text"),
        ("body", body),
        ("note", "half done"),
        ("step", step),
    ]
}

#[tokio::test]
async fn a_draft_is_resumed_and_ends_with_its_revision() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let url = dashboard.url(EDITOR);
    let half = "{\"data\": <half";
    let (status, headers, _) = visitor.post(&url, &form(half, "draft")).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(headers["location"], "/dead-letters/13");
    // No revision came of it.
    assert_eq!(
        api(&dashboard, "/dead-letters/13").await["latest_revision"],
        json!(0)
    );
    let (_, _, page) = get(&dashboard, "/dead-letters/13").await;
    assert!(
        page.contains("saved as a draft") && page.contains("/edit?draft=1"),
        "{page}"
    );
    let (_, _, page) = get(&dashboard, EDITOR).await;
    assert!(
        page.contains("Resume it") && !page.contains("half done"),
        "{page}"
    );
    let (_, _, page) = get(&dashboard, "/dead-letters/13/edit?draft=1").await;
    for part in [
        "{&quot;data&quot;: &lt;half",
        "half done",
        "value=\"x-new\"",
        "kept",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let save = dashboard.url("/dead-letters/13/revisions");
    let (status, _, _) = visitor.post(&save, &form("{\"data\":{}}", "save")).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (_, _, page) = get(&dashboard, "/dead-letters/13").await;
    assert!(!page.contains("saved as a draft"), "{page}");
}

#[tokio::test]
async fn a_draft_is_discarded_and_one_that_came_too_late_says_so() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let url = dashboard.url(EDITOR);
    visitor.post(&url, &form("{}", "draft")).await;
    let edit = client()
        .post(dashboard.url("/api/v1/dead-letters/13/revisions"))
        .json(&json!({ "payload": "[]" }));
    assert_eq!(edit.send().await.unwrap().status(), StatusCode::CREATED);
    let (_, _, page) = get(&dashboard, "/dead-letters/13/edit?draft=1").await;
    assert!(
        page.contains("somebody saved revision 1 meanwhile"),
        "{page}"
    );
    let (status, _, _) = visitor.post(&url, &form("{}", "discard-draft")).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (_, _, page) = get(&dashboard, EDITOR).await;
    assert!(!page.contains("Resume it"), "{page}");
    let audit = api(&dashboard, "/audit").await.to_string();
    assert!(
        audit.contains("draft.save") && audit.contains("draft.discard"),
        "{audit}"
    );
}
