use std::collections::BTreeMap;
use std::time::Duration;

use super::hours::{STEP, floor, known_points};
use super::pages::Points;
use super::series::{Joining, Series, Thinning};
use crate::domain::Timestamp;

/// How far back a chart looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChartRange {
    Hour,
    SixHours,
    Day,
    Week,
}

impl ChartRange {
    pub const ALL: [Self; 4] = [Self::Hour, Self::SixHours, Self::Day, Self::Week];

    /// As it is written in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|range| range.as_str() == text)
    }

    pub const fn span(self) -> Duration {
        match self {
            Self::Hour => Duration::from_hours(1),
            Self::SixHours => Duration::from_hours(6),
            Self::Day => Duration::from_hours(24),
            Self::Week => Duration::from_hours(7 * 24),
        }
    }

    const fn step(self) -> Duration {
        match self {
            Self::Hour => Duration::from_secs(30),
            Self::SixHours | Self::Day => STEP,
            Self::Week => COARSE_STEP,
        }
    }
}

/// Between two points that are older than a day.
pub(in crate::sampling) const COARSE_STEP: Duration = Duration::from_mins(30);

/// One point of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistoryPoint {
    pub at: Timestamp,
    /// Absent where nothing is known: the chart shows a gap.
    pub value: Option<f64>,
}

/// A line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub from: Timestamp,
    pub to: Timestamp,
    /// What one point stands for, except the last one, which is the last sample.
    pub step: Duration,
    /// Oldest first, never two at one time.
    pub points: Vec<HistoryPoint>,
}

/// What is known of one series.
#[derive(Clone, Debug)]
pub(in crate::sampling) struct Source {
    pub(super) thinning: Thinning,
    pub(super) joining: Joining,
    /// Thinned, each by its time, so that what both the store and the memory know is there once.
    pub(super) buckets: BTreeMap<Timestamp, f32>,
    /// The last samples, oldest first.
    pub(super) samples: Vec<HistoryPoint>,
    /// A bucket that holds nothing but samples. Drawn at its own time, it would stand before the first of them.
    begun: Option<Timestamp>,
}

/// From when to when a line is drawn, and how finely.
#[derive(Clone, Copy, Debug)]
pub(in crate::sampling) struct Grid {
    pub(in crate::sampling) from: Timestamp,
    pub(in crate::sampling) to: Timestamp,
    step: Duration,
}

impl Grid {
    pub(in crate::sampling) fn of(range: ChartRange, interval: Duration, now: Timestamp) -> Self {
        Self::new(range.span(), range.step(), interval, now)
    }

    /// For a sparkline, which is 120 pixels wide.
    pub(in crate::sampling) fn lately(interval: Duration, now: Timestamp) -> Self {
        let step = Duration::from_mins(1);
        Self::new(ChartRange::Hour.span(), step, interval, now)
    }

    /// A step has three samples, or one that is late would leave a step empty.
    fn new(span: Duration, step: Duration, interval: Duration, now: Timestamp) -> Self {
        Self {
            from: now.minus(span),
            to: now,
            step: step.max(interval * 3),
        }
    }

    fn shows(&self, at: Timestamp) -> bool {
        (self.from..=self.to).contains(&at)
    }

    /// Points that are further apart are not joined: nobody looked.
    fn widest(&self) -> Duration {
        self.step.max(STEP) * 3 / 2
    }
}

impl Source {
    pub(in crate::sampling) fn of(series: &Series) -> Self {
        Self {
            thinning: series.thinning(),
            joining: series.joining(),
            buckets: BTreeMap::new(),
            samples: Vec::new(),
            begun: None,
        }
    }

    /// Adds the last samples; `begun` tells whether nothing older is in the bucket of the first.
    pub(super) fn add_samples(
        &mut self,
        samples: Vec<HistoryPoint>,
        begun: impl FnOnce(Timestamp) -> bool,
    ) {
        let first = samples.first().map(|sample| sample.at);
        self.begun = first.filter(|at| begun(*at)).map(|at| floor(at, STEP));
        self.samples = samples;
    }

    /// Adds thinned points; those that are known already are replaced.
    pub(in crate::sampling) fn add_points(
        &mut self,
        points: impl IntoIterator<Item = (Timestamp, f32)>,
    ) {
        self.buckets.extend(points);
    }

