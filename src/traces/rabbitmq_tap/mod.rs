//! One virtual host of RabbitMQ is followed through a queue with copies of what its exchanges route.
//!
//! The tap changes nothing for others. What it binds copies bindings that exist ([`binding_plan`]), so that what
//! nobody takes is still returned or goes to the alternate exchange; when a model goes, its copy goes within
//! seconds, and all of them go with the queue when Redrive does not come back. A queue that is full drops its
//! oldest messages, and the gap is kept ([`backlog`]).

mod backlog;
mod binding_plan;
mod bindings;
mod routed_event;
mod taken;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backlog::{Backlog, QueueLimits, Reading};
use binding_plan::ExchangeRules;
use bindings::{Bindings, SYNC_INTERVAL};
use routed_event::traced;
use taken::{Prefetch, TakenSince};

use super::keeper::Keeper;
use super::tap_board::TapState;
use super::tasks::TapContext;
use crate::brokers::rabbitmq::amqp::{
    AmqpError, ManagedConsumer, TAP_EXPIRES, TAP_MAX_BYTES, TakenMessage, TapQueue, TapQueueError,
};
use crate::brokers::rabbitmq::{ManagementClient, RabbitMqError};
use crate::config::RabbitMqConfig;
use crate::domain::{
    EventPlace, GapReason, QueueName, TapPlace, Timestamp, TraceGap, TracedEvent, VhostName,
};
use crate::store::StoreError;

/// Messages that are stored at once.
const BATCH: usize = 200;
const BATCH_WAIT: Duration = Duration::from_millis(500);

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

/// Why a consumer ended that did not fail.
enum Ending {
    Stopped,
    OtherPrefetch,
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
        let mut prefetch = Prefetch::default();
        loop {
            let opened = self.queue.consume(&self.rabbitmq, prefetch.count());
            let (mut consumer, waiting) = opened.await?;
            self.read_limits(&management).await;
            let backlog = self.backlog(backlog, waiting).await?;
            self.note(TapState::Following);
            let ending = tokio::select! {
                ending = self.consume(&mut consumer, backlog, &mut prefetch) => ending,
                never = self.keep_bound(rules, &management, &mut bindings) => never,
            };
            consumer.close().await;
            if let Ending::Stopped = ending? {
                return Ok(());
            }
        }
    }

    /// What is known of the queue, with what was in it when it was declared.
    async fn backlog<'a>(
        &self,
        known: &'a mut Option<Backlog>,
        waiting: u64,
    ) -> Result<&'a mut Backlog, TapError> {
        let backlog = match known {
            Some(backlog) => backlog,
            None => known.insert(self.noted_backlog().await?),
        };
        let reading = Reading {
            at: Timestamp::now(),
            ready: waiting,
            taken: 0,
            mean_bytes: 0,
        };
        self.observe(backlog, reading).await?;
        Ok(backlog)
    }

    /// What the last run knew.
    async fn noted_backlog(&self) -> Result<Backlog, TapError> {
        let (cluster, store) = (&self.rabbitmq.name, &self.context.store);
        let noted = store.tap_whole_until(cluster, &self.place).await?;
        let now = Timestamp::now();
        // An older queue would not be there any more.
        let oldest = now.minus(TAP_EXPIRES);
        let whole_until = noted.unwrap_or(oldest).clamp(oldest, now);
        Ok(Backlog::new(whole_until))
    }

    /// Stores and acknowledges until it is stopped, or until another prefetch fits better.
    async fn consume(
        &self,
        consumer: &mut ManagedConsumer,
        backlog: &mut Backlog,
        prefetch: &mut Prefetch,
    ) -> Result<Ending, TapError> {
        let mut taken = TakenSince::default();
        let mut noted_at = Instant::now();
        loop {
            let batch = tokio::select! {
                () = self.context.stop.cancelled() => {
                    self.note_whole(backlog).await?;
                    return Ok(Ending::Stopped);
                }
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
                let reading = std::mem::take(&mut taken).reading(ready, prefetch.count());
                self.observe(backlog, reading).await?;
            }
            if noted_at.elapsed() >= NOTE_INTERVAL {
                noted_at = Instant::now();
                self.note_whole(backlog).await?;
            }
            if prefetch.adapt(&batch, Instant::now()) {
                return Ok(Ending::OtherPrefetch);
            }
        }
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
            let event = traced(cluster, place, &taken.message, &self.context.config, now)?;
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

fn fingerprint(event: &TracedEvent) -> Option<&str> {
    match &event.place {
        EventPlace::Routed(place) => Some(&place.fingerprint),
        EventPlace::Record(_) => None,
    }
}
