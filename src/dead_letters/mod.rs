//! Finds DLQs, reads them into the store, and groups what failed.
//!
//! Kafka: every partition of every DLQ topic is read from the cursor in the store; rows and cursor are
//! one transaction, so a record is indexed exactly once whatever crashes. RabbitMQ: a *managed* queue
//! is emptied into the store, each message acknowledged only after its row is on disk; an *observed*
//! queue is looked at when a person asks or as often as the configuration says, and given back.
//!
//! Which topics and queues are DLQs comes from the snapshot, so finding them costs no request.
//! A new broker needs a file like `kafka_intake`, which turns its records into
//! [`NewDeadLetter`](crate::domain::NewDeadLetter)s with [`letters`].

mod bodies;
mod bulk_actions;
mod classify;
mod depth;
mod expiring_bodies;
mod give_back;
mod import;
mod intake_metrics;
mod intake_status;
mod kafka_intake;
mod kafka_plan;
mod letters;
mod looks;
mod manage;
mod managed_queues;
mod observe;
mod parameterise;
mod pointers;
mod rabbitmq_intake;
mod rabbitmq_intakes;
mod repairs;
mod retention;
mod scheduled_looks;
mod stream;
mod take_one;
mod trends;
mod work;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

pub use bodies::FetchReport;
pub use bulk_actions::BulkActions;
pub use give_back::{MOST_RETURNS, ReturnReport};
pub use import::from_export;
pub use intake_status::{IntakeBoard, IntakeState, IntakeStatus};
pub use looks::Looks;
pub use managed_queues::ManagedQueues;
pub use observe::{LookError, LookResult, Observer};
pub use repairs::{LONGEST_PROGRAM, RepairError, Repairs, Sample, Trial};
pub use retention::Retention;
pub use take_one::Requester;
pub use trends::follow_group_trends;

use crate::config::Config;
use crate::domain::{ClusterName, Snapshot, System};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

/// What every intake task needs.
#[derive(Clone)]
pub struct IntakeContext {
    pub config: Arc<Config>,
    pub store: Store,
    pub metrics: Arc<Metrics>,
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub board: IntakeBoard,
    /// Queues that were given into custody on their pages.
    pub managed: ManagedQueues,
    pub looks: Looks,
    pub stop: CancellationToken,
}

impl IntakeContext {
    /// What lay in a DLQ when it was discovered has been read: from here on its dead letters are news.
    async fn backlog_read(
        &self,
        cluster: &ClusterName,
        system: System,
        (vhost, dlq): (&str, &str),
    ) -> Result<(), StoreError> {
        self.store.note_backlog_read(cluster, vhost, dlq).await?;
        self.metrics.dlq_backlog_read(cluster, system, dlq);
        Ok(())
    }
}

/// The intake tasks of all clusters, for the caller to spawn: a name for the log and the task.
pub fn tasks(context: &IntakeContext) -> Vec<(&'static str, BoxFuture<'static, ()>)> {
    let search = context.store.clone();
    let mut tasks: Vec<(&'static str, BoxFuture<'static, ()>)> = vec![
        (
            "dead letter depth",
            Box::pin(depth::publish_depths(context.clone())),
        ),
        (
            "search index",
            Box::pin(search.follow_search_index(context.stop.clone())),
        ),
    ];
    for kafka in &context.config.kafka {
        let task = kafka_intake::run(context.clone(), kafka.clone());
        tasks.push(("kafka dead letter intake", Box::pin(task)));
        let task = expiring_bodies::keep(context.clone(), kafka.clone());
        tasks.push(("bodies that expire", Box::pin(task)));
    }
    for rabbitmq in &context.config.rabbitmq {
        let task = rabbitmq_intakes::run(context.clone(), rabbitmq.clone());
        tasks.push(("rabbitmq dead letter intake", Box::pin(task)));
        let task = scheduled_looks::run(context.clone(), rabbitmq.clone());
        tasks.push(("looks that are due", Box::pin(task)));
    }
    tasks
}
