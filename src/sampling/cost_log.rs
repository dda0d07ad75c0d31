use std::time::{Duration, Instant};

use super::board::Board;
use crate::domain::{BrokerHealth, ClusterName, SampleCost};
use crate::metrics::EncodingCost;

/// Between two lines of the log about one cluster.
const INTERVAL: Duration = Duration::from_hours(1);

/// Writes into the log what it costs to look at a cluster: after the first sample, then once an hour.
#[derive(Debug, Default)]
pub(super) struct CostLog {
    logged: Option<Instant>,
    sum: CostSum,
}

/// What some samples cost together.
#[derive(Debug, Default)]
struct CostSum {
    samples: u32,
    requests: u64,
    reading: Duration,
    slowest: Duration,
    own_work: Duration,
}

impl CostLog {
    /// Counts the sample that was published last, if it succeeded.
    pub(super) fn observe(&mut self, board: &Board, cluster: &ClusterName, now: Instant) {
        let snapshot = board.snapshot();
        let cluster_now = snapshot.cluster(cluster).filter(|seen| seen.health.up);
        let Some(BrokerHealth {
            cost,
            deriving_took,
            ..
        }) = cluster_now.map(|seen| &seen.health)
        else {
            return;
        };
        let encoding = board.encoding_cost(cluster);
        self.sum.add(cost, *deriving_took, encoding);
        let Some(sum) = self.due(now) else {
            return;
        };
        let samples = sum.samples.max(1);
        tracing::info!(
            cluster = cluster.as_str(),
            samples,
            requests_per_sample = sum.requests / u64::from(samples),
            reading = ?sum.reading / samples,
            slowest_reading = ?sum.slowest,
            own_work = ?sum.own_work / samples,
            series = encoding.map_or(0, |encoding| encoding.series),
            "what sampling costs"
        );
    }

    /// What is to be logged now; it starts anew.
    fn due(&mut self, now: Instant) -> Option<CostSum> {
        let logged = self.logged;
        if logged.is_some_and(|logged| now.duration_since(logged) < INTERVAL) {
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.sum))
    }
}

impl CostSum {
    fn add(&mut self, cost: &SampleCost, deriving: Duration, encoding: Option<EncodingCost>) {
        self.samples += 1;
        self.requests += cost.requests;
        self.reading += cost.duration;
        self.slowest = self.slowest.max(cost.duration);
        self.own_work += deriving + encoding.map_or(Duration::ZERO, |encoding| encoding.took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_is_logged_and_then_the_mean_of_each_hour() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut log = CostLog::default();
        let encoding = EncodingCost {
            series: 9,
            took: second,
        };
        let mut look = |requests, at: u64| {
            let cost = SampleCost {
                requests,
                duration: second * u32::try_from(requests).unwrap(),
                ..SampleCost::default()
            };
            log.sum.add(&cost, second, Some(encoding));
            log.due(start + Duration::from_secs(at))
        };
        assert_eq!(look(8, 0).unwrap().samples, 1);
        assert!(look(2, 10).is_none());
        assert!(look(6, 3599).is_none());
        let hour = look(4, 3600).unwrap();
        assert_eq!((hour.samples, hour.requests), (3, 12));
        assert_eq!(hour.slowest, second * 6);
        assert_eq!(hour.own_work, second * 6);
        assert!(look(1, 3601).is_none());
    }
}
