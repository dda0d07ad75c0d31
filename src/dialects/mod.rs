//! What frameworks write on a dead letter: decodes every dialect that is present, says what each of its
//! headers means and which of them a replay leaves behind, and unwraps envelopes.
//!
//! Everything here is pure, takes whatever bytes a stranger sent, and gives bounded output.
//!
//! To add a dialect: a file with a [`Dialect`], which names its sign, its headers and its decoder; one
//! line in [`DIALECTS`]; and a row of cases in its tests.

mod brighter;
mod celery;
mod dapr;
mod dialect;
mod dramatiq;
mod easynetq;
mod embedded_headers;
mod envelopes;
mod event_types;
mod header_sets;
mod header_values;
mod kafka_connect;
mod kafka_streams;
mod karafka;
mod mass_transit;
mod merge;
mod nservicebus;
mod rascal;
mod rebus;
mod replay_headers;
mod retry_counters;
mod share_group;
mod shovel;
mod silverback;
mod smallrye;
mod sneakers;
mod source_by_name;
mod spring_amqp;
mod spring_cloud_stream;
mod spring_kafka;
mod spring_retry_topic;
pub(crate) mod stack_trace;
mod symfony;
mod symfony_php;
mod watermill;
mod wolverine;
mod x_death;
mod x_error;

pub use envelopes::{readable, unwrapped};
pub use event_types::event_type_of_framework;
pub use replay_headers::{
    PropertyChange, StrippedHeader, headers_stripped_on_replay, previous_error,
    properties_on_replay,
};
pub use share_group::pointed_to;
pub use source_by_name::source_by_name;
pub use x_death::{is_death_history, original_expiration, previous_deaths};

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::domain::{AttemptsKind, Decoded, Header, Hop, Message, Position, System};
use dialect::{Dialect, Sign};

/// Deaths beyond this many are left out, the oldest first.
const MOST_HOPS: usize = 100;

/// Every dialect. Where nothing tells which account is later, the earlier in this list counts as that.
static DIALECTS: [Dialect; 32] = [
    x_death::DIALECT,
    x_error::DIALECT,
    spring_kafka::DIALECT,
    spring_retry_topic::DIALECT,
    spring_cloud_stream::DIALECT,
    embedded_headers::DIALECT,
    spring_amqp::DIALECT,
    kafka_connect::DIALECT,
    kafka_streams::DIALECT,
    share_group::DIALECT,
    smallrye::DEAD_LETTER_QUEUE,
    smallrye::DELAYED_RETRY_TOPIC,
    karafka::DIALECT,
    karafka::BEFORE_2_5,
    karafka::WITH_DASHES,
    watermill::DIALECT,
    dapr::DIALECT,
    wolverine::DIALECT,
    silverback::DIALECT,
    brighter::DIALECT,
    mass_transit::DIALECT,
    nservicebus::DIALECT,
    rebus::DIALECT,
    easynetq::DIALECT,
    rascal::DIALECT,
    sneakers::DIALECT,
    celery::DIALECT,
    dramatiq::DIALECT,
    symfony::DIALECT,
    symfony_php::DIALECT,
    shovel::DIALECT,
    retry_counters::DIALECT,
];

/// What one dialect found on a message: its own hops, latest first, and what follows from them.
#[derive(Default)]
struct Account {
    decoded: Decoded,
    /// Kafka, where headers have an order: the larger, the later its headers were written.
    rank: Option<usize>,
}

impl Account {
    /// What follows from hops, latest first, of which the latest tells all.
    fn of_hops(hops: Vec<Hop>, rank: Option<usize>) -> Option<Self> {
        let latest = hops.first()?;
        let decoded = Decoded {
            origin: latest.origin.clone(),
            failure: latest.failure.clone(),
            reason: latest.reason,
            raw_reason: latest.raw_reason.clone(),
            attempts: latest.attempts,
            first_failed_at: hops.iter().filter_map(|hop| hop.first_failed_at).min(),
            last_failed_at: latest.last_failed_at,
            hops,
            ..Decoded::default()
        };
        Some(Self { decoded, rank })
    }

    /// A count without a death.
    fn of_retries(count: u64) -> Self {
        let attempts = Some((count, AttemptsKind::Retries));
        let decoded = Decoded {
            attempts,
            ..Decoded::default()
        };
        Self {
            decoded,
            rank: None,
        }
    }
}

