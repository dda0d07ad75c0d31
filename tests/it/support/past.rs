//! Two hours of numbers for the charts of a dashboard without brokers: a wave, and a time without answers.

use std::sync::Arc;
use std::time::Duration;

use redrive::domain::{ClusterDetail, ClusterSnapshot, TimeLag, Timestamp};
use redrive::sampling::SamplingHandle;

use super::snapshots::busy_snapshot;

const MINUTES: u32 = 120;

/// The broker did not answer so many minutes ago.
const AWAY: std::ops::Range<u32> = 20..29;

pub(crate) fn live_through(sampling: &SamplingHandle, now: Timestamp) {
    for ago in (0..=2 * MINUTES).rev() {
        let at = now.minus(Duration::from_secs(30) * ago);
        let wave = 1.0 + 0.9 * (f64::from(ago) / 9.0).sin();
        let mut snapshot = busy_snapshot(at);
        for cluster in &mut snapshot.clusters {
            let mut past = ClusterSnapshot::clone(cluster);
            if AWAY.contains(&(ago / 2)) {
                past.detail = None;
            }
            scale(&mut past.detail, wave);
            *cluster = Arc::new(past);
        }
        sampling.record(&snapshot);
        let open = u64::from(2 * MINUTES - ago) / 8;
        sampling.record_open_dead_letters(&"kafka".into(), open, at);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small and positive"
)]
fn scale(detail: &mut Option<ClusterDetail>, by: f64) {
    match detail {
        Some(ClusterDetail::Kafka(kafka)) => {
            for group in &mut kafka.groups {
                group.lag = (group.lag as f64 * by) as u64;
                let seconds = Duration::from_secs(group.lag / 10);
                group.time_lag = Some(TimeLag::Exactly(seconds));
                group.consume_rate = group.consume_rate.map(|rate| rate / by.max(0.3));
            }
        }
        Some(ClusterDetail::RabbitMq(rabbitmq)) => {
            for queue in &mut rabbitmq.queues {
                let messages = queue.sample.messages;
                queue.sample.messages = messages.map(|count| (count as f64 * by) as u64);
                queue.rates.publish = Some(12.0 * by);
                queue.rates.settle = Some(20.0 / by.max(0.3));
            }
        }
        None => {}
    }
}
