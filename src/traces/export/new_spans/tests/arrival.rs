//! In whatever order things arrive, and whenever what is there is exported.

use proptest::prelude::*;

use super::*;

/// An event that names only those before it, as IDs that do not run in circles do.
fn any_event() -> impl Strategy<Value = TracedEvent> {
    (0..40_i64, 1..60_i64, 0..8_u8, 0..8_u8).prop_map(|(offset, at, id, cause)| {
        let cause = if cause < id {
            format!("e{cause}")
        } else {
            String::new()
        };
        event(offset, at, &format!("e{id}"), &cause)
    })
}

fn any_letter() -> impl Strategy<Value = TracedLetter> {
    (0..9_i64, 1..60_i64, 0..40_i64).prop_map(|(number, at, original)| letter(number, at, original))
}

fn any_replay() -> impl Strategy<Value = TracedReplay> {
    (0..9_u128, 0..9_i64, 1..60_i64)
        .prop_map(|(number, of, at)| replay(number, of, Some(at), ReplayStateName::Sent))
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => any_event().prop_map(Step::Event),
        1 => any_letter().prop_map(Step::Letter),
        1 => any_replay().prop_map(Step::Replay),
    ]
}

/// The first of each identity: what is somewhere does not change.
fn distinct(steps: Vec<Step>) -> Vec<Step> {
    let mut seen = HashSet::new();
    let trace = TraceId::of(ORDER).unwrap();
    let id = |step: &Step| match step {
        Step::Event(event) => SpanId::message(trace, &event.place),
        Step::Letter(letter) => SpanId::dead_letter(trace, &letter.cluster, &letter.position),
        Step::Replay(replay) => SpanId::replay(trace, replay.id),
        Step::Edit(_) | Step::Missing(_) => SpanId::root(trace),
    };
    steps
        .into_iter()
        .filter(|step| seen.insert(id(step)))
        .collect()
}

fn stitched(steps: &[Step]) -> Trace {
    let (mut events, mut letters, mut replays) = (Vec::new(), Vec::new(), Vec::new());
    for step in steps.iter().cloned() {
        match step {
            Step::Event(event) => events.push(event),
            Step::Letter(letter) => letters.push(letter),
            Step::Replay(replay) => replays.push(replay),
            Step::Edit(_) | Step::Missing(_) => {}
        }
    }
    stitch(events, letters, replays, &BTreeSet::new())
}

proptest! {
    #[test]
    fn any_order_of_arrival_gives_the_same_spans_and_none_twice(
        steps in prop::collection::vec(any_step(), 1..25).prop_map(distinct).prop_shuffle(),
        exports in prop::collection::vec(any::<bool>(), 25),
    ) {
        let at_once = exported(&new_spans(&stitched(&steps), &story(0), &HashSet::new()));
        let mut sent = HashSet::new();
        for (count, is_exported) in (1..=steps.len()).zip(exports) {
            if !is_exported && count < steps.len() {
                continue;
            }
            let new = new_spans(&stitched(&steps[..count]), &story(0), &sent);
            for new in &new {
                prop_assert!(sent.insert(new.id), "{} is sent twice", label(&new.id.0));
            }
        }
        prop_assert_eq!(sent, at_once);
    }
}
