//! Whether a broker would take the replay of an edited message, and what of it would not arrive as it
//! was written. Pure: said before the edit is saved, because a refused message costs the channel and
//! every other replay on it. The facts are in broker-facts B.3 and `rabbitmq4.md` 5.

use uuid::Uuid;

use super::ReplayHandle;
use super::render::render_letter;
use crate::config::RabbitMqConfig;
use crate::dialects::headers_stripped_on_replay;
use crate::domain::{
    AmqpProperties, AmqpValue, DeadLetter, Destination, Header, HeaderValue, MOST_HEADER_NESTING,
    Message, Position, Replay, ReplayId, ReplayJobId, ReplayOptions, ReplayState, System,
};

/// What Redrive's Kafka producer takes at most.
const MOST_KAFKA_BYTES: usize = 104_857_600;

/// A topic's `max.message.bytes` unless somebody raised it.
const USUAL_KAFKA_BYTES: usize = 1_048_588;

/// What Kafka counts beside the record itself: the head of its batch and the lengths in the record.
const BATCH_BYTES: usize = 100;

/// `max_message_size` of RabbitMQ 4 unless somebody raised it; earlier versions take eight times as much.
const USUAL_AMQP_BYTES: usize = 16 * 1024 * 1024;

/// AMQP writes the length of a name in one byte.
const MOST_NAME_BYTES: usize = 255;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The broker would refuse the message.
    Refused,
    /// It would arrive otherwise than written, or may be refused by a broker's settings.
    Warning,
}

/// One thing about an edited message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// What it is about: `header CC`, `property expiration`, `payload`.
    pub field: String,
    /// For people, a clause without a full stop.
    pub reason: String,
    /// What to do about it.
    pub remedy: &'static str,
}

struct Findings(Vec<Finding>);

impl Findings {
    fn refused(
        &mut self,
        field: impl Into<String>,
        reason: impl Into<String>,
        remedy: &'static str,
    ) {
        self.add(Severity::Refused, field.into(), reason.into(), remedy);
    }

    fn warning(
        &mut self,
        field: impl Into<String>,
        reason: impl Into<String>,
        remedy: &'static str,
    ) {
        self.add(Severity::Warning, field.into(), reason.into(), remedy);
    }

    fn add(&mut self, severity: Severity, field: String, reason: String, remedy: &'static str) {
        self.0.push(Finding {
            severity,
            field,
            reason,
            remedy,
        });
    }
}

impl ReplayHandle {
    /// What is to be said about a replay of an edited message to where it came from, before the edit is
    /// saved.
    pub async fn deliverability(&self, letter: &DeadLetter, edited: &Message) -> Vec<Finding> {
        let cluster = &letter.summary.cluster;
        let rabbitmq = self.config.rabbitmq.iter().find(|r| r.name == *cluster);
        let user = rabbitmq.map(RabbitMqConfig::user).unwrap_or_default();
        let kafka = self.config.kafka.iter().find(|k| k.name == *cluster);
        let topic_limit = match (kafka, letter.decoded.origin.destination.as_deref()) {
            (Some(kafka), Some(topic)) => self.topic_limits.of(kafka, &topic.into()).await,
            _ => None,
        };
        deliverability(letter, edited, (&user, topic_limit))
    }
}

impl Finding {
    /// As a clause of a sentence, with the remedy.
    pub fn text(&self) -> String {
        format!("{}: {}; {}", self.field, self.reason, self.remedy)
    }

    /// Why the broker would refuse the message, of which these are the findings.
    pub fn refusal(findings: &[Self]) -> Option<String> {
        let refused = findings.iter().find(|f| f.severity == Severity::Refused)?;
        let text = refused.text();
        Some(format!("the broker would refuse a replay of it: {text}"))
    }
}

/// What is to be said about a replay of `edited` instead of the original of `letter`.
/// `connection_user` is who publishes on RabbitMQ, `topic_limit` what the topic of origin takes.
fn deliverability(
    letter: &DeadLetter,
    edited: &Message,
    (connection_user, topic_limit): (&str, Option<usize>),
) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    let system = letter.summary.position.system();
    added_but_left_out(system, &letter.message, edited, &mut findings);
    match system {
        System::Kafka => on_kafka(edited, &mut findings),
        System::RabbitMq => {
            for header in &edited.headers {
                amqp_header(header, &mut findings);
            }
            duplicates(edited, &mut findings);
            let original = letter.message.properties.as_deref();
            if let Some(properties) = edited.properties.as_deref() {
                long_properties(properties, &mut findings);
                refused_properties(properties, &mut findings);
                changed_properties(properties, original, connection_user, &mut findings);
            }
        }
    }
    sizes(
        letter,
        edited,
        (connection_user, topic_limit),
        &mut findings,
    );
    findings.0
}

