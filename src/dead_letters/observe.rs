use thiserror::Error;

use super::IntakeContext;
use super::give_back::MOST_RETURNS;
use super::intake_metrics;
use super::letters::{Found, dead_letter};
use crate::brokers::rabbitmq::amqp::{
    AmqpError, ObserveError, fingerprint, observe_rule, observe_window,
};
use crate::brokers::rabbitmq::{BrokerVersion, RabbitMqError};
use crate::config::{QueueCustody, RabbitMqConfig};
use crate::domain::{
    ClusterName, Custody, DeadLetterId, Message, NewDeadLetter, Position, QueueName, QueueRole,
    QueueType, System, Timestamp, VhostName,
};
use crate::store::StoreError;

/// Looks at observed queues when a person asks. Cheap to clone.
#[derive(Clone)]
pub struct Observer {
    pub(super) context: IntakeContext,
}

/// What a look brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookResult {
    /// Messages in the window.
    pub seen: usize,
    /// Those that were not indexed before.
    pub new: usize,
    /// Messages that were ready in the queue when the look began; a stream does not tell.
    pub ready: Option<u32>,
}

/// Why nothing was looked at, or what failed.
#[derive(Debug, Error)]
pub enum LookError {
    #[error("there is no RabbitMQ cluster {0} in the configuration")]
    NoSuchCluster(ClusterName),
    #[error("there is no queue {0} in the last sample")]
    NoSuchQueue(QueueName),
    #[error("{queue} was not looked at: {reason}")]
    Refused { queue: QueueName, reason: String },
    #[error(
        "more than {MOST_RETURNS} dead letters are selected; narrow the filter, and ask again for the rest"
    )]
    TooMany,
    #[error("Redrive is stopping; ask again when it runs")]
    Stopping,
    /// A single dead letter stays where it is.
    #[error("dead letter {id} was not taken: {reason}")]
    NotTaken { id: DeadLetterId, reason: String },
    #[error(transparent)]
    RabbitMq(ObserveError),
    #[error(transparent)]
    Management(RabbitMqError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AmqpError> for LookError {
    fn from(error: AmqpError) -> Self {
        Self::RabbitMq(error.into())
    }
}

impl From<ObserveError> for LookError {
    fn from(error: ObserveError) -> Self {
        match error {
            ObserveError::Refused { queue, reason } => Self::Refused { queue, reason },
            failure => Self::RabbitMq(failure),
        }
    }
}

impl Observer {
    pub fn new(context: IntakeContext) -> Self {
        Self { context }
    }

    /// Why a queue may not be looked at, for the button's explanation.
    pub fn refusal(
        &self,
        cluster: &ClusterName,
        vhost: &VhostName,
        queue: &QueueName,
    ) -> Option<String> {
        self.permitted(cluster, vhost, queue)
            .err()
            .map(|error| error.to_string())
    }

    /// Takes a window from the head of the queue, gives it back, and replaces what the store knew of
    /// the window before. A stream is read on instead.
    pub async fn look(
        &self,
        cluster: &ClusterName,
        vhost: &VhostName,
        queue: &QueueName,
    ) -> Result<LookResult, LookError> {
        let config = self.permitted(cluster, vhost, queue)?;
        if self.is_stream(cluster, vhost, queue) {
            return self.read_on(&config, vhost, queue).await;
        }
        let limit = self.context.config.dead_letters.observe_window;
        let timeout = *self.context.config.sampling.request_timeout;
        // It asks RabbitMQ once more, right before the queue is touched: the sample may be old.
        let window = observe_window(&config, timeout, (vhost, queue), limit).await?;
        let ready = Some(window.ready_before);
        let now = Timestamp::now();
        let place = (cluster, vhost, queue);
        let letter = |message| self.letter(place, message, Custody::Broker, now);
        let letters: Vec<NewDeadLetter> = window.messages.into_iter().map(letter).collect();
        let store = &self.context.store;
        let indexed = store
            .replace_window(cluster, (vhost, queue), &letters, now)
            .await?;
        intake_metrics::count(&self.context.metrics, &letters, &indexed);
        let dlq = (vhost.as_str(), queue.as_str());
        self.context
            .backlog_read(cluster, System::RabbitMq, dlq)
            .await?;
        Ok(LookResult {
            seen: letters.len(),
            new: indexed.len(),
            ready,
        })
    }

    /// The cluster's configuration, if it and the last sample permit a look.
    pub(super) fn permitted(
        &self,
        cluster: &ClusterName,
        vhost: &VhostName,
        queue: &QueueName,
    ) -> Result<RabbitMqConfig, LookError> {
        let config = self
            .context
            .config
            .rabbitmq
            .iter()
            .find(|config| config.name == *cluster);
        let config = config.ok_or_else(|| LookError::NoSuchCluster(cluster.clone()))?;
        let refused = |reason: String| LookError::Refused {
            queue: queue.clone(),
            reason,
        };
        let snapshot = self.context.snapshots.borrow().clone();
        let detail = snapshot
            .cluster(cluster)
            .and_then(|cluster| cluster.rabbitmq());
        let detail = detail.ok_or_else(|| refused("RabbitMQ was not sampled yet".to_owned()))?;
        let is_it = |status: &&crate::domain::QueueStatus| {
            status.sample.vhost == *vhost && status.sample.queue == *queue
        };
        let status = detail.queues.iter().find(is_it);
        let status = status.ok_or_else(|| LookError::NoSuchQueue(queue.clone()))?;
        if config.read_only {
            return Err(refused("rabbitmq.read_only is set".to_owned()));
        }
        match self.context.managed.custody(config, vhost, queue) {
            Some(QueueCustody::Managed) => {
                return Err(refused(
                    "it is managed: its messages are in the store".to_owned(),
                ));
            }
            Some(QueueCustody::Observe) => {}
            None if status.role == QueueRole::Dlq => {}
            None => {
                let reason = format!(
                    "its role is {}, and a queue that is no DLQ is never read without configuration; \
                     set custody = \"observe\" for it in [[rabbitmq.queues]]",
                    status.role.as_str()
                );
                return Err(refused(reason));
            }
        }
        if status.sample.queue_type != QueueType::Stream {
            let version = BrokerVersion::new(detail.version.as_str());
            observe_rule(&status.sample, &version).map_err(refused)?;
        }
        Ok(config.clone())
    }

    /// A message of a RabbitMQ queue as a dead letter.
    pub(super) fn letter(
        &self,
        (cluster, vhost, queue): (&ClusterName, &VhostName, &QueueName),
        message: Message,
        custody: Custody,
        now: Timestamp,
    ) -> NewDeadLetter {
        let found = Found {
            cluster: cluster.clone(),
            position: Position::RabbitMq {
                vhost: vhost.clone(),
                queue: queue.clone(),
                fingerprint: fingerprint(vhost, queue, &message),
            },
            message,
            arrived_at: None,
            custody,
            redelivered: false,
        };
        dead_letter(found, &self.context.config, now)
    }
}
