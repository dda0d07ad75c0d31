//! Edits, replays and decisions by plain forms and by the API, and what is refused on the way.

use redrive::domain::{DeadLetterId, RevisionNumber};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::dashboard::Dashboard;
use crate::support::visitor::{Visitor, api, client, get};

#[tokio::test]
async fn an_edit_is_reviewed_saved_and_replayed_with_plain_forms() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let fields = [
        ("builds_on", "0"),
        ("body_form", "text"),
        ("body", "{\"data\":{\"customerId\":\"cust-17\"}}"),
        ("headers", "1"),
        ("h0-name", "eventType"),
        ("h0-kind", "text"),
        ("h0-value", "OrderCreated"),
        ("h0-from", "1"),
        ("note", "add the customer"),
    ];
    let (status, _, review) = visitor
        .post(&dashboard.url("/dead-letters/13/edit"), &fields)
        .await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        review.contains("class=\"ins\"") && review.contains("class=\"del\""),
        "{review}"
    );
    assert_eq!(
        dashboard
            .state
            .store
            .revisions(DeadLetterId(13))
            .await
            .unwrap()
            .len(),
        0
    );

    let save = dashboard.url("/dead-letters/13/revisions");
    let saving: Vec<_> = fields.into_iter().chain([("then", "replay")]).collect();
    let (status, headers, _) = visitor.post(&save, &saving).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(headers["location"], "/replays/new?id=13&revision=1");
    let message = dashboard
        .state
        .store
        .message(DeadLetterId(13), RevisionNumber(1))
        .await
        .unwrap();
    assert_eq!(message.header_text("eventType"), Some("OrderCreated"));
    assert_eq!(message.headers.len(), 1);

    let (_, _, conflict) = visitor.post(&save, &saving).await;
    assert!(
        conflict.contains("somebody saved revision 1 meanwhile"),
        "{conflict}"
    );

    let (status, _, preflight) = get(&dashboard, "/replays/new?id=13&revision=1").await;
    assert_eq!(status, StatusCode::OK);
    assert!(preflight.contains("Replay 1 event now"), "{preflight}");
    assert!(preflight.contains("group payment-consumers"), "{preflight}");
    let difference = ["against revision 1", "class=\"del\"", "cust-17"];
    for part in difference {
        assert!(preflight.contains(part), "{part}: {preflight}");
    }
    let start = [("id", "13"), ("revision", "1"), ("eligible", "1")];
    let (status, headers, _) = visitor.post(&dashboard.url("/replays"), &start).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let job = headers["location"].to_str().unwrap();
    let (status, _, page) = get(&dashboard, job).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("planned") && page.contains("#13"), "{page}");

    let (status, _, _) = visitor
        .post(&dashboard.url(&format!("{job}/cancel")), &[])
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(api(&dashboard, "/dead-letters/13").await["status"], "open");
    let audit = api(&dashboard, "/audit").await;
    let actions: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions[..3],
        ["replay.cancel", "replay.create", "revision.create"]
    );
    assert_eq!(audit["items"][0]["address"], "127.0.0.1");
}

#[tokio::test]
async fn a_replay_goes_only_where_was_looked_before_and_keeps_its_brake() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let replays = dashboard.url("/replays");
    let chosen = [
        ("id", "13"),
        ("to", "topic"),
        ("topic", "payments"),
        ("cluster", "kafka"),
        ("rate", "7"),
        ("eligible", "1"),
    ];
    // The page told of the place from which the event came.
    let (status, _, page) = visitor.post(&replays, &chosen).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("another destination or option was chosen after the last check"),
        "{page}"
    );
    assert_eq!(jobs(&dashboard).await.len(), 1, "no second job was made");

    let again: Vec<_> = chosen.into_iter().chain([("check", "1")]).collect();
    let (status, headers, _) = visitor.post(&replays, &again).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let page = headers["location"].to_str().unwrap();
    assert!(!page.contains("csrf"), "{page}");
    let (_, _, page) = get(&dashboard, page).await;
    assert!(page.contains("payments on kafka"), "{page}");
    assert!(page.contains("name=\"rate\" value=\"7\""), "{page}");

    let checked = "to=topic&cluster=kafka&topic=payments";
    assert!(page.contains(&checked.replace('&', "&amp;")), "{page}");
    let confirmed: Vec<_> = chosen.into_iter().chain([("checked", checked)]).collect();
    let (status, headers, _) = visitor.post(&replays, &confirmed).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let job = headers["location"].to_str().unwrap();
    let (_, _, page) = get(&dashboard, job).await;
    assert!(page.contains("payments"), "{page}");
    assert_eq!(jobs(&dashboard).await.len(), 2);
}

async fn jobs(dashboard: &Dashboard) -> Vec<Value> {
    let jobs = api(dashboard, "/replays").await;
    jobs["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_replay_starts_only_with_the_number_that_was_seen() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let start = [("filter", "error:Malformed status:open"), ("eligible", "3")];
    let (status, _, page) = visitor.post(&dashboard.url("/replays"), &start).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.contains("changed from 3 to"), "{page}");
    assert_eq!(jobs(&dashboard).await.len(), 1, "no second job was made");
}

#[tokio::test]
async fn the_editors_buttons_need_no_script() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let url = dashboard.url("/dead-letters/13/edit");
    let step = async |step: &'static str| {
        let fields = [
            ("builds_on", "0"),
            ("body_form", "text"),
            ("body", "hi"),
            ("headers", "1"),
            ("h0-name", "mine"),
            ("h0-kind", "text"),
            ("h0-value", "zebra"),
            ("step", step),
        ];
        let (status, _, page) = visitor.post(&url, &fields).await;
        assert_eq!(status, StatusCode::OK);
        page
    };
    assert!(step("as-hex").await.contains("00000000  68 69"));
    assert!(step("add").await.contains("zebra"));
    assert!(!step("remove-0").await.contains("zebra"));
    assert!(step("undo-body").await.contains("OrderCreated"));
}

