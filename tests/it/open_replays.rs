//! Replays of all jobs without an outcome: the pages, and the decision about all that match.

use std::ops::Range;
use std::time::Duration;

use redrive::domain::{
    Destination, Partition, ReplayEvent, ReplayId, ReplayJobId, ReplayOptions, RevisionNumber,
    Timestamp,
};
use redrive::store::{NewReplay, NewReplayJob, Store, UnknownReplays};
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::support::dashboard::Dashboard;
use crate::support::replay_letters::{audit_entry, index};
use crate::support::stored_letters::{Letter, kafka_letter};
use crate::support::visitor::{Visitor, api, client, get};

/// So many dead letters of that type, each with a job of its own that is unknown.
async fn unknown_jobs(dashboard: &Dashboard, event_type: &str, offsets: Range<i64>) {
    for offset in offsets {
        unknown_job(dashboard, event_type, offset..offset + 1).await;
    }
}

/// So many dead letters of that type with one job, all of which is unknown.
async fn unknown_job(dashboard: &Dashboard, event_type: &str, offsets: Range<i64>) -> ReplayJobId {
    let store = &dashboard.state.store;
    let letter = |offset| {
        kafka_letter(&Letter {
            offset,
            event_type,
            class: "Late",
            message: "in doubt",
            body: b"{}",
            age: 5,
        })
    };
    let letters: Vec<_> = offsets.map(letter).collect();
    let replay = |dead_letter| NewReplay {
        id: ReplayId(Uuid::now_v7()),
        dead_letter,
        revision: RevisionNumber(0),
        destination: Destination::Kafka {
            cluster: "kafka".into(),
            topic: "orders".into(),
            partition: Some(Partition(1)),
        },
    };
    let letters = index(store, &letters).await;
    let job = NewReplayJob {
        id: ReplayJobId(Uuid::now_v7()),
        created_at: Timestamp::now(),
        created_by: "alice".to_owned(),
        selection: "test".to_owned(),
        options: ReplayOptions::default(),
        replays: letters.into_iter().map(replay).collect(),
    };
    let created = store.create_job(&job, &audit_entry()).await.unwrap();
    for id in created.planned {
        becomes_unknown(store, id).await;
    }
    job.id
}

async fn becomes_unknown(store: &Store, id: ReplayId) {
    let now = Timestamp::now();
    let events = [
        ReplayEvent::Sending {
            at: now,
            high_watermark: None,
            topic_id: None,
        },
        ReplayEvent::Unprovable {
            at: now,
            reason: "it broke off".to_owned(),
        },
    ];
    for event in events {
        store.advance_replay(id, event, now).await.unwrap();
    }
}

fn hidden<'a>(page: &'a str, name: &str) -> &'a str {
    let marker = format!("name=\"{name}\" value=\"");
    let start = page
        .find(&marker)
        .unwrap_or_else(|| panic!("no {name}: {page}"))
        + marker.len();
    page[start..].split('"').next().unwrap()
}

