//! The way back: sends dead letters again, once, and says what became of each.
//!
//! A person's request ([`request`]) is judged event by event ([`judging`], [`plan`], [`audience`]) and,
//! once confirmed, frozen as a job in the store ([`start`], [`freezing`]); [`handle`] is what else people
//! do with jobs. A failure group may have a policy that makes such jobs by itself ([`policies`]). One engine a
//! cluster sends what is planned: it renders the message ([`render`]), writes `sending` down, sends, and writes down what the broker
//! answered ([`engine`]). What a crash left in between is looked for ([`recovery`]). What was sent is
//! watched until there is evidence of its outcome ([`outcome`]). The states and what may follow what
//! are `domain::ReplayState`; nothing here changes one except through the store.
//!
//! To replay to another system, add an engine, its destination in `domain::Destination`, and what its
//! messages may carry in [`render`].

mod audience;
mod brake;
mod cautions;
mod changes;
mod deliverability;
mod engine;
mod freezing;
mod gate;
mod handle;
mod judging;
mod obstacles;
mod outcome;
mod plan;
mod policies;
mod recovery;
mod render;
mod request;
mod selection;
mod start;
mod ticks;
mod topic_limits;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::crash;
use crate::domain::{ClusterName, GlobError, NameFilter, Snapshot};
use crate::metrics::Metrics;
use crate::schemas::Schemas;
use crate::store::Store;

pub use deliverability::{Finding, Severity};
pub use handle::ReplayHandle;
pub use obstacles::Obstacle;
pub use request::{
    Actor, Audience, Decision, DestinationChoice, JobStarted, Preflight, PreflightEvent, Recipient,
    Refusal, RefusalKind, ReplayError, ReplayRequest, RevisionChoice, SeenUnknown, Selection,
};

use brake::BrakeKeeper;
use changes::Changes;
use engine::{ClosedEngine, EngineContext, KafkaEngine, RabbitMqEngine};
use freezing::Freezer;
use obstacles::Obstacles;
use outcome::OutcomeWatcher;
use policies::PolicyKeeper;
use topic_limits::TopicLimits;

/// Work that goes on until `stop` is cancelled.
pub type ReplayTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts replays for all clusters, gated by the schemas if the configuration says so: gives each engine and the watcher of outcomes to `spawn`. What an
/// earlier process left behind is settled first. The tasks end soon after `stop` is cancelled: what is
/// in flight is finished, the rest stays planned.
pub fn start(
    config: &Arc<Config>,
    store: &Store,
    metrics: &Arc<Metrics>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    stop: &CancellationToken,
    schemas: Option<Schemas>,
    mut spawn: impl FnMut(ReplayTask),
) -> Result<ReplayHandle, GlobError> {
    let changes = Changes::new();
    let watcher = OutcomeWatcher {
        settings: config.replay.clone(),
        store: store.clone(),
        metrics: Arc::clone(metrics),
        changes: changes.clone(),
        snapshots: snapshots.clone(),
        dlqs: (
            names(&config.dead_letters.kafka_topics)?,
            names(&config.dead_letters.kafka_topics_ignored)?,
        ),
        stop: stop.clone(),
    };
    spawn(Box::pin(watcher.run()));
    let keeper = BrakeKeeper {
        store: store.clone(),
        changes: changes.clone(),
        ramp_wait: *config.replay.ramp_wait,
        stop: stop.clone(),
    };
    spawn(Box::pin(keeper.run()));
    let obstacles = Obstacles::default();
    let context = EngineContext {
        cluster: ClusterName::default(),
        settings: config.replay.clone(),
        store: store.clone(),
        metrics: Arc::clone(metrics),
        changes: changes.clone(),
        obstacles: obstacles.clone(),
        snapshots: snapshots.clone(),
        stop: stop.clone(),
    };
    let handle = ReplayHandle {
        config: Arc::clone(config),
        store: store.clone(),
        metrics: Arc::clone(metrics),
        snapshots,
        changes,
        obstacles,
        schemas: schemas.filter(Schemas::gates_replays),
        topic_limits: TopicLimits::default(),
    };
    let freezer = Freezer {
        handle: handle.clone(),
        stop: stop.clone(),
    };
    spawn(Box::pin(freezer.run()));
    let policies = PolicyKeeper {
        handle: handle.clone(),
        stop: stop.clone(),
    };
    spawn(Box::pin(policies.run()));
    spawn_engines(config, &context, spawn);
    Ok(handle)
}

fn names(patterns: &[String]) -> Result<NameFilter, GlobError> {
    NameFilter::parse(patterns.iter().map(String::as_str))
}

fn spawn_engines(config: &Arc<Config>, context: &EngineContext, mut spawn: impl FnMut(ReplayTask)) {
    for kafka in &config.kafka {
        let context = context.for_cluster(&kafka.name);
        spawn(if kafka.read_only {
            Box::pin(ClosedEngine::read_only(context).run())
        } else {
            Box::pin(KafkaEngine::new(context, kafka.clone()).run())
        });
    }
    for rabbitmq in &config.rabbitmq {
        let context = context.for_cluster(&rabbitmq.name);
        spawn(if rabbitmq.read_only {
            Box::pin(ClosedEngine::read_only(context).run())
        } else {
            Box::pin(RabbitMqEngine::new(context, rabbitmq.clone()).run())
        });
    }
    spawn(Box::pin(end_orphans(Arc::clone(config), context.clone())));
}

/// Ends the replays to clusters that are not in the configuration any more.
async fn end_orphans(config: Arc<Config>, context: EngineContext) {
    let clusters = match context.store.clusters_of_open_replays().await {
        Ok(clusters) => clusters,
        Err(error) => {
            tracing::error!(%error, "cannot look for replays to clusters that are not configured");
            return;
        }
    };
    let orphans = clusters
        .into_iter()
        .filter(|cluster| {
            !config
                .cluster_names()
                .any(|configured| configured == cluster)
        })
        .map(|cluster| ClosedEngine::not_configured(context.for_cluster(&cluster)).run());
    join_all(orphans).await;
}
