//! What a tap keeps when it falls behind: fewer traces, each of them whole, and at the worst nothing until it has
//! caught up.

use std::time::Duration;

use crate::domain::{Timestamp, digest_of_fields};

/// Further behind it keeps half as many traces.
const TOO_FAR: Duration = Duration::from_secs(30);
/// Nearer it keeps twice as many.
const NEAR: Duration = Duration::from_secs(5);
/// Further behind, with the fewest traces kept, it goes on at the end.
const HOPELESS: Duration = Duration::from_mins(10);
/// A change needs so long to show.
const PATIENCE: Duration = Duration::from_secs(15);
/// One trace of so many, at the least.
const FEWEST: u32 = 64;

/// How much a tap keeps now.
#[derive(Debug)]
pub(super) struct Pressure {
    /// One trace of so many.
    one_of: u32,
    changed_at: Option<Timestamp>,
}

/// What follows from how far behind a tap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    GoOn,
    /// What comes now is thinned more, or less, than before.
    Thin,
    /// What lies between here and the end is left out.
    SkipToTheEnd,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            one_of: 1,
            changed_at: None,
        }
    }
}

impl Pressure {
    /// One trace of so many is kept.
    pub(super) const fn one_of(&self) -> u32 {
        self.one_of
    }

    pub(super) fn react(&mut self, behind: Duration, now: Timestamp) -> Reaction {
        let is_recent = |at: Timestamp| now.since(at) < PATIENCE;
        if self.changed_at.is_some_and(is_recent) {
            return Reaction::GoOn;
        }
        let reaction = match self.one_of {
            FEWEST if behind > HOPELESS => Reaction::SkipToTheEnd,
            FEWEST if behind > TOO_FAR => Reaction::GoOn,
            _ if behind > TOO_FAR => {
                self.one_of *= 2;
                Reaction::Thin
            }
            1 => Reaction::GoOn,
            _ if behind < NEAR => {
                self.one_of /= 2;
                Reaction::Thin
            }
            _ => Reaction::GoOn,
        };
        if reaction != Reaction::GoOn {
            self.changed_at = Some(now);
        }
        reaction
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
    fn fewer_traces_are_kept_the_longer_it_is_behind_and_more_when_it_caught_up() {
        let mut pressure = Pressure::default();
        let mut second = 0;
        let mut check = |seconds_later: i64, behind: u64, expected: Reaction, one_of: u32| {
            second += seconds_later;
            let reaction = pressure.react(
                Duration::from_secs(behind),
                Timestamp::from_seconds(second),
            );
            assert_eq!((reaction, pressure.one_of()), (expected, one_of), "at {second}");
        };
        check(0, 29, Reaction::GoOn, 1);
        check(1, 31, Reaction::Thin, 2);
        check(1, 31, Reaction::GoOn, 2);
        check(15, 31, Reaction::Thin, 4);
        check(15, 20, Reaction::GoOn, 4);
        for one_of in [8, 16, 32, 64] {
            check(15, 700, Reaction::Thin, one_of);
        }
        check(15, 500, Reaction::GoOn, 64);
        check(15, 700, Reaction::SkipToTheEnd, 64);
        check(1, 700, Reaction::GoOn, 64);
        for one_of in [32, 16, 8, 4, 2, 1] {
            check(15, 1, Reaction::Thin, one_of);
        }
        check(15, 1, Reaction::GoOn, 1);
    }

    #[test]
    fn a_trace_that_is_kept_among_few_is_kept_among_many() {
        let keeping = |one_of| Pressure {
            one_of,
            changed_at: None,
        };
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
