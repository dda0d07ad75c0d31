//! How long it took from an event to each that it caused, told once for each pair.
//!
//! The times are those that the events have. A cause that is seen after its effect is waited for, as far as the
//! waiting room goes; an event that comes again is no new effect.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::domain::{ClusterName, KnownHandover, PublishedEvent, System, Timestamp, TracedEvent};

/// Effects whose cause was not seen yet.
const MOST_WAITING: usize = 50_000;

/// The label of a service that does not say its name.
const UNKNOWN_SERVICE: &str = "unknown";

/// An event and one that it caused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handover {
    pub(super) cluster: ClusterName,
    pub(super) system: System,
    /// The topic or exchange of the cause.
    pub(super) source: String,
    /// The service that published the effect.
    pub(super) consumer: String,
    /// Negative if clocks disagree.
    pub(super) millis: i64,
}

impl Handover {
    /// What it teaches; nothing if the service does not say its name.
    pub(super) fn known(&self) -> Option<KnownHandover> {
        (self.consumer != UNKNOWN_SERVICE).then(|| KnownHandover {
            cluster: self.cluster.clone(),
            channel: self.source.clone(),
            service: self.consumer.clone(),
        })
    }
}

/// An event ID within a trace.
type Key = (String, String);

/// Pairs up causes and effects.
#[derive(Debug, Default)]
pub(super) struct Handovers {
    waiting: HashMap<Key, VecDeque<(u64, Effect)>>,
    /// All that waits or waited, with its number, in the order in which it came.
    arrived: VecDeque<(u64, Key)>,
    last_number: u64,
}

#[derive(Clone, Debug)]
struct Effect {
    at: Timestamp,
    consumer: String,
}

/// The IDs whose events have to be known before a batch is looked at: correlation ID and event ID.
pub(super) fn ids_to_look_up(batch: &[TracedEvent]) -> Vec<(&str, &str)> {
    let ids = batch.iter().flat_map(|traced| {
        let event = &traced.event;
        let ids = [event.event_id.as_deref(), event.causation_id.as_deref()];
        let trace = event.correlation_id.as_deref();
        ids.map(|id| trace.zip(id))
    });
    let ids: HashSet<(&str, &str)> = ids.flatten().collect();
    ids.into_iter().collect()
}

impl Handovers {
    /// The pairs that a batch completes; `known` are the events with [`ids_to_look_up`] that were seen before it.
    pub(super) fn complete(
        &mut self,
        known: Vec<PublishedEvent>,
        batch: &[TracedEvent],
    ) -> Vec<Handover> {
        let mut published: HashMap<Key, PublishedEvent> = HashMap::new();
        for event in known {
            let key = (event.correlation_id.clone(), event.event_id.clone());
            published.entry(key).or_insert(event);
        }
        let is_new = |traced: &&TracedEvent| {
            let Some(key) = own_key(traced) else {
                return true;
            };
            let is_new = !published.contains_key(&key);
            if is_new {
                published.insert(key, PublishedEvent::from(*traced));
            }
            is_new
        };
        let fresh: Vec<&TracedEvent> = batch.iter().filter(is_new).collect();
        let mut found = Vec::new();
        for traced in fresh {
            if let Some(waiting) = own_key(traced).and_then(|key| self.waiting.remove(&key)) {
                let cause = PublishedEvent::from(traced);
                found.extend(waiting.iter().map(|(_, effect)| handover(&cause, effect)));
            }
            let Some(cause) = cause_key(traced) else {
                continue;
            };
            let effect = effect(traced);
            match published.get(&cause) {
                Some(cause) => found.push(handover(cause, &effect)),
                None => self.wait(cause, effect),
            }
        }
        found
    }

    fn wait(&mut self, cause: Key, effect: Effect) {
        self.last_number += 1;
        self.arrived.push_back((self.last_number, cause.clone()));
        let effects = self.waiting.entry(cause).or_default();
        effects.push_back((self.last_number, effect));
        if self.arrived.len() > MOST_WAITING
            && let Some((number, cause)) = self.arrived.pop_front()
        {
            self.give_up(number, &cause);
        }
    }

    /// Nothing, if the cause has come meanwhile.
    fn give_up(&mut self, number: u64, cause: &Key) {
        let Some(effects) = self.waiting.get_mut(cause) else {
            return;
        };
        effects.pop_front_if(|(oldest, _)| *oldest == number);
        if effects.is_empty() {
            self.waiting.remove(cause);
        }
    }
}

fn own_key(traced: &TracedEvent) -> Option<Key> {
    key(traced, traced.event.event_id.as_ref())
}

/// Nothing is its own cause.
fn cause_key(traced: &TracedEvent) -> Option<Key> {
    let cause = traced.event.causation_id.as_ref();
    key(
        traced,
        cause.filter(|cause| Some(*cause) != traced.event.event_id.as_ref()),
    )
}

