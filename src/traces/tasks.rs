use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::MOST_HANDOVERS;
use super::kafka_tap::KafkaTap;
use super::keeper::Keeper;
use super::rabbitmq_tap::RabbitMqTap;
use super::tap_board::TapBoard;
use crate::brokers::rabbitmq::amqp::configured_vhosts;
use crate::config::Config;
use crate::domain::{Snapshot, Timestamp};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

const PRUNE_INTERVAL: Duration = Duration::from_mins(1);

/// What every tap needs.
#[derive(Clone)]
pub struct TapContext {
    pub config: Arc<Config>,
    pub store: Store,
    pub metrics: Arc<Metrics>,
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub board: TapBoard,
    pub stop: CancellationToken,
}

/// The taps of all clusters and what removes old events, for the caller to spawn; none without
/// `traces.kafka_topics` and `traces.rabbitmq_exchanges`.
pub fn tasks(context: &TapContext) -> Vec<BoxFuture<'static, ()>> {
    let mut tasks: Vec<BoxFuture<'static, ()>> = Vec::new();
    let config = &context.config;
    if !config.traces.follows_anything() {
        return tasks;
    }
    let keeper = Arc::new(Keeper::new(context.store.clone()));
    if !config.traces.kafka_topics.is_empty() {
        for kafka in &config.kafka {
            tasks.push(Box::pin(KafkaTap::new(context, &keeper, kafka).run()));
        }
    }
    if !config.traces.rabbitmq_exchanges.is_empty() {
        for rabbitmq in &config.rabbitmq {
            for vhost in configured_vhosts(rabbitmq) {
                let tap = RabbitMqTap::new(context, &keeper, rabbitmq, vhost);
                tasks.push(Box::pin(tap.run()));
            }
        }
    }
    tasks.push(Box::pin(prune_regularly(context.clone())));
    tasks
}

async fn prune_regularly(context: TapContext) {
    let mut ticks = tokio::time::interval(PRUNE_INTERVAL);
    loop {
        tokio::select! {
            () = context.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = prune(&context).await {
            let error = crate::error_chain(&error);
            tracing::warn!(error, "cannot remove old events of traces; trying again");
        }
    }
}

async fn prune(context: &TapContext) -> Result<(), StoreError> {
    let traces = &context.config.traces;
    let oldest = Timestamp::now().minus(*traces.max_age);
    let store = &context.store;
    store.prune_traced_events(oldest, traces.max_events).await?;
    store.prune_known_handovers(oldest, MOST_HANDOVERS).await?;
    store.prune_trace_gaps(oldest).await
}
