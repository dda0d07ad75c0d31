use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ProcessingError;
use crate::domain::{AmqpProperties, AmqpValue, Header, Message, Timestamp, conventions};

pub(super) const ORDER_CREATED: &str = "OrderCreated";
pub(super) const PAYMENT_COMPLETED: &str = "PaymentCompleted";

/// The JSON Schema (draft-07) of an `OrderCreated` event.
pub const ORDER_CREATED_SCHEMA: &str = include_str!("schemas/OrderCreated.schema.json");

/// An event in the usual envelope. Fields that it does not know are ignored when it is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<D> {
    pub event_id: Uuid,
    pub event_type: String,
    /// RFC 3339.
    pub timestamp: String,
    /// The order that it is about; the record key on Kafka.
    pub aggregate_id: String,
    /// Of the aggregate, not of the format.
    pub version: u32,
    /// Equal for all events of one order, on both brokers.
    pub correlation_id: Uuid,
    /// The event that caused this one.
    #[serde(default)]
    pub causation_id: Option<Uuid>,
    pub data: D,
    #[serde(default)]
    pub metadata: Metadata,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderData {
    /// Required, but missing in what a faulty producer sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    #[serde(default)]
    pub items: Vec<OrderItem>,
    pub total_amount: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderItem {
    pub sku: String,
    pub quantity: u32,
    pub unit_price: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentData {
    pub order_id: String,
    pub customer_id: String,
    pub amount: f64,
    pub currency: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// The service that published the event.
    pub source: String,
    pub currency: String,
    pub payment_provider: String,
}

/// An order that passed validation.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidOrder {
    pub event: Event<OrderData>,
    pub customer_id: String,
}

impl ValidOrder {
    /// Reads and checks the body of a message.
    pub fn parse(body: Option<&Bytes>) -> Result<Self, ProcessingError> {
        let event: Event<OrderData> = parse_event(body)?;
        let customer_id = event.data.customer_id.clone().unwrap_or_default();
        if customer_id.trim().is_empty() {
            return Err(ProcessingError::validation("data.customerId is required"));
        }
        if event.data.items.is_empty() {
            return Err(ProcessingError::validation("data.items must not be empty"));
        }
        if event.data.total_amount <= 0.0 {
            return Err(ProcessingError::validation(
                "data.totalAmount must be positive",
            ));
        }
        Ok(Self { event, customer_id })
    }

    /// The event that this order is paid.
    pub fn payment(&self, event_id: Uuid, now: Timestamp) -> Event<PaymentData> {
        let order = &self.event;
        Event {
            event_id,
            event_type: PAYMENT_COMPLETED.to_owned(),
            timestamp: now.to_rfc3339(),
            aggregate_id: order.aggregate_id.clone(),
            version: order.version.saturating_add(1),
            correlation_id: order.correlation_id,
            causation_id: Some(order.event_id),
            data: PaymentData {
                order_id: order.aggregate_id.clone(),
                customer_id: self.customer_id.clone(),
                amount: order.data.total_amount,
                currency: order.metadata.currency.clone(),
            },
            metadata: Metadata {
                source: "payment-service".to_owned(),
                ..order.metadata.clone()
            },
        }
    }
}

/// Reads the envelope; what is no JSON is told from JSON of another shape.
pub(super) fn parse_event<D: for<'de> Deserialize<'de>>(
    body: Option<&Bytes>,
) -> Result<Event<D>, ProcessingError> {
    serde_json::from_slice(body.map_or(&[][..], Bytes::as_ref)).map_err(|error| {
        if error.is_data() {
            ProcessingError::validation(error.to_string())
        } else {
            ProcessingError::Malformed {
                reason: error.to_string(),
            }
        }
    })
}

impl<D: Serialize> Event<D> {
    /// The body: compact JSON.
    pub fn body(&self) -> Bytes {
        // Strings, numbers and structs with string keys always serialise.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }

    /// As a Kafka record.
    pub fn kafka_message(&self) -> Message {
        let header = |(name, value): (&str, String)| Header::text(name, value);
        Message {
            key: Some(Bytes::from(self.aggregate_id.clone())),
            body: Some(self.body()),
            headers: self.header_texts().map(header).collect(),
            properties: None,
        }
    }

    /// As a RabbitMQ message; exchange and routing key are the publisher's to choose.
    pub fn amqp_message(&self) -> Message {
        let header =
            |(name, value): (&str, String)| Header::amqp(name, AmqpValue::long_string(value));
        let seconds = Timestamp::parse_rfc3339(&self.timestamp)
            .and_then(|timestamp| u64::try_from(timestamp.as_millis() / 1000).ok());
        Message {
            key: None,
            body: Some(self.body()),
            headers: self.header_texts().map(header).collect(),
            properties: Some(Box::new(AmqpProperties {
                content_type: Some("application/json".to_owned()),
                delivery_mode: Some(2),
                message_id: Some(self.event_id.to_string()),
                correlation_id: Some(self.correlation_id.to_string()),
                kind: Some(self.event_type.clone()),
                app_id: Some(self.metadata.source.clone()),
                timestamp: seconds,
                ..AmqpProperties::default()
            })),
        }
    }

    fn header_texts(&self) -> impl Iterator<Item = (&'static str, String)> {
        let causation = self
            .causation_id
            .map(|id| (conventions::CAUSATION_ID, id.to_string()));
        [
            (conventions::EVENT_ID, self.event_id.to_string()),
            (conventions::EVENT_TYPE, self.event_type.clone()),
            (conventions::CORRELATION_ID, self.correlation_id.to_string()),
        ]
        .into_iter()
        .chain(causation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::OrderGenerator;

    fn order() -> Event<OrderData> {
        OrderGenerator::new(1, 0.0).next(Timestamp(0)).event
    }

    fn check(change: impl Fn(&mut serde_json::Value), expected: &str) {
        let mut json = serde_json::to_value(order()).unwrap();
        change(&mut json);
        let body = Bytes::from(json.to_string());
        let error = ValidOrder::parse(Some(&body)).unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "{error} has no {expected}"
        );
        assert_eq!(error.class(), "ValidationException");
    }

    #[test]
    fn a_sound_order_passes() {
        let order = order();
        let valid = ValidOrder::parse(Some(&order.body())).unwrap();
        assert_eq!(valid.event, order);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let drop_customer = |json: &mut serde_json::Value| {
            json["data"].as_object_mut().unwrap().remove("customerId");
        };
        check(drop_customer, "data.customerId is required");
        check(
            |json| json["data"]["customerId"] = "  ".into(),
            "data.customerId is required",
        );
        check(
            |json| json["data"]["items"] = serde_json::json!([]),
            "data.items must not be empty",
        );
        check(
            |json| json["data"]["totalAmount"] = 0.into(),
            "data.totalAmount must be positive",
        );
        check(
            |json| json["eventId"] = "no UUID".into(),
            "UUID parsing failed",
        );
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for body in [None, Some(Bytes::from("{\"eventId\":")), Some("".into())] {
            let error = ValidOrder::parse(body.as_ref()).unwrap_err();
            assert_eq!(error.class(), "MalformedEventException", "{body:?}");
        }
    }

    #[test]
    fn a_payment_belongs_to_the_transaction_of_its_order() {
        let order = ValidOrder::parse(Some(&order().body())).unwrap();
        let payment = order.payment(Uuid::from_u128(9), Timestamp(0));
        let message = payment.kafka_message();
        let header = |name| message.header_text(name).map(str::to_owned);
        assert_eq!(payment.correlation_id, order.event.correlation_id);
        assert_eq!(
            header("causationId"),
            Some(order.event.event_id.to_string())
        );
        assert_eq!(header("eventType").as_deref(), Some("PaymentCompleted"));
        assert_eq!(
            message.key.as_deref(),
            Some(order.event.aggregate_id.as_bytes())
        );
    }

    #[test]
    fn an_amqp_message_is_persistent_and_carries_the_same_identity() {
        let order = order();
        let message = order.amqp_message();
        let properties = message.properties.clone().unwrap();
        assert_eq!(properties.delivery_mode, Some(2));
        assert_eq!(properties.message_id, Some(order.event_id.to_string()));
        assert_eq!(
            properties.correlation_id.as_deref(),
            message.header_text("correlationId")
        );
    }
}
