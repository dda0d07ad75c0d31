use std::collections::{BTreeMap, HashSet};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ExchangeDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, Connection, ErrorKind, ExchangeKind, PublisherConfirm};
use tokio::time::{Instant, timeout_at};

use super::acceptable::refusal;
use super::connect::{ask, close, connect_publisher, short};
use super::convert::{headers_of, properties_of};
use super::error::AmqpError;
use crate::config::RabbitMqConfig;
use crate::domain::conventions::REPLAY_ID;
use crate::domain::{ExchangeName, Message, ReplayId, VhostName};

/// At most so many are without a confirm at a time: a crash leaves no more of them unknown.
const MAX_UNCONFIRMED: usize = 200;

/// One replay on its way. The message carries its ID in header `x-replay-id`, by which a returned
/// message is recognised.
#[derive(Clone, Debug)]
pub struct OutgoingMessage {
    pub replay: ReplayId,
    pub exchange: ExchangeName,
    pub routing_key: String,
    pub message: Message,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// Every queue that it was routed to has it.
    Confirmed,
    /// It is surely in no queue.
    Refused { reason: String },
    /// The connection had broken before the first message of the batch; a new one may send it.
    NotSent,
    /// It may have arrived.
    Unknown { reason: String },
}

/// Publishes replays with `mandatory` and publisher confirms on a connection of its own.
///
/// lapin attaches a returned message to the confirm of another one when several are in flight
/// (broker-facts E.1), so a batch is a barrier: all confirms are awaited, all returned IDs collected,
/// and only then is anything called confirmed. For the same reason nothing is sent after a confirm was
/// missing once: what comes late would be attached to a message of the next batch.
pub struct ReplayPublisher {
    connection: Connection,
    channel: Channel,
    user: String,
    confirm_timeout: Duration,
    broken: AtomicBool,
    /// Exchanges to which the user was seen to be allowed to publish.
    writable: Mutex<HashSet<ExchangeName>>,
}

impl ReplayPublisher {
    pub async fn open(
        config: &RabbitMqConfig,
        vhost: &VhostName,
        confirm_timeout: Duration,
    ) -> Result<Self, AmqpError> {
        let (connection, channel, user) = connect_publisher(config, vhost, "replay").await?;
        Ok(Self {
            connection,
            channel,
            user,
            confirm_timeout,
            broken: AtomicBool::new(false),
            writable: Mutex::default(),
        })
    }

    /// Publishes messages in their order, at most 200 at a time, and waits for every confirm. The first to an
    /// exchange goes alone: who may not publish there is told so by a closed channel, which of several
    /// messages would not say which of them arrived. One outcome a message, in order. After an [`PublishOutcome::Unknown`] this publisher sends nothing
    /// any more: drop it and open another one.
    pub async fn publish_batch(&self, messages: &[OutgoingMessage]) -> Vec<PublishOutcome> {
        let mut outcomes = Vec::with_capacity(messages.len());
        for batch in messages.chunks(MAX_UNCONFIRMED) {
            let alone = usize::from(batch.first().is_some_and(|first| !self.is_writable(first)));
            for part in [&batch[..alone], &batch[alone..]] {
                if !part.is_empty() {
                    outcomes.extend(self.publish_and_confirm(part).await);
                }
            }
        }
        outcomes
    }

    fn is_writable(&self, outgoing: &OutgoingMessage) -> bool {
        let writable = self.writable.lock().unwrap_or_else(PoisonError::into_inner);
        writable.contains(&outgoing.exchange)
    }

    async fn publish_and_confirm(&self, batch: &[OutgoingMessage]) -> Vec<PublishOutcome> {
        // While this runs, and if it is never finished, nobody else may use the channel.
        if self.broken.swap(true, Ordering::SeqCst) || !self.channel.status().connected() {
            return vec![PublishOutcome::NotSent; batch.len()];
        }
        let missing = self.missing_exchanges(batch).await;
        let deadline = Instant::now() + self.confirm_timeout;
        let publishing = batch
            .iter()
            .map(|outgoing| self.publish(outgoing, &missing, deadline));
        let mut results = Vec::with_capacity(batch.len());
        for confirm in begun_in_order(publishing).await {
            results.push(match confirm.await {
                Ok(confirm) => self.confirmation(confirm, deadline, batch.len()).await,
                Err(outcome) => Err(outcome),
            });
        }
        if let ([only], [Ok(_)]) = (batch, results.as_slice()) {
            let mut writable = self.writable.lock().unwrap_or_else(PoisonError::into_inner);
            writable.insert(only.exchange.clone());
        }
        let undecided = results.iter().any(is_undecided);
        self.broken.store(undecided, Ordering::SeqCst);
        outcomes(batch, results)
    }

