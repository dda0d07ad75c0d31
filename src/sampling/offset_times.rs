use std::collections::VecDeque;
use std::time::Duration;

use super::packing::{Reader, put};
use crate::domain::{Offset, Timestamp};

/// So many points span [`SPAN`], dense for the last minutes and sparse for yesterday.
const POINTS: usize = 60;
const SPAN: Duration = Duration::from_hours(24);

/// If nobody looked for longer, at a restart, what was written meanwhile has no time between both looks.
const LOOKED_AWAY: Duration = Duration::from_mins(2);

/// When the end of a partition was where: tells the time at which an offset was written, without
/// reading a record. It interpolates between two observations and never extrapolates.
#[derive(Clone, Debug, Default)]
pub(super) struct OffsetTimes {
    points: VecDeque<Plateau>,
    bounds: Vec<Bound>,
    /// The points are those of the last run, and this one has not looked yet.
    resumes: bool,
}

/// Every record before this offset was written before this time, as the broker said.
#[derive(Clone, Copy, Debug)]
struct Bound {
    offset: Offset,
    at: Timestamp,
}

/// The log ended at `end` from one time to another (at least).
#[derive(Clone, Copy, Debug)]
struct Plateau {
    end: Offset,
    from: Timestamp,
    until: Timestamp,
    /// For some time before, nobody looked: what was written then was written before `from`, no more is known.
    unwatched_before: bool,
}

impl Default for Plateau {
    fn default() -> Self {
        Self {
            end: Offset(0),
            from: Timestamp(0),
            until: Timestamp(0),
            unwatched_before: false,
        }
    }
}

/// Ends and times only grow, from 0 on.
fn difference(from: i64, to: i64) -> u64 {
    to.abs_diff(from)
}

fn later(from: i64, by: u64) -> Option<i64> {
    from.checked_add_unsigned(by)
}

/// What is known about the time at which an offset was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WrittenAt {
    About(Timestamp),
    /// Before this time; how long before is not known.
    Before(Timestamp),
    /// Not written yet when the log was last looked at, or the log was never looked at.
    Unknown,
}

impl OffsetTimes {
    /// Notes that the log ended at `end` at this time. A log that became shorter was recreated or
    /// truncated: what was known no longer holds.
    pub(super) fn observe(&mut self, end: Offset, at: Timestamp) {
        let resumes = std::mem::take(&mut self.resumes);
        match self.points.back_mut() {
            Some(last) if end == last.end => last.until = last.until.max(at),
            Some(last) if end < last.end || at <= last.until => {
                self.points.clear();
                self.bounds.clear();
                self.append(end, at, false);
            }
            Some(last) => {
                let unwatched = resumes && at.since(last.until) > LOOKED_AWAY;
                self.append(end, at, unwatched);
            }
            None => self.append(end, at, false),
        }
        self.forget_what_is_too_old(at);
    }

    /// Replaces what is proven about records from before the first observation: for each time the first
    /// offset of a record that is not older, `None` if all that the log held are.
    pub(super) fn prove(&mut self, first_since: &[(Timestamp, Option<Offset>)]) {
        let Some(end) = self.points.back().map(|point| point.end) else {
            return;
        };
        let bound = |(at, first): &(Timestamp, Option<Offset>)| Bound {
            offset: first.unwrap_or(end),
            at: *at,
        };
        self.bounds = first_since.iter().map(bound).collect();
    }

    /// Writes what [`OffsetTimes::read_from`] reads. What was proven is asked for again.
    pub(super) fn write_to(&self, raw: &mut Vec<u8>) {
        put(raw, self.points.len() as u64);
        let mut last = Plateau::default();
        for point in &self.points {
            put(raw, difference(last.end.0, point.end.0));
            put(raw, difference(last.until.0, point.from.0));
            put(raw, difference(point.from.0, point.until.0));
            raw.push(u8::from(point.unwatched_before));
            last = *point;
        }
    }