#[tokio::test]
async fn both_pages_are_linked_with_their_numbers() {
    let dashboard = Dashboard::busy().await;
    let (_, _, page) = get(&dashboard, "/replays").await;
    assert!(
        page.contains("<a href=\"/replays/awaiting\">Awaiting outcome 2</a>"),
        "{page}"
    );
    assert!(
        page.contains("<a href=\"/replays/unknown\">Unknown 1</a>"),
        "{page}"
    );
    let (_, _, page) = get(&dashboard, "/").await;
    assert!(
        page.contains("1 unknown: decide") && page.contains("2 await their outcome"),
        "{page}"
    );
    let (_, _, page) = get(&dashboard, "/replays/awaiting").await;
    assert!(
        page.contains("no consumer was seen to go beyond it yet"),
        "{page}"
    );
    assert!(
        page.contains("it counts as consumed once the DLQ was read"),
        "{page}"
    );
    assert!(
        !page.contains("name=\"decision\""),
        "nothing is to be decided: {page}"
    );
    let (_, _, page) = get(&dashboard, "/replays/unknown?filter=colour:red").await;
    assert!(
        page.contains("colour") && !page.contains("name=\"decision\""),
        "{page}"
    );
    let (_, _, page) = get(&dashboard, "/replays/unknown?filter=dlq:elsewhere").await;
    assert!(page.contains("None of them matches this filter"), "{page}");
    let (status, _, _) = get(&dashboard, "/replays/unknown?cursor=nonsense").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn one_is_decided_with_plain_forms_and_the_filter_stays() {
    let dashboard = Dashboard::busy().await;
    unknown_jobs(&dashboard, "Doubt", 2_000..2_002).await;
    let visitor = Visitor::of(&dashboard).await;
    let url = dashboard.url("/replays/unknown/resolve");
    let (_, _, page) = get(&dashboard, "/replays/unknown?filter=type:Doubt").await;
    assert!(
        page.contains("Decide for all 2 replays that match at once"),
        "{page}"
    );
    let replay = hidden(&page, "replay").to_owned();
    let fields = [("replay", replay.as_str()), ("filter", "type:Doubt")];
    let decide = async |decision| {
        visitor
            .post(&url, &[&fields[..], &[("decision", decision)]].concat())
            .await
    };
    let (status, _, page) = decide("perhaps").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{page}");
    let (status, headers, _) = decide("accept_as_sent").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(headers["location"], "/replays/unknown?filter=type%3ADoubt");
    let (status, _, _) = decide("accept_as_failed").await;
    assert_eq!(status, StatusCode::CONFLICT);
    let left = api(&dashboard, "/replays/unknown?filter=type:Doubt").await;
    assert_eq!(left["count"], 1, "{left}");
}

#[tokio::test]
async fn all_that_match_are_decided_as_they_were_seen() {
    let dashboard = Dashboard::busy().await;
    unknown_jobs(&dashboard, "Doubt", 2_000..2_102).await;
    let visitor = Visitor::of(&dashboard).await;
    let url = dashboard.url("/replays/unknown/resolve");
    let (_, _, page) = get(&dashboard, "/replays/unknown?filter=type:Doubt").await;
    assert!(page.contains("Type 102 to confirm"), "{page}");
    let as_of = hidden(&page, "as_of").to_owned();
    let post = async |count: &str, typed: &str| {
        let fields = [
            ("filter", "type:Doubt"),
            ("as_of", &as_of),
            ("count", count),
            ("typed", typed),
            ("decision", "accept_as_failed"),
        ];
        visitor.post(&url, &fields).await
    };
    let (status, _, page) = post("102", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("type 102 into the field beside the buttons"),
        "{page}"
    );
    let (_, _, page) = post("101", "101").await;
    assert!(
        page.contains("unknown replays changed from 101 to 102; look again"),
        "{page}"
    );
    let (status, _, _) = post("many", "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    // What becomes unknown after the person looked is not decided.
    unknown_jobs(&dashboard, "Doubt", 2_102..2_103).await;
    let (status, _, page) = post("102", "102").await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
    let left = api(&dashboard, "/replays/unknown").await;
    assert_eq!(left["count"], 2, "the other one and the late one: {left}");
    let audit = api(&dashboard, "/audit?action=replay.resolve").await;
    let detail = &audit["items"][0]["detail"];
    assert_eq!(
        (&detail["count"], &detail["filter"], &detail["decision"]),
        (
            &json!(102),
            &json!("type:Doubt"),
            &json!("accept_as_failed")
        ),
        "{audit}"
    );
    let failed = api(
        &dashboard,
        "/dead-letters?filter=type:Doubt+status:open&limit=1000",
    )
    .await;
    assert_eq!(failed["items"].as_array().unwrap().len(), 102);
}

#[tokio::test]
async fn all_of_a_job_are_decided_with_their_number_and_as_they_were_seen() {
    let dashboard = Dashboard::busy().await;
    let job = unknown_job(&dashboard, "Doubt", 2_000..2_102).await;
    let visitor = Visitor::of(&dashboard).await;
    let (address, api_address) = (format!("/replays/{job}"), format!("/api/v1/replays/{job}"));
    let url = dashboard.url(&format!("{address}/resolve"));
    let (_, _, page) = get(&dashboard, &address).await;
    assert!(page.contains("Type 102 to confirm"), "{page}");
    let post = async |as_of: &str, typed: &str| {
        let fields = [
            ("as_of", as_of),
            ("count", "102"),
            ("typed", typed),
            ("decision", "accept_as_failed"),
        ];
        visitor.post(&url, &fields).await
    };
    let as_of = hidden(&page, "as_of").to_owned();
    let (status, _, page) = post(&as_of, "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("type 102 into the field beside the buttons"),
        "{page}"
    );
    // One is sent again and unknown again: not the one that was seen.
    let store = &dashboard.state.store;
    let (seen, through) = (UnknownReplays::OfJob(job), Timestamp::now());
    let set = store.unknown_replays(seen, through).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    let (again, entry) = (ReplayEvent::SendAgain, audit_entry());
    store.resolve_unknown(set[0], again, &entry).await.unwrap();
    becomes_unknown(store, set[0]).await;
    let (_, _, page) = post(&as_of, "102").await;
    assert!(page.contains("changed from 102 to 101"), "{page}");
    let url = dashboard.url(&format!("{api_address}/resolve"));
    let decision = json!({ "decision": "accept_as_failed", "count": 101 });
    let refused = client().post(url).json(&decision).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    let at = Timestamp::now();
    let part = (&set[..3], through);
    let event = ReplayEvent::AcceptAsFailed { at };
    let decided = store.resolve_some(part, &event, &entry).await.unwrap();
    assert_eq!(decided.len(), 2, "those that were seen");
    let (_, _, page) = get(&dashboard, &address).await;
    let (as_of, count) = (hidden(&page, "as_of"), hidden(&page, "count"));
    assert_eq!(count, "100");
    let fields = [
        ("as_of", as_of),
        ("count", count),
        ("decision", "accept_as_sent"),
    ];
    let url = dashboard.url(&format!("{address}/resolve"));
    let (status, headers, _) = visitor.post(&url, &fields).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(headers["location"], address);
    let left = api(&dashboard, "/replays/unknown?filter=type:Doubt").await;
    assert_eq!(left["count"], 0, "{left}");
}

#[tokio::test]
async fn pages_go_on_where_they_ended_whatever_is_decided_meanwhile() {
    let dashboard = Dashboard::busy().await;
    unknown_jobs(&dashboard, "Doubt", 2_000..2_009).await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/replays/unknown?filter=type:Doubt&limit=2{cursor}");
        let page = api(&dashboard, &path).await;
        let items = page["items"].as_array().unwrap();
        seen.extend(
            items
                .iter()
                .map(|item| item["dead_letter_id"].as_i64().unwrap()),
        );
        // The last one of the page leaves the list.
        let last = items.last().unwrap();
        let (job, replay) = (
            last["job_id"].as_str().unwrap(),
            last["replay_id"].as_str().unwrap(),
        );
        let url = dashboard.url(&format!("/api/v1/replays/{job}/events/{replay}/resolve"));
        let decision = json!({ "decision": "accept_as_sent" });
        client().post(url).json(&decision).send().await.unwrap();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
    assert!(seen.is_sorted(), "{seen:?}");
    // Those of two states come in one order.
    let all = api(&dashboard, "/replays/awaiting").await;
    let times: Vec<_> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["updated_at"].as_str().unwrap())
        .collect();
    assert!(times.len() > 2 && times.is_sorted(), "{times:?}");
}
