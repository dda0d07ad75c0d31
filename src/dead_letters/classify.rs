//! Failure groups, version 1: which dead letters died of the same cause.
//!
//! The rules, the first that applies: one of the configuration's; exception class and the application's top frame; class and
//! message with its variable parts replaced; reason and queue of the broker's account; nothing but the
//! DLQ. Each is scoped by broker kind and source, because the same exception of two consumers is two
//! problems. A change of any rule needs a new version, or yesterday's groups would not be found today.

use crate::dialects::stack_trace::top_application_frame;
use crate::domain::{
    Classification, ClusterName, ConsumerGroup, DeathReason, Decoded, EventIdentity,
    FailureGroupId, GroupingRule, Position, RuleSubject, System, digest_of_fields,
};

use super::parameterise::parameterise;

const VERSION: &str = "v1";
const LONGEST_TITLE: usize = 160;

/// The failure group of a dead letter in `dlq`. Equal input gives the equal group for ever.
pub(super) fn classify(
    system: System,
    dlq: &str,
    decoded: &Decoded,
    event: &EventIdentity,
) -> Classification {
    let grounds = Grounds::of(dlq, decoded, event);
    let (scope, place) = match decoded.origin.destination.as_deref() {
        Some(source) => (source, format!("among dead letters from {source}")),
        None => (dlq, format!("among dead letters in {dlq}")),
    };
    let fields = [
        VERSION,
        system.as_str(),
        scope,
        grounds.rule,
        &grounds.subject,
        &grounds.detail,
    ];
    Classification {
        group: group_id(fields),
        title: cut_title(&grounds.title),
        explanation: format!("grouped by {}, {place}", grounds.explanation),
    }
}

/// The failure group by the first rule of the configuration that matches. Its identity is the rule's
/// name and the filled key, so that a better filter or title keeps the group.
pub(super) fn by_rule<'a>(
    rules: impl Iterator<Item = &'a GroupingRule>,
    (cluster, position): (&ClusterName, &Position),
    decoded: &Decoded,
    event: &EventIdentity,
) -> Option<Classification> {
    let mut rules = rules.peekable();
    rules.peek()?;
    let failure = &decoded.failure;
    let message = failure.message.as_deref().unwrap_or_default();
    let parameterised = parameterise(message);
    let vhost = match position {
        Position::Kafka { .. } => "",
        Position::RabbitMq { vhost, .. } => vhost.as_str(),
    };
    let consumer = decoded.origin.consumer.as_ref();
    let subject = RuleSubject {
        system: position.system(),
        cluster: cluster.as_str(),
        vhost,
        dlq: position.dlq(),
        source: decoded.origin.destination.as_deref().unwrap_or_default(),
        event_type: event.event_type.as_deref().unwrap_or_default(),
        consumer: consumer.map_or("", ConsumerGroup::as_str),
        reason: decoded.reason.as_str(),
        class: failure.class.as_deref().unwrap_or_default(),
        message,
        parameterised_message: &parameterised,
    };
    let rule = rules.find(|rule| rule.matches(&subject))?;
    let key = rule.key(&subject);
    let with_key = match key.as_str() {
        "" => String::new(),
        key => format!(", with key “{key}”"),
    };
    Some(Classification {
        group: group_id([VERSION, "rule", rule.name(), &key]),
        title: cut_title(&rule.title(&subject)),
        explanation: format!(
            "grouped by rule “{}” ({}){with_key}",
            rule.name(),
            rule.filter().describe()
        ),
    })
}

fn group_id<const N: usize>(fields: [&str; N]) -> FailureGroupId {
    let digest = digest_of_fields(fields.map(str::as_bytes));
    let short = digest.get(..16).unwrap_or(&digest);
    FailureGroupId::new(format!("{VERSION}:{short}"))
}

/// What two dead letters must share to be of one group, and how to say so.
struct Grounds {
    /// Which rule applied: the same words under two rules are two groups.
    rule: &'static str,
    subject: String,
    detail: String,
    title: String,
    explanation: String,
}