    /// Reads the points of the last run; `None` if the bytes hold anything else. Those of a clock that is ahead of
    /// this one are left out: how long ago an offset was written could not be told by them.
    pub(super) fn read_from(reader: &mut Reader<'_>, now: Timestamp) -> Option<Self> {
        let count = reader.number_up_to(POINTS)?;
        let mut times = Self::default();
        let mut last = Plateau::default();
        for index in 0..count {
            let end = later(last.end.0, reader.number()?)?;
            let from = later(last.until.0, reader.number()?)?;
            let until = later(from, reader.number()?)?;
            let [unwatched] = reader.array()?;
            let point = Plateau {
                end: Offset(end),
                from: Timestamp(from),
                until: Timestamp(until),
                unwatched_before: unwatched == 1,
            };
            let grows = index == 0 || point.end > last.end;
            if !grows || unwatched > 1 {
                return None;
            }
            times.points.push_back(point);
            last = point;
        }
        if last.until > now {
            times.points.clear();
        }
        times.resumes = true;
        Some(times)
    }

    fn append(&mut self, end: Offset, at: Timestamp, unwatched_before: bool) {
        self.points.push_back(Plateau {
            end,
            from: at,
            until: at,
            unwatched_before,
        });
        if self.points.len() > POINTS {
            self.thin(at);
        }
    }

    /// Removes the point that is missed least: the one in the shortest gap relative to its age. If nobody looked for
    /// some time before it, that was no longer than what thinning leaves between two points anyway.
    fn thin(&mut self, now: Timestamp) {
        let relative_gap = |index: usize| {
            let gap = self.points[index + 1]
                .from
                .since(self.points[index - 1].until);
            let age = now.since(self.points[index - 1].until);
            gap.as_secs_f64() / age.as_secs_f64().max(f64::MIN_POSITIVE)
        };
        let dispensable = (1..self.points.len() - 1)
            .min_by(|left, right| relative_gap(*left).total_cmp(&relative_gap(*right)));
        if let Some(index) = dispensable {
            self.points.remove(index);
        }
    }

    fn forget_what_is_too_old(&mut self, now: Timestamp) {
        // The second point must be too old as well: between both lies a time within the span.
        while self.points.len() > 1 && now.since(self.points[1].from) > SPAN {
            self.points.pop_front();
        }
    }