    /// Publishing to an exchange that is not there closes the channel and makes the whole batch
    /// unknown, so it is looked up first, on a channel that may close. Answers the broker's reasons.
    async fn missing_exchanges(&self, batch: &[OutgoingMessage]) -> BTreeMap<ExchangeName, String> {
        let mut missing = BTreeMap::new();
        let mut found = HashSet::from([ExchangeName::default()]);
        for exchange in batch.iter().map(|outgoing| &outgoing.exchange) {
            if found.contains(exchange) || missing.contains_key(exchange) {
                continue;
            }
            match self.find_exchange(exchange).await {
                Ok(()) => drop(found.insert(exchange.clone())),
                Err(error) => drop(missing.insert(exchange.clone(), crate::error_chain(&error))),
            }
        }
        missing
    }

    async fn find_exchange(&self, exchange: &ExchangeName) -> Result<(), AmqpError> {
        let name = short(exchange.as_str())?;
        let scratch = ask("opening a channel", self.connection.create_channel()).await?;
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let arguments = FieldTable::default();
        let declared = scratch.exchange_declare(name, ExchangeKind::Direct, options, arguments);
        ask(format!("exchange {exchange}"), declared).await?;
        ask("closing the channel", scratch.close(200, "done".into())).await
    }

    async fn publish(
        &self,
        outgoing: &OutgoingMessage,
        missing: &BTreeMap<ExchangeName, String>,
        deadline: Instant,
    ) -> Result<PublisherConfirm, PublishOutcome> {
        let refused = |reason: String| PublishOutcome::Refused { reason };
        if let Some(reason) = missing.get(&outgoing.exchange) {
            return Err(refused(reason.clone()));
        }
        if let Some(reason) = refusal(&outgoing.message, &self.user) {
            return Err(refused(reason));
        }
        if outgoing.message.header_text(REPLAY_ID) != Some(&outgoing.replay.to_string()) {
            return Err(refused(format!(
                "its header {REPLAY_ID} is not its replay ID"
            )));
        }
        let mut properties = properties_of(&outgoing.message).map_err(refused)?;
        if properties.delivery_mode().is_none() {
            properties = properties.with_delivery_mode(PERSISTENT);
        }
        let exchange = short(outgoing.exchange.as_str()).map_err(|e| refused(e.to_string()))?;
        let routing_key = short(&outgoing.routing_key).map_err(|e| refused(e.to_string()))?;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let body = outgoing.message.body.as_deref().unwrap_or_default();
        let published =
            self.channel
                .basic_publish(exchange, routing_key, options, body, properties);
        match timeout_at(deadline, published).await {
            Ok(published) => published.map_err(|error| unknown(crate::error_chain(&error))),
            Err(_) => Err(unknown(
                "RabbitMQ took no more messages in time; is it out of memory or disk?".to_owned(),
            )),
        }
    }

    async fn confirmation(
        &self,
        confirm: PublisherConfirm,
        deadline: Instant,
        messages: usize,
    ) -> Result<Confirmation, PublishOutcome> {
        match timeout_at(deadline, confirm).await {
            Ok(Ok(confirmation)) => Ok(confirmation),
            Ok(Err(error)) if messages == 1 && is_access_refused(&error) => {
                let answer = crate::error_chain(&error);
                Err(PublishOutcome::Refused {
                    reason: format!(
                        "the user of rabbitmq.amqp_url may not publish there: {answer}; grant it write on the \
                         exchange, for a queue by its name on amq.default"
                    ),
                })
            }
            Ok(Err(error)) => Err(unknown(crate::error_chain(&error))),
            Err(_) => Err(unknown(format!(
                "no confirm within {:?}",
                self.confirm_timeout
            ))),
        }
    }

