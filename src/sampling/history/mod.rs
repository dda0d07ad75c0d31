//! What the numbers were: every sample of the last hour in memory, and beside them points of five minutes ([`hours`])
//! that go to the store ([`pages`]), where they become points of half an hour after a day. A chart takes of both
//! what it needs ([`line`](mod@line)).

mod hours;
mod line;
mod pages;
mod series;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::domain::{ClusterDetail, ClusterName, Timestamp};
pub(super) use hours::{HOUR, HourToSave, Hours, STEP, floor};
pub(super) use line::{COARSE_STEP, Grid, Source, draw};
pub use line::{ChartRange, HistoryPoint, Line};
pub(super) use pages::{PAGES_THINNED, decode, decode_one, encode, thinned};
pub(super) use series::SeriesId;
pub use series::{Series, SeriesKey};

/// Samples of all series together. At four bytes each this bounds the history to 32 MB.
const POINTS_LIMIT: usize = 8_000_000;

/// The last samples of every series, and the thinned points of the last hours.
#[derive(Debug)]
pub(super) struct History {
    capacity: usize,
    interval: Duration,
    clusters: HashMap<ClusterName, ClusterHistory>,
    series: usize,
}

/// The series of a cluster share its sampling times, so a sample costs four bytes. A series may be
/// shorter than the times: it began later.
#[derive(Debug, Default)]
struct ClusterHistory {
    times: VecDeque<Timestamp>,
    series: HashMap<Series, RecentSamples>,
    /// Counted by intake, not sampled: it has times of its own.
    open_dead_letters: VecDeque<(Timestamp, f32)>,
    hours: Hours,
}

#[derive(Debug)]
struct RecentSamples {
    id: SeriesId,
    values: VecDeque<f32>,
}

impl History {
    /// Holds so many samples of each series; one is taken at each interval.
    pub(super) fn new(capacity: usize, interval: Duration) -> Self {
        Self {
            capacity: capacity.max(1),
            interval,
            clusters: HashMap::new(),
            series: 0,
        }
    }

    pub(super) const fn interval(&self) -> Duration {
        self.interval
    }

    /// Adds one sample to each series of a cluster. `None` says that the look failed: a gap.
    pub(super) fn record(
        &mut self,
        cluster: &ClusterName,
        detail: Option<&ClusterDetail>,
        at: Timestamp,
    ) {
        let points = detail.map(series::points).unwrap_or_default();
        let room = (POINTS_LIMIT / self.capacity).saturating_sub(self.series);
        let history = self.clusters.entry(cluster.clone()).or_default();
        let before = history.series.len();
        history.add(points, at, self.capacity, room);
        self.series = self.series + history.series.len() - before;
    }

    /// Adds a sample to [`Series::OpenDeadLetters`].
    pub(super) fn record_open_dead_letters(
        &mut self,
        cluster: &ClusterName,
        value: u64,
        at: Timestamp,
    ) {
        let history = self.clusters.entry(cluster.clone()).or_default();
        let value = narrow(value as f64);
        history.open_dead_letters.push_back((at, value));
        if history.open_dead_letters.len() > self.capacity {
            history.open_dead_letters.pop_front();
        }
        let id = SeriesId::of(&Series::OpenDeadLetters);
        history.hours.record(at, [(id, value)]);
    }

    /// What is in memory of a series.
    pub(super) fn source(&self, key: &SeriesKey) -> Source {
        let mut source = Source::of(&key.series);
        if let Some(cluster) = self.clusters.get(&key.cluster) {
            let id = cluster.id(&key.series);
            source.add_points(cluster.hours.points(id));
            source.add_samples(cluster.samples(&key.series), |begin| {
                cluster.hours.begun(id, begin)
            });
        }
        source
    }

    pub(super) fn hours(&mut self, cluster: &ClusterName) -> &mut Hours {
        &mut self.clusters.entry(cluster.clone()).or_default().hours
    }
}

impl ClusterHistory {
    fn add(&mut self, points: Vec<(Series, f64)>, at: Timestamp, capacity: usize, room: usize) {
        let limit = self.series.len() + room;
        for samples in self.series.values_mut() {
            samples.values.push_back(f32::NAN);
        }
        let mut recorded = Vec::with_capacity(points.len());
        for (series, value) in points {
            let value = narrow(value);
            if let Some(samples) = self.series.get_mut(&series) {
                samples.replace_last(value);
                recorded.push((samples.id, value));
            } else if self.series.len() < limit {
                let id = SeriesId::of(&series);
                let values = VecDeque::from([value]);
                self.series.insert(series, RecentSamples { id, values });
                recorded.push((id, value));
            }
        }
        self.hours.record(at, recorded);
        self.times.push_back(at);
        if self.times.len() > capacity {
            self.times.pop_front();
        }
        self.series.retain(|_, RecentSamples { values, .. }| {
            if values.len() > capacity {
                values.pop_front();
            }
            // A group that left is forgotten when its last value has left the window.
            values.iter().any(|value| !value.is_nan())
        });
    }

    fn id(&self, series: &Series) -> SeriesId {
        let known = self.series.get(series).map(|samples| samples.id);
        known.unwrap_or_else(|| SeriesId::of(series))
    }

    /// Oldest first; none of a series that is not known.
    fn samples(&self, series: &Series) -> Vec<HistoryPoint> {
        if *series == Series::OpenDeadLetters {
            let samples = self.open_dead_letters.iter();
            return samples.map(|(at, value)| sample(*at, *value)).collect();
        }
        let Some(RecentSamples { values, .. }) = self.series.get(series) else {
            return Vec::new();
        };
        let began = self.times.len().saturating_sub(values.len());
        let times = self.times.iter().skip(began);
        times
            .zip(values)
            .map(|(at, value)| sample(*at, *value))
            .collect()
    }
}

impl RecentSamples {
    fn replace_last(&mut self, value: f32) {
        if let Some(last) = self.values.back_mut() {
            *last = value;
        }
    }
}

fn sample(at: Timestamp, value: f32) -> HistoryPoint {
    HistoryPoint {
        at,
        value: (!value.is_nan()).then_some(f64::from(value)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a chart shows seven digits well enough"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests;