impl Grounds {
    fn of(dlq: &str, decoded: &Decoded, event: &EventIdentity) -> Self {
        Self::by_frame(decoded)
            .or_else(|| Self::by_message(decoded))
            .or_else(|| Self::by_death(dlq, decoded))
            .unwrap_or_else(|| Self::by_nothing(dlq, event))
    }

    fn by_frame(decoded: &Decoded) -> Option<Self> {
        let class = decoded.failure.class.as_deref()?;
        let frame = top_application_frame(decoded.failure.stack_trace.as_deref()?)?;
        let message = decoded.failure.message.as_deref().unwrap_or_default();
        Some(Self {
            rule: "frame",
            title: class_and_message(class, &parameterise(message)),
            explanation: format!("exception class {class} and top application frame {frame}"),
            subject: class.to_owned(),
            detail: frame,
        })
    }

    fn by_message(decoded: &Decoded) -> Option<Self> {
        let failure = &decoded.failure;
        let class = failure.class.as_deref().unwrap_or_default();
        let message = parameterise(failure.message.as_deref().unwrap_or_default());
        let explanation = match (class, message.as_str()) {
            ("", "") => return None,
            ("", message) => format!("error message “{message}”"),
            (class, "") => format!("exception class {class}"),
            (class, message) => format!("exception class {class} and message “{message}”"),
        };
        Some(Self {
            rule: "message",
            title: class_and_message(class, &message),
            explanation,
            subject: class.to_owned(),
            detail: message,
        })
    }

    fn by_death(dlq: &str, decoded: &Decoded) -> Option<Self> {
        let reason = decoded.reason;
        if reason == DeathReason::Unknown {
            return None;
        }
        let queue = decoded.origin.destination.as_deref().unwrap_or(dlq);
        let title = match reason {
            DeathReason::Rejected => format!("rejected by the consumer of {queue}"),
            DeathReason::Expired => format!("expired in {queue}"),
            DeathReason::MaxLength => format!("pushed out of {queue} by its length limit"),
            DeathReason::DeliveryLimit => format!("delivered too often from {queue}"),
            DeathReason::Unrouted => format!("unroutable from {queue}"),
            DeathReason::Exception | DeathReason::Unknown => format!("failed in {queue}"),
        };
        Some(Self {
            rule: "death",
            title,
            explanation: format!("reason {reason} and queue {queue}, since no exception is named"),
            subject: reason.as_str().to_owned(),
            detail: queue.to_owned(),
        })
    }

    fn by_nothing(dlq: &str, event: &EventIdentity) -> Self {
        let (title, explanation) = match event.event_type.as_deref() {
            Some(event_type) => (
                format!("{event_type} in {dlq}, cause unknown"),
                format!("DLQ and event type {event_type}, since the headers do not tell the cause"),
            ),
            None => (
                format!("cause unknown, in {dlq}"),
                "DLQ, since the headers do not tell the cause".to_owned(),
            ),
        };
        Self {
            rule: "unknown",
            subject: dlq.to_owned(),
            detail: event.event_type.clone().unwrap_or_default(),
            title,
            explanation,
        }
    }
}

fn class_and_message(class: &str, message: &str) -> String {
    match (simple_name(class), message) {
        ("", message) => message.to_owned(),
        (class, "") => class.to_owned(),
        (class, message) => format!("{class}: {message}"),
    }
}

/// The class without its package or namespace. What holds a space is no class and stays whole.
fn simple_name(class: &str) -> &str {
    if class.contains(char::is_whitespace) {
        return class;
    }
    class
        .rsplit(['.', ':', '\\'])
        .find(|part| !part.is_empty())
        .unwrap_or(class)
}

fn cut_title(title: &str) -> String {
    match title.char_indices().nth(LONGEST_TITLE) {
        Some((end, _)) => format!("{}…", &title[..end]),
        None => title.to_owned(),
    }
}

#[cfg(test)]
mod tests;
