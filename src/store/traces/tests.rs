use super::*;
use crate::domain::{Message, NewDeadLetter, ReplayId, TimeBasis};
use crate::store::NewRevision;
use crate::store::tests::{NOW, entry, fixture, job, kafka_letter};

pub(in crate::store) fn event(offset: i64, correlation: &str, id: &str) -> TracedEvent {
    TracedEvent {
        place: EventPlace::Record(RecordPlace {
            cluster: "c".into(),
            topic: "orders".into(),
            partition: Partition(0),
            offset: Offset(offset),
        }),
        at: Timestamp(offset),
        basis: TimeBasis::CreateTime,
        event: EventIdentity {
            event_id: Some(id.to_owned()),
            event_type: Some("OrderCreated".to_owned()),
            correlation_id: Some(correlation.to_owned()),
            causation_id: None,
            aggregate_id: Some(format!("aggregate-{id}")),
        },
        source: None,
        is_retry: false,
        replay: None,
        application: None,
    }
}

pub(in crate::store) fn letter(offset: i64, correlation: &str) -> NewDeadLetter {
    let mut letter = kafka_letter(offset);
    letter.event.correlation_id = Some(correlation.to_owned());
    letter.event.event_id = Some("dead-event".to_owned());
    letter
}

#[tokio::test]
async fn what_has_a_correlation_id_is_told_whole() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut observed = event(3, "a", "e3");
    observed.basis = TimeBasis::Observed;
    observed.replay = Some(ReplayId(uuid::Uuid::from_u128(7)));
    observed.source = Some("order-service".to_owned());
    observed.application = Some(ApplicationSpan {
        trace: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        span: Some("00f067aa0ba902b7".to_owned()),
    });
    let mut routed = event(5, "a", "e5");
    routed.basis = TimeBasis::Publisher;
    routed.place = EventPlace::Routed(RoutedPlace {
        cluster: "r".into(),
        vhost: "/".into(),
        exchange: "orders".into(),
        routing_key: "order.created".to_owned(),
        fingerprint: "f".to_owned(),
    });
    // Equal messages are two.
    let events = [
        event(2, "a", "e2"),
        observed,
        routed.clone(),
        routed,
        event(4, "b", "e4"),
    ];
    store.put_traced_events(&events).await.unwrap();
    // A record that comes again does not.
    store.put_traced_events(&events[..2]).await.unwrap();
    let letters = [letter(0, "a"), letter(1, "b")];
    let indexed = store
        .index_kafka_batch(&"c".into(), &letters, &[], &[], NOW)
        .await
        .unwrap();
    let ids = [indexed[0].id];
    let edit = NewRevision {
        dead_letter: ids[0],
        builds_on: RevisionNumber(0),
        message: Message::default(),
        author: "anna".to_owned(),
        note: Some("a typo".to_owned()),
        at: NOW,
    };
    store.add_revision(&edit, &entry()).await.unwrap();
    store.create_job(&job(&ids), &entry()).await.unwrap();

    let parts = store.trace_parts("a", 100).await.unwrap();
    assert_eq!(parts.events, events[..4]);
    assert_eq!(parts.all_events, 4);
    let letters: Vec<_> = parts.dead_letters.iter().map(|(l, _)| l.id).collect();
    assert_eq!(letters, ids);
    let replays: Vec<_> = parts.replays.iter().map(|r| r.dead_letter).collect();
    assert_eq!(replays, ids);
    let edited = TracedEdit {
        letter: ids[0],
        revision: RevisionNumber(1),
        at: NOW,
        author: "anna".to_owned(),
        note: Some("a typo".to_owned()),
    };
    assert_eq!(parts.edits, [edited]);
    let cut = store.trace_parts("a", 1).await.unwrap();
    assert_eq!((cut.events.len(), cut.all_events), (1, 4));
    let nothing = store.trace_parts("c", 100).await.unwrap();
    assert!(nothing.events.is_empty() && nothing.dead_letters.is_empty());
}

#[tokio::test]
async fn a_record_that_comes_again_takes_the_place_of_itself() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for correlation in ["a", "a", "b"] {
        let events = [event(2, correlation, "e")];
        store.put_traced_events(&events).await.unwrap();
    }
    assert_eq!(store.trace_parts("a", 10).await.unwrap().all_events, 0);
    assert_eq!(store.trace_parts("b", 10).await.unwrap().all_events, 1);
}

#[tokio::test]
async fn what_is_old_and_what_is_too_much_leaves() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let events: Vec<_> = (0..10).map(|offset| event(offset, "a", "e")).collect();
    store.put_traced_events(&events).await.unwrap();
    let pruned = store.prune_traced_events(Timestamp(2), 1_000).await;
    assert_eq!(pruned.unwrap(), 2);
    let pruned = store.prune_traced_events(Timestamp(0), 5).await;
    assert_eq!(pruned.unwrap(), 3);
    let left = store.trace_parts("a", 100).await.unwrap().events;
    let left: Vec<_> = left.iter().map(|event| event.at.0).collect();
    assert_eq!(left, [5, 6, 7, 8, 9]);
    store.prune_traced_events(Timestamp(100), 5).await.unwrap();
    let left = store.trace_parts("a", 100).await.unwrap().events;
    assert_eq!(left.len(), 1, "its row ID is not given again");
}

#[tokio::test]
async fn events_that_came_again_are_told_with_all_their_copies() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let events = [
        event(1, "a", "twice"),
        event(2, "a", "twice"),
        event(3, "b", "twice"),
        event(4, "a", "once"),
    ];
    store.put_traced_events(&events).await.unwrap();
    let mut repeated = store.repeated_events().await.unwrap();
    repeated.sort_by_key(|event| event.at);
    assert_eq!(repeated, events[..2]);
}

#[tokio::test]
async fn handovers_are_remembered_as_long_as_they_are_seen() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let seen = |service: &str| KnownHandover {
        cluster: "c".into(),
        channel: "orders".to_owned(),
        service: service.to_owned(),
    };
    let (billing, mails, shop) = (seen("billing"), seen("mails"), seen("shop"));
    for (at, seen) in [
        (1, vec![]),
        (1, vec![mails.clone(), billing.clone()]),
        (2, vec![shop.clone()]),
        (3, vec![billing.clone()]),
    ] {
        store
            .remember_handovers(&seen, Timestamp(at))
            .await
            .unwrap();
    }
    let known = async |most| store.known_handovers(most).await.unwrap();
    let all = [billing.clone(), shop.clone(), mails];
    assert_eq!(known(10).await, all);
    assert_eq!(known(1).await, all[..1]);
    let prune = async |oldest, most| {
        let pruned = store.prune_known_handovers(Timestamp(oldest), most);
        pruned.await.unwrap();
    };
    prune(1, 10).await;
    assert_eq!(known(10).await, all);
    prune(2, 10).await;
    assert_eq!(known(10).await, all[..2]);
    prune(2, 1).await;
    assert_eq!(known(10).await, all[..1]);
}
