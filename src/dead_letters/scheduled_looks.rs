//! Looks at observed queues as often as the configuration says, where that costs nothing.

use std::time::Duration;

use futures_util::future::join_all;

use super::IntakeContext;
use super::intake_status::{IntakeState, queue_source};
use super::observe::{LookError, LookResult, Observer};
use crate::config::{QueueCustody, RabbitMqConfig};
use crate::domain::QueuePlace;

/// After a look that was not possible. To be told so by the last sample costs no request.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Looks at every queue of the cluster that has an interval.
pub(super) async fn run(context: IntakeContext, config: RabbitMqConfig) {
    let looks = config.queues.iter().filter_map(|queue| {
        let every = *queue.observe_every?;
        let place = QueuePlace {
            cluster: config.name.clone(),
            vhost: queue.vhost.clone(),
            queue: queue.name.clone(),
        };
        Some(look_every(&context, &config, place, every))
    });
    join_all(looks).await;
}

impl Observer {
    /// How often a queue is looked at without being asked, if it is.
    pub fn observed_every(&self, place: &QueuePlace) -> Option<Duration> {
        let mut clusters = self.context.config.rabbitmq.iter();
        let config = clusters.find(|config| config.name == place.cluster)?;
        let every = config.queue(&place.vhost, &place.queue)?.observe_every?;
        Some(*every)
    }
}

async fn look_every(
    context: &IntakeContext,
    config: &RabbitMqConfig,
    place: QueuePlace,
    every: Duration,
) {
    let observer = Observer::new(context.clone());
    let source = queue_source(&place.vhost, &place.queue);
    let mut is_failing = false;
    loop {
        // What a page has given into custody has an intake of its own.
        let custody = context.managed.custody(config, &place.vhost, &place.queue);
        let looked = match custody {
            Some(QueueCustody::Managed) => None,
            Some(QueueCustody::Observe) | None => Some(look(&observer, &place).await),
        };
        let pause = match looked {
            None => RETRY_AFTER.min(every),
            Some(Ok(new)) => {
                is_failing = false;
                context
                    .board
                    .set(&place.cluster, &source, IntakeState::Reading);
                context.board.add_indexed(&place.cluster, &source, new);
                every
            }
            Some(Err(error)) => {
                let state = state_after(error);
                if let IntakeState::Failing(error) = &state
                    && !std::mem::replace(&mut is_failing, true)
                {
                    tracing::warn!(cluster = %place.cluster, queue = %place.queue, error,
                        "the look at a queue that is due failed; trying again");
                }
                context.board.set(&place.cluster, &source, state);
                RETRY_AFTER.min(every)
            }
        };
        tokio::select! {
            () = context.stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Looks once, and of a stream until nothing is new; answers how many dead letters are.
async fn look(observer: &Observer, place: &QueuePlace) -> Result<usize, LookError> {
    let mut new = 0;
    loop {
        let looked = observer.look(place, None).await?;
        new += looked.new;
        if !has_more(&looked) || observer.context.stop.is_cancelled() {
            return Ok(new);
        }
    }
}

/// Whether a stream may have more: it is read on from where the last read ended.
const fn has_more(looked: &LookResult) -> bool {
    looked.ready.is_none() && looked.seen > 0
}

fn state_after(error: LookError) -> IntakeState {
    match error {
        LookError::Refused { reason, .. } => IntakeState::Refused(reason),
        LookError::NoSuchQueue(_) => {
            IntakeState::Waiting("for the queue, which does not exist".to_owned())
        }
        error => IntakeState::Failing(crate::error_chain(&error)),
    }
}