/// Headers that somebody wrote and that no replay carries.
fn added_but_left_out(
    system: System,
    original: &Message,
    edited: &Message,
    findings: &mut Findings,
) {
    for stripped in headers_stripped_on_replay(system, edited) {
        let header = &edited.headers[stripped.index];
        if !original.headers.contains(header) {
            let reason = format!("a replay leaves it out: {}", stripped.reason);
            findings.warning(field(header), reason, "remove it, or choose another name");
        }
    }
}

fn field(header: &Header) -> String {
    format!(
        "header {}",
        header.name_lossy().chars().take(80).collect::<String>()
    )
}

fn on_kafka(edited: &Message, findings: &mut Findings) {
    for header in &edited.headers {
        let is_void = matches!(
            header.value,
            HeaderValue::Amqp(AmqpValue::Void) | HeaderValue::Null
        );
        if !is_void && header.value.as_bytes().is_none() {
            let reason = "has a type of AMQP, and Kafka's header values are bytes";
            findings.refused(field(header), reason, "write its value as text");
        }
    }
}

fn amqp_header(header: &Header, findings: &mut Findings) {
    let Some(name) = header.name_utf8() else {
        let remedy = "remove it, or rename it";
        return findings.refused(field(header), "its name is not UTF-8", remedy);
    };
    if name.len() > MOST_NAME_BYTES {
        let reason = format!("its name has {} bytes, and AMQP allows 255", name.len());
        findings.refused(field(header), reason, "shorten the name");
    }
    let HeaderValue::Amqp(value) = &header.value else {
        return;
    };
    if matches!(name, "CC" | "BCC") && value.as_array().is_none() {
        let reason = "is not an array of routing keys, which closes the channel";
        findings.refused(field(header), reason, "remove it, or choose the type array");
    }
    if let Some((reason, remedy)) = unsendable(value) {
        findings.refused(field(header), reason, remedy);
    }
}

/// Why RabbitMQ cannot read a value, wherever it is nested.
fn unsendable(value: &AmqpValue) -> Option<(&'static str, &'static str)> {
    match value {
        AmqpValue::ShortString(_) => Some((
            "has the type short string, which RabbitMQ does not read in headers",
            "choose long string",
        )),
        AmqpValue::Array(values) => values.iter().find_map(unsendable),
        AmqpValue::Table(fields) => {
            if fields.iter().any(|(name, _)| name.len() > MOST_NAME_BYTES) {
                return Some((
                    "has a field whose name is longer than 255 bytes",
                    "shorten the field's name",
                ));
            }
            fields.iter().find_map(|(_, value)| unsendable(value))
        }
        _ => None,
    }
}

/// AMQP's headers are a table: of several with one name the last is sent.
fn duplicates(edited: &Message, findings: &mut Findings) {
    let headers = edited.headers.iter().enumerate();
    for (index, header) in headers {
        let is_repeated = edited.headers[index + 1..]
            .iter()
            .any(|h| h.name == header.name);
        let is_first = edited.headers[..index]
            .iter()
            .all(|h| h.name != header.name);
        if is_repeated && is_first {
            let reason = "occurs more than once, and only the last is sent";
            findings.warning(field(header), reason, "keep one of them");
        }
    }
}

fn long_properties(properties: &AmqpProperties, findings: &mut Findings) {
    let p = properties;
    let texts = [
        ("content-type", &p.content_type),
        ("content-encoding", &p.content_encoding),
        ("correlation-id", &p.correlation_id),
        ("reply-to", &p.reply_to),
        ("message-id", &p.message_id),
        ("type", &p.kind),
        ("app-id", &p.app_id),
        ("cluster-id", &p.cluster_id),
    ];
    for (name, text) in texts {
        let bytes = text.as_ref().map_or(0, String::len);
        if bytes > MOST_NAME_BYTES {
            let reason = format!("has {bytes} bytes, and AMQP allows 255");
            findings.refused(format!("property {name}"), reason, "shorten it");
        }
    }
}

fn refused_properties(properties: &AmqpProperties, findings: &mut Findings) {
    if properties
        .expiration
        .as_ref()
        .is_some_and(|text| !AmqpProperties::is_expiration(text))
    {
        findings.refused(
            "property expiration",
            "is no whole number of milliseconds, which closes the channel",
            "write milliseconds, such as 60000, or leave it empty",
        );
    }
}