fn key(traced: &TracedEvent, id: Option<&String>) -> Option<Key> {
    Some((traced.event.correlation_id.clone()?, id?.clone()))
}

fn effect(traced: &TracedEvent) -> Effect {
    let consumer = traced.source.as_deref().unwrap_or(UNKNOWN_SERVICE);
    Effect {
        at: traced.at,
        consumer: consumer.to_owned(),
    }
}

fn handover(cause: &PublishedEvent, effect: &Effect) -> Handover {
    Handover {
        cluster: cause.cluster.clone(),
        system: cause.system,
        source: cause.channel.clone(),
        consumer: effect.consumer.clone(),
        millis: effect.at.0.saturating_sub(cause.at.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventIdentity, EventPlace, Offset, Partition, RecordPlace, TimeBasis};

    fn event(at: i64, id: &str, cause: &str) -> TracedEvent {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        TracedEvent {
            place: EventPlace::Record(RecordPlace {
                cluster: "k".into(),
                topic: "orders".into(),
                partition: Partition(0),
                offset: Offset(at),
            }),
            at: Timestamp(at),
            basis: TimeBasis::CreateTime,
            event: EventIdentity {
                event_id: given(id),
                causation_id: given(cause),
                correlation_id: Some("c".to_owned()),
                ..EventIdentity::default()
            },
            source: Some(format!("service-{id}")),
            is_retry: false,
            replay: None,
            application: None,
        }
    }

    fn check(found: Vec<Handover>, expected: &[(&str, i64)]) {
        let found: Vec<(String, i64)> = found
            .into_iter()
            .map(|handover| (handover.consumer, handover.millis))
            .collect();
        let expected: Vec<(String, i64)> = expected
            .iter()
            .map(|(id, millis)| (format!("service-{id}"), *millis))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_pair_is_told_once_whichever_comes_first() {
        let mut handovers = Handovers::default();
        let batch = [event(10, "a", ""), event(15, "b", "a"), event(16, "b", "a")];
        check(handovers.complete(vec![], &batch), &[("b", 5)]);
        // What was seen before the batch.
        let known: Vec<_> = batch.iter().map(PublishedEvent::from).collect();
        let batch = [event(18, "b", "a"), event(30, "c", "b"), event(19, "a", "")];
        check(handovers.complete(known, &batch), &[("c", 15)]);
        // The effects come first, and the clocks disagree about one.
        let early = [
            event(50, "e", "d"),
            event(30, "f", "d"),
            event(1, "g", "else"),
        ];
        check(handovers.complete(vec![], &early), &[]);
        let late = [event(40, "d", "")];
        check(handovers.complete(vec![], &late), &[("e", 10), ("f", -10)]);
        check(handovers.complete(vec![], &late), &[]);
    }

    #[test]
    fn ids_of_another_trace_and_ones_own_cause_nothing() {
        let mut handovers = Handovers::default();
        let mut other = event(1, "a", "");
        other.event.correlation_id = Some("other".to_owned());
        let batch = [other, event(3, "b", "a"), event(4, "c", "c")];
        check(handovers.complete(vec![], &batch), &[]);
        assert_eq!(handovers.arrived.len(), 1);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut handovers = Handovers::default();
        let causes = (0..=MOST_WAITING).map(|number| event(1, "", &format!("cause-{number}")));
        let batch: Vec<TracedEvent> = causes.collect();
        handovers.complete(vec![], &batch);
        assert_eq!(handovers.waiting.len(), MOST_WAITING);
        assert_eq!(handovers.arrived.len(), MOST_WAITING);
        // Many that wait for one cause are bounded as well.
        let batch = vec![event(1, "", "one"); MOST_WAITING + 7];
        handovers.complete(vec![], &batch);
        let waiting: usize = handovers.waiting.values().map(VecDeque::len).sum();
        assert_eq!(waiting, MOST_WAITING);
    }

    #[test]
    fn what_waits_anew_for_a_cause_outlives_what_waited_before() {
        let mut handovers = Handovers::default();
        handovers.complete(vec![], &[event(5, "b", "a")]);
        check(
            handovers.complete(vec![], &[event(1, "a", "")]),
            &[("b", 4)],
        );
        handovers.complete(vec![], &[event(6, "c", "a")]);
        // The number of the first leaves, not the effect that waits now.
        let others = (0..MOST_WAITING - 1).map(|number| event(1, "", &format!("cause-{number}")));
        handovers.complete(vec![], &others.collect::<Vec<_>>());
        check(
            handovers.complete(vec![], &[event(2, "a", "")]),
            &[("c", 4)],
        );
    }
}
