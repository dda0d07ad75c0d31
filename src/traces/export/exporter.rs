//! The task that exports: it reads what is new in the store, waits until a trace is quiet, and sends what was not sent.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::batch::{Batch, SPANS_AT_ONCE};
use super::board::ExportBoard;
use super::ids::{SpanId, TraceId};
use super::new_spans::{NewSpan, Story, new_spans};
use super::news::News;
use super::sample::{is_remarkable, is_sampled};
use super::sender::Sender;
use super::waiting::{Lowest, Waited, Waiting};
use crate::config::Config;
use crate::domain::{KnownHandover, Timestamp};
use crate::metrics::{ExportOutcome, Metrics};
use crate::store::{Store, StoreError};
use crate::traces::LONGEST_AHEAD;
use crate::traces::load::{known_handovers, load_by};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

/// After an error of the store.
const PAUSE: Duration = Duration::from_secs(5);

/// Between two notes of how far all is exported. What a crash lets be read again is not sent again.
const REMEMBER_INTERVAL: Duration = Duration::from_secs(5);

const PRUNE_INTERVAL: Duration = Duration::from_mins(1);

/// Traces that are taken for export at once.
const TRACES_AT_ONCE: usize = 1_000;

/// Spans that are remembered for each event that is kept: its own, a hop, and a share of all others.
const SPANS_OF_AN_EVENT: u64 = 3;

/// Exports what the store holds of traces to one backend.
pub struct Exporter {
    config: Arc<Config>,
    store: Store,
    metrics: Arc<Metrics>,
    sender: Sender,
    stop: CancellationToken,
    waiting: Waiting,
    /// Taken from those that wait, and not looked at yet.
    due: VecDeque<(String, Waited)>,
    /// As they were when these were taken.
    handovers: BTreeSet<KnownHandover>,
    outbox: VecDeque<Batch>,
    /// The first place of what was taken and is not done.
    taken: Lowest,
    remembered_at: Timestamp,
    pruned_at: Timestamp,
    /// What was sent of earlier steps may be forgotten, so that none of them is sent.
    known_since: Timestamp,
}

impl Exporter {
    /// `None` if no endpoint is configured.
    pub fn configured(
        config: &Arc<Config>,
        store: &Store,
        metrics: &Arc<Metrics>,
        board: &ExportBoard,
        stop: &CancellationToken,
    ) -> Option<Self> {
        config.traces.export.url()?;
        Some(Self {
            config: Arc::clone(config),
            store: store.clone(),
            metrics: Arc::clone(metrics),
            sender: Sender::new(config, metrics, board),
            stop: stop.clone(),
            waiting: Waiting::default(),
            due: VecDeque::new(),
            handovers: BTreeSet::new(),
            outbox: VecDeque::new(),
            taken: Lowest::default(),
            remembered_at: Timestamp(0),
            pruned_at: Timestamp(0),
            known_since: Timestamp::default(),
        })
    }

