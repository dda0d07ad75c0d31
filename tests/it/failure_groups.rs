//! Failure groups on their pages and in the API.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::dashboard::Dashboard;
use crate::web::{Visitor, api, client, get};

async fn first_group(dashboard: &Dashboard) -> String {
    let listed = api(dashboard, "/failure-groups").await;
    listed["items"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_group_is_assigned_and_noted_with_plain_forms_and_every_change_is_someones() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let group = first_group(&dashboard).await;
    let path = format!("/failure-groups/{group}");
    let (status, _, page) = get(&dashboard, &path).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("Nobody has said anything yet"), "{page}");
    let post = async |what: &str, fields: &[(&str, &str)]| {
        let url = dashboard.url(&format!("{path}/{what}"));
        let (status, _, page) = visitor.post(&url, fields).await;
        (status, page)
    };
    let (status, page) = post("notes", &[("text", " \r\n ")]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(page.contains("write something"), "{page}");
    let (status, _) = post("notes", &[("text", "ticket <b>4711</b>\r\nsecond line")]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (status, _) = post("assignee", &[("assignee", " team-payments ")]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (_, _, page) = get(&dashboard, &path).await;
    assert!(page.contains("value=\"team-payments\""), "{page}");
    assert!(page.contains("assigned by anonymous"), "{page}");
    assert!(page.contains("4711") && !page.contains("<b>4711"), "{page}");
    let (_, _, page) = get(&dashboard, "/dead-letters").await;
    assert!(
        page.contains("team-payments") && page.contains("1 note"),
        "{page}"
    );
    let audit = api(&dashboard, "/audit").await;
    let entry = |index: usize| audit["items"][index].clone();
    assert_eq!(entry(0)["action"], "failure_group.assign");
    assert_eq!(entry(0)["detail"]["failure_group"], json!(group));
    assert_eq!(entry(1)["action"], "failure_group.note");
    assert_eq!(
        entry(1)["detail"]["text"],
        "ticket <b>4711</b>\nsecond line"
    );
    // The same assignee again is no change.
    post("assignee", &[("assignee", "team-payments")]).await;
    let again = api(&dashboard, "/audit").await;
    assert_eq!(again["items"][0]["seq"], entry(0)["seq"]);
    let newest =
        api(&dashboard, "/failure-groups").await["items"][0]["newest_dead_letter_id"].clone();
    let (_, _, page) = get(&dashboard, &format!("/dead-letters/{newest}?tab=history")).await;
    assert!(
        page.contains("Note of anonymous on its failure group"),
        "{page}"
    );
    let (status, _, page) = get(&dashboard, "/failure-groups/v1:none").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(page.contains("v1:none"), "{page}");
}

#[tokio::test]
async fn the_api_notes_and_assigns() {
    let dashboard = Dashboard::busy().await;
    let group = first_group(&dashboard).await;
    let send = async |method: Method, path: String, body: Value| {
        let url = dashboard.url(&format!("/api/v1/failure-groups/{path}"));
        let response = client()
            .request(method, url)
            .json(&body)
            .send()
            .await
            .unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    let (status, detail) = send(
        Method::POST,
        format!("{group}/notes"),
        json!({ "text": "seen before" }),
    )
    .await;
    assert_eq!(status, StatusCode::CREATED, "{detail}");
    assert_eq!(detail["notes"][0]["text"], "seen before");
    assert_eq!(detail["notes"][0]["author"], "anonymous");
    let assignee = format!("{group}/assignee");
    let (status, detail) = send(Method::PUT, assignee.clone(), json!({ "assignee": "ann" })).await;
    assert_eq!(
        (status, &detail["assignee"]),
        (StatusCode::OK, &json!("ann"))
    );
    let (_, detail) = send(Method::PUT, assignee.clone(), json!({ "assignee": null })).await;
    assert_eq!(detail["assignee"], Value::Null);
    let (status, _) = send(
        Method::PUT,
        assignee,
        json!({ "assignee": "x".repeat(101) }),
    )
    .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let long = json!({ "text": "x".repeat(2_001) });
    let (status, problem) = send(Method::POST, format!("{group}/notes"), long).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    let (status, _) = send(
        Method::POST,
        "v1:none/notes".to_owned(),
        json!({ "text": "x" }),
    )
    .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn groups_are_narrowed_by_state_and_sorted_on_the_page_and_in_the_api() {
    let dashboard = Dashboard::busy().await;
    let (_, _, page) = get(&dashboard, "/dead-letters?state=resolved&order=total").await;
    assert!(page.contains("is in this state"), "{page}");
    assert!(
        page.contains("order=total&#38;state=new") || page.contains("order=total&amp;state=new"),
        "{page}"
    );
    let (_, _, page) = get(&dashboard, "/dead-letters?state=open").await;
    assert!(page.contains("class=\"card\""), "{page}");
    let groups = api(&dashboard, "/failure-groups?state=open&order=open").await;
    let open: Vec<u64> = groups["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["open"].as_u64().unwrap())
        .collect();
    assert!(
        open.len() > 1 && open.is_sorted_by(|a, b| a >= b),
        "{open:?}"
    );
    assert!(
        groups["items"][0]["states"]
            .as_array()
            .unwrap()
            .contains(&json!("open"))
    );
    let url = dashboard.url("/api/v1/failure-groups?order=colour");
    let problem: Value = client()
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("last, open, total, first"), "{detail}");
}

#[tokio::test]
async fn open_dead_letters_are_counted_by_what_they_have_in_common() {
    let dashboard = Dashboard::busy().await;
    let all = api(&dashboard, "/dead-letters?filter=status:open&limit=500").await;
    let open = all["items"].as_array().unwrap().len() as u64;
    for field in ["exception", "source", "type", "consumer", "dlq"] {
        let pivot = api(&dashboard, &format!("/dead-letters/by/{field}")).await;
        let items = pivot["items"].as_array().unwrap();
        let sum: u64 = items
            .iter()
            .map(|item| item["open"].as_u64().unwrap())
            .sum();
        assert_eq!((sum, &pivot["looked_at"]), (open, &json!(open)), "{field}");
        assert_eq!(pivot["is_cut"], false);
        let (status, _, page) = get(&dashboard, &format!("/dead-letters/by/{field}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let first = items[0]["value"].as_str().unwrap();
        assert!(page.contains(first), "{field}: {page}");
    }
    let narrowed = api(&dashboard, "/dead-letters/by/dlq?filter=system:rabbitmq").await;
    assert_eq!(narrowed["items"].as_array().unwrap().len(), 1, "{narrowed}");
    let found = api(&dashboard, "/dead-letters/by/source?filter=error:timeout").await;
    assert!(found["looked_at"].as_u64().unwrap() < open, "{found}");
    let (status, _, page) = get(&dashboard, "/dead-letters/by/colour").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(page.contains("exception, source, type"), "{page}");
}
