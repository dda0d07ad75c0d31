//! Edits of large payloads, and of those whose original is not here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redrive::domain::{DeadLetterId, RevisionNumber, Timestamp};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::dashboard::Dashboard;
use crate::support::replay_letters::index;
use crate::support::stored_letters::{Letter, kafka_letter};
use crate::support::visitor::{Visitor, client, get};

const MEBIBYTE: usize = 1024 * 1024;

/// Of RabbitMQ, which is not asked for its limit.
const ID: i64 = 20;

async fn saved(dashboard: &Dashboard, revision: u32) -> usize {
    let number = RevisionNumber(revision);
    let message = dashboard.state.store.message(DeadLetterId(ID), number);
    message.await.unwrap().body.unwrap().len()
}

#[tokio::test]
async fn a_payload_of_ten_mebibytes_is_kept_as_a_draft_reviewed_and_saved() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    // In a form each of its bytes takes three.
    let payload = "ü".repeat(5 * MEBIBYTE);
    let fields = [
        ("builds_on", "0"),
        ("body_form", "text"),
        ("body", payload.as_str()),
    ];
    let edit = dashboard.url(&format!("/dead-letters/{ID}/edit"));
    let draft = [&fields[..], &[("step", "draft")]].concat();
    let (status, _, page) = visitor.post(&edit, &draft).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
    let (status, _, resumed) = get(&dashboard, &format!("/dead-letters/{ID}/edit?draft=1")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(resumed.len() > payload.len());
    let (status, _, review) = visitor.post(&edit, &fields).await;
    assert_eq!(status, StatusCode::OK);
    assert!(review.contains("becomes revision 1"));
    let save = dashboard.url(&format!("/dead-letters/{ID}/revisions"));
    let (status, _, page) = visitor.post(&save, &fields).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
    assert_eq!(saved(&dashboard, 1).await, payload.len());

    let url = dashboard.url(&format!("/api/v1/dead-letters/{ID}/revisions"));
    let edit = json!({ "payload": { "base64": STANDARD.encode(&payload[2..]) } });
    let answer = client().post(url).json(&edit).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(saved(&dashboard, 2).await, payload.len() - 2);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_told_the_limit_and_what_to_do() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let check = async |path: &str, mebibytes: usize, remedy: &str| {
        let text = "x".repeat(mebibytes * MEBIBYTE);
        let fields = [("body", text.as_str())];
        let (status, _, page) = visitor.post(&dashboard.url(path), &fields).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        let limit = format!("more than {mebibytes} MiB");
        assert!(page.contains(&limit) && page.contains(remedy), "{page}");
    };
    let file = "redrive dead-letters edit ID --payload FILE";
    check(&format!("/dead-letters/{ID}/edit"), 48, file).await;
    check("/repairs", 2, "go back and shorten it").await;
    let url = dashboard.url("/api/v1/repairs");
    let repair = json!({ "program": "x".repeat(2 * MEBIBYTE) });
    let answer = client().post(url).json(&repair).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let problem = answer.text().await.unwrap();
    assert!(problem.contains("more than 2 MiB"), "{problem}");
}

#[tokio::test]
async fn what_a_revision_gave_instead_of_a_missing_body_can_be_edited() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let mut letter = kafka_letter(&Letter {
        offset: 2_000,
        event_type: "OrderCreated",
        class: "TooLarge",
        message: "x",
        body: b"{}",
        age: 1,
    });
    letter.message.body = None;
    letter.body_omitted = Some("it was too large".to_owned());
    letter.dead_at = Timestamp::now();
    let id = index(&dashboard.state.store, &[letter]).await[0];
    let path = format!("/dead-letters/{id}/edit");
    let (status, _, page) = get(&dashboard, &path).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(page.contains("it was too large"), "{page}");
    let url = dashboard.url(&format!("/api/v1/dead-letters/{id}/revisions"));
    let edit = json!({ "payload": "{\"by\":\"hand\"}" });
    let answer = client().post(url).json(&edit).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let (status, _, page) = get(&dashboard, &path).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("hand"), "{page}");
    let fields = [
        ("builds_on", "1"),
        ("body_form", "text"),
        ("body", "{\"by\":\"hand\",\"x\":1}"),
    ];
    let (_, _, review) = visitor.post(&dashboard.url(&path), &fields).await;
    for part in ["revision 1 against edit", "becomes revision 2", "by"] {
        assert!(review.contains(part), "{part}: {review}");
    }
    let save = dashboard.url(&format!("/dead-letters/{id}/revisions"));
    let (status, _, page) = visitor.post(&save, &fields).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
}