    /// The time at which the record with this offset was written.
    pub(super) fn written_at(&self, offset: Offset) -> WrittenAt {
        let after = self.points.partition_point(|point| point.end <= offset);
        let Some(after_point) = self.points.get(after) else {
            return WrittenAt::Unknown;
        };
        let before = after
            .checked_sub(1)
            .and_then(|index| self.points.get(index));
        let Some(before) = before.filter(|_| !after_point.unwatched_before) else {
            let proven = self.bounds.iter().filter(|bound| offset < bound.offset);
            let earliest = proven.map(|bound| bound.at).min();
            return WrittenAt::Before(
                earliest.map_or(after_point.from, |at| at.min(after_point.from)),
            );
        };
        let records = (after_point.end.0 - before.end.0) as f64;
        let share = (offset.0 - before.end.0) as f64 / records;
        let gap = after_point.from.since(before.until);
        WrittenAt::About(before.until.plus(gap.mul_f64(share.clamp(0.0, 1.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(observations: &[(i64, i64)]) -> OffsetTimes {
        let mut times = OffsetTimes::default();
        for (end, seconds) in observations {
            times.observe(Offset(*end), Timestamp::from_seconds(*seconds));
        }
        times
    }

    #[test]
    fn the_time_of_an_offset_is_interpolated_and_never_extrapolated() {
        let about = |seconds| WrittenAt::About(Timestamp::from_seconds(seconds));
        let before = |seconds| WrittenAt::Before(Timestamp::from_seconds(seconds));
        let check = |observations: &[(i64, i64)], offset: i64, expected: WrittenAt| {
            let found = times(observations).written_at(Offset(offset));
            assert_eq!(found, expected, "{offset} of {observations:?}");
        };
        check(&[], 5, WrittenAt::Unknown);
        check(&[(100, 0)], 99, before(0));
        check(&[(100, 0)], 100, WrittenAt::Unknown);
        check(&[(100, 0), (200, 10)], 100, about(0));
        check(&[(100, 0), (200, 10)], 150, about(5));
        check(&[(100, 0), (200, 10)], 200, WrittenAt::Unknown);
        check(&[(100, 0), (200, 10)], 99, before(0));
        // Idle for a minute: the record after it is not a minute old.
        check(&[(100, 0), (100, 60), (200, 70)], 100, about(60));
        check(&[(0, 0), (100, 10), (100, 60), (200, 70)], 50, about(5));
        // Recreated: what was known of the namesake is forgotten.
        check(&[(100, 0), (5, 10), (10, 20)], 7, about(14));
    }

    #[test]
    fn what_a_broker_proves_dates_records_from_before_the_first_look() {
        let mut known = times(&[(100, 1_000), (120, 1_010)]);
        let at = Timestamp::from_seconds;
        // Younger than 100 s are 80 and later, than 500 s 40 and later; all are younger than 1,000 s.
        known.prove(&[
            (at(900), Some(Offset(80))),
            (at(500), Some(Offset(40))),
            (at(0), Some(Offset(0))),
        ]);
        let check = |offset, seconds| {
            let expected = WrittenAt::Before(at(seconds));
            assert_eq!(known.written_at(Offset(offset)), expected, "{offset}");
        };
        check(0, 500);
        check(39, 500);
        check(40, 900);
        check(79, 900);
        check(80, 1_000);
        let seen = WrittenAt::About(at(1_005));
        assert_eq!(known.written_at(Offset(110)), seen);
    }

    #[test]
    fn where_nothing_is_young_all_that_the_log_holds_is_old() {
        let mut known = times(&[(100, 1_000)]);
        known.prove(&[(Timestamp::from_seconds(900), None)]);
        let old = WrittenAt::Before(Timestamp::from_seconds(900));
        assert_eq!(known.written_at(Offset(99)), old);
        // Recreated or truncated: the proof was of other records.
        known.observe(Offset(50), Timestamp::from_seconds(1_010));
        let seen = WrittenAt::Before(Timestamp::from_seconds(1_010));
        assert_eq!(known.written_at(Offset(10)), seen);
    }

    #[test]
    fn sixty_points_span_a_day_and_are_dense_near_now() {
        let interval = 10;
        let samples = 2 * 24 * 3600 / interval;
        let observations: Vec<(i64, i64)> = (0..samples).map(|n| (n * 10, n * interval)).collect();
        let times = times(&observations);
        let now = (samples - 1) * interval;
        assert!(times.points.len() <= POINTS);
        // One record a second: the offset is the second in which it was written.
        let age_error = |age: i64| match times.written_at(Offset(now - age)) {
            WrittenAt::About(at) => (at.as_seconds() - (now - age) as f64).abs(),
            other => panic!("{age} s ago is {other:?}"),
        };
        for age in [15, 60, 600, 3600, 20 * 3600] {
            assert!(age_error(age) <= 10.0, "{age}: {}", age_error(age));
        }
        let gap_at = |age: i64| {
            let index = times
                .points
                .partition_point(|point| point.from < Timestamp::from_seconds(now - age));
            times.points[index]
                .from
                .since(times.points[index - 1].from)
                .as_secs()
        };
        assert!(gap_at(60) <= 30, "{}", gap_at(60));
        assert!(gap_at(20 * 3600) <= 3 * 3600, "{}", gap_at(20 * 3600));
    }

    #[test]
    fn a_long_time_without_looks_stays_one_when_points_are_thinned() {
        let mut raw = Vec::new();
        times(&[(0, 0), (100, 100)]).write_to(&mut raw);
        let now = Timestamp::from_seconds(3_600);
        let mut resumed = OffsetTimes::read_from(&mut Reader(&raw), now).unwrap();
        for seconds in (3_600..20_000).step_by(10) {
            resumed.observe(Offset(seconds), Timestamp::from_seconds(seconds));
        }
        assert_eq!(resumed.points.len(), POINTS);
        let written_at = resumed.written_at(Offset(2_000));
        assert!(matches!(written_at, WrittenAt::Before(at) if at >= now));
        let seen = WrittenAt::About(Timestamp::from_seconds(50));
        assert_eq!(resumed.written_at(Offset(50)), seen);
    }

    #[test]
    fn a_clock_that_went_back_does_not_panic() {
        let times = times(&[(100, 100), (200, 50), (300, 60)]);
        assert_eq!(
            times.written_at(Offset(250)),
            WrittenAt::About(Timestamp::from_seconds(55))
        );
    }
}
