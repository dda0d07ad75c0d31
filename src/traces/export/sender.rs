use std::sync::Arc;

use uuid::Uuid;

use super::backoff;
use super::batch::Batch;
use super::board::ExportBoard;
use super::client::{Client, Failure, Taken};
use crate::config::Config;
use crate::domain::Timestamp;
use crate::metrics::{ExportOutcome, Metrics};

/// How the last attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Working,
    Partly,
    Refusing,
    Failing,
}

/// Sends batches to the backend, waits longer after each failure, and tells how it goes.
pub(super) struct Sender {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    board: ExportBoard,
    client: Option<Client>,
    health: Health,
    /// In a row.
    failures: u32,
    next_attempt: Timestamp,
}

impl Sender {
    pub(super) fn new(config: &Arc<Config>, metrics: &Arc<Metrics>, board: &ExportBoard) -> Self {
        Self {
            config: Arc::clone(config),
            metrics: Arc::clone(metrics),
            board: board.clone(),
            client: None,
            health: Health::Working,
            failures: 0,
            next_attempt: Timestamp(0),
        }
    }

    /// Whether the wait after the last failure is over.
    pub(super) fn may_try(&self, now: Timestamp) -> bool {
        now >= self.next_attempt
    }

    /// Sends a batch; whether it needs no further attempt.
    pub(super) async fn send(&mut self, batch: &Batch, now: Timestamp) -> bool {
        let result = self.exchange(batch).await;
        let answered_at = Timestamp::now();
        match result {
            Ok(taken) => self.note_taken(&taken, batch.spans(), answered_at),
            Err(Failure::Refused { problem }) => {
                self.count(ExportOutcome::Refused, batch.spans());
                self.note_problem(Health::Refusing, problem, answered_at);
            }
            Err(Failure::Later { problem, wait }) => {
                // The next one reads the authorities again.
                self.client = None;
                self.failures = self.failures.saturating_add(1);
                let (_, random) = Uuid::new_v4().as_u64_pair();
                let wait = backoff::wait(self.failures, wait, random);
                self.next_attempt = now.plus(wait);
                self.note_problem(Health::Failing, problem, answered_at);
                return false;
            }
        }
        self.failures = 0;
        true
    }

    async fn exchange(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        let client = match &mut self.client {
            Some(client) => client,
            None => self
                .client
                .insert(Client::new(&self.config.traces.export).await?),
        };
        client.send(batch.request.clone()).await
    }

    fn note_taken(&mut self, taken: &Taken, spans: u64, at: Timestamp) {
        let rejected = taken.rejected.min(spans);
        self.count(ExportOutcome::Sent, spans - rejected);
        self.count(ExportOutcome::Refused, rejected);
        self.metrics.trace_export_succeeded(at);
        self.board.change(|status| {
            status.last_success = Some(at);
            status.is_failing = false;
        });
        if rejected == 0 && taken.message.is_empty() {
            return self.become_healthy();
        }
        let problem = match (rejected, taken.message.as_str()) {
            (0, message) => format!("it took all, and says: {message}"),
            (rejected, "") => format!("it left out {rejected} of {spans} spans"),
            (rejected, message) => format!("it left out {rejected} of {spans} spans: {message}"),
        };
        self.note_problem(Health::Partly, problem, at);
    }

    fn become_healthy(&mut self) {
        if self.health != Health::Working {
            tracing::info!("the backend of traces.export takes spans again");
            self.health = Health::Working;
        }
    }

    /// Logs what is new about it only.
    fn note_problem(&mut self, health: Health, problem: String, at: Timestamp) {
        if self.health != health {
            self.health = health;
            match health {
                Health::Refusing => tracing::error!(
                    problem,
                    "the backend of traces.export refuses spans, which are dropped"
                ),
                Health::Partly => {
                    tracing::warn!(problem, "the backend of traces.export has an objection");
                }
                Health::Failing | Health::Working => tracing::warn!(
                    problem,
                    "the backend of traces.export takes no spans; trying again"
                ),
            }
        }
        self.board.change(|status| {
            status.is_failing = matches!(health, Health::Failing | Health::Refusing);
            status.last_problem = Some((problem, at));
        });
    }

    /// Counts spans.
    pub(super) fn count(&self, outcome: ExportOutcome, spans: u64) {
        self.metrics.trace_spans(outcome, spans);
        self.board.change(|status| {
            *match outcome {
                ExportOutcome::Sent => &mut status.sent,
                ExportOutcome::Refused => &mut status.refused,
                ExportOutcome::GivenUp => &mut status.given_up,
            } += spans;
        });
    }

    pub(super) fn show_waiting(&self, traces: u64) {
        self.metrics.traces_waiting(traces);
        self.board.change(|status| status.waiting = traces);
    }
}
