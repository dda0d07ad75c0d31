use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Names;
use super::backoff::Stopped;
use super::event::{Event, Metadata, OrderItem, ValidOrder};
use super::failure::ProcessingError;
use super::gateway::Gateway;
use super::names::SHIP_ORDER_KEY;
use super::rabbitmq_link::{RabbitMqLink, SessionEnd, next_delivery};
use super::retry::{AfterFailure, after_failure};
use crate::brokers::rabbitmq::amqp::{AmqpChannel, AmqpDelivery, AmqpError};
use crate::domain::{ExchangeName, Message, Timestamp};

const PREFETCH: u16 = 20;

/// What the shipping service and the customer are told about an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FulfilmentData {
    order_id: String,
    customer_id: String,
    items: Vec<OrderItem>,
}

/// The consumer of `orders.queue`: secures the payment, then has the order shipped and the customer
/// told. What times out goes through the retry queues, everything else that fails is rejected.
pub(super) struct Fulfilment<'a> {
    pub(super) link: RabbitMqLink<'a>,
    pub(super) names: &'a Names,
    pub(super) gateway: &'a Gateway,
}

impl Fulfilment<'_> {
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<Infallible, Stopped> {
        loop {
            let channel = self.link.connect(stop).await?;
            let Err(end) = self.fulfil_all(&channel, stop).await;
            self.link.end(channel, end, stop).await?;
        }
    }

    async fn fulfil_all(
        &self,
        channel: &AmqpChannel,
        stop: &CancellationToken,
    ) -> Result<Infallible, SessionEnd> {
        let mut consumer = channel
            .consume(&self.names.orders_queue(), PREFETCH)
            .await?;
        loop {
            let delivery = next_delivery(&mut consumer, stop).await?;
            self.handle(channel, delivery).await?;
        }
    }

    async fn handle(&self, channel: &AmqpChannel, delivery: AmqpDelivery) -> Result<(), AmqpError> {
        let error = match self.secure_payment(&delivery.message).await {
            Ok(order) => {
                self.fulfil(channel, &order).await?;
                return delivery.acknowledge().await;
            }
            Err(error) => error,
        };
        match after_failure(&delivery.message, &error, Timestamp::now()) {
            AfterFailure::Retry { retry, message } => {
                let queue = self.names.retry_queue(retry);
                let default_exchange = ExchangeName::default();
                channel
                    .publish(&default_exchange, queue.as_str(), &message)
                    .await?;
                delivery.acknowledge().await
            }
            AfterFailure::GiveUp => {
                tracing::debug!(class = error.class(), "an order is rejected");
                delivery.reject().await
            }
        }
    }

    async fn secure_payment(&self, message: &Message) -> Result<ValidOrder, ProcessingError> {
        let order = ValidOrder::parse(message.body.as_ref())?;
        let provider = &order.event.metadata.payment_provider;
        self.gateway.charge(provider).await?;
        Ok(order)
    }

    async fn fulfil(&self, channel: &AmqpChannel, order: &ValidOrder) -> Result<(), AmqpError> {
        let now = Timestamp::now();
        let command = following(order, "ShipOrder", Uuid::new_v4(), now).amqp_message();
        channel
            .publish(&self.names.commands(), SHIP_ORDER_KEY, &command)
            .await?;
        let notification = following(order, "OrderConfirmed", Uuid::new_v4(), now).amqp_message();
        channel
            .publish(&self.names.notifications(), "", &notification)
            .await
    }
}

/// An event of the same transaction that the order caused.
fn following(
    order: &ValidOrder,
    event_type: &str,
    event_id: Uuid,
    now: Timestamp,
) -> Event<FulfilmentData> {
    let cause = &order.event;
    Event {
        event_id,
        event_type: event_type.to_owned(),
        timestamp: now.to_rfc3339(),
        aggregate_id: cause.aggregate_id.clone(),
        version: cause.version.saturating_add(1),
        correlation_id: cause.correlation_id,
        causation_id: Some(cause.event_id),
        data: FulfilmentData {
            order_id: cause.aggregate_id.clone(),
            customer_id: order.customer_id.clone(),
            items: cause.data.items.clone(),
        },
        metadata: Metadata {
            source: "fulfilment-service".to_owned(),
            ..cause.metadata.clone()
        },
    }
}
