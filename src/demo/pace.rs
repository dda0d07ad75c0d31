use std::time::Duration;

/// How fast a consumer works: at times so slowly that lag grows, then fast enough to catch up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// What one event takes when nothing is wrong.
    normal: Duration,
    /// What one event takes in a slow phase.
    slow: Duration,
    phases: SlowPhases,
}

/// When the slow phases are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowPhases {
    /// From the start to the first one.
    pub first_after: Duration,
    /// From the start of one to the start of the next.
    pub every: Duration,
    /// How long one lasts; zero if there are none.
    pub duration: Duration,
}

impl Default for SlowPhases {
    /// Short enough that no event waits for a minute, which an alert would report.
    fn default() -> Self {
        Self {
            first_after: Duration::from_secs(20),
            every: Duration::from_mins(2),
            duration: Duration::from_secs(30),
        }
    }
}

impl Pace {
    /// For so many events a second: four times as fast as needed, in slow phases a fifth of it.
    pub(super) fn for_rate(events_per_second: f64, phases: SlowPhases) -> Self {
        let events_per_second = events_per_second.clamp(0.1, 10_000.0);
        Self {
            normal: Duration::from_secs_f64(1.0 / (4.0 * events_per_second)),
            // Never so long that Kafka takes the consumer for dead.
            slow: Duration::from_secs_f64((5.0 / events_per_second).min(5.0)),
            phases,
        }
    }

    /// What one event takes when the workload has run for `elapsed`.
    pub(super) fn time_for_one_event(&self, elapsed: Duration) -> Duration {
        let Some(since_first) = elapsed.checked_sub(self.phases.first_after) else {
            return self.normal;
        };
        let period = self.phases.every.as_millis().max(1);
        let into_period = since_first.as_millis() % period;
        if into_period < self.phases.duration.as_millis() {
            self.slow
        } else {
            self.normal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_phases_come_and_go() {
        let pace = Pace::for_rate(4.0, SlowPhases::default());
        let check = |elapsed, expected| {
            let found = pace.time_for_one_event(Duration::from_secs(elapsed));
            assert_eq!(found, expected, "after {elapsed} s");
        };
        check(0, pace.normal);
        check(19, pace.normal);
        check(20, pace.slow);
        check(49, pace.slow);
        check(50, pace.normal);
        check(139, pace.normal);
        check(140, pace.slow);
        check(170, pace.normal);
    }

    #[test]
    fn a_consumer_catches_up_at_any_rate() {
        for rate in [0.0, 0.5, 4.0, 200.0, f64::INFINITY] {
            let pace = Pace::for_rate(rate, SlowPhases::default());
            let per_second = 1.0 / pace.normal.as_secs_f64();
            assert!(per_second >= 3.9 * rate.min(10_000.0), "{rate}");
            assert!(pace.slow > pace.normal, "{rate}");
            assert!(pace.slow <= Duration::from_secs(5), "{rate}");
        }
    }

    #[test]
    fn without_a_duration_there_is_no_slow_phase() {
        let phases = SlowPhases {
            duration: Duration::ZERO,
            ..SlowPhases::default()
        };
        let pace = Pace::for_rate(4.0, phases);
        let never_slow =
            |second| pace.time_for_one_event(Duration::from_secs(second)) == pace.normal;
        assert!((0..500).all(never_slow));
    }
}