    /// Until it is stopped. A request that is on its way then has its answer noted.
    pub async fn run(mut self) {
        self.metrics.declare_trace_export();
        let quiet = *self.config.traces.export.quiet;
        let interval = (quiet / 2).clamp(SHORTEST_INTERVAL, INTERVAL);
        let mut news = None;
        while !self.stop.is_cancelled() {
            let pause = match self.step(&mut news).await {
                Ok(true) => continue,
                Ok(false) => interval,
                Err(error) => {
                    let error = crate::error_chain(&error);
                    tracing::warn!(error, "the export of traces failed; trying again");
                    PAUSE
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Some(news) = &mut news
            && let Err(error) = self.remember(news).await
        {
            let error = crate::error_chain(&error);
            tracing::warn!(error, "how far traces are exported is not noted");
        }
    }

    /// Does what there is to do now; `false` if there is nothing more.
    async fn step(&mut self, news: &mut Option<News>) -> Result<bool, StoreError> {
        let now = Timestamp::now();
        let news = match news {
            Some(news) => news,
            None => news.insert(News::resume(&self.store, now).await?),
        };
        let mut has_more = false;
        if self.waiting.has_room() {
            let lost = news.skip_what_is_gone(&self.store).await?;
            self.sender.count(ExportOutcome::GivenUp, lost);
            has_more = news.read(&self.store, &mut self.waiting, now).await?;
        }
        if self.outbox.is_empty() {
            self.fill_outbox(now).await?;
        }
        if self.sender.may_try(now) {
            has_more |= self.send(now).await?;
        }
        let waiting = self.waiting.len() + self.due.len() + self.traces_on_their_way();
        self.sender.show_waiting(waiting as u64);
        if now.since(self.remembered_at) >= REMEMBER_INTERVAL {
            self.remember(news).await?;
            self.remembered_at = now;
        }
        if now.since(self.pruned_at) >= PRUNE_INTERVAL {
            self.prune(now).await?;
            self.pruned_at = now;
        }
        Ok(has_more)
    }

    async fn fill_outbox(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.due.is_empty() {
            let export = &self.config.traces.export;
            let times = (*export.quiet, *export.longest_wait);
            let due = self.waiting.take_due(times, now, TRACES_AT_ONCE);
            let lowest = due.iter().map(|(_, waited)| waited.lowest);
            self.taken = lowest.fold(Lowest::default(), Lowest::and);
            self.due = due.into();
            if !self.due.is_empty() {
                self.handovers = known_handovers(&self.store).await?;
            }
        }
        let mut spans = Vec::new();
        let mut failed = None;
        while spans.len() < SPANS_AT_ONCE {
            let Some((correlation_id, waited)) = self.due.front() else {
                break;
            };
            match self.spans_of(correlation_id, *waited, now).await {
                Ok(more) => spans.extend(more),
                // It stays unreadable, and what waits behind it does not wait for it.
                Err(error @ StoreError::Corrupt { .. }) => {
                    let error = crate::error_chain(&error);
                    tracing::warn!(correlation_id, error, "a trace cannot be exported");
                    self.sender.count(ExportOutcome::GivenUp, waited.steps);
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            self.due.pop_front();
        }
        while !spans.is_empty() {
            let rest = spans.split_off(spans.len().min(SPANS_AT_ONCE));
            self.outbox.push_back(Batch::of(spans));
            spans = rest;
        }
        failed.map_or(Ok(()), Err)
    }

    /// What of a trace was not exported yet, if it is to be exported.
    async fn spans_of(
        &self,
        correlation_id: &str,
        waited: Waited,
        now: Timestamp,
    ) -> Result<Vec<(TraceId, NewSpan)>, StoreError> {
        let Some(trace_id) = TraceId::of(correlation_id) else {
            return Ok(Vec::new());
        };
        let trace = load_by(&self.store, correlation_id, &self.handovers).await?;
        if trace.nodes.is_empty() {
            self.sender.count(ExportOutcome::GivenUp, waited.steps);
            return Ok(Vec::new());
        }
        let exported = self.store.exported_spans(trace_id.0).await?;
        let exported: HashSet<SpanId> = exported.into_iter().map(SpanId).collect();
        let traces = &self.config.traces;
        let export = &traces.export;
        let is_kept = !exported.is_empty()
            || is_remarkable(&trace, *export.slow)
            || is_sampled(trace_id, export.sample_ratio);
        if !is_kept {
            return Ok(Vec::new());
        }
        let story = Story {
            trace_id,
            correlation_id,
            own_service: &export.service_name,
            joins: traces.join_application_traces,
            exportable: now.minus(*traces.max_age).max(self.known_since)..=now.plus(LONGEST_AHEAD),
        };
        let new = new_spans(&trace, &story, &exported);
        Ok(new.into_iter().map(|span| (trace_id, span)).collect())
    }

    /// Sends the first of what waits; whether that is done.
    async fn send(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let Some(batch) = self.outbox.front_mut() else {
            return Ok(false);
        };
        if !batch.is_answered {
            batch.is_answered = self.sender.send(batch, now).await;
        }
        if !batch.is_answered {
            return Ok(false);
        }
        self.store
            .put_exported_spans(&batch.marks(Timestamp::now()))
            .await?;
        self.outbox.pop_front();
        if self.outbox.is_empty() && self.due.is_empty() {
            self.taken = Lowest::default();
        }
        Ok(true)
    }

    fn traces_on_their_way(&self) -> usize {
        self.outbox.iter().map(Batch::traces).sum()
    }

    /// Notes up to where all is exported.
    async fn remember(&mut self, news: &mut News) -> Result<(), StoreError> {
        news.remember(&self.store, self.waiting.lowest().and(self.taken))
            .await
    }

    async fn prune(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let traces = &self.config.traces;
        let most = traces.max_events.saturating_mul(SPANS_OF_AN_EVENT);
        let oldest = now.minus(*traces.max_age);
        let forgotten = self.store.prune_exported_spans(oldest, most).await?;
        self.known_since = forgotten.unwrap_or_default().max(self.known_since);
        Ok(())
    }
}
