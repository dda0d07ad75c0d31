//! The message of a replay: the chosen revision without the story of its death, with the headers by
//! which consumers and Redrive recognise a replay (broker-facts B.3 and D.1). Pure.

use std::collections::HashMap;

use bytes::Bytes;
use thiserror::Error;

use crate::dialects::{
    headers_stripped_on_replay, is_death_history, original_expiration, previous_deaths,
    previous_error, properties_on_replay, unwrapped,
};
use crate::domain::conventions::{
    REPLAY_ATTEMPT, REPLAY_EDITED, REPLAY_ID, REPLAY_JOB_ID, REPLAY_ORIGINAL_SHA256,
    REPLAY_ORIGINAL_TIMESTAMP, REPLAY_PREV_DEATHS, REPLAY_PREV_ERROR, REPLAY_SOURCE,
};
use crate::domain::{
    AmqpValue, ClusterName, DeadLetter, Decoded, Destination, Header, HeaderValue,
    MOST_AMQP_HEADER_BYTES, Message, Position, Replay, ReplayOptions, System, sha256_hex,
};
use crate::store::ReplayContent;

/// Why a replay cannot be sent as it is.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum RenderError {
    #[error(
        "its headers take {size} bytes and AMQP allows {MOST_AMQP_HEADER_BYTES}; remove some by an edit"
    )]
    HeadersTooLarge { size: usize },
}

/// What a dead letter gives to the message of its replay.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    cluster: &'a ClusterName,
    position: &'a Position,
    original: &'a Message,
    decoded: &'a Decoded,
}

impl<'a> From<&'a DeadLetter> for Source<'a> {
    fn from(letter: &'a DeadLetter) -> Self {
        Self {
            cluster: &letter.summary.cluster,
            position: &letter.summary.position,
            original: &letter.message,
            decoded: &letter.decoded,
        }
    }
}

impl<'a> From<&'a ReplayContent> for Source<'a> {
    fn from(content: &'a ReplayContent) -> Self {
        Self {
            cluster: &content.cluster,
            position: &content.position,
            original: &content.original,
            decoded: &content.decoded,
        }
    }
}

/// Makes the message that a replay sends. `revision` is the edited message, if it is not the original.
/// On RabbitMQ the options of its job count, and who publishes: `connection_user`.
pub(super) fn render<'a>(
    letter: impl Into<Source<'a>>,
    revision: Option<&Message>,
    replay: &Replay,
    (options, connection_user): (ReplayOptions, &str),
) -> Result<Message, RenderError> {
    let letter = letter.into();
    let system = system_of(&replay.destination);
    let stored = revision.unwrap_or(letter.original);
    let original = unwrapped(stored).map(|(original, _)| original);
    let source = original.as_ref().unwrap_or(stored);
    let mut message = Message {
        key: source.key.clone(),
        body: source.body.clone(),
        headers: kept_headers(source, &replay.destination, options),
        properties: None,
    };
    if system == System::RabbitMq {
        let properties = source.properties.as_deref().cloned().unwrap_or_default();
        let (mut properties, _) = properties_on_replay(&properties, connection_user);
        if options.restore_expiration {
            properties.expiration = expiration_at_death(letter);
        }
        message.properties = Some(Box::new(properties));
    }
    let added = added_headers(letter, revision.is_some(), replay);
    let texts = added
        .into_iter()
        .map(|(name, value)| text_header(system, name, value));
    message.headers.extend(texts);
    let error = previous_error(letter.decoded);
    append_if_it_fits(system, REPLAY_PREV_ERROR, error, &mut message);
    if system == System::RabbitMq && !options.keep_x_death {
        let deaths = previous_deaths(source);
        append_if_it_fits(system, REPLAY_PREV_DEATHS, deaths, &mut message);
    }
    fits(system, &message)?;
    Ok(message)
}

const fn system_of(destination: &Destination) -> System {
    match destination {
        Destination::Kafka { .. } => System::Kafka,
        Destination::RabbitMq { .. } => System::RabbitMq,
    }
}

fn kept_headers(
    message: &Message,
    destination: &Destination,
    options: ReplayOptions,
) -> Vec<Header> {
    let stripped = headers_stripped_on_replay(system_of(destination), message).into_iter();
    let mut changes: HashMap<usize, Option<HeaderValue>> = stripped
        .filter(|stripped| !is_asked_for(&message.headers[stripped.index], destination, options))
        .map(|stripped| (stripped.index, stripped.instead))
        .collect();
    let headers = message.headers.iter().enumerate();
    headers
        .filter_map(|(index, header)| {
            let name = header.name.clone();
            match changes.remove(&index) {
                None => Some(header.clone()),
                Some(instead) => instead.map(|value| Header { name, value }),
            }
        })
        .collect()
}

/// Whether an option keeps what replays leave behind.
fn is_asked_for(header: &Header, destination: &Destination, options: ReplayOptions) -> bool {
    let Destination::RabbitMq { exchange, .. } = destination else {
        return false;
    };
    if is_death_history(&header.name) {
        return options.keep_x_death;
    }
    // Anything but a list closes the channel, and the default exchange takes its keys for queues.
    let is_list = matches!(header.value, HeaderValue::Amqp(AmqpValue::Array(_)));
    header.name == "CC" && options.keep_cc && is_list && !exchange.as_str().is_empty()
}

fn expiration_at_death(letter: Source<'_>) -> Option<String> {
    let queue = letter.decoded.origin.destination.as_deref()?;
    original_expiration(letter.original, queue).map(str::to_owned)
}

fn added_headers(letter: Source<'_>, edited: bool, replay: &Replay) -> Vec<(&'static str, String)> {
    let source = letter.position.replay_source(letter.cluster);
    let mut headers = vec![
        (REPLAY_ID, replay.id.to_string()),
        (REPLAY_JOB_ID, replay.job.to_string()),
        (REPLAY_ATTEMPT, replay.attempt.to_string()),
        (REPLAY_SOURCE, source),
    ];
    if edited {
        let original = letter.original.body.as_deref().unwrap_or_default();
        headers.push((REPLAY_EDITED, "true".to_owned()));
        headers.push((REPLAY_ORIGINAL_SHA256, sha256_hex(original)));
    }
    if let Some(timestamp) = letter.decoded.origin.timestamp {
        let millis = timestamp.as_millis().to_string();
        headers.push((REPLAY_ORIGINAL_TIMESTAMP, millis));
    }
    headers
}

/// Adds what is good to know and no more: it is left out where it would not fit.
fn append_if_it_fits(system: System, name: &str, value: Option<String>, message: &mut Message) {
    let Some(value) = value else {
        return;
    };
    message.headers.push(text_header(system, name, value));
    if fits(system, message).is_err() {
        message.headers.pop();
    }
}

/// Strings on both brokers: some consumers fail on any other type.
fn text_header(system: System, name: &str, value: String) -> Header {
    match system {
        System::Kafka => Header::text(name, value),
        System::RabbitMq => Header::amqp(name, AmqpValue::LongString(Bytes::from(value))),
    }
}

fn fits(system: System, message: &Message) -> Result<(), RenderError> {
    if system == System::Kafka {
        return Ok(());
    }
    let size = message.amqp_headers_size();
    if size <= MOST_AMQP_HEADER_BYTES {
        Ok(())
    } else {
        Err(RenderError::HeadersTooLarge { size })
    }
}

#[cfg(test)]
pub(super) mod sample_letters;
#[cfg(test)]
mod tests;
