//! Earlier revisions of a dead letter: on its page, as a file, in the editor.

use redrive::domain::{DeadLetterId, RevisionNumber};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::dashboard::Dashboard;
use crate::support::visitor::{Visitor, api, client, get};

/// It has the revision 1, which adds this customer.
const PAGE: &str = "/dead-letters/3";
const CUSTOMER: &str = "cust-17";

async fn shows(dashboard: &Dashboard, url: &str, parts: &[&str]) -> String {
    let (status, _, page) = get(dashboard, url).await;
    assert_eq!(status, StatusCode::OK, "{url}");
    for part in parts {
        assert!(page.contains(part), "{url}: {part}: {page}");
    }
    page
}

#[tokio::test]
async fn a_page_shows_the_revision_that_is_asked_for_and_says_which() {
    let dashboard = Dashboard::busy().await;
    let original = "This is the original. Edit and Replay begin with the newest, revision 1.";
    let edit = "href=\"/dead-letters/3/edit\"";
    let page = shows(&dashboard, PAGE, &[original, edit]).await;
    assert!(!page.contains(CUSTOMER), "{page}");
    let revised = [
        "This is revision 1. It is the newest.",
        CUSTOMER,
        "href=\"/dead-letters/3/edit?revision=1\"",
        "revision=0",
        "href=\"/dead-letters/3/payload?revision=1\"",
    ];
    let page = shows(&dashboard, "/dead-letters/3?revision=1", &revised).await;
    assert!(page.contains("/replays/new?id=3&amp;revision=1"), "{page}");
    let begins = "This is the original. Edit and Replay begin with it; the newest is revision 1.";
    shows(&dashboard, "/dead-letters/3?revision=0", &[begins]).await;
    let history = [
        "href=\"/dead-letters/3?revision=1\">Show</a>",
        "href=\"/dead-letters/3/edit?revision=1\">Open in the editor</a>",
    ];
    let page = shows(&dashboard, "/dead-letters/3?tab=history", &history).await;
    assert!(!page.contains("This is the original."), "{page}");
    // What was never edited has nothing to choose from.
    let page = shows(&dashboard, "/dead-letters/13", &[]).await;
    assert!(!page.contains("This is the original."), "{page}");
}

#[tokio::test]
async fn headers_and_the_file_are_those_of_the_revision() {
    let dashboard = Dashboard::busy().await;
    let url = dashboard.url("/api/v1/dead-letters/13/revisions");
    let header = json!({ "name": "x-mine", "value": { "bytes": "of revision 1" } });
    let change = json!({ "headers": [header], "payload": "of revision 1" });
    client().post(url).json(&change).send().await.unwrap();
    let tab = "/dead-letters/13?tab=headers";
    let page = shows(&dashboard, tab, &["eventType"]).await;
    assert!(!page.contains("x-mine"), "{page}");
    let tab = format!("{tab}&revision=1");
    let page = shows(&dashboard, &tab, &["x-mine", "This is revision 1."]).await;
    assert!(!page.contains("eventType"), "{page}");
    let (_, headers, file) = get(&dashboard, "/dead-letters/13/payload?revision=1").await;
    assert_eq!(file, "of revision 1");
    assert_eq!(
        headers["content-disposition"],
        "attachment; filename=\"dead-letter-13-revision-1.bin\""
    );
    let (_, _, file) = get(&dashboard, "/dead-letters/13/payload").await;
    assert!(file.contains("OrderCreated"), "{file}");
}

#[tokio::test]
async fn what_is_no_revision_is_told() {
    let dashboard = Dashboard::busy().await;
    for page in [PAGE, "/dead-letters/3/edit", "/dead-letters/3/payload"] {
        let check = async |revision: &str, expected: StatusCode, words: &str| {
            let (status, _, told) = get(&dashboard, &format!("{page}?revision={revision}")).await;
            assert_eq!(status, expected, "{page}");
            assert!(told.contains(words), "{page}: {told}");
        };
        let nonsense = "is no number of a revision";
        check("x", StatusCode::BAD_REQUEST, nonsense).await;
        check("-1", StatusCode::BAD_REQUEST, nonsense).await;
        let unknown = "dead letter 3 has no revision 7";
        check("7", StatusCode::NOT_FOUND, unknown).await;
    }
}

#[tokio::test]
async fn an_edit_begins_with_the_revision_that_is_asked_for() {
    let dashboard = Dashboard::busy().await;
    let url = dashboard.url("/api/v1/dead-letters/13/revisions");
    let change = json!({ "headers": [], "payload": "newest" });
    client().post(url).json(&change).send().await.unwrap();
    let newest = ["name=\"opened\" value=\"1\"", "\nnewest</textarea>"];
    let page = shows(&dashboard, "/dead-letters/13/edit", &newest).await;
    assert!(!page.contains("You begin with"), "{page}");
    let begins = [
        "You begin with the original. The newest is revision 1; what you save comes after it.",
        "name=\"opened\" value=\"0\"",
        "name=\"builds_on\" value=\"1\"",
        "x-error-class",
    ];
    shows(&dashboard, "/dead-letters/13/edit?revision=0", &begins).await;
    // The fourth header is locked, so the form sends only its place in the message that it began with.
    let form = [
        ("builds_on", "1"),
        ("opened", "0"),
        ("body_form", "text"),
        ("body", "edited"),
        ("headers", "1"),
        ("h0-from", "3"),
    ];
    let visitor = Visitor::of(&dashboard).await;
    let draft: Vec<_> = form.into_iter().chain([("step", "draft")]).collect();
    let editor = dashboard.url("/dead-letters/13/edit");
    visitor.post(&editor, &draft).await;
    let resumed = ["You begin with the original.", "\nedited</textarea>"];
    shows(&dashboard, "/dead-letters/13/edit?draft=1", &resumed).await;
    let review: Vec<_> = form.into_iter().chain([("step", "review")]).collect();
    let (_, _, page) = visitor.post(&editor, &review).await;
    assert!(page.contains("Review the edit"), "{page}");
    let save = dashboard.url("/dead-letters/13/revisions");
    let (status, _, page) = visitor.post(&save, &form).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
    let store = &dashboard.state.store;
    let saved = store.message(DeadLetterId(13), RevisionNumber(2)).await;
    let saved = saved.unwrap();
    assert_eq!(saved.body.as_deref(), Some(&b"edited"[..]));
    assert_eq!(saved.headers.len(), 1);
    assert!(saved.header_text("x-error-class").is_some());
    let letter = api(&dashboard, "/dead-letters/13").await;
    assert_eq!(letter["latest_revision"], 2);
}
