//! `EasyNetQ`: no headers; the body is JSON with the original body as a string, its properties, the
//! exception, and where the message was. See `envelopes.rs` for how a replay takes it apart.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::dialect::{Dialect, Sign};
use super::{Account, header_values as read, stack_trace};
use crate::domain::{
    DeathReason, Envelope, ExchangeName, Failure, Hop, Message, Origin, System, Timestamp,
};

/// A larger body is shown and replayed as it is.
const LARGEST_BODY: usize = 16 * 1024 * 1024;

pub(super) const DIALECT: Dialect = Dialect {
    name: "easynetq",
    title: "EasyNetQ",
    system: Some(System::RabbitMq),
    sign: Sign::Test(is_error_message),
    headers: &[],
    decode,
};

/// The error message of `EasyNetQ`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ErrorMessage {
    pub(super) routing_key: Option<String>,
    pub(super) exchange: Option<String>,
    queue: Option<String>,
    exception: Option<String>,
    /// The original body.
    pub(super) message: String,
    date_time: Option<String>,
    #[serde(default)]
    pub(super) basic_properties: Map<String, Value>,
}

fn is_error_message(message: &Message) -> bool {
    let properties = message.properties.as_deref();
    let kind = properties.and_then(|properties| properties.kind.as_deref());
    kind.is_some_and(|kind| kind.starts_with("EasyNetQ.SystemMessages.Error"))
}

pub(super) fn error_message(message: &Message) -> Option<ErrorMessage> {
    let body = message.body.as_deref()?;
    if !is_error_message(message) || body.len() > LARGEST_BODY {
        return None;
    }
    serde_json::from_slice(body).ok()
}

fn decode(_: &str, message: &Message) -> Option<Account> {
    let error = error_message(message)?;
    let exception = error.exception.unwrap_or_default();
    let first = stack_trace::first_exception(&exception);
    let (class, said) = first.map_or((None, None), |one| (Some(one.class), one.message));
    let said = said.or_else(|| exception.lines().next().map(str::to_owned));
    let failed_at = error
        .date_time
        .as_deref()
        .and_then(Timestamp::parse_rfc3339);
    let name = |text: Option<String>| text.filter(|text| !text.is_empty() && text.len() <= 255);
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: name(error.queue),
            exchange: name(error.exchange).map(|name| ExchangeName::from(name.as_str())),
            routing_keys: name(error.routing_key).into_iter().collect(),
            ..Origin::default()
        },
        failure: Failure {
            class,
            message: said.map(|text| read::cut_message(&text)),
            stack_trace: (!exception.is_empty()).then(|| read::cut(&exception, 64 * 1024)),
            ..Failure::default()
        },
        reason: DeathReason::Exception,
        first_failed_at: failed_at,
        last_failed_at: failed_at,
        ..Hop::default()
    };
    let mut account = Account::of_hops(vec![hop], None)?;
    account.decoded.envelope = Some(Envelope::EasyNetQ);
    Some(account)
}
