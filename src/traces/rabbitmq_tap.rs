use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::binding_plan::{BindingKey, ExchangeRules, Plan, Situation, copies, plan};
use super::keeper::Keeper;
use super::routed_event::traced;
use super::tap_backlog::{Backlog, QueueLimits, Reading};
use super::tap_board::TapState;
use super::tasks::TapContext;
use crate::brokers::rabbitmq::amqp::{
    AmqpError, ManagedConsumer, TAP_EXPIRES, TAP_MAX_BYTES, TAP_PREFETCH, TakenMessage, TapQueue,
    TapQueueError,
};
use crate::brokers::rabbitmq::{ManagementClient, RabbitMqError};
use crate::config::RabbitMqConfig;
use crate::domain::{
    EventPlace, ExchangeName, GapReason, QueueName, QueueRole, TapPlace, Timestamp, TraceGap,
    TracedEvent, VhostName,
};
use crate::store::StoreError;

/// Messages that are stored at once.
const BATCH: usize = 200;
const BATCH_WAIT: Duration = Duration::from_millis(500);

/// Between two comparisons of the bindings, with a broker that answers at once; a slow one has nine times the rest.
const SYNC_INTERVAL: Duration = Duration::from_secs(5);
const REST_AFTER_SYNC: u32 = 9;

/// What was made is looked at again so soon: a copy whose arguments came out otherwise must not stay.
const VERIFIED_AFTER: Duration = Duration::from_millis(500);

/// How often the effective limits of the queue are asked for: a policy may lower them.
const LIMITS_INTERVAL: Duration = Duration::from_mins(1);

/// What the broker refused is tried again after this time.
const REFUSED_FOR: Duration = Duration::from_mins(5);

/// How often the queue is counted while messages come.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is noted that nothing is missing.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

/// While there is no sample yet.
const SAMPLE_PAUSE: Duration = Duration::from_millis(500);