    /// Adds a page of the store; what is known already stays.
    pub(in crate::sampling) fn add_older_points(
        &mut self,
        began_at: Timestamp,
        step: Duration,
        points: &Points,
    ) {
        for (at, value) in known_points(began_at, step, points) {
            self.buckets.entry(at).or_insert(value);
        }
    }

    /// One value a step; `None` where a look failed.
    fn steps(&self, grid: &Grid) -> BTreeMap<Timestamp, Option<f64>> {
        let sampled_from = self.samples.first().map(|sample| sample.at);
        let older = self.buckets.iter();
        let older = older.take_while(|(at, _)| sampled_from.is_none_or(|from| **at < from));
        let older = older.filter(|(at, _)| self.begun != Some(**at));
        let older = older.map(|(at, value)| (*at, Some(f64::from(*value))));
        let samples = self.samples.iter().map(|sample| (sample.at, sample.value));
        let mut steps: BTreeMap<Timestamp, Vec<f64>> = BTreeMap::new();
        for (at, value) in older.chain(samples).filter(|(at, _)| grid.shows(*at)) {
            steps.entry(floor(at, grid.step)).or_default().extend(value);
        }
        steps
            .into_iter()
            .filter(|(at, _)| grid.shows(*at))
            .map(|(at, values)| (at, self.thin(&values)))
            .collect()
    }

    fn thin(&self, values: &[f64]) -> Option<f64> {
        match self.thinning {
            Thinning::Most => values.iter().copied().reduce(f64::max),
            Thinning::Mean if values.is_empty() => None,
            Thinning::Mean => Some(values.iter().sum::<f64>() / values.len() as f64),
        }
    }

    fn last_sample(&self, grid: &Grid) -> Option<HistoryPoint> {
        let shown = |sample: &&HistoryPoint| grid.shows(sample.at);
        self.samples.last().filter(shown).copied()
    }
}

/// One line for the same series of several clusters.
pub(in crate::sampling) fn draw(sources: &[Source], grid: &Grid) -> Line {
    let lines: Vec<_> = sources.iter().map(|source| source.steps(grid)).collect();
    let newest = lines.iter().filter_map(|line| line.keys().last()).max();
    let mut joined: BTreeMap<Timestamp, Option<f64>> = BTreeMap::new();
    let mut last: Option<HistoryPoint> = None;
    for (source, line) in sources.iter().zip(&lines) {
        for (at, value) in line {
            let slot = joined.entry(*at).or_default();
            *slot = join(source.joining, *slot, *value);
        }
        let Some(sample) = source.last_sample(grid) else {
            continue;
        };
        // The other cluster was looked at a moment earlier, in the step before.
        if let Some(newest) = newest.filter(|newest| !line.contains_key(newest))
            && line.contains_key(&newest.minus(grid.step))
        {
            let slot = joined.entry(*newest).or_default();
            *slot = join(source.joining, *slot, sample.value);
        }
        last = Some(HistoryPoint {
            at: last.map_or(sample.at, |last| last.at.max(sample.at)),
            value: join(
                source.joining,
                last.and_then(|last| last.value),
                sample.value,
            ),
        });
    }
    if let Some(last) = last {
        joined.insert(last.at, last.value);
    }
    Line {
        from: grid.from,
        to: grid.to,
        step: grid.step,
        points: with_gaps(joined, grid),
    }
}

/// Where one cluster is not known, what is known of the others counts.
fn join(joining: Joining, left: Option<f64>, right: Option<f64>) -> Option<f64> {
    match (left, right, joining) {
        (Some(left), Some(right), Joining::Sum) => Some(left + right),
        (Some(left), Some(right), Joining::Most) => Some(left.max(right)),
        (left, right, _) => left.or(right),
    }
}

fn with_gaps(joined: BTreeMap<Timestamp, Option<f64>>, grid: &Grid) -> Vec<HistoryPoint> {
    let mut points: Vec<HistoryPoint> = Vec::with_capacity(joined.len());
    for (at, value) in joined {
        if let Some(before) = points.last().copied()
            && at.since(before.at) > grid.widest()
        {
            points.push(HistoryPoint {
                at: before.at.plus(grid.step),
                value: None,
            });
        }
        points.push(HistoryPoint { at, value });
    }
    points
}
