//! Failure groups on their pages and in the API.

use redrive::domain::{
    Destination, Filter, ReplayId, ReplayJobId, ReplayOptions, RevisionNumber, Timestamp,
};
use redrive::store::{NewAuditEntry, NewReplay, NewReplayJob, RedriveFindings};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::dashboard::Dashboard;
use crate::support::visitor::{Visitor, api, client, get};

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

#[tokio::test]
async fn a_redrive_policy_is_made_changed_and_removed_with_plain_forms() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let group = first_group(&dashboard).await;
    let page_path = format!("/failure-groups/{group}");
    let page = async || get(&dashboard, &page_path).await.2;
    let post = async |what: &str, fields: &[(&str, &str)]| {
        let url = dashboard.url(&format!("{page_path}/redrive-policy{what}"));
        let (status, _, page) = visitor.post(&url, fields).await;
        (status, page)
    };
    let none = page().await;
    for part in [
        "Create the policy",
        "id=\"policy_enabled\" name=\"enabled\" value=\"1\">",
        "Saved with On, it replays up to 6 that are open now",
        "Saved without On, it replays nothing",
    ] {
        assert!(none.contains(part), "{part}: {none}");
    }
    for (fields, complaint) in [
        ([("attempts", "21")], "give 1 to 20"),
        ([("attempts", "many")], "no whole number"),
        ([("first_delay", "soon")], "no duration"),
        ([("first_delay", "25h")], "1s to 24h"),
        ([("factor", "11")], "give 1 to 10"),
        ([("rate", "0")], "sends nothing"),
        ([("stop_percent", "0")], "give 1 to 100"),
    ] {
        let (status, page) = post("", &fields).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(page.contains(complaint), "{page}");
    }
    let fields = [
        ("enabled", "1"),
        ("attempts", "5"),
        ("first_delay", "90s"),
        ("rate", "7"),
    ];
    assert_eq!(post("", &fields).await.0, StatusCode::SEE_OTHER);
    let made = page().await;
    for part in [
        "redrive policy on",
        "name=\"attempts\" value=\"5\"",
        "name=\"first_delay\" value=\"90s\"",
        "name=\"rate\" value=\"7\"",
        "0 events replayed in 0 runs",
        "set by anonymous",
    ] {
        assert!(made.contains(part), "{part}: {made}");
    }
    let (_, _, list) = get(&dashboard, "/dead-letters").await;
    assert!(list.contains("redrive policy on"), "{list}");
    // A box that is not ticked is not sent.
    assert_eq!(post("", &fields[1..]).await.0, StatusCode::SEE_OTHER);
    let off = page().await;
    assert!(!off.contains("redrive policy on"), "{off}");
    assert_eq!(post("/remove", &[]).await.0, StatusCode::SEE_OTHER);
    assert!(page().await.contains("Create the policy"));
    assert_eq!(post("/remove", &[]).await.0, StatusCode::NOT_FOUND);

    let audit = api(&dashboard, "/audit").await;
    let entry = |index: usize| audit["items"][index].clone();
    assert_eq!(entry(0)["action"], "redrive_policy.remove");
    assert_eq!(entry(1)["detail"]["before"]["enabled"], true);
    assert_eq!(entry(1)["detail"]["policy"]["enabled"], false);
    assert_eq!(entry(2)["detail"]["policy"]["first_delay_seconds"], 90);
    assert_eq!(entry(2)["detail"]["before"], Value::Null);
}

