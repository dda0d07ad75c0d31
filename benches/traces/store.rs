//! `tap_store_ratio`: the whole way from the broker into the store, against bare inserts of the rows that lie there
//! afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use redrive::config::{Config, HumanDuration, KafkaConfig};
use redrive::lifecycle::Lifecycle;
use redrive::metrics::{Format, Metrics};
use redrive::sampling;
use redrive::store::Store;
use redrive::traces::{self, TapBoard, TapContext};

use crate::figure::{self, Goal};
use crate::{peer, site};

const EVENTS: u64 = 200_000;
const POLL: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_mins(10);

pub(crate) fn run() -> Result<()> {
    site::with_topic(EVENTS, |config, topic| {
        let database = site::fresh_database("tap.db")?;
        let url = site::store_url(&database);
        let seconds = site::runtime()?.block_on(take_in(config, topic, &url))?;
        let bare = peer::insert(&database, EVENTS)?;
        let per_second = |seconds: f64| EVENTS as f64 / seconds;
        println!(
            "stored {:.0}/s; bare inserts {:.0}/s",
            per_second(seconds),
            per_second(bare)
        );
        figure::print("tap_store_ratio", bare / seconds, "", Goal::AtLeast(0.4));
        Ok(())
    })
}

/// Seconds from the first events in the store to the last.
async fn take_in(kafka: &KafkaConfig, topic: &str, url: &str) -> Result<f64> {
    let store = Store::open(url).await?;
    let mut config = Config {
        kafka: vec![kafka.clone()],
        ..Config::default()
    };
    config.sampling.interval = HumanDuration::from_secs(1);
    config.traces.kafka_topics = vec![topic.to_owned()];
    config.traces.consumer_group = site::group_at_the_start(kafka, topic)?;
    let config = Arc::new(config);
    let metrics = Arc::new(Metrics::new(*config.sampling.interval));
    let lifecycle = Lifecycle::new();
    let stop = lifecycle.stop_token();
    let sampling = sampling::start(&config, Arc::clone(&metrics), &stop, |task| {
        lifecycle.spawn("sampling", task);
    });
    let taps = TapContext {
        config,
        store: store.clone(),
        metrics: Arc::clone(&metrics),
        snapshots: sampling.subscribe(),
        board: TapBoard::default(),
        stop,
    };
    for task in traces::tasks(&taps) {
        lifecycle.spawn("traces", task);
    }
    let (first, begun) = until(&metrics, 1).await?;
    let (_, ended) = until(&metrics, EVENTS).await?;
    lifecycle.stop_token().cancel();
    lifecycle.run_until_stopped().await?;
    store.close().await;
    let share = (EVENTS - first) as f64 / EVENTS as f64;
    Ok(ended.duration_since(begun).as_secs_f64() / share)
}

/// Waits for so many stored events; how many there are, and when that was seen.
async fn until(metrics: &Metrics, least: u64) -> Result<(u64, Instant)> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let text = metrics.render(Format::Text);
        let stored = stored(&String::from_utf8_lossy(&text));
        if stored >= least {
            return Ok((stored, Instant::now()));
        }
        ensure!(
            Instant::now() < deadline,
            "only {stored} events were stored"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// What the metrics say of it.
pub(crate) fn stored(metrics: &str) -> u64 {
    let lines = metrics.lines();
    let of_tap = lines.filter(|line| line.starts_with("redrive_trace_events_total"));
    let mut stored = of_tap.filter(|line| line.contains("outcome=\"stored\""));
    let value = stored.next().and_then(|line| line.rsplit(' ').next());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}