#[tokio::test]
async fn what_the_broker_would_refuse_is_not_saved() {
    let dashboard = Dashboard::busy().await;
    let url = dashboard.url("/api/v1/dead-letters/14/revisions");
    let typed = json!({ "name": "count", "value": { "amqp": { "type": "i32", "value": 1 } } });
    let request = client().post(&url).json(&json!({ "headers": [typed] }));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem: Value = response.json().await.unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("header count") && detail.contains("write its value as text"),
        "{detail}"
    );
    let revisions = dashboard.state.store.revisions(DeadLetterId(14)).await;
    assert_eq!(revisions.unwrap().len(), 0);
}

#[tokio::test]
async fn a_revision_by_the_api_keeps_what_it_does_not_name() {
    let dashboard = Dashboard::busy().await;
    let url = dashboard.url("/api/v1/dead-letters/14/revisions");
    let before = api(&dashboard, "/dead-letters/14").await;
    let request = client()
        .post(&url)
        .json(&json!({ "headers": before["headers"], "note": "n" }));
    // The rendering as text beside each value is ignored, so that a header can be sent back as it came.
    let created: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(created, json!({ "dead_letter_id": 14, "revision": 1 }));
    let store = &dashboard.state.store;
    let original = store
        .message(DeadLetterId(14), RevisionNumber(0))
        .await
        .unwrap();
    assert_eq!(
        store
            .message(DeadLetterId(14), RevisionNumber(1))
            .await
            .unwrap(),
        original
    );

    let null = client().post(&url).json(&json!({ "payload": null }));
    assert_eq!(null.send().await.unwrap().status(), StatusCode::CREATED);
    assert_eq!(
        store
            .message(DeadLetterId(14), RevisionNumber(2))
            .await
            .unwrap()
            .body,
        None
    );

    let stale = client()
        .post(&url)
        .json(&json!({ "builds_on": 1, "payload": "x" }));
    assert_eq!(stale.send().await.unwrap().status(), StatusCode::CONFLICT);
    let unknown = client().post(&url).json(&json!({ "body": "x" }));
    assert_eq!(
        unknown.send().await.unwrap().status(),
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn key_and_properties_are_edited_by_the_api() {
    let dashboard = Dashboard::busy().await;
    let send = async |id: u32, change: Value| {
        let url = dashboard.url(&format!("/api/v1/dead-letters/{id}/revisions"));
        let answer = client().post(url).json(&change).send().await.unwrap();
        let status = answer.status();
        (status, answer.json::<Value>().await.unwrap())
    };
    for (number, key) in [json!("k"), json!({ "base64": "/wA=" }), Value::Null]
        .into_iter()
        .enumerate()
    {
        let (status, answer) = send(14, json!({ "key": key })).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let path = format!("/dead-letters/14/revisions/{}", number + 1);
        let saved = api(&dashboard, &path).await;
        let expected = ["aw==", "/wA="]
            .get(number)
            .map_or(Value::Null, |k| json!(k));
        assert_eq!(saved["key"]["base64"], expected, "{saved}");
    }
    let before = api(&dashboard, "/dead-letters/41").await["properties"].clone();
    let mut all = before.clone();
    all["priority"] = json!(3);
    all["message_id"] = Value::Null;
    let (status, answer) = send(41, json!({ "properties": all })).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let (_, _) = send(41, json!({ "properties": { "kind": "OrderCreated" } })).await;
    all["kind"] = json!("OrderCreated");
    let saved = api(&dashboard, "/dead-letters/41/revisions/2").await;
    assert_eq!(saved["properties"], all);
    for (id, change, expected) in [
        (
            41,
            json!({ "key": null }),
            "key: a message of RabbitMQ has no key",
        ),
        (
            14,
            json!({ "properties": {} }),
            "properties: a record of Kafka has none",
        ),
        (
            41,
            json!({ "properties": { "colour": 1 } }),
            "properties.colour: there is no such property",
        ),
        (
            41,
            json!({ "properties": { "exchange": "e" } }),
            "properties.exchange: it is that of",
        ),
        (
            41,
            json!({ "properties": { "priority": "high" } }),
            "properties.priority: invalid type",
        ),
        (
            41,
            json!({ "properties": { "delivery_mode": 3 } }),
            "neither 1 (transient) nor 2",
        ),
        (14, json!({ "key": { "base64": "?" } }), "key.base64: "),
    ] {
        let (status, problem) = send(id, change).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{detail}");
    }
}

#[tokio::test]
async fn an_unknown_replay_is_decided_by_a_person() {
    let dashboard = Dashboard::busy().await;
    let job = api(&dashboard, "/replays").await["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let detail = api(&dashboard, &format!("/replays/{job}")).await;
    let unknown = detail["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["state"] == "unknown")
        .unwrap();
    let replay = unknown["replay_id"].as_str().unwrap();
    let url = dashboard.url(&format!("/api/v1/replays/{job}/events/{replay}/resolve"));
    let nonsense = client().post(&url).json(&json!({ "decision": "perhaps" }));
    assert_eq!(
        nonsense.send().await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
    let decided = client()
        .post(&url)
        .json(&json!({ "decision": "accept_as_failed" }));
    let event: Value = decided.send().await.unwrap().json().await.unwrap();
    assert_eq!(event["state"], "failed");
    let again = client()
        .post(&url)
        .json(&json!({ "decision": "accept_as_sent" }));
    assert_eq!(again.send().await.unwrap().status(), StatusCode::CONFLICT);
}
