//! The message of a replay: the chosen revision without the story of its death, with the headers by
//! which consumers and Redrive recognise a replay (broker-facts B.3 and D.1). Pure.

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
    AmqpValue, ClusterName, DeadLetter, Destination, Header, HeaderValue, LastDeath,
    MOST_AMQP_HEADER_BYTES, Message, Position, Replay, ReplayOptions, System, sha256_hex,
};

/// Why a replay cannot be sent as it is.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum RenderError {
    #[error(
        "its headers take {size} bytes and AMQP allows {MOST_AMQP_HEADER_BYTES}; remove some by an edit"
    )]
    HeadersTooLarge { size: usize },
}

/// What a dead letter gives to the message of its replay beside the message itself.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) cluster: &'a ClusterName,
    pub(super) position: &'a Position,
    pub(super) death: &'a LastDeath,
    /// The original, if an edited message is sent.
    pub(super) edited_from: Option<&'a Message>,
}

/// Makes the message that a replay of a dead letter would send. `revision` is the edited message, if it is not
/// the original.
pub(super) fn render_letter(
    letter: &DeadLetter,
    revision: Option<&Message>,
    replay: &Replay,
    options: (ReplayOptions, &str),
) -> Result<Message, RenderError> {
    let source = Source {
        cluster: &letter.summary.cluster,
        position: &letter.summary.position,
        death: &LastDeath::from(&letter.decoded),
        edited_from: revision.map(|_| &letter.message),
    };
    let stored = revision.unwrap_or(&letter.message).clone();
    render(source, stored, replay, options)
}

/// Makes the message that a replay sends of what is `stored`, the original or an edited message. On RabbitMQ the
/// options of its job count, and who publishes: `connection_user`.
pub(super) fn render(
    source: Source<'_>,
    stored: Message,
    replay: &Replay,
    (options, connection_user): (ReplayOptions, &str),
) -> Result<Message, RenderError> {
    let system = system_of(&replay.destination);
    let expiration = if options.restore_expiration {
        expiration_at_death(source.edited_from.unwrap_or(&stored), source.death)
    } else {
        None
    };
    let mut message = match unwrapped(&stored) {
        Some((original, _)) => original,
        None => stored,
    };
    let deaths = if system == System::RabbitMq && !options.keep_x_death {
        previous_deaths(&message)
    } else {
        None
    };
    keep_headers(&mut message, &replay.destination, options);
    let properties = message.properties.take();
    if system == System::RabbitMq {
        let (mut properties, _) =
            properties_on_replay(&properties.unwrap_or_default(), connection_user);
        properties.expiration = expiration;
        message.properties = Some(Box::new(properties));
    }
    let added = added_headers(source, replay);
    let texts = added
        .into_iter()
        .map(|(name, value)| text_header(system, name, value));
    message.headers.extend(texts);
    let error = previous_error(source.death);
    append_if_it_fits(system, REPLAY_PREV_ERROR, error, &mut message);
    append_if_it_fits(system, REPLAY_PREV_DEATHS, deaths, &mut message);
    fits(system, &message)?;
    Ok(message)
}

const fn system_of(destination: &Destination) -> System {
    match destination {
        Destination::Kafka { .. } => System::Kafka,
        Destination::RabbitMq { .. } => System::RabbitMq,
    }
}

/// Takes out what replays leave behind.
fn keep_headers(message: &mut Message, destination: &Destination, options: ReplayOptions) {
    let mut stripped = headers_stripped_on_replay(system_of(destination), message);
    stripped
        .retain(|stripped| !is_asked_for(&message.headers[stripped.index], destination, options));
    // Both are in the order of the message.
    let mut stripped = stripped.into_iter().peekable();
    let headers = std::mem::take(&mut message.headers).into_iter().enumerate();
    let kept = headers.filter_map(|(index, header)| {
        match stripped.next_if(|stripped| stripped.index == index) {
            None => Some(header),
            Some(stripped) => stripped.instead.map(|value| Header {
                name: header.name,
                value,
            }),
        }
    });
    message.headers = kept.collect();
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

fn expiration_at_death(original: &Message, death: &LastDeath) -> Option<String> {
    let queue = death.origin.destination.as_deref()?;
    original_expiration(original, queue).map(str::to_owned)
}

fn added_headers(letter: Source<'_>, replay: &Replay) -> Vec<(&'static str, String)> {
    let source = letter.position.replay_source(letter.cluster);
    let mut headers = vec![
        (REPLAY_ID, replay.id.to_string()),
        (REPLAY_JOB_ID, replay.job.to_string()),
        (REPLAY_ATTEMPT, replay.attempt.to_string()),
        (REPLAY_SOURCE, source),
    ];
    if let Some(original) = letter.edited_from {
        let original = original.body.as_deref().unwrap_or_default();
        headers.push((REPLAY_EDITED, "true".to_owned()));
        headers.push((REPLAY_ORIGINAL_SHA256, sha256_hex(original)));
    }
    if let Some(timestamp) = letter.death.origin.timestamp {
        let millis = timestamp.as_millis().to_string();
        headers.push((REPLAY_ORIGINAL_TIMESTAMP, millis));
    }
    headers
}

/// Adds what is good to know and no more: it is left out where it would not fit.
fn append_if_it_fits(
    system: System,
    name: &'static str,
    value: Option<String>,
    message: &mut Message,
) {
    let Some(value) = value else {
        return;
    };
    message.headers.push(text_header(system, name, value));
    if fits(system, message).is_err() {
        message.headers.pop();
    }
}

/// Strings on both brokers: some consumers fail on any other type.
fn text_header(system: System, name: &'static str, value: String) -> Header {
    let value = Bytes::from(value);
    Header {
        name: Bytes::from_static(name.as_bytes()),
        value: match system {
            System::Kafka => HeaderValue::Bytes(value),
            System::RabbitMq => HeaderValue::Amqp(AmqpValue::LongString(value)),
        },
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
