//! Dramatiq: no headers; the JSON body holds the actor, how often it was retried, and the traceback of
//! an earlier attempt (never of the last one, and none at the first death). The broker's history tells
//! the death itself.

use serde::Deserialize;

use super::dialect::{Dialect, Sign};
use super::{Account, header_values as read};
use crate::domain::{AttemptsKind, Failure, Hop, Message, Origin, System};

/// A larger body is not searched.
const LARGEST_BODY: usize = 1024 * 1024;

pub(super) const DIALECT: Dialect = Dialect {
    name: "dramatiq",
    title: "Dramatiq",
    system: Some(System::RabbitMq),
    sign: Sign::Test(is_dramatiq),
    headers: &[],
    decode,
};

#[derive(Deserialize)]
struct Body {
    actor_name: String,
    options: Options,
}

#[derive(Deserialize)]
struct Options {
    retries: Option<i64>,
    traceback: Option<String>,
}

/// Dramatiq's encoder writes this field first and without spaces.
fn is_dramatiq(message: &Message) -> bool {
    let body = message.body.as_deref().unwrap_or_default();
    body.starts_with(b"{\"queue_name\":") && body.len() <= LARGEST_BODY
}

fn decode(_: &str, message: &Message) -> Option<Account> {
    let body: Body = serde_json::from_slice(message.body.as_deref()?).ok()?;
    let traceback = body.options.traceback.filter(|text| !text.is_empty());
    let attempts = body
        .options
        .retries
        .and_then(read::count)
        .filter(|count| *count > 0)
        .map(|count| (count, AttemptsKind::Retries));
    let endpoint = (body.actor_name.len() <= 255).then_some(body.actor_name);
    let Some(traceback) = traceback else {
        let mut account = Account::default();
        account.decoded.attempts = attempts;
        account.decoded.origin.endpoint = endpoint;
        return Some(account);
    };
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            endpoint,
            ..Origin::default()
        },
        failure: failure(&traceback),
        attempts,
        ..Hop::default()
    };
    Account::of_hops(vec![hop], None)
}

/// The last line of a traceback names the exception: `ValueError: no stock`.
fn failure(traceback: &str) -> Failure {
    let last = traceback.trim_end().lines().next_back().unwrap_or_default();
    let (class, message) = match last.split_once(": ") {
        Some((class, message)) => (class, Some(message)),
        None => (last, None),
    };
    let is_class = !class.is_empty() && class.len() <= 512 && !class.contains(char::is_whitespace);
    Failure {
        class: is_class.then(|| class.to_owned()),
        message: message.filter(|_| is_class).map(read::cut_message),
        stack_trace: Some(read::cut(traceback, 64 * 1024)),
        ..Failure::default()
    }
}
