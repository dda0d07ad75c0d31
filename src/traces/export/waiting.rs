//! The traces of which something new was seen, until they are exported. Pure: time and places are arguments.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::Timestamp;

/// Further news are left in the store until some of these are exported, so that a backend that is away costs this much
/// memory and no more: some 20 MB with UUIDs, 50 MB with the longest IDs.
pub(super) const MOST_TRACES: usize = 100_000;

/// How far what the traces are made of was read: the row ID of an event, that of a dead letter, the time in
/// milliseconds at which a replay changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Event(i64),
    Letter(i64),
    Replay(i64),
}

/// The first unexported place of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lowest {
    pub(super) event: Option<i64>,
    pub(super) letter: Option<i64>,
    pub(super) replay: Option<i64>,
}

/// What is known of a trace that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waited {
    first: Timestamp,
    last: Timestamp,
    pub(super) lowest: Lowest,
    /// New steps.
    pub(super) steps: u64,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    traces: HashMap<String, Waited>,
}

impl Lowest {
    fn lower(&mut self, place: Place) {
        let (lowest, place) = match place {
            Place::Event(place) => (&mut self.event, place),
            Place::Letter(place) => (&mut self.letter, place),
            Place::Replay(place) => (&mut self.replay, place),
        };
        *lowest = Some(lowest.map_or(place, |lowest| lowest.min(place)));
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        let places = [
            other.event.map(Place::Event),
            other.letter.map(Place::Letter),
            other.replay.map(Place::Replay),
        ];
        places
            .into_iter()
            .flatten()
            .for_each(|place| self.lower(place));
        self
    }
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.traces.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.traces.len() < MOST_TRACES
    }

    /// Something new of a trace was read.
    pub(super) fn note(&mut self, correlation_id: String, place: Place, now: Timestamp) {
        let waited = self.traces.entry(correlation_id).or_insert(Waited {
            first: now,
            last: now,
            lowest: Lowest::default(),
            steps: 0,
        });
        waited.last = now;
        waited.steps += 1;
        waited.lowest.lower(place);
    }

    /// Takes the traces of which nothing new was seen for `quiet`, or that wait for `longest`: those that wait longest
    /// first, at most `most`.
    pub(super) fn take_due(
        &mut self,
        (quiet, longest): (Duration, Duration),
        now: Timestamp,
        most: usize,
    ) -> Vec<(String, Waited)> {
        let is_due =
            |waited: &Waited| now.since(waited.last) >= quiet || now.since(waited.first) >= longest;
        let due = self.traces.iter().filter(|(_, waited)| is_due(waited));
        let mut due: Vec<(Timestamp, String)> =
            due.map(|(id, waited)| (waited.first, id.clone())).collect();
        if due.len() > most {
            due.select_nth_unstable(most);
            due.truncate(most);
        }
        due.sort_unstable();
        let taken = due
            .into_iter()
            .filter_map(|(_, id)| self.traces.remove_entry(&id));
        taken.collect()
    }

    /// The first place of each kind of which a trace waits.
    pub(super) fn lowest(&self) -> Lowest {
        let each = self.traces.values().map(|waited| waited.lowest);
        each.fold(Lowest::default(), Lowest::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(10));

    fn taken(waiting: &mut Waiting, seconds: i64, most: usize) -> Vec<String> {
        let due = waiting.take_due(TIMES, Timestamp::from_seconds(seconds), most);
        due.into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_trace_is_due_when_it_is_quiet_or_old() {
        let mut waiting = Waiting::default();
        let note = |waiting: &mut Waiting, id: &str, at| {
            let at = Timestamp::from_seconds(at);
            waiting.note(id.to_owned(), Place::Event(at.0), at);
        };
        note(&mut waiting, "quiet", 1);
        for at in (0..=600).step_by(20) {
            note(&mut waiting, "busy", at);
        }
        assert_eq!(taken(&mut waiting, 30, 9), Vec::<String>::new());
        assert_eq!(taken(&mut waiting, 31, 9), ["quiet"]);
        assert_eq!(taken(&mut waiting, 599, 9), Vec::<String>::new());
        assert_eq!(taken(&mut waiting, 600, 9), ["busy"]);
        assert_eq!(waiting.len(), 0);
    }

    #[test]
    fn those_that_wait_longest_come_first() {
        let mut waiting = Waiting::default();
        for (id, at) in [("b", 2), ("d", 4), ("a", 1), ("c", 3)] {
            waiting.note(id.to_owned(), Place::Event(at), Timestamp::from_seconds(at));
        }
        assert_eq!(taken(&mut waiting, 100, 3), ["a", "b", "c"]);
        assert_eq!(taken(&mut waiting, 100, 3), ["d"]);
    }

    #[test]
    fn there_is_room_for_so_many_traces_and_again_when_some_are_taken() {
        let mut waiting = Waiting::default();
        for number in 0..MOST_TRACES {
            assert!(waiting.has_room());
            waiting.note(format!("order-{number}"), Place::Event(1), Timestamp(0));
        }
        assert!(!waiting.has_room());
        assert_eq!(taken(&mut waiting, 30, 1).len(), 1);
        assert!(waiting.has_room());
    }

    #[test]
    fn a_restart_reads_again_from_the_first_place_that_waits() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.lowest(), Lowest::default());
        for (id, place) in [
            ("a", Place::Event(7)),
            ("b", Place::Event(9)),
            ("a", Place::Event(11)),
            ("b", Place::Replay(5)),
        ] {
            waiting.note(id.to_owned(), place, Timestamp(0));
        }
        let lowest = waiting.lowest();
        assert_eq!(
            (lowest.event, lowest.letter, lowest.replay),
            (Some(7), None, Some(5))
        );
        let (_, first) = waiting
            .take_due(TIMES, Timestamp::from_seconds(30), 1)
            .remove(0);
        assert_eq!(first.steps, 2);
        assert_eq!(waiting.lowest().event, Some(9));
        assert_eq!(waiting.lowest().and(first.lowest).event, Some(7));
    }
}
