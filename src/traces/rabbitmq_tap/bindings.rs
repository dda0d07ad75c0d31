//! The bindings of a tap's queue are compared with those that they copy, again and again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::backlog::QueueLimits;
use super::binding_plan::{BindingKey, ExchangeRules, Plan, Situation, copies, plan};
use super::{RabbitMqTap, TapError};
use crate::brokers::rabbitmq::ManagementClient;
use crate::brokers::rabbitmq::amqp::TAP_MAX_BYTES;
use crate::domain::{ExchangeName, QueueName, QueueRole};
use crate::traces::tap_board::TapState;

/// Between two comparisons of the bindings, with a broker that answers at once; a slow one has nine times the rest.
pub(super) const SYNC_INTERVAL: Duration = Duration::from_secs(5);
const REST_AFTER_SYNC: u32 = 9;

/// What was made is looked at again so soon: a copy whose arguments came out otherwise must not stay.
const VERIFIED_AFTER: Duration = Duration::from_millis(500);

/// How often the effective limits of the queue are asked for: a policy may lower them.
const LIMITS_INTERVAL: Duration = Duration::from_mins(1);

/// What the broker refused is tried again after this time.
const REFUSED_FOR: Duration = Duration::from_mins(5);

/// What is remembered of the bindings from one comparison to the next.
pub(super) struct Bindings {
    /// Copies that were made last.
    made: Vec<BindingKey>,
    failed: HashMap<BindingKey, usize>,
    refused: BTreeMap<ExchangeName, String>,
    refused_at: Instant,
}

impl RabbitMqTap {
    /// Keeps the bindings of the queue as those that they copy. What fails costs the events nothing, and is
    /// tried again.
    pub(super) async fn keep_bound<T>(
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
    pub(super) async fn plan(
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
    pub(super) async fn read_limits(&self, management: &ManagementClient) {
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
}

impl Bindings {
    pub(super) fn new() -> Self {
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
