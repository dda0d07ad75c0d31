use std::collections::HashSet;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{
    DeadLetterStatus, DeathReason, Destination, EventIdentity, EventPlace, Offset, Partition,
    Position, ReplayJobId, ReplayStateName, TimeBasis,
};

fn place(offset: i64) -> RecordPlace {
    RecordPlace {
        cluster: "k".into(),
        topic: "orders".into(),
        partition: Partition(0),
        offset: Offset(offset),
    }
}

fn identity(id: &str, cause: &str) -> EventIdentity {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    EventIdentity {
        event_id: given(id),
        causation_id: given(cause),
        correlation_id: Some("c".to_owned()),
        ..EventIdentity::default()
    }
}

/// An event at an offset that is its time as well.
fn event(offset: i64, id: &str, cause: &str) -> TracedEvent {
    TracedEvent {
        place: EventPlace::Record(place(offset)),
        at: Timestamp(offset),
        basis: TimeBasis::CreateTime,
        event: identity(id, cause),
        source: None,
        is_retry: false,
        replay: None,
        application: None,
    }
}

fn replayed(offset: i64, id: &str, replay: u128) -> TracedEvent {
    TracedEvent {
        replay: Some(replay_id(replay)),
        ..event(offset, id, "")
    }
}

fn letter(number: i64, at: i64, id: &str) -> TracedLetter {
    TracedLetter {
        id: DeadLetterId(number),
        cluster: "k".into(),
        position: Position::Kafka {
            topic: "orders.dlq".into(),
            topic_id: None,
            partition: Partition(0),
            offset: Offset(number),
        },
        at: Timestamp(at),
        event: identity(id, ""),
        status: DeadLetterStatus::Open,
        reason: DeathReason::Unknown,
        failure_class: Some("Timeout".to_owned()),
        failure_message: None,
        consumer: None,
        consumed_from: None,
        original: None,
        died_from: None,
        edits: Vec::new(),
    }
}

fn replay_id(number: u128) -> ReplayId {
    ReplayId(Uuid::from_u128(number))
}

fn replay(number: u128, of: i64, at: i64) -> TracedReplay {
    TracedReplay {
        id: replay_id(number),
        job: ReplayJobId(Uuid::from_u128(1)),
        letter: DeadLetterId(of),
        revision: RevisionNumber(0),
        at: Some(Timestamp(at)),
        state: ReplayStateName::Sent,
        destination: Destination::Kafka {
            cluster: "k".into(),
            topic: "orders".into(),
            partition: None,
        },
        attempt: 1,
        landed: None,
    }
}

/// Without anything that is known from other traces.
fn stitch(
    events: Vec<TracedEvent>,
    letters: Vec<TracedLetter>,
    replays: Vec<TracedReplay>,
) -> Trace {
    super::stitch(events, letters, replays, &BTreeSet::new())
}

fn handover(channel: &str, service: &str) -> KnownHandover {
    KnownHandover {
        cluster: "k".into(),
        channel: channel.to_owned(),
        service: service.to_owned(),
    }
}

/// A line a node: its depth, what it is, why it stands there.
fn shown(trace: &Trace) -> Vec<String> {
    let line = |node: &Node| {
        let what = match &node.step {
            Step::Event(event) => {
                let id = event.event.event_id.as_deref().unwrap_or("-");
                format!("{id}@{}", event.place.record().unwrap().offset.0)
            }
            Step::Letter(letter) => format!("letter {}", letter.id.0),
            Step::Edit(edit) => format!("edit {}", edit.revision),
            Step::Replay(replay) => format!("replay {}", replay.id.0.as_u128()),
            Step::Missing(id) => format!("missing {id}"),
        };
        let repeat = node
            .repeat
            .map_or(String::new(), |repeat| format!(" {repeat:?}"));
        format!("{}{what} {:?}{repeat}", "  ".repeat(node.depth), node.cause)
    };
    trace.nodes.iter().map(line).collect()
}

fn check(trace: &Trace, expected: &[&str]) {
    assert_eq!(shown(trace), expected);
}

#[test]
fn a_causation_id_is_the_event_above_and_a_fan_out_is_no_chain() {
    let events = vec![
        event(4, "shipped", "paid"),
        event(1, "ordered", ""),
        event(2, "paid", "ordered"),
        event(3, "mailed", "ordered"),
        event(5, "unrelated", ""),
    ];
    check(
        &stitch(events, vec![], vec![]),
        &[
            "ordered@1 Unknown",
            "  paid@2 CausationId",
            "    shipped@4 CausationId",
            "  mailed@3 CausationId",
            "unrelated@5 Unknown",
        ],
    );
}

#[test]
fn a_cause_that_was_not_seen_is_a_ghost_with_all_that_it_caused() {
    let events = vec![
        event(5, "b", "gone"),
        event(3, "a", "gone"),
        event(4, "first", ""),
    ];
    check(
        &stitch(events, vec![], vec![]),
        &[
            "missing gone Unknown",
            "  a@3 CausationId",
            "  b@5 CausationId",
            "first@4 Unknown",
        ],
    );
}

