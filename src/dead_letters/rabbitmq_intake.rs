use std::time::{Duration, Instant};

use super::intake_status::{IntakeState, queue_source};
use super::letters::{Found, dead_letter};
use super::{IntakeContext, intake_metrics};
use crate::brokers::rabbitmq::amqp::{
    ANOTHER_CONSUMER, AmqpError, ManagedConsumer, TakenMessage, custody_prefetch, fingerprint,
    managed_refusal, settings_refusal,
};
use crate::brokers::rabbitmq::{BrokerVersion, ManagementClient, RabbitMqError};
use crate::config::{QueueConfig, RabbitMqConfig};
use crate::crash;
use crate::domain::{Custody, NewDeadLetter, Position, QueueStatus, System, Timestamp};
use crate::store::{CustodySession, StoreError};

/// Messages of one transaction, and of one acknowledgement.
const BATCH_MESSAGES: usize = 200;
const BATCH_WAIT: Duration = Duration::from_millis(500);
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Where listing the queues takes the broker long, a sample counts a consumer for minutes that has gone: RabbitMQ is
/// asked for that one queue so often.
const CONSUMERS_ASKED_EVERY: Duration = Duration::from_secs(10);
/// How often the queue is asked whether somebody else has come.
const LOOK_AROUND: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
enum IntakeError {
    #[error(transparent)]
    RabbitMq(#[from] RabbitMqError),
    #[error(transparent)]
    Amqp(#[from] AmqpError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Empties one queue into the store until it is stopped.
pub(super) async fn run(context: IntakeContext, config: RabbitMqConfig, queue: QueueConfig) {
    let intake = RabbitMqIntake {
        source: queue_source(&queue.vhost, &queue.name),
        context,
        config,
        queue,
    };
    let mut asked: Option<Instant> = None;
    loop {
        let may_start = intake.may_start();
        let is_shared = matches!(
            &may_start,
            Err(IntakeState::Refused(reason)) if reason == ANOTHER_CONSUMER
        );
        let was_asked = asked.is_some_and(|asked| asked.elapsed() < CONSUMERS_ASKED_EVERY);
        match may_start {
            Err(state) if !is_shared || was_asked => intake.note(state),
            _ => {
                asked = Some(Instant::now());
                intake.read_and_report().await;
            }
        }
        tokio::select! {
            () = intake.context.stop.cancelled() => break,
            () = tokio::time::sleep(RETRY_AFTER) => {}
        }
    }
    let context = &intake.context;
    context.board.remove(&intake.config.name, &intake.source);
}

struct RabbitMqIntake {
    context: IntakeContext,
    config: RabbitMqConfig,
    queue: QueueConfig,
    source: String,
}

impl RabbitMqIntake {
    fn note(&self, state: IntakeState) {
        self.context
            .board
            .set(&self.config.name, &self.source, state);
    }

    /// Whether the queue is there and may be taken over by what the last sample says.
    fn may_start(&self) -> Result<(), IntakeState> {
        if self.config.read_only {
            let reason = "rabbitmq.read_only is set: nothing is taken from this cluster";
            return Err(IntakeState::Refused(reason.to_owned()));
        }
        let snapshot = self.context.snapshots.borrow().clone();
        let cluster = snapshot
            .cluster(&self.config.name)
            .filter(|cluster| cluster.health.up);
        let waiting = |what: &str| IntakeState::Waiting(what.to_owned());
        let cluster = cluster.ok_or_else(|| waiting("for RabbitMQ"))?;
        let detail = cluster
            .rabbitmq()
            .ok_or_else(|| waiting("for the first sample"))?;
        let found = detail.queues.iter().find(|status| self.is_it(status));
        let found = found.ok_or_else(|| waiting("for the queue, which does not exist"))?;
        let version = BrokerVersion::new(detail.version.as_str());
        match managed_refusal(&found.sample, &version, 0) {
            Some(reason) => Err(IntakeState::Refused(reason)),
            None => Ok(()),
        }
    }

    fn is_it(&self, status: &QueueStatus) -> bool {
        status.sample.vhost == self.queue.vhost && status.sample.queue == self.queue.name
    }

    async fn read_and_report(&self) {
        if let Err(error) = self.read_until_stopped().await {
            let error = crate::error_chain(&error);
            tracing::warn!(cluster = %self.config.name, queue = %self.queue.name, error,
                "taking dead letters from the queue failed; trying again");
            self.note(IntakeState::Failing(error));
        }
    }

    /// Asks RabbitMQ once more, right before the queue is touched: the sample may be old. Answers how many
    /// messages may be held at once, or why none.
    async fn prefetch_now(&self) -> Result<Result<u16, String>, IntakeError> {
        let timeout = *self.context.config.sampling.request_timeout;
        let management = ManagementClient::new(&self.config.management_url, timeout)?;
        let version = management.overview().await?.version;
        let details = management
            .queue(&self.queue.vhost, &self.queue.name)
            .await?;
        let Some(details) = details else {
            return Ok(Err("it does not exist any more".to_owned()));
        };
        let refusal = managed_refusal(&details.sample, &version, 0);
        Ok(refusal.map_or_else(|| Ok(custody_prefetch(&details.sample)), Err))
    }

    /// Consumes the queue, or notes why it must not.
    async fn open(&self) -> Result<Option<ManagedConsumer>, IntakeError> {
        let prefetch = match self.prefetch_now().await? {
            Ok(prefetch) => prefetch,
            Err(reason) => {
                self.note(IntakeState::Refused(reason));
                return Ok(None);
            }
        };
        let (vhost, name) = (&self.queue.vhost, &self.queue.name);
        match ManagedConsumer::open(&self.config, vhost, name, prefetch).await {
            Err(AmqpError::AnotherConsumer) => {
                self.note(IntakeState::Refused(ANOTHER_CONSUMER.to_owned()));
                Ok(None)
            }
            opened => Ok(Some(opened?)),
        }
    }

    async fn read_until_stopped(&self) -> Result<(), IntakeError> {
        let Some(mut consumer) = self.open().await? else {
            return Ok(());
        };
        let mut lease = Lease::begin(self).await?;
        self.note(IntakeState::Reading);
        let mut is_noted = false;
        let mut looked_around = Instant::now();
        loop {
            let batch = tokio::select! {
                () = self.context.stop.cancelled() => break,
                batch = consumer.next_batch(BATCH_MESSAGES, BATCH_WAIT) => batch?,
            };
            let may_be_all = batch.len() < BATCH_MESSAGES && !consumer.has_more_ahead();
            match batch.last().map(|taken| taken.delivery_tag) {
                Some(last) => {
                    lease.move_to_store(&mut consumer, batch, last).await?;
                }
                None => lease.note_idle(&consumer).await?,
            }
            if looked_around.elapsed() >= LOOK_AROUND {
                looked_around = Instant::now();
                if consumer.has_company().await? {
                    self.note(IntakeState::Refused(ANOTHER_CONSUMER.to_owned()));
                    break;
                }
                if let Some(reason) = self.settings_refusal() {
                    lease.take_what_is_held(&mut consumer).await?;
                    self.note(IntakeState::Refused(reason));
                    break;
                }
            }
            if !is_noted && may_be_all && consumer.ready().await? == 0 {
                // What was found at the start is no news to any alert.
                let dlq = (self.queue.vhost.as_str(), self.queue.name.as_str());
                self.context
                    .backlog_read(&self.config.name, System::RabbitMq, dlq)
                    .await?;
                is_noted = true;
            }
        }
        consumer.close().await;
        lease.end().await
    }

    /// Why the queue must not be managed any more by what the last sample says of its settings.
    fn settings_refusal(&self) -> Option<String> {
        let snapshot = self.context.snapshots.borrow().clone();
        let detail = snapshot.cluster(&self.config.name)?.rabbitmq()?;
        let found = detail.queues.iter().find(|status| self.is_it(status))?;
        let version = BrokerVersion::new(detail.version.as_str());
        settings_refusal(&found.sample, &version)
    }

    fn letter(&self, taken: TakenMessage, now: Timestamp) -> NewDeadLetter {
        let (vhost, queue) = (&self.queue.vhost, &self.queue.name);
        let found = Found {
            cluster: self.config.name.clone(),
            position: Position::RabbitMq {
                vhost: vhost.clone(),
                queue: queue.clone(),
                fingerprint: fingerprint(vhost, queue, &taken.message),
            },
            message: taken.message,
            arrived_at: None,
            custody: Custody::Store,
            redelivered: taken.redelivered,
        };
        dead_letter(found, &self.context.config, now)
    }
}

/// What one connection has taken, and what is known of its acknowledgements.
struct Lease<'a> {
    intake: &'a RabbitMqIntake,
    session: CustodySession,
    /// The store waits for the acknowledgement of some rows of this session.
    is_open: bool,
    /// Nothing that an earlier session took can come back any more.
    earlier_are_settled: bool,
}

impl<'a> Lease<'a> {
    async fn begin(intake: &'a RabbitMqIntake) -> Result<Self, IntakeError> {
        Ok(Self {
            intake,
            session: intake.context.store.begin_custody().await?,
            is_open: false,
            earlier_are_settled: false,
        })
    }

    #[tracing::instrument(name = "intake_batch", parent = None, skip_all, fields(
        cluster = self.intake.config.name.as_str(),
        queue = self.intake.queue.name.as_str(),
        messages = batch.len(),
    ))]
    async fn take(&mut self, batch: Vec<TakenMessage>) -> Result<(), IntakeError> {
        let now = Timestamp::now();
        let context = &self.intake.context;
        let letter = |taken| self.intake.letter(taken, now);
        let letters: Vec<NewDeadLetter> = batch.into_iter().map(letter).collect();
        let started = Instant::now();
        self.is_open = true;
        let indexed = context
            .store
            .take_custody(&self.session, &letters, now)
            .await?;
        context
            .metrics
            .store_batch_written(letters.len(), started.elapsed());
        intake_metrics::count(&context.metrics, &letters, &indexed);
        let (cluster, source) = (&self.intake.config.name, &self.intake.source);
        context.board.add_indexed(cluster, source, indexed.len());
        Ok(())
    }

    /// Moves a batch from the queue into the store.
    async fn move_to_store(
        &mut self,
        consumer: &mut ManagedConsumer,
        batch: Vec<TakenMessage>,
        last: u64,
    ) -> Result<(), IntakeError> {
        crash::point("custody.delivered");
        self.take(batch).await?;
        crash::point("custody.stored");
        // The rows are on disk; only now may the queue forget the messages.
        consumer.acknowledge_through(last).await?;
        crash::point("custody.acknowledged");
        Ok(())
    }

    /// Moves what has been delivered and asks for no more: by what the queue has become, giving it back
    /// could destroy it.
    async fn take_what_is_held(
        &mut self,
        consumer: &mut ManagedConsumer,
    ) -> Result<(), IntakeError> {
        consumer.cancel().await?;
        loop {
            let batch = consumer.next_batch(BATCH_MESSAGES, BATCH_WAIT).await?;
            let Some(last) = batch.last().map(|taken| taken.delivery_tag) else {
                return Ok(());
            };
            self.move_to_store(consumer, batch, last).await?;
        }
    }

    /// Nothing is held, so all that was taken has been acknowledged.
    async fn note_idle(&mut self, consumer: &ManagedConsumer) -> Result<(), IntakeError> {
        self.close_acknowledgements().await?;
        if !self.earlier_are_settled && consumer.is_alone_at_the_end().await? {
            let (config, queue) = (&self.intake.config, &self.intake.queue);
            let place = (&queue.vhost, &queue.name);
            let store = &self.intake.context.store;
            store
                .queue_was_read_to_its_end(&self.session, &config.name, place)
                .await?;
            self.earlier_are_settled = true;
        }
        Ok(())
    }

    async fn close_acknowledgements(&mut self) -> Result<(), IntakeError> {
        if self.is_open {
            self.intake
                .context
                .store
                .acknowledged(&self.session)
                .await?;
            self.is_open = false;
        }
        Ok(())
    }

    /// After the last batch was acknowledged.
    async fn end(mut self) -> Result<(), IntakeError> {
        self.close_acknowledgements().await
    }
}
