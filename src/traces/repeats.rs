//! Events whose ID was seen more than once, by who published them and where.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::stitch::Repeat;
use crate::domain::{EventPlace, Timestamp, TracedEvent};

/// How often events came again, by why they did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepeatCounts {
    pub duplicates: u64,
    pub retries: u64,
    pub replays: u64,
    /// Once more at another destination.
    pub elsewhere: u64,
}

/// What one service published to one topic or exchange again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRepeats {
    /// `None`: its events do not say.
    pub source: Option<String>,
    /// The place of one of them.
    pub place: EventPlace,
    pub counts: RepeatCounts,
}

/// An event that was seen more than once within its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatedEvent {
    /// As it was seen first.
    pub event: TracedEvent,
    pub last: Timestamp,
    pub times: u64,
    pub counts: RepeatCounts,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repeats {
    /// Those with the most duplicates first.
    pub sources: Vec<SourceRepeats>,
    /// Those that came again last first.
    pub events: Vec<RepeatedEvent>,
}

impl RepeatCounts {
    const fn add(&mut self, repeat: Repeat) {
        match repeat {
            Repeat::Duplicate => self.duplicates += 1,
            Repeat::Retry => self.retries += 1,
            Repeat::Replay => self.replays += 1,
            Repeat::Elsewhere => self.elsewhere += 1,
        }
    }
}

/// Sorts copies of events by why they are there. An event without an ID repeats nothing.
pub fn repeats(mut copies: Vec<TracedEvent>) -> Repeats {
    copies.sort_by(|a, b| (a.at, &a.place).cmp(&(b.at, &b.place)));
    let mut by_id: HashMap<(String, String), Vec<TracedEvent>> = HashMap::new();
    for copy in copies {
        let event = &copy.event;
        if let Some(key) = event.correlation_id.clone().zip(event.event_id.clone()) {
            by_id.entry(key).or_default().push(copy);
        }
    }
    let mut sources: BTreeMap<_, SourceRepeats> = BTreeMap::new();
    let mut events = Vec::new();
    for copies in by_id.into_values() {
        let mut counts = RepeatCounts::default();
        let mut ways = HashSet::from([copies[0].place.way()]);
        for copy in &copies[1..] {
            let repeat = Repeat::of(copy, ways.insert(copy.place.way()));
            counts.add(repeat);
            let (channel, vhost) = copy.place.channel();
            let cluster = copy.place.cluster().clone();
            let channel = (channel.to_owned(), vhost.to_owned());
            let key = (copy.source.clone(), cluster, channel);
            let of_source = sources.entry(key).or_insert_with(|| SourceRepeats {
                source: copy.source.clone(),
                place: copy.place.clone(),
                counts: RepeatCounts::default(),
            });
            of_source.counts.add(repeat);
        }
        if let [first, .., last] = copies.as_slice() {
            events.push(RepeatedEvent {
                event: first.clone(),
                last: last.at,
                times: copies.len() as u64,
                counts,
            });
        }
    }
    let mut sources: Vec<SourceRepeats> = sources.into_values().collect();
    sources.sort_by_key(|source| {
        let RepeatCounts {
            duplicates,
            retries,
            ..
        } = source.counts;
        std::cmp::Reverse((duplicates, retries))
    });
    events.sort_by(|a, b| (b.last, &b.event.place).cmp(&(a.last, &a.event.place)));
    Repeats { sources, events }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventIdentity, Offset, Partition, RecordPlace, ReplayId, TimeBasis};

    fn copy(at: i64, topic: &str, id: &str) -> TracedEvent {
        TracedEvent {
            place: EventPlace::Record(RecordPlace {
                cluster: "k".into(),
                topic: topic.into(),
                partition: Partition(0),
                offset: Offset(at),
            }),
            at: Timestamp(at),
            basis: TimeBasis::CreateTime,
            event: EventIdentity {
                event_id: (!id.is_empty()).then(|| id.to_owned()),
                correlation_id: Some("c".to_owned()),
                ..EventIdentity::default()
            },
            source: Some("shop".to_owned()),
            is_retry: false,
            replay: None,
            application: None,
        }
    }

    #[test]
    fn copies_are_told_apart_by_why_they_are_there() {
        let mut retried = copy(4, "orders", "a");
        retried.is_retry = true;
        let mut replayed = copy(5, "orders", "a");
        replayed.replay = Some(ReplayId(uuid::Uuid::from_u128(1)));
        let mut other_trace = copy(9, "orders", "b");
        other_trace.event.correlation_id = Some("d".to_owned());
        let found = repeats(vec![
            copy(7, "orders", "a"),
            retried,
            copy(6, "mails", "a"),
            replayed,
            copy(2, "orders", "a"),
            copy(8, "orders", "b"),
            other_trace,
            copy(10, "orders", ""),
            copy(11, "orders", ""),
        ]);
        let [event] = found.events.as_slice() else {
            panic!("{:?}", found.events);
        };
        assert_eq!(
            (event.event.at, event.last, event.times),
            (Timestamp(2), Timestamp(7), 5)
        );
        let all = RepeatCounts {
            duplicates: 1,
            retries: 1,
            replays: 1,
            elsewhere: 1,
        };
        assert_eq!(event.counts, all);
        let by_place: Vec<_> = found
            .sources
            .iter()
            .map(|source| (source.place.destination(), source.counts.elsewhere))
            .collect();
        assert_eq!(
            by_place,
            [("orders".to_owned(), 0), ("mails".to_owned(), 1)]
        );
    }
}