#[test]
fn what_comes_again_is_told_by_why_it_does() {
    let at = |offset: i64, topic: &str| {
        let mut event = event(offset, "a", "");
        event.place = EventPlace::Record(RecordPlace {
            topic: topic.into(),
            ..place(offset)
        });
        event
    };
    let mut retried = at(3, "orders");
    retried.is_retry = true;
    let mut sent_again = at(5, "orders");
    sent_again.replay = Some(replay_id(9));
    sent_again.is_retry = true;
    let events = vec![
        at(1, "orders"),
        at(2, "invoices"),
        retried,
        at(4, "orders"),
        sent_again,
        at(6, "invoices"),
    ];
    check(
        &stitch(events, vec![], vec![]),
        &[
            "a@1 Unknown",
            "  a@2 SameEvent Elsewhere",
            "  a@3 SameEvent Retry",
            "  a@4 SameEvent Duplicate",
            "  a@5 SameEvent Replay",
            "  a@6 SameEvent Duplicate",
        ],
    );
}

#[test]
fn an_event_that_comes_again_stands_below_the_first() {
    let events = vec![
        event(1, "a", ""),
        event(2, "a", ""),
        event(3, "-", "a"),
        event(4, "a", "root"),
    ];
    check(
        &stitch(events, vec![], vec![]),
        &[
            "a@1 Unknown",
            "  a@2 SameEvent Duplicate",
            "  -@3 CausationId",
            "missing root Unknown",
            "  a@4 CausationId Duplicate",
        ],
    );
}

#[test]
fn a_cause_is_inferred_where_only_one_event_can_be_it() {
    let from = |mut event: TracedEvent, service: &str| {
        event.source = Some(service.to_owned());
        event
    };
    let known = [handover("orders", "billing")].into();
    let infer = |events: Vec<TracedEvent>| super::stitch(events, vec![], vec![], &known);
    let ordered = from(event(1, "ordered", ""), "shop");
    let again = from(event(2, "ordered", ""), "shop");
    let billed = from(event(3, "billed", ""), "billing");
    let mailed = from(event(4, "mailed", ""), "mailer");
    check(
        &infer(vec![ordered.clone(), again, billed.clone(), mailed]),
        &[
            "ordered@1 Unknown",
            "  ordered@2 SameEvent Duplicate",
            "  billed@3 Inferred",
            "mailed@4 Unknown",
        ],
    );
    // Two orders: nothing tells which of them it was.
    let other = from(event(2, "other", ""), "shop");
    check(
        &infer(vec![ordered.clone(), other, billed.clone()]),
        &["ordered@1 Unknown", "other@2 Unknown", "billed@3 Unknown"],
    );
    // What a header says counts more.
    let named = from(event(3, "billed", "ordered"), "billing");
    check(
        &infer(vec![ordered, named]),
        &["ordered@1 Unknown", "  billed@3 CausationId"],
    );
    // Nothing before it.
    check(&infer(vec![billed]), &["billed@3 Unknown"]);
}

#[test]
fn an_edit_stands_between_the_dead_letter_and_the_replay_that_sent_it() {
    let mut died = letter(1, 5, "a");
    let edit = |revision, at| TracedEdit {
        letter: DeadLetterId(1),
        revision: RevisionNumber(revision),
        at: Timestamp(at),
        author: "anna".to_owned(),
        note: None,
    };
    died.edits = vec![edit(1, 6), edit(2, 8)];
    let edited = TracedReplay {
        revision: RevisionNumber(1),
        ..replay(7, 1, 7)
    };
    check(
        &stitch(vec![], vec![died], vec![edited, replay(8, 1, 9)]),
        &[
            "letter 1 Unknown",
            "  edit 1 OwnRecord",
            "    replay 7 OwnRecord",
            "  edit 2 OwnRecord",
            "  replay 8 OwnRecord",
        ],
    );
}

#[test]
fn a_dead_letter_its_replay_and_what_became_of_it_are_one_line() {
    let mut first = letter(1, 2, "a");
    first.original = Some(place(1));
    let mut again = letter(2, 6, "a");
    again.died_from = Some(replay_id(7));
    let events = vec![event(0, "a", ""), event(1, "a", ""), replayed(5, "a", 7)];
    check(
        &stitch(events, vec![again, first], vec![replay(7, 1, 4)]),
        &[
            "a@0 Unknown",
            "  a@1 SameEvent Duplicate",
            "    letter 1 Provenance",
            "      replay 7 OwnRecord",
            "        a@5 Provenance Replay",
            "          letter 2 Provenance",
        ],
    );
}

