//! The broker's history as a replay may carry it: as a copy that no broker takes for its own.

use serde_json::{Map, Value};

use super::{FIRST_DEATH, LAST_DEATH, NAME, read};
use crate::domain::{AmqpProperties, AmqpValue, HeaderValue, Message};

/// The longest copy; some twenty deaths fit.
const LONGEST_COPY: usize = 4 * 1024;

/// Whether a header belongs to the broker's history of deaths.
pub fn is_death_history(name: &[u8]) -> bool {
    let mut names = FIRST_DEATH.iter().chain(&LAST_DEATH).chain([&NAME]);
    names.any(|known| known.as_bytes() == name)
}

/// The value of header `x-replay-prev-deaths`: the history as compact JSON of at most 4 KiB, under the
/// names of its headers; times are seconds. `omitted` counts the elements of `x-death` that did not fit,
/// those at its end, which are the elder. `None` without a history, and where not even one fits.
pub fn previous_deaths(message: &Message) -> Option<String> {
    let mut copy = Map::new();
    for name in FIRST_DEATH.iter().chain(&LAST_DEATH) {
        if let Some(text) = message.header_text(name) {
            copy.insert((*name).to_owned(), text.into());
        }
    }
    let deaths = match message.header(NAME) {
        Some(HeaderValue::Amqp(AmqpValue::Array(deaths))) => deaths.as_slice(),
        _ => &[],
    };
    if copy.is_empty() && deaths.is_empty() {
        return None;
    }
    // Most are short, so that it seldom takes more than one try.
    let tries = std::iter::successors(Some(deaths.len().min(LONGEST_COPY / 16)), |kept| {
        (*kept > 0).then(|| kept / 2)
    });
    let copies = tries.filter(|kept| *kept > 0 || deaths.is_empty());
    copies
        .map(|kept| copy_of(copy.clone(), deaths, kept))
        .find(|json| json.len() <= LONGEST_COPY)
}

fn copy_of(mut copy: Map<String, Value>, deaths: &[AmqpValue], kept: usize) -> String {
    if kept > 0 {
        let kept = deaths[..kept].iter().map(json).collect();
        copy.insert(NAME.to_owned(), Value::Array(kept));
    }
    if kept < deaths.len() {
        copy.insert("omitted".to_owned(), (deaths.len() - kept).into());
    }
    Value::Object(copy).to_string()
}

fn json(value: &AmqpValue) -> Value {
    match value {
        AmqpValue::Boolean(value) => (*value).into(),
        AmqpValue::Timestamp(seconds) => (*seconds).into(),
        AmqpValue::LongString(bytes) | AmqpValue::ByteArray(bytes) => {
            String::from_utf8_lossy(bytes).into()
        }
        AmqpValue::Array(values) => values.iter().map(json).collect(),
        AmqpValue::Table(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), json(value)));
            Value::Object(fields.collect())
        }
        other => match other.as_integer() {
            Some(integer) => integer.into(),
            None => other.scalar_text().map_or(Value::Null, Value::from),
        },
    }
}

/// The expiration that the broker took off the message when it died in `queue`; only one that RabbitMQ
/// takes. What a retry queue took off was the consumer's pause, so other queues are not asked.
pub fn original_expiration<'a>(message: &'a Message, queue: &str) -> Option<&'a str> {
    let HeaderValue::Amqp(deaths) = message.header(NAME)? else {
        return None;
    };
    let mut of_queue = deaths.as_array()?.iter().filter(|death| {
        let name = death.field("queue").and_then(read::amqp_name);
        name.as_deref() == Some(queue)
    });
    of_queue.find_map(|death| {
        let text = death.field("original-expiration")?.as_text()?;
        AmqpProperties::is_expiration(text).then_some(text)
    })
}

#[cfg(test)]
mod tests;
