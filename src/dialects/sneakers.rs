//! Sneakers (Ruby) with its `Maxretry` handler: one header `retry_info`, JSON, an object or an array
//! with the newest first. The message keeps no property of its own; they are in that JSON.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::dialect::{Dialect, KnownHeader, Sign};
use super::{Account, header_values as read};
use crate::domain::{
    AttemptsKind, DeathReason, Envelope, Failure, Hop, Message, Origin, System, Timestamp,
};

const NAME: &str = "retry_info";
/// What is longer was not written by Sneakers, which keeps ten lines of a backtrace.
const LONGEST: usize = 256 * 1024;

pub(super) const DIALECT: Dialect = Dialect {
    name: "sneakers",
    title: "Sneakers",
    system: Some(System::RabbitMq),
    sign: Sign::AnyOf(&[NAME]),
    headers: &[KnownHeader::error(
        NAME,
        "the error, the attempts, and the properties that the message had",
    )],
    decode,
};

#[derive(Deserialize)]
struct RetryInfo {
    error: Option<String>,
    num_attempts: Option<i64>,
    failed_at: Option<String>,
    error_class: Option<String>,
    error_message: Option<String>,
    backtrace: Option<Vec<String>>,
    properties: Option<Map<String, Value>>,
}

fn decode(dlq: &str, message: &Message) -> Option<Account> {
    let infos = retry_infos(message)?.into_iter().take(super::MOST_HOPS);
    let mut account = Account::of_hops(infos.map(|info| hop(dlq, info)).collect(), None)?;
    account.decoded.envelope = original_properties(message).map(|_| Envelope::Sneakers);
    Some(account)
}

fn retry_infos(message: &Message) -> Option<Vec<RetryInfo>> {
    let text = message.header_text(NAME)?;
    if text.len() > LONGEST {
        return None;
    }
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(text).map(|one| vec![one]))
        .ok()
}

/// The properties that the message had before Sneakers published it to the error queue.
pub(super) fn original_properties(message: &Message) -> Option<Map<String, Value>> {
    let mut infos = retry_infos(message)?.into_iter();
    infos.find_map(|info| info.properties)
}

fn hop(dlq: &str, info: RetryInfo) -> Hop {
    let failed_at = info.failed_at.as_deref().and_then(Timestamp::parse_rfc3339);
    let raw_reason = info.error.as_deref().map(|text| read::cut(text, 200));
    let rejected = raw_reason.as_deref() == Some("reject");
    Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: dlq.strip_suffix("-error").map(str::to_owned),
            ..Origin::default()
        },
        failure: Failure {
            class: info.error_class,
            message: info.error_message.as_deref().map(read::cut_message),
            stack_trace: info
                .backtrace
                .map(|lines| read::cut(&lines.join("\n"), 64 * 1024)),
            ..Failure::default()
        },
        reason: if rejected {
            DeathReason::Rejected
        } else {
            DeathReason::Exception
        },
        raw_reason,
        attempts: info
            .num_attempts
            .and_then(read::count)
            .map(|count| (count, AttemptsKind::Deliveries)),
        first_failed_at: failed_at,
        last_failed_at: failed_at,
    }
}
