//! Discards and restores by plain forms and by the API.

use reqwest::StatusCode;
use serde_json::json;

use crate::shell::many;
use crate::support::dashboard::Dashboard;
use crate::support::shell::{agreed, refused};
use crate::support::visitor::{Visitor, api, client, get};

fn location(headers: &reqwest::header::HeaderMap) -> String {
    headers["location"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_dead_letter_is_discarded_with_a_reason_and_restored_with_plain_forms() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let (_, _, page) = get(&dashboard, "/dead-letters/20").await;
    assert!(page.contains("/discards/new?id=20"), "no way to discard");
    let (_, _, page) = get(&dashboard, "/discards/new?id=20").await;
    assert!(page.contains("Discard 1 dead letter"), "{page}");
    let url = dashboard.url("/discards");
    let fields = [("id", "20"), ("count", "1"), ("days", "7")];
    let (status, _, page) = visitor.post(&url, &fields).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("say why"),
        "a discard without a reason: {page}"
    );
    let fields = [fields.as_slice(), &[("reason", "<b>known</b> bug")]].concat();
    let (status, headers, _) = visitor.post(&url, &fields).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (_, _, page) = get(&dashboard, &location(&headers)).await;
    assert!(page.contains("1 dead letter discarded."), "{page}");
    assert!(
        page.contains("&#60;b&#62;known") || page.contains("&lt;b&gt;known"),
        "{page}"
    );
    let (_, _, page) = get(&dashboard, "/dead-letters/20").await;
    assert!(
        page.contains("Discarded ") && page.contains("restore it first"),
        "{page}"
    );
    let (_, _, page) = get(&dashboard, "/dead-letters/20?tab=history").await;
    assert!(page.contains("Discarded by anonymous"), "{page}");
    let url = dashboard.url("/restores");
    let (status, headers, _) = visitor.post(&url, &[("id", "20"), ("back", "page")]).await;
    assert_eq!(
        (status, location(&headers).as_str()),
        (StatusCode::SEE_OTHER, "/dead-letters/20")
    );
    let letter = api(&dashboard, "/dead-letters/20").await;
    assert_eq!(letter["status"], "open");
}

#[tokio::test]
async fn a_discard_happens_only_with_the_number_that_was_seen() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let url = dashboard.url("/discards");
    let fields = [("all", "1"), ("reason", "x"), ("count", "3")];
    let (status, _, page) = visitor.post(&url, &fields).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("changed from 3 to"), "{page}");
    let listed = api(&dashboard, "/discards").await;
    assert_eq!(listed["items"], json!([]));
    // A restore without a selection restores nothing.
    let (status, _, _) = visitor
        .post(&dashboard.url("/restores"), &[("all", "1")])
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_api_discards_and_restores_what_a_filter_describes() {
    let dashboard = Dashboard::busy().await;
    let send = async |path: &str, body: serde_json::Value| {
        let url = dashboard.url(&format!("/api/v1{path}"));
        let response = client().post(url).json(&body).send().await.unwrap();
        (
            response.status(),
            response.json::<serde_json::Value>().await.unwrap(),
        )
    };
    let filter = "system:rabbitmq status:open";
    let (status, problem) = send("/discards", json!({ "filter": filter, "reason": " " })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    let (status, problem) = send(
        "/discards",
        json!({ "filter": filter, "reason": "x", "expires_in_days": 0 }),
    )
    .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("expires_in_days"),
        "{problem}"
    );
    let (status, action) = send("/discards", json!({ "filter": filter, "reason": "stale" })).await;
    assert_eq!(
        (status, &action["changed"]),
        (StatusCode::CREATED, &json!(6)),
        "{action}"
    );
    let listed = api(&dashboard, "/discards?filter=system:rabbitmq").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 6);
    assert_eq!(listed["items"][0]["discard_reason"], "stale");
    let id = action["id"].as_i64().unwrap();
    let again = api(&dashboard, &format!("/bulk-actions/{id}")).await;
    assert_eq!(again["kind"], "discard");
    let seen = json!({ "filter": "system:rabbitmq", "eligible": 5 });
    let (status, problem) = send("/restores", seen).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("went from 5 to 6"), "{detail}");
    let (status, action) = send("/restores", json!({ "filter": "system:rabbitmq" })).await;
    assert_eq!(
        (status, &action["changed"]),
        (StatusCode::CREATED, &json!(6)),
        "{action}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_says_how_many_before_it_asks() {
    let dashboard = Dashboard::busy().await;
    let discard = ["discard", "--reason", "x", "--filter", "system:rabbitmq"];
    let said = refused(&dashboard, &discard, "n\n");
    assert_eq!(
        said,
        "6 selected, 6 of them open\nDiscard 6 dead letters for 30 days? [y/N] error: nothing was discarded\n"
    );
    let (done, _) = agreed(&dashboard, &discard, "y\n");
    assert_eq!(done, "6 discarded\n");
    let again = refused(&dashboard, &discard, "y\n");
    assert_eq!(
        again,
        "6 selected, 0 of them open\nerror: nothing of the selection is open\n"
    );
    let restore = ["restore", "--filter", "system:rabbitmq"];
    let (done, asked) = agreed(&dashboard, &restore, "y\n");
    assert!(asked.ends_with("Restore 6 dead letters? [y/N] "), "{asked}");
    assert_eq!(done, "6 restored\n");
    many(&dashboard).await;
    let discard = ["discard", "--reason", "x", "--filter", "type:Many"];
    let said = refused(&dashboard, &discard, "y\n");
    assert!(
        said.contains("for 30 days? Type 101 to confirm: "),
        "{said}"
    );
    let (done, _) = agreed(&dashboard, &discard, "101\n");
    assert_eq!(done, "101 discarded\n");
}
