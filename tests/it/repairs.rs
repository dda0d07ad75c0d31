//! Repairs of many payloads by a jq program, by plain forms and by the API.

use redrive::domain::{DeadLetterId, RevisionNumber};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::dashboard::Dashboard;
use crate::support::eventually;
use crate::support::visitor::{Visitor, api, client, get};

/// Dead letters 13, 18, … lack the customer; 8 of the type are open.
const LACKING: &str = "error:MissingField status:open";
const PROGRAM: &str = ".data.customerId = \"c-1\"";

async fn send(dashboard: &Dashboard, body: Value) -> (StatusCode, Value) {
    let url = dashboard.url("/api/v1/repairs");
    let response = client().post(url).json(&body).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn body(dashboard: &Dashboard, id: i64) -> String {
    let id = DeadLetterId(id);
    let store = &dashboard.state.store;
    let latest = store.dead_letter_summary(id).await.unwrap().latest_revision;
    let message = store.message(id, latest).await.unwrap();
    String::from_utf8_lossy(&message.body.unwrap()).into_owned()
}

#[tokio::test]
async fn a_program_is_tried_out_confirmed_and_its_set_is_replayed_with_plain_forms() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let (_, _, list) = get(&dashboard, "/dead-letters/list?filter=status:open").await;
    assert!(list.contains("/repairs/new?filter="), "no way to repair");
    let (_, _, page) = get(&dashboard, "/repairs/new?id=13&id=14&id=15").await;
    assert!(page.contains("Repair 3 dead letters"), "{page}");
    let url = dashboard.url("/repairs");
    let ids = [("id", "13"), ("id", "14"), ("id", "15")];
    let post = async |fields: &[(&str, &str)]| visitor.post(&url, &[&ids, fields].concat()).await;
    let (_, _, page) = post(&[("program", "<b> ("), ("step", "try")]).await;
    assert!(
        page.contains("the program cannot be used: line 1") && !page.contains("<b>"),
        "{page}"
    );
    let program = ("program", PROGRAM);
    let (_, _, page) = post(&[program, ("step", "try")]).await;
    // One is changed, one is no JSON, one is binary.
    for part in [
        "<span class=\"figure\">1</span><span class=\"status ok\">changed",
        "<span class=\"figure\">2</span><span class=\"status critical\">fails",
        "#13</a>",
        "the payload is no JSON",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(body(&dashboard, 13).await.find("c-1"), None);
    let confirm = [
        program,
        ("step", "confirm"),
        ("count", "3"),
        ("note", "incident 7"),
    ];
    let (status, _, page) = post(&[&confirm[..], &[("tried", ".x")]].concat()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("was changed after it was tried out"),
        "{page}"
    );
    let (status, headers, _) = post(&[&confirm[..], &[("tried", PROGRAM)]].concat()).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let location = headers["location"].to_str().unwrap().to_owned();
    let (_, _, page) = get(&dashboard, &location).await;
    assert!(
        page.contains("incident 7") && page.contains("Where it failed"),
        "{page}"
    );
    let original = r#"{"eventType":"OrderCreated","data":{"items":[],"totalAmount":44.80}}"#;
    let repaired = original.replace("44.80}", "44.80,\"customerId\":\"c-1\"}");
    assert_eq!(body(&dashboard, 13).await, repaired);
    let (_, _, page) = get(&dashboard, "/replays/new?filter=repair%3A1").await;
    assert!(
        page.contains("Replay 1 event now") && page.contains("revision 1"),
        "{page}"
    );
}

#[tokio::test]
async fn a_repair_happens_only_with_the_number_that_was_seen() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let url = dashboard.url("/repairs");
    let fields = [
        ("all", "1"),
        ("program", PROGRAM),
        ("tried", PROGRAM),
        ("step", "confirm"),
        ("count", "3"),
    ];
    let (_, _, page) = visitor.post(&url, &fields).await;
    assert!(page.contains("changed from 3 to"), "{page}");
    let (status, _, _) = get(&dashboard, "/repairs/1").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _, _) = get(&dashboard, "/repairs/new").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_api_tells_first_and_repairs_then_with_an_audit_of_the_exact_set() {
    let dashboard = Dashboard::busy().await;
    let (status, trial) = send(
        &dashboard,
        json!({ "filter": LACKING, "program": PROGRAM, "dry_run": true }),
    )
    .await;
    assert_eq!(status, StatusCode::OK, "{trial}");
    let selected = trial["selected"].as_u64().unwrap();
    assert!(selected > 3, "{trial}");
    assert_eq!(
        (&trial["changed"], &trial["looked_at"]),
        (&json!(selected), &json!(selected))
    );
    assert!(
        trial["samples"][0]["after"]
            .as_str()
            .unwrap()
            .contains("c-1"),
        "{trial}"
    );
    let (status, repair) = send(&dashboard, json!({ "filter": LACKING, "program": PROGRAM })).await;
    assert_eq!(
        (status, &repair["changed"]),
        (StatusCode::CREATED, &json!(selected)),
        "{repair}"
    );
    assert!(repair["finished_at"].is_string(), "{repair}");
    let id = repair["id"].as_i64().unwrap();
    assert_eq!(
        api(&dashboard, &format!("/repairs/{id}")).await["changed"],
        json!(selected)
    );
    let listed = api(&dashboard, &format!("/dead-letters?filter=repair:{id}")).await;
    let listed = listed["items"].as_array().unwrap();
    assert_eq!(listed.len() as u64, selected);
    assert!(
        listed
            .iter()
            .all(|letter| letter["latest_revision"] == json!(1))
    );
    let audit = api(&dashboard, "/audit").await;
    let entries = audit["items"].as_array().unwrap();
    let entry = entries
        .iter()
        .find(|entry| entry["action"] == "dead_letter.repair");
    let detail = &entry.unwrap()["detail"];
    assert_eq!(
        (&detail["count"], &detail["repair"]),
        (&json!(selected), &json!(id))
    );
    // Again it changes nothing: the repaired payload is the newest.
    let (_, again) = send(&dashboard, json!({ "filter": LACKING, "program": PROGRAM })).await;
    assert_eq!(
        (&again["changed"], &again["unchanged"]),
        (&json!(0), &json!(selected))
    );
    let (status, problem) = send(&dashboard, json!({ "filter": LACKING, "program": "now" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("not available"),
        "{problem}"
    );
}

#[tokio::test]
async fn what_is_not_open_stays_and_an_edit_in_between_is_not_lost() {
    let dashboard = Dashboard::busy().await;
    // Dead letters 1 to 9 are replayed or being replayed, except those whose replay failed.
    let (_, trial) = send(
        &dashboard,
        json!({ "dead_letter_ids": [1, 2], "program": "{}", "dry_run": true }),
    )
    .await;
    assert_eq!(trial["selected"], json!(0));
    let store = &dashboard.state.store;
    let read = store
        .message(DeadLetterId(13), RevisionNumber(0))
        .await
        .unwrap();
    let url = dashboard.url("/api/v1/dead-letters/13/revisions");
    let edit = client()
        .post(url)
        .json(&json!({ "payload": "{\"by\":\"hand\"}" }));
    assert_eq!(edit.send().await.unwrap().status(), StatusCode::CREATED);
    let (_, repair) = send(
        &dashboard,
        json!({ "dead_letter_ids": [13], "program": ".x = 1" }),
    )
    .await;
    assert_eq!(repair["changed"], json!(1), "{repair}");
    assert_eq!(body(&dashboard, 13).await, "{\"by\":\"hand\",\"x\":1}");
    let original = store
        .message(DeadLetterId(13), RevisionNumber(0))
        .await
        .unwrap();
    assert_eq!(read, original);
}

#[tokio::test]
async fn an_edit_goes_back_to_an_earlier_revision_which_becomes_a_new_one() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let original = body(&dashboard, 13).await;
    for value in [1, 2] {
        let program = format!(".x = {value}");
        send(
            &dashboard,
            json!({ "dead_letter_ids": [13], "program": program }),
        )
        .await;
    }
    let (_, _, page) = get(&dashboard, "/dead-letters/13?tab=history").await;
    assert!(
        page.contains("Back to the original") && page.contains("Back to revision 1"),
        "{page}"
    );
    assert!(!page.contains("Back to revision 2"), "{page}");
    let url = dashboard.url("/dead-letters/13/revert");
    let (status, _, _) = visitor
        .post(&url, &[("revision", "0"), ("builds_on", "2")])
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(body(&dashboard, 13).await, original);
    assert_eq!(
        api(&dashboard, "/dead-letters/13").await["latest_revision"],
        json!(3)
    );
    // Somebody who saw less than there is now changes nothing.
    let (status, _, _) = visitor
        .post(&url, &[("revision", "1"), ("builds_on", "2")])
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (status, _, _) = visitor
        .post(&url, &[("revision", "9"), ("builds_on", "3")])
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_program_that_meets_its_limits_is_given_up() {
    let dashboard = Dashboard::busy().await;
    let program = "reduce range(60) as $i (\"x\"; . + .)";
    let (status, repair) = send(&dashboard, json!({ "filter": LACKING, "program": program })).await;
    assert_eq!(status, StatusCode::CREATED, "{repair}");
    let id = repair["id"].as_i64().unwrap();
    let repair = eventually("the repair is given up", async || {
        let repair = api(&dashboard, &format!("/repairs/{id}")).await;
        repair["finished_at"].is_string().then_some(repair)
    })
    .await;
    let problem = repair["problem"].as_str().unwrap();
    assert!(problem.contains("256 MiB"), "{repair}");
    // The next one is not held up.
    let (_, next) = send(&dashboard, json!({ "filter": LACKING, "program": PROGRAM })).await;
    assert!(next["changed"].as_u64().unwrap() > 3, "{next}");
}
