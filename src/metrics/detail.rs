//! How much of a consumer group is exported.

use crate::config::{GroupSeries, SeriesDetail};
use crate::domain::ConsumerGroup;

/// The configured patterns; the first that matches decides, and whole partitions are the default.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupDetail(Vec<GroupSeries>);

impl GroupDetail {
    pub(super) fn new(patterns: &[GroupSeries]) -> Self {
        Self(patterns.to_vec())
    }

    pub(super) fn of(&self, group: &ConsumerGroup) -> SeriesDetail {
        let mut patterns = self.0.iter();
        let first = patterns.find(|pattern| pattern.matches(group.as_str()));
        first.map_or(SeriesDetail::Partition, |pattern| pattern.series)
    }

    pub(super) fn shows(&self, group: &ConsumerGroup) -> bool {
        self.of(group) != SeriesDetail::None
    }
}
