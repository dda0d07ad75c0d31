//! Which lines a page draws and the API answers, over which range.

use super::AppState;
use super::chart::Unit;
use super::problem::Problem;
use super::visit::Visit;
use crate::domain::{ClusterName, ConsumerGroup, QueueName, Snapshot, VhostName};
use crate::sampling::{ChartRange, Line, Series, SeriesKey};

/// One line: what it is called and of which series it is made, one of each cluster.
pub(crate) struct LineOf {
    /// In the API.
    pub(crate) name: &'static str,
    /// On a page.
    pub(crate) label: &'static str,
    pub(crate) unit: Unit,
    pub(crate) keys: Vec<SeriesKey>,
}

impl LineOf {
    pub(crate) async fn load(
        &self,
        state: &AppState,
        range: ChartRange,
        visit: &Visit,
    ) -> Result<Line, Problem> {
        let line = state.sampling.line(&self.keys, range, visit.now);
        Ok(line.await?)
    }
}

/// `range` of the URL; without it, an hour.
pub(crate) fn range(visit: &Visit) -> Result<ChartRange, Problem> {
    let Some(text) = visit.query.get("range") else {
        return Ok(ChartRange::Hour);
    };
    ChartRange::parse(text).ok_or_else(|| {
        let known = ChartRange::ALL.map(ChartRange::as_str).join(", ");
        Problem::bad_request(format!("range must be one of {known}"))
    })
}

/// All clusters together.
pub(crate) fn overview_lines(snapshot: &Snapshot) -> Vec<LineOf> {
    let line = |name, label, unit, series: &Series| LineOf {
        name,
        label,
        unit,
        keys: of_all(snapshot, series),
    };
    vec![
        line("lag", "Total lag", Unit::Count, &Series::TotalLag),
        line(
            "lag_seconds",
            "Oldest unread message",
            Unit::Seconds,
            &Series::WorstTimeLag,
        ),
        line(
            "processing_rate",
            "Processing rate",
            Unit::PerSecond,
            &Series::ProcessingRate,
        ),
        line(
            "dead_letters_open",
            "Dead letters open",
            Unit::Count,
            &Series::OpenDeadLetters,
        ),
    ]
}

/// The same series of every cluster.
pub(crate) fn of_all(snapshot: &Snapshot, series: &Series) -> Vec<SeriesKey> {
    let clusters = snapshot.clusters.iter();
    clusters
        .map(|cluster| SeriesKey::new(&cluster.name, series.clone()))
        .collect()
}

pub(crate) fn group_lines(cluster: &ClusterName, group: &ConsumerGroup) -> Vec<LineOf> {
    let line = |name, label, unit, series: fn(ConsumerGroup) -> Series| LineOf {
        name,
        label,
        unit,
        keys: vec![SeriesKey::new(cluster, series(group.clone()))],
    };
    vec![
        line("lag", "Lag", Unit::Count, Series::GroupLag),
        line(
            "lag_seconds",
            "Oldest unread message",
            Unit::Seconds,
            Series::GroupTimeLag,
        ),
        line(
            "consume_rate",
            "Read per second",
            Unit::PerSecond,
            Series::GroupConsumeRate,
        ),
    ]
}

pub(crate) fn queue_lines(
    cluster: &ClusterName,
    (vhost, queue): (&VhostName, &QueueName),
) -> Vec<LineOf> {
    let line = |name, label, unit, series: fn(VhostName, QueueName) -> Series| LineOf {
        name,
        label,
        unit,
        keys: vec![SeriesKey::new(
            cluster,
            series(vhost.clone(), queue.clone()),
        )],
    };
    vec![
        line(
            "messages",
            "Messages in the queue",
            Unit::Count,
            Series::QueueDepth,
        ),
        line(
            "publish_rate",
            "Published per second",
            Unit::PerSecond,
            Series::QueuePublishRate,
        ),
        line(
            "settle_rate",
            "Settled per second",
            Unit::PerSecond,
            Series::QueueSettleRate,
        ),
    ]
}
