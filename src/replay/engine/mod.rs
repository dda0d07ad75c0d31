//! Sends what is planned: one engine a cluster, which does one thing after the other, so that the
//! order in which replays were planned is the order in which they arrive.
//!
//! Every engine writes `sending` to disk before the first byte leaves, and what the broker answered
//! after. A broker that is down delays its own replays and nothing else. An engine that stops leaves
//! states behind from which its successor recovers.

mod closed;
mod content;
mod kafka;
mod pacing;
mod placement;
mod queue;
mod rabbitmq;
mod round;
mod set_aside;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::brokers::kafka::KafkaError;
use crate::brokers::rabbitmq::amqp::AmqpError;
use crate::config::ReplayConfig;
use crate::domain::{ClusterName, Replay, ReplayEvent, ReplayId, Snapshot, Timestamp, TopicName};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

use super::changes::Changes;
use super::obstacles::Obstacles;
use super::outcome::count_outcomes;
use super::recovery::HANDOVER_LIMIT;

pub(super) use closed::ClosedEngine;
pub(super) use kafka::KafkaEngine;
pub(super) use rabbitmq::RabbitMqEngine;
pub(super) use set_aside::SetAside;

/// Planned replays that an engine looks at together: several rounds, between which nothing waits.
const WINDOW: u32 = 10_000;

/// Events that one transaction writes down, so that none holds the writer for long: what landed of a
/// round and *sending* of the next.
const EVENTS_OF_A_TRANSACTION: usize = 2_000;

/// Bytes of messages that are in flight together. As many again wait for their turn, and as many are being rendered;
/// clients hold a second copy of what they have not written yet.
const MOST_BYTES_IN_FLIGHT: u64 = 8 * 1024 * 1024;

const FIRST_PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
const LONGEST_PAUSE_AFTER_ERROR: Duration = Duration::from_secs(30);

/// Why an engine could not go on for now. Nothing is lost: it tries again.
#[derive(Debug, Error)]
pub(super) enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    RabbitMq(#[from] AmqpError),
    #[error(
        "the store took longer than {HANDOVER_LIMIT:?} to write down what was about to be sent, so it was \
         not sent; is its disk busy?"
    )]
    StoreTooSlow,
}

/// What every engine has.
#[derive(Clone)]
pub(super) struct EngineContext {
    pub(super) cluster: ClusterName,
    pub(super) settings: ReplayConfig,
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) changes: Changes,
    pub(super) obstacles: Obstacles,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) stop: CancellationToken,
}

/// When an engine shall look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    AtOnce,
    In(Duration),
    /// When something is planned.
    WhenTold,
}

impl Next {
    /// The same, or sooner if a job may send more by then.
    fn or_in(self, pause: Option<Duration>) -> Self {
        match (self, pause) {
            (Self::WhenTold, Some(pause)) => Self::In(pause),
            (Self::In(known), Some(pause)) => Self::In(known.min(pause)),
            (next, _) => next,
        }
    }
}

impl EngineContext {
    pub(super) fn for_cluster(&self, cluster: &ClusterName) -> Self {
        Self {
            cluster: cluster.clone(),
            ..self.clone()
        }
    }

    /// The IDs that topics of this cluster had in the last sample.
    fn topic_ids<'a>(
        &self,
        topics: impl Iterator<Item = &'a TopicName>,
    ) -> HashMap<TopicName, Uuid> {
        let wanted: HashSet<&TopicName> = topics.collect();
        let snapshot = self.snapshots.borrow();
        let cluster = snapshot.cluster(&self.cluster);
        let known = cluster.and_then(|cluster| cluster.kafka()).into_iter();
        let known = known.flat_map(|kafka| &kafka.topics);
        known
            .filter(|topic| wanted.contains(&topic.topic))
            .filter_map(|topic| Some((topic.topic.clone(), topic.topic_id?)))
            .collect()
    }

    /// Writes events down in their order and announces them; answers the replays that changed.
    /// A transition that contradicts what is known meanwhile, such as a cancellation, is left out.
    async fn advance(
        &self,
        events: Vec<(ReplayId, ReplayEvent)>,
    ) -> Result<Vec<Replay>, StoreError> {
        let mut changed = Vec::with_capacity(events.len());
        for events in transactions(events) {
            let results = self.store.advance_replays(events, Timestamp::now());
            changed.extend(results.await?.into_iter().filter_map(taken));
        }
        Ok(self.announced(changed).await)
    }

    /// The same for replays as this engine read or wrote them last, which is cheaper.
    async fn advance_known(
        &self,
        events: Vec<(Replay, ReplayEvent)>,
    ) -> Result<Vec<Replay>, StoreError> {
        let mut changed = Vec::with_capacity(events.len());
        for events in transactions(events) {
            let results = self.store.advance_known_replays(events, Timestamp::now());
            changed.extend(results.await?.into_iter().filter_map(taken));
        }
        Ok(self.announced(changed).await)
    }

    async fn announced(&self, changed: Vec<Replay>) -> Vec<Replay> {
        if !changed.is_empty() {
            count_outcomes(&self.store, &self.metrics, &changed).await;
            self.changes.announce();
        }
        changed
    }
}

/// Splits events into those of one transaction each.
fn transactions<E>(events: Vec<E>) -> impl Iterator<Item = Vec<E>> {
    let mut events = events.into_iter().peekable();
    std::iter::from_fn(move || {
        events.peek()?;
        Some(events.by_ref().take(EVENTS_OF_A_TRANSACTION).collect())
    })
}

fn taken(result: Result<Replay, StoreError>) -> Option<Replay> {
    result
        .inspect_err(|error| tracing::info!(%error, "a replay went another way meanwhile"))
        .ok()
}

/// Runs an engine's `work` until it shall stop: at once when something is planned, and with growing
/// pauses while the broker or the store does not answer.
pub(super) async fn run_engine<E>(
    mut engine: E,
    context: EngineContext,
    mut work: impl AsyncFnMut(&mut E) -> Result<Next, EngineError>,
) {
    let mut planned = context.changes.subscribe();
    let mut pause_after_error = FIRST_PAUSE_AFTER_ERROR;
    while !context.stop.is_cancelled() {
        planned.borrow_and_update();
        let next = match work(&mut engine).await {
            Ok(next) => {
                pause_after_error = FIRST_PAUSE_AFTER_ERROR;
                next
            }
            Err(error) => {
                let cluster = context.cluster.as_str();
                tracing::warn!(cluster, %error, pause = ?pause_after_error, "replays have to wait");
                let reason = crate::error_chain(&error);
                context.obstacles.note(&context.cluster, reason);
                tokio::select! {
                    () = tokio::time::sleep(pause_after_error) => {}
                    () = context.stop.cancelled() => {}
                }
                pause_after_error = (pause_after_error * 2).min(LONGEST_PAUSE_AFTER_ERROR);
                continue;
            }
        };
        let wake_up = async {
            match next {
                Next::AtOnce => {}
                Next::In(pause) => tokio::time::sleep(pause).await,
                Next::WhenTold => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wake_up => {}
            _ = planned.changed() => {}
            () = context.stop.cancelled() => {}
        }
    }
}

/// Does something beside its caller, on another thread if one is free: nothing of a round waits until
/// another part of it has been rendered.
async fn beside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    joined(tokio::spawn(work)).await
}

async fn joined<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and this with it.
            Err(_) => std::future::pending().await,
        },
    }
}

fn refused(reason: impl Into<String>) -> ReplayEvent {
    ReplayEvent::Refused {
        at: Timestamp::now(),
        reason: reason.into(),
    }
}
