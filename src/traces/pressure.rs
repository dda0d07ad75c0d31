//! What a tap keeps when it falls behind: fewer traces, each of them whole, and at the worst nothing until it has
//! caught up.

use std::time::Duration;

use crate::domain::{Timestamp, digest_of_fields};

/// Further behind, and not nearer than at the look before, it keeps half as many traces.
const TOO_FAR: Duration = Duration::from_secs(30);
/// Nearer it keeps twice as many.
const NEAR: Duration = Duration::from_secs(5);
/// Further behind, with the fewest traces kept, it goes on at the end.
const HOPELESS: Duration = Duration::from_mins(10);
/// Between two looks, so that the one before has shown.
const PATIENCE: Duration = Duration::from_secs(15);
/// One trace of so many, at the least.
const FEWEST: u32 = 64;

/// How much a tap keeps now.
#[derive(Debug)]
pub(super) struct Pressure {
    /// One trace of so many.
    one_of: u32,
    last: Option<Look>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Timestamp,
    behind: Duration,
}

/// What follows from how far behind a tap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    GoOn,
    /// Of what was published between these two times some traces were left out.
    Thinned(Timestamp, Timestamp),
    /// What was published between these two times, and lies between here and the end, is left out.
    SkipToTheEnd(Timestamp, Timestamp),
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            one_of: 1,
            last: None,
        }
    }
}

impl Pressure {
    /// One trace of so many is kept.
    pub(super) const fn one_of(&self) -> u32 {
        self.one_of
    }

    /// Who is behind and catches up, as after a pause, keeps everything.
    pub(super) fn react(&mut self, behind: Duration, now: Timestamp) -> Reaction {
        let Some(last) = self.last else {
            self.last = Some(Look { at: now, behind });
            return Reaction::GoOn;
        };
        if now.since(last.at) < PATIENCE {
            return Reaction::GoOn;
        }
        self.last = Some(Look { at: now, behind });
        let was = self.one_of;
        let falls_behind = behind > TOO_FAR && behind >= last.behind;
        if falls_behind && was == FEWEST && behind > HOPELESS {
            return Reaction::SkipToTheEnd(now.minus(behind), now);
        }
        if falls_behind {
            self.one_of = (was * 2).min(FEWEST);
        } else if behind < NEAR {
            self.one_of = (was / 2).max(1);
        }
        match was {
            1 => Reaction::GoOn,
            // What is late in one partition is not in another.
            _ => Reaction::Thinned(last.at.minus(last.behind).min(now.minus(behind)), now),
        }
    }

    /// Whether the events of a trace are kept: of one that is kept while few are, also while more are, on every
    /// replica.
    pub(super) fn keeps(&self, correlation_id: &str) -> bool {
        if self.one_of == 1 {
            return true;
        }
        let digest = digest_of_fields([correlation_id.as_bytes()]);
        let number = u32::from_str_radix(&digest[..8], 16).unwrap_or(0);
        number % self.one_of == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_traces_are_kept_the_longer_it_falls_behind_and_more_when_it_caught_up() {
        let mut pressure = Pressure::default();
        let mut second = 1_000;
        let mut look = |seconds_later: i64, behind: u64, one_of: u32| {
            second += seconds_later;
            let now = Timestamp::from_seconds(second);
            let reaction = pressure.react(Duration::from_secs(behind), now);
            assert_eq!(pressure.one_of(), one_of, "at {second}");
            reaction
        };
        let thinned = |from, to| {
            Reaction::Thinned(Timestamp::from_seconds(from), Timestamp::from_seconds(to))
        };
        assert_eq!(look(0, 90, 1), Reaction::GoOn, "nothing to compare with");
        assert_eq!(look(15, 80, 1), Reaction::GoOn, "it catches up");
        assert_eq!(look(14, 85, 1), Reaction::GoOn, "too soon");
        assert_eq!(look(1, 85, 2), Reaction::GoOn);
        assert_eq!(look(15, 70, 2), thinned(945, 1_045), "it catches up again");
        // Another partition is the worst now.
        assert_eq!(look(15, 700, 4), thinned(360, 1_060));
        for one_of in [8, 16, 32, 64, 64] {
            look(15, 700, one_of);
        }
        let end = Timestamp::from_seconds(1_150);
        let begin = Timestamp::from_seconds(450);
        assert_eq!(look(15, 700, 64), Reaction::SkipToTheEnd(begin, end));
        for one_of in [32, 16, 8, 4, 2, 1] {
            look(15, 1, one_of);
        }
        assert_eq!(look(15, 1, 1), Reaction::GoOn);
    }

    #[test]
    fn a_trace_that_is_kept_among_few_is_kept_among_many() {
        let keeping = |one_of| Pressure { one_of, last: None };
        let ids: Vec<String> = (0..4_000).map(|number| format!("order-{number}")).collect();
        let kept = |one_of| -> Vec<&String> {
            ids.iter().filter(|id| keeping(one_of).keeps(id)).collect()
        };
        let (all, quarter, few) = (kept(1), kept(4), kept(64));
        assert_eq!(all.len(), 4_000);
        assert!((900..1_100).contains(&quarter.len()), "{}", quarter.len());
        assert!((30..100).contains(&few.len()), "{}", few.len());
        assert!(few.iter().all(|id| quarter.contains(id)));
    }
}