#[tokio::test]
async fn what_a_redrive_policy_leaves_to_a_person_and_why_it_stopped_is_said() {
    let dashboard = Dashboard::busy().await;
    let group = first_group(&dashboard).await;
    let url = dashboard.url(&format!("/api/v1/failure-groups/{group}/redrive-policy"));
    let body = json!({ "enabled": true, "first_delay": "1m" });
    client().put(&url).json(&body).send().await.unwrap();
    let store = &dashboard.state.store;
    let id = group.as_str().into();
    let stored = store.redrive_policy(&id).await.unwrap().unwrap();
    let findings = RedriveFindings {
        waiting: 2,
        next_due: Some(Timestamp(1_795_572_000_000)),
        for_next_run: 1,
        skipped: vec![("no known destination".to_owned(), 1_234)],
    };
    let noted = store.note_redrive_findings(&stored, &findings, Timestamp::now());
    noted.await.unwrap();
    let (_, _, page) = get(&dashboard, &format!("/failure-groups/{group}")).await;
    for part in [
        "1,234 – no known destination",
        "1 event is due in the next run, 2 events wait for its time",
        "2026-11-25 02:00:00",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let policy = api(
        &dashboard,
        &format!("/failure-groups/{group}/redrive-policy"),
    )
    .await;
    assert_eq!(policy["skipped"][0]["count"], 1_234);
    assert_eq!(policy["next_due_at"], "2026-11-25T02:00:00.000Z");

    let entry = NewAuditEntry {
        at: Timestamp::now(),
        actor: "system".to_owned(),
        address: String::new(),
        action: "redrive_policy.stop".to_owned(),
        detail: json!({}),
    };
    assert_eq!(policy["is_sending"], false);
    let filter = Filter::parse(&format!("group:\"{group}\" status:open")).unwrap();
    let open = store.matching_ids(&filter, Timestamp::now(), 1).await;
    let letter = open.unwrap()[0];
    let job = NewReplayJob {
        id: ReplayJobId(Uuid::now_v7()),
        created_at: Timestamp::now(),
        created_by: "policy".to_owned(),
        selection: "test".to_owned(),
        options: ReplayOptions::default(),
        replays: vec![NewReplay {
            id: ReplayId(Uuid::now_v7()),
            dead_letter: letter,
            revision: RevisionNumber(0),
            destination: Destination::queue("r".into(), "/".into(), &"q".into()),
        }],
    };
    let attempts = [(letter, 1)];
    let run = store.start_redrive_run(&stored, &job, &attempts, &entry);
    assert!(run.await.unwrap().is_some());
    let (_, _, page) = get(&dashboard, &format!("/failure-groups/{group}")).await;
    let waits = "after the last run, whose job has still something to send";
    assert!(page.contains(waits), "{page}");
    let link = format!("/replays/{}", job.id);
    assert!(page.contains(&link), "{page}");
    let stop = store.stop_redrive_policy(&stored, "all died <again>", &entry);
    assert!(stop.await.unwrap());
    let (_, _, page) = get(&dashboard, &format!("/failure-groups/{group}")).await;
    assert!(page.contains("switched itself off: all died"), "{page}");
    assert!(!page.contains("all died <again>"), "{page}");
    assert!(!page.contains("no known destination"), "{page}");
}

#[tokio::test]
async fn the_api_sets_shows_and_removes_a_redrive_policy() {
    let dashboard = Dashboard::busy().await;
    let group = first_group(&dashboard).await;
    let path = format!("/failure-groups/{group}/redrive-policy");
    let send = async |method: Method, path: &str, body: Value| {
        let url = dashboard.url(&format!("/api/v1{path}"));
        let request = client().request(method, url).json(&body);
        let response = request.send().await.unwrap();
        (
            response.status(),
            response.json::<Value>().await.unwrap_or_default(),
        )
    };
    let (status, problem) = send(Method::GET, &path, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("has no redrive policy"), "{detail}");
    let (status, policy) = send(Method::PUT, &path, json!({ "enabled": false })).await;
    assert_eq!(status, StatusCode::OK, "{policy}");
    let defaults = [
        &policy["attempts"],
        &policy["first_delay"],
        &policy["factor"],
    ];
    assert_eq!(defaults, [&json!(3), &json!("1m"), &json!(2)]);
    assert_eq!(policy["stopped_reason"], Value::Null);
    let body = json!({ "enabled": true, "attempts": 2, "events_per_second": 9 });
    let (_, policy) = send(Method::PUT, &path, body).await;
    assert_eq!(
        [
            &policy["enabled"],
            &policy["attempts"],
            &policy["events_per_second"]
        ],
        [&json!(true), &json!(2), &json!(9)]
    );
    let groups = api(&dashboard, "/failure-groups").await;
    assert_eq!(groups["items"][0]["is_redriven"], true);
    for body in [
        json!({ "enabled": true, "attempts": 0 }),
        json!({ "enabled": true, "first_delay": "soon" }),
    ] {
        let (status, problem) = send(Method::PUT, &path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    }
    let nowhere = "/failure-groups/v1:none/redrive-policy";
    let (status, _) = send(Method::PUT, nowhere, json!({ "enabled": true })).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    for expected in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let (status, _) = send(Method::DELETE, &path, Value::Null).await;
        assert_eq!(status, expected);
    }
}