    pub async fn close(self) {
        close(self.connection).await;
    }
}

/// RabbitMQ writes it to disk before it confirms.
const PERSISTENT: u8 = 2;

/// Polls each publish once, in their order, by which lapin queues their frames. To wait until one is
/// written before the next begins would wake lapin's thread, and this one, for each message.
async fn begun_in_order<F: Future>(
    publishing: impl Iterator<Item = F>,
) -> Vec<impl Future<Output = F::Output>> {
    let mut begun = Vec::new();
    for publish in publishing {
        let mut publish = Box::pin(publish);
        let first = poll_fn(|context| Poll::Ready(publish.as_mut().poll(context))).await;
        begun.push(async move {
            match first {
                Poll::Ready(published) => published,
                Poll::Pending => publish.await,
            }
        });
    }
    begun
}

const fn unknown(reason: String) -> PublishOutcome {
    PublishOutcome::Unknown { reason }
}

const fn is_undecided(result: &Result<Confirmation, PublishOutcome>) -> bool {
    matches!(
        result,
        Err(PublishOutcome::Unknown { .. }) | Ok(Confirmation::NotRequested)
    )
}

/// Success is acknowledged and not returned, and only if no confirm is missing: a returned message
/// may hide behind the one that is.
fn outcomes(
    batch: &[OutgoingMessage],
    results: Vec<Result<Confirmation, PublishOutcome>>,
) -> Vec<PublishOutcome> {
    let mut unattributed = results.iter().any(is_undecided);
    let mut returned = HashSet::new();
    let mut acknowledged = Vec::with_capacity(results.len());
    for (outgoing, result) in batch.iter().zip(results) {
        acknowledged.push(result.and_then(|confirmation| {
            let decision = decision_of(&confirmation, &outgoing.exchange);
            if let Some(message) = confirmation.take_message() {
                match returned_id(&message) {
                    Some(id) => drop(returned.insert(id)),
                    None => unattributed = true,
                }
            }
            decision
        }));
    }
    let outcome = |(outgoing, result): (&OutgoingMessage, Result<(), PublishOutcome>)| match result
    {
        Err(outcome @ PublishOutcome::Refused { .. }) => outcome,
        _ if returned.contains(&outgoing.replay.to_string()) => PublishOutcome::Refused {
            reason: format!(
                "no queue is bound for the routing key {}",
                outgoing.routing_key
            ),
        },
        Err(outcome) => outcome,
        Ok(()) if unattributed => PublishOutcome::Unknown {
            reason: "it was acknowledged, but a confirm of its batch is missing".to_owned(),
        },
        Ok(()) => PublishOutcome::Confirmed,
    };
    batch.iter().zip(acknowledged).map(outcome).collect()
}

/// Whether the broker closed the channel because the user may not publish to the exchange, or not by that key.
fn is_access_refused(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(answer) = error.kind() else {
        return false;
    };
    matches!(
        answer.kind(),
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
    )
}

/// One queue that refuses makes a nack of the whole, whatever the others of the exchange did.
fn decision_of(confirmation: &Confirmation, exchange: &ExchangeName) -> Result<(), PublishOutcome> {
    match confirmation {
        Confirmation::Ack(_) => Ok(()),
        Confirmation::Nack(_) if *exchange != ExchangeName::default() => Err(unknown(
            "a queue of the exchange refused it, and another one may have it".to_owned(),
        )),
        Confirmation::Nack(_) => Err(PublishOutcome::Refused {
            reason: "the queue refused it; is it full, or without a quorum?".to_owned(),
        }),
        Confirmation::NotRequested => Err(PublishOutcome::Unknown {
            reason: "the channel does not confirm".to_owned(),
        }),
    }
}

fn returned_id(returned: &lapin::message::BasicReturnMessage) -> Option<String> {
    let headers = headers_of(returned.delivery.properties.headers().as_ref()?);
    let id = headers
        .iter()
        .find(|header| header.name == REPLAY_ID.as_bytes())?;
    id.value.as_text().map(str::to_owned)
}
