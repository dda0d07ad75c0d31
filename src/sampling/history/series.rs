use crate::domain::{
    ClusterDetail, ClusterName, ConsumerGroup, GroupStatus, KafkaDetail, QueueName, QueueRole,
    RabbitMqDetail, VhostName, digest_of_fields,
};

/// Which line a chart shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey {
    pub cluster: ClusterName,
    pub series: Series,
}

impl SeriesKey {
    pub fn new(cluster: &ClusterName, series: Series) -> Self {
        Self {
            cluster: cluster.clone(),
            series,
        }
    }
}

/// What a line shows about its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Series {
    /// Messages, all groups of a Kafka cluster.
    TotalLag,
    /// Seconds, the worst group of a Kafka cluster.
    WorstTimeLag,
    /// Events per second that consumers have done with: commits of all groups, or what work queues
    /// settled.
    ProcessingRate,
    /// Messages per second into all topics, or published into all queues.
    ProduceRate,
    /// Messages.
    GroupLag(ConsumerGroup),
    /// Seconds.
    GroupTimeLag(ConsumerGroup),
    /// Messages per second.
    GroupConsumeRate(ConsumerGroup),
    /// Messages.
    QueueDepth(VhostName, QueueName),
    /// Messages per second.
    QueuePublishRate(VhostName, QueueName),
    /// Messages per second.
    QueueSettleRate(VhostName, QueueName),
    /// Open dead letters of all DLQs of a cluster, as intake counts them.
    OpenDeadLetters,
}

/// What many values of one series become: of what waits the most, so that no peak is lost, of what flows the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinning {
    Most,
    Mean,
}

/// What the lines of several clusters become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joining {
    Sum,
    Most,
}

impl Series {
    pub(super) const fn thinning(&self) -> Thinning {
        match self {
            Self::ProcessingRate
            | Self::ProduceRate
            | Self::GroupConsumeRate(_)
            | Self::QueuePublishRate(..)
            | Self::QueueSettleRate(..) => Thinning::Mean,
            Self::TotalLag
            | Self::WorstTimeLag
            | Self::GroupLag(_)
            | Self::GroupTimeLag(_)
            | Self::QueueDepth(..)
            | Self::OpenDeadLetters => Thinning::Most,
        }
    }

    pub(super) const fn joining(&self) -> Joining {
        match self {
            Self::WorstTimeLag | Self::GroupTimeLag(_) => Joining::Most,
            _ => Joining::Sum,
        }
    }

    /// The names in the store's file must not change; a name of another length never has another's bytes.
    fn fields(&self) -> Vec<&[u8]> {
        let (kind, names): (&str, Vec<&str>) = match self {
            Self::TotalLag => ("total lag", Vec::new()),
            Self::WorstTimeLag => ("worst time lag", Vec::new()),
            Self::ProcessingRate => ("processing rate", Vec::new()),
            Self::ProduceRate => ("produce rate", Vec::new()),
            Self::GroupLag(group) => ("group lag", vec![group.as_str()]),
            Self::GroupTimeLag(group) => ("group time lag", vec![group.as_str()]),
            Self::GroupConsumeRate(group) => ("group consume rate", vec![group.as_str()]),
            Self::QueueDepth(vhost, queue) => ("queue depth", vec![vhost.as_str(), queue.as_str()]),
            Self::QueuePublishRate(vhost, queue) => {
                ("queue publish rate", vec![vhost.as_str(), queue.as_str()])
            }
            Self::QueueSettleRate(vhost, queue) => {
                ("queue settle rate", vec![vhost.as_str(), queue.as_str()])
            }
            Self::OpenDeadLetters => ("open dead letters", Vec::new()),
        };
        std::iter::once(kind)
            .chain(names)
            .map(str::as_bytes)
            .collect()
    }
}

/// A series of a cluster in eight bytes, however long a hostile name is: a digest, whose lowest bit says how the
/// series is thinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::sampling) struct SeriesId(pub(super) u64);

/// Over so many pages the series of a cluster are spread.
const PAGES: u64 = 128;

impl SeriesId {
    pub(in crate::sampling) fn of(series: &Series) -> Self {
        let digest = digest_of_fields(series.fields());
        let number = u64::from_str_radix(digest.get(..16).unwrap_or_default(), 16).unwrap_or(0);
        let thinning = match series.thinning() {
            Thinning::Most => 0,
            Thinning::Mean => 1,
        };
        Self(number & !1 | thinning)
    }