/// Properties that somebody set and that a replay sends otherwise.
fn changed_properties(
    properties: &AmqpProperties,
    original: Option<&AmqpProperties>,
    connection_user: &str,
    findings: &mut Findings,
) {
    let default = AmqpProperties::default();
    let before = original.unwrap_or(&default);
    if properties.user_id != before.user_id
        && properties
            .user_id
            .as_deref()
            .is_some_and(|user| user != connection_user)
    {
        let reason = format!(
            "a replay leaves it out: RabbitMQ refuses every name but {connection_user}, under which \
             Redrive publishes"
        );
        findings.warning("property user-id", reason, "leave it empty");
    }
    if properties.expiration != before.expiration && properties.expiration.is_some() {
        let reason = "a replay leaves it out: it could expire before it is consumed";
        findings.warning("property expiration", reason, "leave it empty");
    }
    if properties.reply_to.as_deref() == Some("amq.rabbitmq.reply-to")
        && properties.reply_to != before.reply_to
    {
        let reason = "a replay leaves it out: no client waits for a direct reply";
        findings.warning(
            "property reply-to",
            reason,
            "name a queue, or leave it empty",
        );
    }
    if properties.delivery_mode != before.delivery_mode && properties.delivery_mode != Some(2) {
        let reason = "a replay is always persistent: a transient one would be lost at a restart";
        findings.warning("property delivery-mode", reason, "write 2");
    }
}

/// The message as a replay would send it, with the headers that Redrive adds.
fn sizes(
    letter: &DeadLetter,
    edited: &Message,
    (user, topic_limit): (&str, Option<usize>),
    findings: &mut Findings,
) {
    const FEWER: &str = "remove or shorten some";
    if edited.header_nesting() > MOST_HEADER_NESTING {
        let reason = format!("hold more than {MOST_HEADER_NESTING} lists and tables in each other");
        return findings.refused("headers", reason, "flatten them");
    }
    let options = ReplayOptions::default();
    let rendered = match render_letter(
        letter,
        Some(edited),
        &sample_replay(letter),
        (options, user),
    ) {
        Ok(rendered) => rendered,
        Err(error) => return findings.refused("headers", error.to_string(), FEWER),
    };
    let system = letter.summary.position.system();
    let size = rendered.size();
    match system {
        System::Kafka if size > MOST_KAFKA_BYTES => {
            let reason = format!("the record has {size} bytes; Redrive sends at most 100 MiB");
            findings.refused("payload", reason, "shorten it");
        }
        System::Kafka if topic_limit.is_some_and(|limit| size + BATCH_BYTES > limit) => {
            let limit = topic_limit.unwrap_or_default();
            let reason = format!(
                "the record has {size} bytes, and its topic takes {limit} (max.message.bytes) with \
                 {BATCH_BYTES} of the batch around it"
            );
            findings.refused(
                "payload",
                reason,
                "shorten it, or raise max.message.bytes of the topic",
            );
        }
        System::Kafka if topic_limit.is_none() && size > USUAL_KAFKA_BYTES => findings.warning(
            "payload",
            format!("the record has {size} bytes; Kafka refuses more than 1 MiB by default"),
            "shorten it, or raise the topic's max.message.bytes",
        ),
        System::RabbitMq if size > USUAL_AMQP_BYTES => findings.warning(
            "payload",
            format!("the message has {size} bytes; RabbitMQ 4 refuses more than 16 MiB by default"),
            "shorten it, or raise max_message_size",
        ),
        System::Kafka | System::RabbitMq => {}
    }
}

/// A replay whose headers are as long as they can become.
fn sample_replay(letter: &DeadLetter) -> Replay {
    let summary = &letter.summary;
    let cluster = summary.cluster.clone();
    let destination = match &summary.position {
        Position::Kafka { topic, .. } => Destination::Kafka {
            cluster,
            topic: topic.clone(),
            partition: None,
        },
        Position::RabbitMq { vhost, queue, .. } => {
            Destination::queue(cluster, vhost.clone(), queue)
        }
    };
    Replay {
        id: ReplayId(Uuid::nil()),
        number: crate::domain::ReplayNumber(1),
        job: ReplayJobId(Uuid::nil()),
        dead_letter: summary.id,
        revision: summary.latest_revision,
        destination,
        attempt: u32::MAX,
        state: ReplayState::Planned,
        updated_at: summary.indexed_at,
    }
}

#[cfg(test)]
mod tests;
