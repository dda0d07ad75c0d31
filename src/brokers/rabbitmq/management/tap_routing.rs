//! The routing of one virtual host as the tap of the traces needs it: what may be copied, and what was.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::super::RabbitMqError;
use super::super::effective::Settings;
use super::ManagementClient;
use super::rows::{Flag, object_or_nothing};
use crate::domain::conventions::TAP_DEAD_LETTER_KEY;
use crate::domain::{AmqpValue, BindingDestination, ExchangeName, QueueName, VhostName};

const EXCHANGES: &str = "columns=name,type,auto_delete";
const QUEUES: &str = "disable_stats=true&columns=name,arguments";

/// Exchanges and bindings of a virtual host, and which of its queues belong to taps.
#[derive(Clone, Debug, Default)]
pub struct TapRouting {
    pub exchanges: Vec<TapExchange>,
    pub bindings: Vec<TapBinding>,
    /// The queues of taps, of this Redrive and of others.
    pub taps: BTreeSet<QueueName>,
}

#[derive(Clone, Debug)]
pub struct TapExchange {
    pub exchange: ExchangeName,
    /// direct, topic, fanout, headers, or a plugin's.
    pub kind: String,
    /// It goes with its last binding.
    pub auto_delete: bool,
}

#[derive(Clone, Debug)]
pub struct TapBinding {
    pub exchange: ExchangeName,
    pub destination: BindingDestination,
    pub routing_key: String,
    /// `None` if the API does not tell their types well enough to repeat them. It does not tell how wide an
    /// integer is, and says "undefined" for what has no value (3.10.8).
    pub arguments: Option<Vec<(String, AmqpValue)>>,
    /// What the broker calls this key with these arguments: a binding with other arguments, if only by the type
    /// of one, has another.
    pub properties_key: String,
}

impl ManagementClient {
    /// How a virtual host routes now.
    pub async fn tap_routing(&self, vhost: &VhostName) -> Result<TapRouting, RabbitMqError> {
        let in_vhost = |list| [list, vhost.as_str()];
        let exchanges: Vec<ExchangeRow> = self
            .listing("exchanges", &in_vhost("exchanges"), Some(EXCHANGES))
            .await?;
        let queues: Vec<QueueRow> = self
            .listing("queues", &in_vhost("queues"), Some(QUEUES))
            .await?;
        let bindings: Vec<BindingRow> = self
            .listing("bindings", &in_vhost("bindings"), None)
            .await?;
        let taps = queues.into_iter().filter(QueueRow::is_of_a_tap);
        Ok(TapRouting {
            exchanges: exchanges.into_iter().map(TapExchange::from).collect(),
            bindings: bindings.into_iter().map(TapBinding::from).collect(),
            taps: taps.map(|row| QueueName::new(row.name)).collect(),
        })
    }
}

#[derive(Debug, Deserialize)]
struct ExchangeRow {
    name: String,
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default)]
    auto_delete: Flag,
}

impl From<ExchangeRow> for TapExchange {
    fn from(row: ExchangeRow) -> Self {
        Self {
            exchange: ExchangeName::new(row.name),
            kind: row.kind.as_str().unwrap_or_default().to_owned(),
            auto_delete: row.auto_delete.is_true(),
        }
    }
}

#[derive(Debug, Deserialize)]
struct QueueRow {
    name: String,
    #[serde(default, deserialize_with = "object_or_nothing")]
    arguments: Option<Settings>,
}

impl QueueRow {
    fn is_of_a_tap(&self) -> bool {
        let has = |name: &str, value: &str| {
            let argument = self.arguments.as_ref().and_then(|all| all.get(name));
            argument.and_then(Value::as_str) == Some(value)
        };
        has("x-dead-letter-exchange", "") && has("x-dead-letter-routing-key", TAP_DEAD_LETTER_KEY)
    }
}

#[derive(Debug, Deserialize)]
struct BindingRow {
    #[serde(default)]
    source: String,
    destination: String,
    destination_type: String,
    #[serde(default)]
    routing_key: String,
    #[serde(default, deserialize_with = "object_or_nothing")]
    arguments: Option<Settings>,
    #[serde(default)]
    properties_key: Value,
}

