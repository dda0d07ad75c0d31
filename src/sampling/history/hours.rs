use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::pages::Points;
use super::series::{SeriesId, Thinning};
use crate::domain::Timestamp;

/// Between two thinned points. A point stands for the five minutes that begin at its time.
pub(in crate::sampling) const STEP: Duration = Duration::from_mins(5);

/// Points of one page.
pub(in crate::sampling) const POINTS: usize = 12;

pub(in crate::sampling) const HOUR: Duration = Duration::from_hours(1);

/// Hours in memory: the present one, the one before for sparklines, and one more while the store fails.
const HOURS: usize = 3;

/// Series of one cluster in one hour. Names that come and go must not fill the memory and the store.
const SERIES_LIMIT: usize = 32_768;

/// A sampling interval is not known, or is so short, that more does not matter for a mean.
const MOST_SAMPLES: u128 = 1_000;

/// The thinned points of the last hours of one cluster.
#[derive(Debug, Default)]
pub(in crate::sampling) struct Hours {
    /// Oldest first.
    hours: VecDeque<Hour>,
    latest: Timestamp,
}

#[derive(Debug)]
struct Hour {
    began_at: Timestamp,
    lines: HashMap<SeriesId, HourLine>,
    /// It is over, and the store has it whole.
    is_saved: bool,
}

#[derive(Clone, Copy, Debug)]
struct HourLine {
    points: Points,
    /// The point that was changed last, and how many samples went into it.
    slot: usize,
    samples: u16,
    /// The first point of the hour, unless it has samples of an earlier process.
    begun: Option<usize>,
}

impl HourLine {
    const fn begun_at(slot: usize) -> Self {
        Self {
            points: [f32::NAN; POINTS],
            slot,
            samples: 0,
            begun: Some(slot),
        }
    }

    fn add(&mut self, slot: usize, value: f32, thinning: Thinning) {
        if self.slot != slot {
            self.slot = slot;
            self.samples = 0;
        }
        self.samples = self.samples.saturating_add(1);
        let point = &mut self.points[slot];
        *point = match thinning {
            _ if point.is_nan() => value,
            Thinning::Most => point.max(value),
            Thinning::Mean => *point + (value - *point) / f32::from(self.samples),
        };
    }
}

/// One hour as it goes to the store.
#[derive(Clone, Debug)]
pub(in crate::sampling) struct HourToSave {
    pub(in crate::sampling) began_at: Timestamp,
    pub(in crate::sampling) lines: Vec<(SeriesId, Points)>,
    is_over: bool,
}

impl Hours {
    pub(super) fn record(
        &mut self,
        at: Timestamp,
        values: impl IntoIterator<Item = (SeriesId, f32)>,
    ) {
        let at = self.advance(at);
        let Some(hour) = self.hours.back_mut() else {
            return;
        };
        for (id, value) in values {
            let known = hour.lines.contains_key(&id);
            if !value.is_nan() && (known || hour.lines.len() < SERIES_LIMIT) {
                let slot = slot(at);
                let line = hour.lines.entry(id);
                let line = line.or_insert_with(|| HourLine::begun_at(slot));
                line.add(slot, value, id.thinning());
            }
        }
    }

    /// Begins the hour of that time, if it is another one. While a clock that was set back by less than an hour
    /// catches up, its values go to where it was.
    fn advance(&mut self, at: Timestamp) -> Timestamp {
        if self.latest.since(at) >= HOUR {
            self.hours.retain(|hour| hour.began_at <= at);
            self.latest = at;
        }
        let at = at.max(self.latest);
        self.latest = at;
        let began_at = floor(at, HOUR);
        if self
            .hours
            .back()
            .is_none_or(|hour| hour.began_at < began_at)
        {
            self.hours.push_back(Hour {
                began_at,
                lines: HashMap::new(),
                is_saved: false,
            });
            if self.hours.len() > HOURS {
                self.hours.pop_front();
            }
        }
        at
    }

