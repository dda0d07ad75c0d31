use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, Connection, ExchangeKind, PublisherConfirm};

use super::connect::{connect, refused, short};
use super::convert::{headers_of, properties_of};
use super::error::AmqpError;
use crate::config::RabbitMqConfig;
use crate::domain::conventions::REPLAY_ID;
use crate::domain::{ExchangeName, Message, ReplayId, VhostName};

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
    /// It may have arrived.
    Unknown { reason: String },
}

/// Publishes replays with `mandatory` and publisher confirms on a connection of its own.
///
/// lapin attaches a returned message to the confirm of another one when several are in flight
/// (broker-facts E.1), so a batch is a barrier: all confirms are awaited, all returned IDs collected,
/// and only then is anything called confirmed.
pub struct ReplayPublisher {
    connection: Connection,
    channel: Channel,
    confirm_timeout: Duration,
}

impl ReplayPublisher {
    pub async fn open(
        config: &RabbitMqConfig,
        vhost: &VhostName,
        confirm_timeout: Duration,
    ) -> Result<Self, AmqpError> {
        let connection = connect(config, vhost, "replay").await?;
        let channel = connection
            .create_channel()
            .await
            .map_err(refused("opening a channel"))?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(refused("publisher confirms"))?;
        Ok(Self {
            connection,
            channel,
            confirm_timeout,
        })
    }

    /// Publishes a batch in its order and waits for every confirm. One outcome a message, in order.
    /// After an [`PublishOutcome::Unknown`] the publisher must be dropped: its channel may be closed.
    pub async fn publish_batch(&self, batch: &[OutgoingMessage]) -> Vec<PublishOutcome> {
        let missing = self.missing_exchanges(batch).await;
        let mut pending = Vec::with_capacity(batch.len());
        for outgoing in batch {
            pending.push(self.publish(outgoing, &missing).await);
        }
        let results = self.await_confirms(pending).await;
        outcomes(batch, results)
    }

    /// Publishing to an exchange that is not there closes the channel and makes the whole batch
    /// unknown, so it is looked up first, on a channel that may close.
    async fn missing_exchanges(&self, batch: &[OutgoingMessage]) -> BTreeSet<ExchangeName> {
        let named: BTreeSet<_> = batch
            .iter()
            .map(|outgoing| outgoing.exchange.clone())
            .collect();
        let mut missing = BTreeSet::new();
        for exchange in named
            .into_iter()
            .filter(|exchange| !exchange.as_str().is_empty())
        {
            if !self.exchange_exists(&exchange).await {
                missing.insert(exchange);
            }
        }
        missing
    }

    async fn exchange_exists(&self, exchange: &ExchangeName) -> bool {
        let Ok(name) = short(exchange.as_str()) else {
            return false;
        };
        let Ok(scratch) = self.connection.create_channel().await else {
            return true;
        };
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let declared = scratch
            .exchange_declare(name, ExchangeKind::Direct, options, FieldTable::default())
            .await;
        if declared.is_ok() {
            // It was opened for this question only.
            let _ = scratch.close(200, "done".into()).await;
        }
        declared.is_ok()
    }

    async fn publish(
        &self,
        outgoing: &OutgoingMessage,
        missing: &BTreeSet<ExchangeName>,
    ) -> Result<PublisherConfirm, PublishOutcome> {
        let refused = |reason: String| PublishOutcome::Refused { reason };
        if missing.contains(&outgoing.exchange) {
            return Err(refused(format!(
                "there is no exchange {}",
                outgoing.exchange
            )));
        }
        let properties = properties_of(&outgoing.message).map_err(refused)?;
        let exchange = short(outgoing.exchange.as_str()).map_err(|e| refused(e.to_string()))?;
        let routing_key = short(&outgoing.routing_key).map_err(|e| refused(e.to_string()))?;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let body = outgoing.message.body.as_deref().unwrap_or_default();
        self.channel
            .basic_publish(exchange, routing_key, options, body, properties)
            .await
            .map_err(|error| PublishOutcome::Unknown {
                reason: error.to_string(),
            })
    }

    async fn await_confirms(
        &self,
        pending: Vec<Result<PublisherConfirm, PublishOutcome>>,
    ) -> Vec<Result<Confirmation, PublishOutcome>> {
        let deadline = tokio::time::Instant::now() + self.confirm_timeout;
        let mut results = Vec::with_capacity(pending.len());
        for confirm in pending {
            let result = match confirm {
                Err(outcome) => Err(outcome),
                Ok(confirm) => match tokio::time::timeout_at(deadline, confirm).await {
                    Ok(Ok(confirmation)) => Ok(confirmation),
                    Ok(Err(error)) => Err(PublishOutcome::Unknown {
                        reason: error.to_string(),
                    }),
                    Err(_) => Err(PublishOutcome::Unknown {
                        reason: format!("no confirm within {:?}", self.confirm_timeout),
                    }),
                },
            };
            results.push(result);
        }
        results
    }

    pub async fn close(self) {
        // All confirms are decided; a lost connection is as good.
        let _ = self.connection.close(200, "done".into()).await;
    }
}

/// Success is acknowledged and not returned, and only if no confirm is missing: a returned message
/// may hide behind the one that is.
fn outcomes(
    batch: &[OutgoingMessage],
    results: Vec<Result<Confirmation, PublishOutcome>>,
) -> Vec<PublishOutcome> {
    let undecided = results
        .iter()
        .any(|r| matches!(r, Err(PublishOutcome::Unknown { .. })));
    let mut returned = HashSet::new();
    let mut acknowledged = Vec::with_capacity(results.len());
    for result in results {
        acknowledged.push(match result {
            Err(outcome) => Err(outcome),
            Ok(confirmation) => {
                let decision = decision_of(&confirmation);
                returned.extend(confirmation.take_message().and_then(|m| returned_id(&m)));
                decision
            }
        });
    }
    let outcome = |(outgoing, result): (&OutgoingMessage, Result<(), PublishOutcome>)| match result
    {
        _ if returned.contains(&outgoing.replay.to_string()) => PublishOutcome::Refused {
            reason: format!(
                "no queue is bound for the routing key {}",
                outgoing.routing_key
            ),
        },
        Err(outcome) => outcome,
        Ok(()) if undecided => PublishOutcome::Unknown {
            reason: "it was acknowledged, but a confirm of its batch is missing".to_owned(),
        },
        Ok(()) => PublishOutcome::Confirmed,
    };
    batch.iter().zip(acknowledged).map(outcome).collect()
}

fn decision_of(confirmation: &Confirmation) -> Result<(), PublishOutcome> {
    match confirmation {
        Confirmation::Ack(_) => Ok(()),
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