impl From<BindingRow> for TapBinding {
    fn from(row: BindingRow) -> Self {
        let arguments = row.arguments.unwrap_or_default();
        let named = row.properties_key.as_str().map(str::to_owned);
        Self {
            properties_key: named.unwrap_or_else(|| {
                let arguments = Value::Object(arguments.clone());
                format!("{}~{arguments}", row.routing_key)
            }),
            exchange: ExchangeName::new(row.source),
            destination: if row.destination_type == "exchange" {
                BindingDestination::Exchange(ExchangeName::new(row.destination))
            } else {
                BindingDestination::Queue(QueueName::new(row.destination))
            },
            routing_key: row.routing_key,
            arguments: arguments
                .into_iter()
                .map(|(name, value)| Some((name, amqp_value(value)?)))
                .collect(),
        }
    }
}

/// What most likely was meant; whether it was is known once the broker has given the copy its key.
fn amqp_value(value: Value) -> Option<AmqpValue> {
    Some(match value {
        Value::Null => AmqpValue::Void,
        Value::Bool(value) => AmqpValue::Boolean(value),
        Value::String(text) => AmqpValue::long_string(&text),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => AmqpValue::I64(integer),
            None => AmqpValue::F64(number.as_f64()?.to_bits()),
        },
        Value::Array(_) | Value::Object(_) => return None,
    })
}

/// How many rows of these lists an answer holds.
pub(super) fn read_as_tap_lists(answer: &[u8]) -> usize {
    let exchanges: Vec<ExchangeRow> = serde_json::from_slice(answer).unwrap_or_default();
    let queues: Vec<QueueRow> = serde_json::from_slice(answer).unwrap_or_default();
    let bindings: Vec<BindingRow> = serde_json::from_slice(answer).unwrap_or_default();
    let bindings = bindings.into_iter().map(TapBinding::from);
    exchanges.len() + queues.iter().filter(|row| row.is_of_a_tap()).count() + bindings.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_read_with_its_arguments() {
        let check = |arguments: &str, expected: Option<Vec<(String, AmqpValue)>>| {
            let row = format!(
                r#"{{"source": "x", "vhost": "/", "destination": "q", "destination_type": "queue",
                    "routing_key": "k", "arguments": {arguments}, "properties_key": "k~hash"}}"#
            );
            let row: BindingRow = serde_json::from_str(&row).unwrap();
            let binding = TapBinding::from(row);
            assert_eq!(binding.properties_key, "k~hash");
            assert_eq!(binding.arguments, expected, "{arguments}");
        };
        let named = |name: &str, value| Some(vec![(name.to_owned(), value)]);
        check("{}", Some(Vec::new()));
        check("[]", Some(Vec::new()));
        check(r#"{"a": 5}"#, named("a", AmqpValue::I64(5)));
        check(r#"{"a": null}"#, named("a", AmqpValue::Void));
        check(r#"{"a": "b"}"#, named("a", AmqpValue::long_string("b")));
        check(r#"{"a": true}"#, named("a", AmqpValue::Boolean(true)));
        check(
            r#"{"a": 1.5}"#,
            named("a", AmqpValue::F64(1.5_f64.to_bits())),
        );
        check(r#"{"a": {"b": 1}}"#, None);
        check(r#"{"a": [1]}"#, None);
    }

    #[test]
    fn a_tap_s_queue_is_known_by_where_its_dead_letters_do_not_go() {
        let check = |arguments: &str, expected: bool| {
            let row = format!(r#"{{"name": "q", "arguments": {arguments}}}"#);
            let row: QueueRow = serde_json::from_str(&row).unwrap();
            assert_eq!(row.is_of_a_tap(), expected, "{arguments}");
        };
        let key = TAP_DEAD_LETTER_KEY;
        check(
            &format!(r#"{{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "{key}"}}"#),
            true,
        );
        check(
            &format!(
                r#"{{"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": "{key}"}}"#
            ),
            false,
        );
        check(r#"{"x-dead-letter-exchange": ""}"#, false);
        check("{}", false);
    }
}