    /// What is known of a series, oldest first.
    pub(super) fn points(&self, id: SeriesId) -> impl Iterator<Item = (Timestamp, f32)> + '_ {
        let lines = self
            .hours
            .iter()
            .filter_map(move |hour| Some((hour.began_at, hour.lines.get(&id)?)));
        lines.flat_map(|(began_at, line)| known_points(began_at, STEP, &line.points))
    }

    /// Whether a series begins with the point of that time: nothing is known of it right before, and nothing of
    /// an earlier process is in it.
    pub(super) fn begun(&self, id: SeriesId, at: Timestamp) -> bool {
        let line = |began_at| {
            let hour = self.hours.iter().find(|hour| hour.began_at == began_at);
            hour.and_then(|hour| hour.lines.get(&id))
        };
        let (hour, slot) = (floor(at, HOUR), slot(at));
        let goes_on = || {
            let before = line(hour.minus(HOUR));
            before.is_some_and(|before| !before.points[POINTS - 1].is_nan())
        };
        line(hour).is_some_and(|line| line.begun == Some(slot)) && !(slot == 0 && goes_on())
    }

    pub(in crate::sampling) fn to_save(&self) -> Vec<HourToSave> {
        let latest = self.hours.back().map(|hour| hour.began_at);
        let unsaved = self.hours.iter().filter(|hour| !hour.is_saved);
        let copy = |hour: &Hour| HourToSave {
            began_at: hour.began_at,
            lines: hour
                .lines
                .iter()
                .map(|(id, line)| (*id, line.points))
                .collect(),
            is_over: Some(hour.began_at) != latest,
        };
        unsaved.map(copy).collect()
    }

    /// Notes that the store has it.
    pub(in crate::sampling) fn saved(&mut self, saved: &HourToSave) {
        let mut hours = self.hours.iter_mut();
        let hour = hours.find(|hour| hour.began_at == saved.began_at);
        if let Some(hour) = hour.filter(|_| saved.is_over) {
            hour.is_saved = true;
        }
    }

    /// Takes up what the store has of an hour, oldest hour first and before the first sample. What is later than
    /// now was written by a wrong clock.
    pub(in crate::sampling) fn read_back(
        &mut self,
        began_at: Timestamp,
        lines: Vec<(SeriesId, Points)>,
        (now, interval): (Timestamp, Duration),
    ) {
        if began_at > now {
            return;
        }
        self.advance(began_at);
        let Some(hour) = self.hours.back_mut() else {
            return;
        };
        let known_slots = if floor(now, HOUR) == began_at {
            slot(now) + 1
        } else {
            POINTS
        };
        let present_samples = now.since(floor(now, STEP)).as_millis() / interval.as_millis().max(1);
        let samples = present_samples.clamp(1, MOST_SAMPLES);
        for (id, mut points) in lines.into_iter().take(SERIES_LIMIT) {
            points[known_slots..].fill(f32::NAN);
            let slot = known_slots - 1;
            let line = HourLine {
                points,
                slot,
                samples: u16::try_from(samples).unwrap_or(u16::MAX),
                begun: points[slot].is_nan().then_some(slot),
            };
            hour.lines.insert(id, line);
        }
    }
}

/// The points of a page that are known.
pub(super) fn known_points(
    began_at: Timestamp,
    step: Duration,
    points: &Points,
) -> impl Iterator<Item = (Timestamp, f32)> + use<> {
    let times = (0..).map(move |index| began_at.plus(step * index));
    let known = times.zip(*points);
    known.filter(|(_, value)| !value.is_nan())
}

/// The beginning of the span of time in which a time lies.
pub(in crate::sampling) fn floor(at: Timestamp, span: Duration) -> Timestamp {
    let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX).max(1);
    Timestamp(at.0 - at.0.rem_euclid(span))
}

fn slot(at: Timestamp) -> usize {
    let slot = at.since(floor(at, HOUR)).as_millis() / STEP.as_millis();
    usize::try_from(slot).unwrap_or(0).min(POINTS - 1)
}
