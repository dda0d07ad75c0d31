use std::time::Duration;

use super::*;
use crate::domain::*;
use crate::store::tests::fixture;
use crate::store::{GroupQuery, PageRequest};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// Lets dead letters of a group arrive, each with its age in minutes.
async fn arrive(store: &Store, group: &str, first_offset: i64, minutes: &[u64]) {
    let letter = |(offset, age): (i64, &u64)| NewDeadLetter {
        cluster: "c".into(),
        position: Position::Kafka {
            topic: group.into(),
            topic_id: None,
            partition: Partition(0),
            offset: Offset(offset),
        },
        message: Message::default(),
        body_omitted: None,
        dead_at: NOW.minus(Duration::from_mins(*age)),
        decoded: Decoded::default(),
        event: EventIdentity::default(),
        classification: Classification {
            group: group.into(),
            title: group.to_owned(),
            explanation: String::new(),
        },
        custody: Custody::Broker,
        replay_id: None,
        redelivered: false,
    };
    let batch: Vec<_> = (first_offset..).zip(minutes).map(letter).collect();
    store
        .index_kafka_batch(&"c".into(), &batch, &[], &[], NOW)
        .await
        .unwrap();
}

async fn groups(store: &Store, state: GroupState, order: GroupOrder) -> Vec<String> {
    let asked = GroupQuery {
        state: Some(state),
        order,
        ..GroupQuery::default()
    };
    let page = PageRequest::first(10);
    let groups = store.failure_groups_by(&asked, NOW, &page).await.unwrap();
    let is_said = |group: &crate::store::FailureGroup| group.states(NOW).contains(&state);
    assert!(groups.items.iter().all(is_said), "{state:?}");
    groups.items.into_iter().map(|group| group.title).collect()
}

#[tokio::test]
async fn a_group_whose_last_hour_stands_out_grows() {
    let fixture = fixture().await;
    let store = &fixture.store;
    // One an hour, then four in the last one.
    arrive(store, "grows", 0, &[300, 240, 180, 120, 50, 30, 20, 10]).await;
    let steady: Vec<u64> = (0..24)
        .flat_map(|hour| [hour * 60, hour * 60 + 20])
        .collect();
    arrive(store, "steady", 0, &steady).await;
    arrive(store, "new", 0, &[40, 30, 20, 10]).await;
    arrive(store, "of last week", 0, &[10_000, 9_000, 8_000]).await;
    store.judge_growth(NOW).await.unwrap();
    let last = GroupOrder::Last;
    assert_eq!(groups(store, GroupState::Growing, last).await, ["grows"]);
    assert_eq!(groups(store, GroupState::New, last).await, ["new"]);
    // A quiet day later nothing grows.
    let tomorrow = NOW.plus(Duration::from_hours(25));
    store.judge_growth(tomorrow).await.unwrap();
    assert!(groups(store, GroupState::Growing, last).await.is_empty());
}

#[tokio::test]
async fn groups_are_found_by_state_and_sorted() {
    let fixture = fixture().await;
    let store = &fixture.store;
    arrive(store, "old", 0, &[500, 499, 498]).await;
    arrive(store, "older", 0, &[600, 100]).await;
    let resolve = "UPDATE dead_letters SET status = 'replayed' WHERE dlq = 'old'";
    sqlx::query(resolve).execute(&store.writer).await.unwrap();
    let last = GroupOrder::Last;
    assert_eq!(groups(store, GroupState::Resolved, last).await, ["old"]);
    assert_eq!(groups(store, GroupState::Open, last).await, ["older"]);
    let all = async |order| {
        let asked = GroupQuery {
            order,
            ..GroupQuery::default()
        };
        let page = PageRequest::first(10);
        let groups = store.failure_groups_by(&asked, NOW, &page).await.unwrap();
        let titles = groups.items.into_iter().map(|group| group.title);
        titles.collect::<Vec<_>>()
    };
    assert_eq!(all(GroupOrder::Last).await, ["older", "old"]);
    assert_eq!(all(GroupOrder::First).await, ["old", "older"]);
    assert_eq!(all(GroupOrder::Total).await, ["old", "older"]);
    assert_eq!(all(GroupOrder::Open).await, ["older", "old"]);
    // It comes back.
    arrive(store, "old", 3, &[1]).await;
    assert_eq!(groups(store, GroupState::Regressed, last).await, ["old"]);
}