#[test]
fn what_the_tap_did_not_see_is_stitched_from_the_store_alone() {
    let mut again = letter(2, 6, "a");
    again.died_from = Some(replay_id(7));
    let mut pointing = letter(3, 8, "b");
    pointing.original = Some(place(99));
    pointing.event.causation_id = Some("a".to_owned());
    check(
        &stitch(
            vec![],
            vec![letter(1, 2, "a"), again, pointing],
            vec![replay(7, 1, 4)],
        ),
        &[
            "letter 1 Unknown",
            "  replay 7 OwnRecord",
            "    letter 2 Provenance",
            "missing a Unknown",
            "  letter 3 CausationId",
        ],
    );
}

#[test]
fn times_are_as_the_clocks_say_them() {
    let mut early = event(9, "b", "a");
    early.at = Timestamp(3);
    let mut cause = event(1, "a", "");
    cause.at = Timestamp(10);
    let trace = stitch(vec![early, cause], vec![], vec![]);
    let after: Vec<_> = trace.nodes.iter().map(|node| node.after_ms).collect();
    assert_eq!(after, [None, Some(-7)]);
}

#[test]
fn ids_in_a_circle_hold_nothing_up() {
    let trace = stitch(
        vec![
            event(1, "a", "c"),
            event(2, "b", "a"),
            event(3, "c", "b"),
            event(4, "d", "d"),
        ],
        vec![],
        vec![],
    );
    check(
        &trace,
        &[
            "c@3 Unknown",
            "  a@1 CausationId",
            "    b@2 CausationId",
            "d@4 Unknown",
        ],
    );
}

#[test]
fn beyond_the_cap_dead_letters_stay_and_so_do_the_first_events() {
    let most = i64::try_from(MOST_STEPS).unwrap();
    let events: Vec<_> = (0..most + 10).map(|offset| event(offset, "", "")).collect();
    let trace = stitch(
        events,
        vec![letter(1, most + 20, "x")],
        vec![replay(1, 1, most + 30)],
    );
    assert_eq!((trace.nodes.len(), trace.left_out), (MOST_STEPS, 12));
    let last_event = trace.nodes.iter().rev().find_map(|node| match &node.step {
        Step::Event(event) => Some(event.place.record()?.offset.0),
        _ => None,
    });
    assert_eq!(last_event, Some(most - 3));
    assert_eq!(trace.nodes.last().unwrap().cause, Cause::OwnRecord);
}

prop_compose! {
    fn any_event()(offset in 0..30_i64, at in 0..9_i64, id in 0..8_u8, cause in 0..10_u8, replay in 0..6_u128) -> TracedEvent {
        let name = |number: u8| if number == 0 { String::new() } else { format!("e{number}") };
        TracedEvent {
            at: Timestamp(at),
            replay: (replay > 3).then(|| replay_id(replay)),
            source: (id % 2 == 0).then(|| "billing".to_owned()),
            ..event(offset, &name(id), &name(cause))
        }
    }
}

prop_compose! {
    fn any_letter()(number in 0..9_i64, at in 0..9_i64, id in 0..8_u8, original in 0..40_i64, died in 0..9_u128) -> TracedLetter {
        TracedLetter {
            original: (original < 30).then(|| place(original)),
            died_from: (died > 3).then(|| replay_id(died)),
            ..letter(number, at, &format!("e{id}"))
        }
    }
}

/// One of each place, ID and number: the store has no two.
fn unique<T, K: std::hash::Hash + Eq>(items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = HashSet::new();
    items
        .into_iter()
        .filter(|item| seen.insert(key(item)))
        .collect()
}

proptest! {
    #[test]
    fn any_order_of_arrival_gives_one_trace_without_a_circle(
        events in proptest::collection::vec(any_event(), 0..40),
        letters in proptest::collection::vec(any_letter(), 0..6),
        replays in proptest::collection::vec((4..9_u128, 0..9_i64, 0..9_i64), 0..5),
        shift in 0..40_usize,
    ) {
        let events = unique(events, |event| event.place.clone());
        let letters = unique(letters, |letter| letter.id);
        let replays = replays.into_iter().map(|(id, of, at)| replay(id, of, at)).collect();
        let replays: Vec<TracedReplay> = unique(replays, |replay: &TracedReplay| replay.id);
        let known = [handover("orders", "billing")].into();
        let stitch = |events, letters, replays| super::stitch(events, letters, replays, &known);
        let trace = stitch(events.clone(), letters.clone(), replays.clone());
        let turned = |length: usize| if length == 0 { 0 } else { shift % length };
        let (mut other, mut letters, mut replays) = (events.clone(), letters, replays);
        other.rotate_left(turned(events.len()));
        letters.reverse();
        replays.reverse();
        prop_assert_eq!(&stitch(other, letters.clone(), replays.clone()), &trace);

        let ghosts = trace.nodes.iter().filter(|node| matches!(node.step, Step::Missing(_)));
        let expected = events.len() + letters.len() + replays.len() + ghosts.count();
        prop_assert_eq!(trace.nodes.len(), expected, "each is there once");
        for (index, node) in trace.nodes.iter().enumerate() {
            prop_assert!(node.parent.is_none_or(|parent| parent < index), "causes come first");
        }
    }
}