    pub(super) const fn thinning(self) -> Thinning {
        if self.0 & 1 == 0 {
            Thinning::Most
        } else {
            Thinning::Mean
        }
    }

    /// The page of the store on which it is.
    pub(in crate::sampling) fn page(self) -> u16 {
        u16::try_from((self.0 >> 1) % PAGES).unwrap_or(0)
    }
}

/// One point for each series of a cluster that is known.
pub(super) fn points(detail: &ClusterDetail) -> Vec<(Series, f64)> {
    match detail {
        ClusterDetail::Kafka(detail) => kafka_points(detail),
        ClusterDetail::RabbitMq(detail) => rabbitmq_points(detail),
    }
}

fn kafka_points(detail: &KafkaDetail) -> Vec<(Series, f64)> {
    let groups = &detail.groups;
    let total: u64 = groups.iter().map(|group| group.lag).sum();
    let mut points = vec![(Series::TotalLag, total as f64)];
    let seconds = |group: &GroupStatus| {
        let time_lag = group.time_lag?;
        Some(time_lag.duration().as_secs_f64())
    };
    let worst = groups.iter().filter_map(seconds).max_by(f64::total_cmp);
    points.extend(worst.map(|worst| (Series::WorstTimeLag, worst)));
    let consumed = sum(groups.iter().map(|group| group.consume_rate));
    points.extend(consumed.map(|rate| (Series::ProcessingRate, rate)));
    let topics = detail.topics.iter().filter(|topic| !topic.internal);
    let produced = sum(topics.map(|topic| topic.produce_rate));
    points.extend(produced.map(|rate| (Series::ProduceRate, rate)));
    for group in groups {
        let name = &group.group;
        points.push((Series::GroupLag(name.clone()), group.lag as f64));
        let time_lag = seconds(group);
        points.extend(time_lag.map(|lag| (Series::GroupTimeLag(name.clone()), lag)));
        let rate = group.consume_rate;
        points.extend(rate.map(|rate| (Series::GroupConsumeRate(name.clone()), rate)));
    }
    points
}

fn rabbitmq_points(detail: &RabbitMqDetail) -> Vec<(Series, f64)> {
    let mut points = Vec::new();
    let work = detail
        .queues
        .iter()
        .filter(|queue| queue.role == QueueRole::Work);
    let settled = sum(work.map(|queue| queue.rates.settle));
    points.extend(settled.map(|rate| (Series::ProcessingRate, rate)));
    let published = sum(detail.queues.iter().map(|queue| queue.rates.publish));
    points.extend(published.map(|rate| (Series::ProduceRate, rate)));
    for queue in &detail.queues {
        let name = || (queue.sample.vhost.clone(), queue.sample.queue.clone());
        let values = [
            (
                Series::QueueDepth as fn(VhostName, QueueName) -> Series,
                queue.sample.messages.map(|messages| messages as f64),
            ),
            (Series::QueuePublishRate, queue.rates.publish),
            (Series::QueueSettleRate, queue.rates.settle),
        ];
        for (series, value) in values {
            let (vhost, queue) = name();
            points.extend(value.map(|value| (series(vhost, queue), value)));
        }
    }
    points
}

/// Absent if nothing is known at all.
fn sum(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.flatten().reduce(|left, right| left + right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_of_a_series_stays_what_it_is_in_the_files_of_users() {
        let check = |series: Series, expected: u64| {
            let SeriesId(found) = SeriesId::of(&series);
            assert_eq!(found, expected, "{series:?} {found:#x}");
        };
        check(Series::TotalLag, 0xdef7_ffee_6334_8d6e);
        check(Series::ProcessingRate, 0x8299_696b_c70e_045f);
        check(Series::GroupLag("billing".into()), 0x2d7a_c383_5a72_619c);
        let settled = Series::QueueSettleRate("/".into(), "orders".into());
        check(settled, 0x0410_e6c0_2f57_c5d1);
    }

    #[test]
    fn names_that_join_to_the_same_bytes_are_two_series() {
        let id = |vhost: &str, queue: &str| {
            SeriesId::of(&Series::QueueDepth(vhost.into(), queue.into()))
        };
        assert_ne!(id("a", "bc"), id("ab", "c"));
        let hostile = SeriesId::of(&Series::GroupLag("x".repeat(32_000).as_str().into()));
        assert!(u64::from(hostile.page()) < PAGES);
    }
}