/// After an error.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum TapError {
    #[error(transparent)]
    Queue(#[from] TapQueueError),
    #[error(transparent)]
    Amqp(#[from] AmqpError),
    #[error(transparent)]
    Management(#[from] RabbitMqError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Follows the exchanges of one virtual host through a queue with copies.
pub(super) struct RabbitMqTap {
    context: TapContext,
    keeper: Arc<Keeper>,
    rabbitmq: RabbitMqConfig,
    queue: TapQueue,
    place: TapPlace,
    limits: Mutex<QueueLimits>,
}

/// What is remembered of the bindings from one comparison to the next.
struct Bindings {
    /// Copies that were made last.
    made: Vec<BindingKey>,
    failed: HashMap<BindingKey, usize>,
    refused: BTreeMap<ExchangeName, String>,
    refused_at: Instant,
}

impl RabbitMqTap {
    pub(super) fn new(
        context: &TapContext,
        keeper: &Arc<Keeper>,
        rabbitmq: &RabbitMqConfig,
        vhost: VhostName,
    ) -> Self {
        let traces = &context.config.traces;
        let limits = QueueLimits {
            messages: traces.rabbitmq_queue_max_length,
            bytes: TAP_MAX_BYTES,
        };
        Self {
            context: context.clone(),
            keeper: Arc::clone(keeper),
            rabbitmq: rabbitmq.clone(),
            place: TapPlace::Vhost(vhost.clone()),
            queue: TapQueue {
                vhost,
                queue: QueueName::new(traces.rabbitmq_queue.as_str()),
                max_length: limits.messages,
            },
            limits: Mutex::new(limits),
        }
    }

    pub(super) async fn run(self) {
        if self.rabbitmq.read_only {
            let reason = "rabbitmq.read_only is set: no queue is declared on this cluster";
            self.note(TapState::Refused(reason.to_owned()));
            return;
        }
        // Validated when the configuration was read.
        let Ok(rules) = ExchangeRules::of(&self.context.config.traces) else {
            return;
        };
        let mut backlog = None;
        loop {
            let followed = self.follow(&rules, &mut backlog).await;
            let Err(error) = followed else { return };
            let error = crate::error_chain(&error);
            tracing::warn!(cluster = %self.rabbitmq.name, vhost = %self.queue.vhost, error,
                "the tap of the traces failed; trying again");
            self.note(TapState::Failing(error));
            if self.is_stopped_within(PAUSE).await {
                return;
            }
        }
    }

    /// Until it is stopped or something fails.
    async fn follow(
        &self,
        rules: &ExchangeRules,
        backlog: &mut Option<Backlog>,
    ) -> Result<(), TapError> {
        let timeout = *self.context.config.sampling.request_timeout;
        let management = ManagementClient::new(&self.rabbitmq.management_url, timeout)?;
        let mut bindings = Bindings::new();
        // Nothing is declared before there is something to follow, or to tidy up.
        loop {
            let (what, pause) = match self.plan(rules, &management, &mut bindings).await? {
                None => ("for the first sample", SAMPLE_PAUSE),
                Some(plan) if plan.is_idle() => (
                    "for an exchange that matches traces.rabbitmq_exchanges",
                    SYNC_INTERVAL,
                ),
                Some(_) => break,
            };
            self.note(TapState::Waiting(what.to_owned()));
            if self.is_stopped_within(pause).await {
                return Ok(());
            }
        }
        let (mut consumer, waiting) = self.queue.consume(&self.rabbitmq).await?;
        self.read_limits(&management).await;
        let backlog = self.backlog(backlog, waiting).await?;
        self.note(TapState::Following);
        let consumed = tokio::select! {
            consumed = self.consume(&mut consumer, backlog) => consumed,
            never = self.keep_bound(rules, &management, &mut bindings) => never,
        };
        consumer.close().await;
        consumed
    }

    /// What is known of the queue, with what was in it when it was declared.
    async fn backlog<'a>(
        &self,
        known: &'a mut Option<Backlog>,
        waiting: u64,
    ) -> Result<&'a mut Backlog, TapError> {
        let now = Timestamp::now();
        let cluster = &self.rabbitmq.name;
        let backlog = match known {
            Some(backlog) => backlog,
            None => {
                let store = &self.context.store;
                let noted = store.tap_whole_until(cluster, &self.place).await?;
                // An older queue would not be there any more.
                let oldest = now.minus(TAP_EXPIRES);
                let whole_until = noted.unwrap_or(oldest).clamp(oldest, now);
                known.insert(Backlog::new(whole_until))
            }
        };
        let reading = Reading {
            at: now,
            ready: waiting,
            taken: 0,
            mean_bytes: 0,
        };
        self.observe(backlog, reading).await?;
        Ok(backlog)
    }

    /// Stores and acknowledges until it is stopped.
    async fn consume(
        &self,
        consumer: &mut ManagedConsumer,
        backlog: &mut Backlog,
    ) -> Result<(), TapError> {
        let mut taken = TakenSince::default();
        let mut noted_at = Instant::now();
        loop {
            let batch = tokio::select! {
                () = self.context.stop.cancelled() => break,
                batch = consumer.next_batch(BATCH, BATCH_WAIT) => batch?,
            };
            let last = batch.last().map(|message| message.delivery_tag);
            if let Some(last) = last {
                taken.add(&batch);
                self.keep(&batch).await?;
                consumer.acknowledge_through(last).await?;
            }
            let ready = match last {
                None => Some(0),
                Some(_) if taken.is_to_be_counted(self.limits()) => Some(consumer.ready().await?),
                Some(_) => None,
            };
            if let Some(ready) = ready {
                let reading = std::mem::take(&mut taken).reading(ready);
                self.observe(backlog, reading).await?;
            }
            if noted_at.elapsed() >= NOTE_INTERVAL {
                noted_at = Instant::now();
                self.note_whole(backlog).await?;
            }
        }
        self.note_whole(backlog).await
    }

    /// Stores a batch, before it is acknowledged.
    ///
    /// What was stored and not acknowledged comes again, with the flag `redelivered`: a message without it is
    /// new, also if it equals another. One with it is known if its fingerprint is. Should it only equal one that
    /// is known, the trace has one less of two messages that nobody can tell apart.
    async fn keep(&self, batch: &[TakenMessage]) -> Result<(), TapError> {
        let (cluster, store) = (&self.rabbitmq.name, &self.context.store);
        let now = Timestamp::now();
        let place = (&self.queue.vhost, &self.queue.queue);
        let read = |taken: &TakenMessage| {
            let event = traced(cluster, place, &taken.message, now)?;
            Some((event, taken.redelivered))
        };
        let mut events: Vec<(TracedEvent, bool)> = batch.iter().filter_map(read).collect();
        let without_correlation = batch.len() - events.len();
        let again = events.iter().filter(|(_, redelivered)| *redelivered);
        let again: Vec<&str> = again.filter_map(|(event, _)| fingerprint(event)).collect();
        let known = store.traced_fingerprints(cluster, &again).await?;
        events.retain(|(event, redelivered)| {
            let is_known = fingerprint(event).is_some_and(|print| known.contains(print));
            !(*redelivered && is_known)
        });
        let events: Vec<TracedEvent> = events.into_iter().map(|(event, _)| event).collect();
        let metrics = &self.context.metrics;
        self.keeper.keep(&events, metrics).await?;
        metrics.traced(cluster, events.len(), without_correlation);
        Ok(())
    }

    async fn observe(&self, backlog: &mut Backlog, reading: Reading) -> Result<(), TapError> {
        let Some((from, to)) = backlog.observe(reading, self.limits()) else {
            return Ok(());
        };
        let gap = TraceGap {
            cluster: self.rabbitmq.name.clone(),
            place: self.place.clone(),
            from,
            to,
            reason: GapReason::FellBehind,
        };
        Ok(self.context.store.put_trace_gap(&gap).await?)
    }

    async fn note_whole(&self, backlog: &Backlog) -> Result<(), TapError> {
        let (cluster, store) = (&self.rabbitmq.name, &self.context.store);
        let noted = store.note_tap_whole_until(cluster, &self.place, backlog.whole_until());
        Ok(noted.await?)
    }

    /// Keeps the bindings of the queue as those that they copy. What fails costs the events nothing, and is
    /// tried again.
    async fn keep_bound<T>(
        &self,
        rules: &ExchangeRules,
        management: &ManagementClient,
        bindings: &mut Bindings,
    ) -> T {
        let mut limits_read = Instant::now();
        loop {
            let started = Instant::now();
            match self.bind(rules, management, bindings).await {
                Ok(()) => self.note(TapState::Following),
                Err(error) => {
                    let error = crate::error_chain(&error);
                    tracing::warn!(cluster = %self.rabbitmq.name, vhost = %self.queue.vhost, error,
                        "cannot compare the bindings of the tap; trying again");
                    self.note(TapState::Failing(error));
                }
            }
            let rest = started.elapsed().saturating_mul(REST_AFTER_SYNC);
            let interval = if bindings.made.is_empty() {
                SYNC_INTERVAL
            } else {
                VERIFIED_AFTER
            };
            tokio::time::sleep(rest.max(interval)).await;
            if limits_read.elapsed() >= LIMITS_INTERVAL {
                limits_read = Instant::now();
                self.read_limits(management).await;
            }
        }
    }

    async fn bind(
        &self,
        rules: &ExchangeRules,
        management: &ManagementClient,
        bindings: &mut Bindings,
    ) -> Result<(), TapError> {
        let Some(plan) = self.plan(rules, management, bindings).await? else {
            return Ok(());
        };
        let (made, add): (Vec<_>, Vec<_>) = plan.add.into_iter().unzip();
        let refused = self
            .queue
            .rebind(&self.rabbitmq, &plan.remove, &add)
            .await?;
        bindings.note_made(made, refused);
        Ok(())
    }

    /// Compares the bindings with those that should be, once the DLQs are known.
    async fn plan(
        &self,
        rules: &ExchangeRules,
        management: &ManagementClient,
        bindings: &mut Bindings,
    ) -> Result<Option<Plan>, TapError> {
        let Some(dlqs) = self.dlqs() else {
            return Ok(None);
        };
        let routing = management.tap_routing(&self.queue.vhost).await?;
        let own = &self.queue.queue;
        let there = copies(&routing, own);
        bindings.note_there(|key| there.contains_key(key));
        let known = Situation {
            own,
            dlqs: &dlqs,
            failed: &bindings.failed,
            refused: &bindings.refused,
        };
        let plan = plan(rules, &routing, &known);
        self.context.board.set_exchanges(
            &self.rabbitmq.name,
            &self.place,
            plan.followed.clone(),
            plan.left_out.clone(),
        );
        Ok(Some(plan))
    }

    /// The DLQs of the virtual host by the last sample.
    fn dlqs(&self) -> Option<BTreeSet<QueueName>> {
        let snapshot = self.context.snapshots.borrow().clone();
        let detail = snapshot.cluster(&self.rabbitmq.name)?.rabbitmq()?;
        let queues = detail.queues.iter();
        let dlqs = queues.filter(|status| {
            status.sample.vhost == self.queue.vhost
                && matches!(status.role, QueueRole::Dlq | QueueRole::Parking)
        });
        Some(dlqs.map(|status| status.sample.queue.clone()).collect())
    }

    /// A policy of the virtual host may set lower limits. What was known stays if the broker does not tell.
    async fn read_limits(&self, management: &ManagementClient) {
        let (vhost, queue) = (&self.queue.vhost, &self.queue.queue);
        let Ok(Some(details)) = management.queue(vhost, queue).await else {
            return;
        };
        let sample = &details.sample;
        let limits = QueueLimits {
            messages: sample.max_length.unwrap_or(self.queue.max_length),
            bytes: sample.max_length_bytes.unwrap_or(TAP_MAX_BYTES),
        };
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    fn limits(&self) -> QueueLimits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, state: TapState) {
        let board = &self.context.board;
        board.set(&self.rabbitmq.name, &self.place, state);
    }

    async fn is_stopped_within(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.context.stop.cancelled() => true,
            () = tokio::time::sleep(time) => false,
        }
    }
}

