use thiserror::Error;

use super::IntakeContext;
use super::give_back::MOST_RETURNS;
use super::intake_metrics;
use super::letters::{Found, dead_letter};
use super::take_one::Requester;
use crate::brokers::rabbitmq::amqp::{
    AmqpError, HeldWindow, LookOrder, ObserveError, TakenMessage, fingerprint, hold_window,
    observe_rule,
};
use crate::brokers::rabbitmq::{BrokerVersion, RabbitMqError};
use crate::config::{QueueCustody, RabbitMqConfig};
use crate::crash;
use crate::domain::{
    ClusterName, Custody, DeadLetterId, LookCost, Message, NewDeadLetter, Position, QueueName,
    QueuePlace, QueueRole, QueueType, System, Timestamp,
};
use crate::store::StoreError;

/// Messages that one transaction moves into the store.
const KEPT_AT_ONCE: usize = 20;

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
    /// Those that had too few deliveries left to be given back, and were moved into the store.
    pub kept: usize,
    /// Messages that were ready in the queue when the look began; a stream does not tell.
    pub ready: Option<u32>,
}

/// What had to be moved into the store.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    seen: usize,
    new: usize,
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
    pub fn refusal(&self, place: &QueuePlace) -> Option<String> {
        self.permitted(place).err().map(|error| error.to_string())
    }

    /// What a look costs here, by what the last sample says, if it is possible and costs something.
    pub fn look_cost(&self, place: &QueuePlace) -> Option<LookCost> {
        self.permitted(place).ok()?.1
    }

    /// Takes a window from the head of the queue, gives it back, and replaces what the store knew of
    /// the window before. A stream is read on instead. Where that costs something, it is done only if somebody
    /// accepts it.
    pub async fn look(
        &self,
        place: &QueuePlace,
        accepted_by: Option<&Requester>,
    ) -> Result<LookResult, LookError> {
        let (config, _) = self.permitted(place)?;
        let _alone = self.context.looks.alone(place).await;
        if self.is_stream(place) {
            return self.read_on(&config, place).await;
        }
        let order = LookOrder {
            accepts_cost: accepted_by.is_some(),
            ..LookOrder::free(self.context.config.dead_letters.observe_window)
        };
        let timeout = *self.context.config.sampling.request_timeout;
        // It asks RabbitMQ once more, right before the queue is touched: the sample may be old.
        let mut held = hold_window(&config, timeout, place, order).await?;
        if let (Some(requester), Some(cost)) = (accepted_by, held.cost()) {
            self.note_cost(place, cost, requester).await?;
        }
        let kept = self.keep_worn(place, &mut held).await?;
        let ready = Some(held.ready_before);
        let now = Timestamp::now();
        let messages = std::mem::take(&mut held.messages).into_iter();
        let letter = |one: TakenMessage| self.letter(place, one.message, Custody::Broker, now);
        let letters: Vec<NewDeadLetter> = messages.map(letter).collect();
        held.give_back().await?;
        let store = &self.context.store;
        let indexed = store
            .replace_window(&place.cluster, (&place.vhost, &place.queue), &letters, now)
            .await?;
        intake_metrics::count(&self.context.metrics, &letters, &indexed);
        let dlq = (place.vhost.as_str(), place.queue.as_str());
        self.context
            .backlog_read(&place.cluster, System::RabbitMq, dlq)
            .await?;
        Ok(LookResult {
            seen: letters.len() + kept.seen,
            new: indexed.len() + kept.new,
            kept: kept.seen,
            ready,
        })
    }

    async fn note_cost(
        &self,
        place: &QueuePlace,
        cost: LookCost,
        requester: &Requester,
    ) -> Result<(), StoreError> {
        let detail = serde_json::json!({ "cluster": place.cluster, "vhost": place.vhost,
            "queue": place.queue, "delivery_limit": cost.limit });
        let entry = requester.entry(Timestamp::now(), "custody.costly_look", detail);
        self.context.store.append_audit(&entry).await
    }

    /// Moves what must not come back to the queue once more into the store.
    pub(super) async fn keep_worn(
        &self,
        place: &QueuePlace,
        held: &mut HeldWindow,
    ) -> Result<Kept, LookError> {
        crash::point("look.held");
        let worn = held.take_worn();
        let mut kept = Kept::default();
        if worn.is_empty() {
            return Ok(kept);
        }
        let store = &self.context.store;
        let session = store.begin_custody().await?;
        let now = Timestamp::now();
        for batch in worn.chunks(KEPT_AT_ONCE) {
            let letter = |one: &TakenMessage| NewDeadLetter {
                redelivered: one.redelivered,
                ..self.letter(place, one.message.clone(), Custody::Store, now)
            };
            let letters: Vec<NewDeadLetter> = batch.iter().map(letter).collect();
            let indexed = store.take_custody(&session, &letters, now).await?;
            intake_metrics::count(&self.context.metrics, &letters, &indexed);
            crash::point("look.stored");
            held.acknowledge(batch).await?;
            kept.seen += batch.len();
            kept.new += indexed.len();
        }
        store.acknowledged(&session).await?;
        tracing::info!(cluster = %place.cluster, queue = %place.queue, messages = kept.seen,
            "messages that had too few deliveries left to be given back were moved into the store");
        Ok(kept)
    }

    /// The cluster's configuration, and what a look costs, if both it and the last sample permit one.
    pub(super) fn permitted(
        &self,
        place: &QueuePlace,
    ) -> Result<(RabbitMqConfig, Option<LookCost>), LookError> {
        let QueuePlace {
            cluster,
            vhost,
            queue,
        } = place;
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
        if status.sample.queue_type == QueueType::Stream {
            return Ok((config.clone(), None));
        }
        let version = BrokerVersion::new(detail.version.as_str());
        let rule = observe_rule(&status.sample, &version).map_err(refused)?;
        Ok((config.clone(), rule.cost))
    }

    /// A message of a RabbitMQ queue as a dead letter.
    pub(super) fn letter(
        &self,
        place: &QueuePlace,
        message: Message,
        custody: Custody,
        now: Timestamp,
    ) -> NewDeadLetter {
        let found = Found {
            cluster: place.cluster.clone(),
            position: Position::RabbitMq {
                vhost: place.vhost.clone(),
                queue: place.queue.clone(),
                fingerprint: fingerprint(&place.vhost, &place.queue, &message),
            },
            message,
            arrived_at: None,
            custody,
            redelivered: false,
        };
        dead_letter(found, &self.context.config, now)
    }
}
