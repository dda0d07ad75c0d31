//! Symfony Messenger with its JSON serializer: each stamp is a header of JSON, named by its PHP class.
//! With the default serializer everything stands in the body in PHP's own form: see `symfony_php`.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::dialect::{Dialect, KnownHeader, Sign};
use super::{Account, header_values as read};
use crate::domain::{AttemptsKind, DeathReason, Failure, Hop, Message, Origin, Timestamp};

const FAILED: &str =
    "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\SentToFailureTransportStamp";
const ERROR: &str = "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\ErrorDetailsStamp";
const REDELIVERY: &str = "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\RedeliveryStamp";
/// A longer stamp is left unread.
const LONGEST: usize = 256 * 1024;

pub(super) const DIALECT: Dialect = Dialect {
    name: "symfony",
    title: "Symfony Messenger",
    system: None,
    sign: Sign::AnyOf(&["X-Message-Stamp-*"]),
    headers: &[
        KnownHeader::error(
            FAILED,
            "transport from which it went to the failure transport",
        ),
        KnownHeader::error(ERROR, "the exception"),
        KnownHeader::retry_counter(REDELIVERY, "how often and when it was retried"),
        KnownHeader::kept("X-Message-Stamp-*", "a stamp of Symfony Messenger"),
    ],
    decode,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailedStamp {
    pub(super) original_receiver_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorStamp {
    pub(super) exception_class: Option<String>,
    pub(super) exception_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RedeliveryStamp {
    pub(super) retry_count: Option<i64>,
    pub(super) redelivered_at: Option<String>,
}

fn decode(_: &str, message: &Message) -> Option<Account> {
    let failed: Option<FailedStamp> = last_stamp(message, FAILED);
    let error: Option<ErrorStamp> = last_stamp(message, ERROR);
    let redelivery: Option<RedeliveryStamp> = last_stamp(message, REDELIVERY);
    account(DIALECT.name, failed, error, redelivery)
}

/// What the last stamp of each kind tells.
pub(super) fn account(
    dialect: &str,
    failed: Option<FailedStamp>,
    error: Option<ErrorStamp>,
    redelivery: Option<RedeliveryStamp>,
) -> Option<Account> {
    let retries = redelivery
        .as_ref()
        .and_then(|stamp| read::count(stamp.retry_count?));
    if failed.is_none() && error.is_none() {
        return retries.map(Account::of_retries);
    }
    let redelivered_at = redelivery.and_then(|stamp| stamp.redelivered_at);
    let class = error
        .as_ref()
        .and_then(|stamp| stamp.exception_class.clone());
    let hop = Hop {
        dialect: dialect.to_owned(),
        origin: Origin {
            // A transport is a name of the application, not that of its queue.
            endpoint: failed.and_then(|stamp| stamp.original_receiver_name),
            ..Origin::default()
        },
        failure: Failure {
            class: class.map(|class| read::cut(&class, 512)),
            message: error
                .and_then(|stamp| stamp.exception_message)
                .map(|text| read::cut_message(&text)),
            ..Failure::default()
        },
        reason: DeathReason::Exception,
        attempts: retries.map(|count| (count, AttemptsKind::Retries)),
        last_failed_at: redelivered_at.as_deref().and_then(Timestamp::parse_rfc3339),
        ..Hop::default()
    };
    Account::of_hops(vec![hop], None)
}

fn last_stamp<T: DeserializeOwned>(message: &Message, name: &str) -> Option<T> {
    let text = message
        .header_text(name)
        .filter(|text| text.len() <= LONGEST)?;
    serde_json::from_str::<Vec<T>>(text).ok()?.pop()
}