impl Bindings {
    fn new() -> Self {
        Self {
            made: Vec::new(),
            failed: HashMap::new(),
            refused: BTreeMap::new(),
            refused_at: Instant::now(),
        }
    }

    fn note_made(&mut self, made: Vec<BindingKey>, refused: BTreeMap<ExchangeName, String>) {
        let is_made = |(exchange, _): &BindingKey| !refused.contains_key(exchange);
        self.made = made.into_iter().filter(is_made).collect();
        if !refused.is_empty() {
            self.refused_at = Instant::now();
            self.refused.extend(refused);
        }
    }

    /// What was made and is not there got another key than its model: an argument is of another type.
    fn note_there(&mut self, is_there: impl Fn(&BindingKey) -> bool) {
        for key in std::mem::take(&mut self.made) {
            if !is_there(&key) {
                *self.failed.entry(key).or_default() += 1;
            }
        }
        if self.refused_at.elapsed() >= REFUSED_FOR {
            self.refused.clear();
        }
    }
}

/// What came since the queue was counted.
struct TakenSince {
    since: Instant,
    messages: u64,
    bytes: u64,
}

impl Default for TakenSince {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            messages: 0,
            bytes: 0,
        }
    }
}

impl TakenSince {
    fn add(&mut self, batch: &[TakenMessage]) {
        let body = |taken: &TakenMessage| taken.message.body.as_ref().map_or(0, bytes::Bytes::len);
        self.messages += batch.len() as u64;
        self.bytes += batch.iter().map(body).sum::<usize>() as u64;
    }

    fn is_to_be_counted(&self, limits: QueueLimits) -> bool {
        self.since.elapsed() >= COUNT_INTERVAL || self.messages >= limits.counted_after()
    }

    fn reading(self, ready: u64) -> Reading {
        Reading {
            at: Timestamp::now(),
            ready,
            // What is on its way has left the queue as well.
            taken: match ready {
                0 => 0,
                _ => self.messages + u64::from(TAP_PREFETCH),
            },
            mean_bytes: self.bytes / self.messages.max(1),
        }
    }
}

fn fingerprint(event: &TracedEvent) -> Option<&str> {
    match &event.place {
        EventPlace::Routed(place) => Some(&place.fingerprint),
        EventPlace::Record(_) => None,
    }
}