/// Reads every dialect that is present on a message that lies at `position`, and merges them.
pub fn decode(position: &Position, message: &Message) -> Decoded {
    merge::merge(accounts(position, message))
}

/// What the headers of a message are for, where a dialect that is present on it knows them.
pub struct HeaderMeanings(Vec<&'static Dialect>);

impl HeaderMeanings {
    /// Looks for the dialects once, since a message may have many headers.
    pub fn on(system: System, message: &Message) -> Self {
        Self(present_dialects(system, message).collect())
    }

    /// The dialect and the meaning, for people.
    pub fn of(&self, name: &[u8]) -> Option<(&'static str, &'static str)> {
        self.0.iter().find_map(|dialect| {
            let known = dialect.header(name)?;
            Some((dialect.title, known.meaning))
        })
    }

    /// The number that a dialect's header holds as bytes.
    pub fn number(&self, header: &Header) -> Option<i64> {
        let known = self.0.iter().find_map(|it| it.header(&header.name))?;
        known.number?(&header.value)
    }
}

/// The name of a dialect for people.
pub fn title_of_dialect(name: &str) -> &str {
    let mut dialects = DIALECTS.iter();
    dialects
        .find(|dialect| dialect.name == name)
        .map_or(name, |dialect| dialect.title)
}

/// The headers by which dialects are recognised: most messages have none, and no dialect looks at them.
static SIGN_HEADERS: LazyLock<SignHeaders> = LazyLock::new(|| {
    let patterns = DIALECTS.iter().flat_map(|dialect| match dialect.sign {
        Sign::AnyOf(patterns) | Sign::AllOf(patterns) => patterns,
        Sign::Test(_) => &[],
    });
    let (prefixes, names): (Vec<&str>, Vec<&str>) = patterns
        .copied()
        .partition(|pattern| pattern.ends_with('*'));
    SignHeaders {
        names: names.into_iter().map(str::as_bytes).collect(),
        prefixes: prefixes
            .iter()
            .map(|prefix| prefix.trim_end_matches('*').as_bytes())
            .collect(),
    }
});

struct SignHeaders {
    names: HashSet<&'static [u8]>,
    prefixes: Vec<&'static [u8]>,
}

impl SignHeaders {
    fn is_on(&self, message: &Message) -> bool {
        let mut names = message.headers.iter().map(|header| header.name.as_ref());
        names.any(|name| {
            self.names.contains(name) || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
        })
    }
}

/// Whether headers tell that a message died or was tried before. What only a body would tell is not asked.
pub fn was_tried_before(system: System, message: &Message) -> bool {
    if !SIGN_HEADERS.is_on(message) {
        return false;
    }
    let tells = |account: &Account| {
        let attempts = account.decoded.attempts;
        let is_repeated = attempts.is_some_and(|(count, kind)| match kind {
            AttemptsKind::Deliveries => count > 1,
            AttemptsKind::Retries | AttemptsKind::Deaths => count > 0,
        });
        is_repeated || !account.decoded.hops.is_empty()
    };
    let dialects = present_dialects(system, message);
    dialects
        .filter(|dialect| !matches!(dialect.sign, Sign::Test(_)))
        .filter_map(|dialect| (dialect.decode)("", message))
        .any(|account| tells(&account))
}

fn present_dialects(system: System, message: &Message) -> impl Iterator<Item = &'static Dialect> {
    DIALECTS
        .iter()
        .filter(move |dialect| dialect.is_present(system, message))
}

/// The accounts of all dialects, the latest first.
fn accounts(position: &Position, message: &Message) -> Vec<Account> {
    let system = position.system();
    let mut accounts: Vec<Account> = present_dialects(system, message)
        .filter_map(|dialect| (dialect.decode)(position.dlq(), message))
        .collect();
    match system {
        System::Kafka => accounts.sort_by_key(|account| std::cmp::Reverse(account.rank)),
        // Headers have no order here, so the times tell; an account without one is the elder.
        System::RabbitMq => {
            accounts.sort_by_key(|account| std::cmp::Reverse(account.latest_time()));
        }
    }
    accounts
}

#[cfg(test)]
mod frameworks_tests;
#[cfg(test)]
mod tests;
