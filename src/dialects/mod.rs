//! What frameworks write on a dead letter: decodes every dialect that is present, and says which of
//! its headers a replay leaves behind.
//!
//! Everything here is pure, takes whatever bytes a stranger sent, and gives bounded output.
//!
//! To add a dialect: a file with `decode` that returns its [`Account`] and with the headers that it
//! writes; one line in [`accounts`], one in `replay_headers.rs`, and a row of cases in its tests.

mod header_sets;
mod header_values;
mod merge;
mod replay_headers;
mod spring_kafka;
pub(crate) mod stack_trace;
mod x_death;
mod x_error;

pub use replay_headers::{
    PropertyChange, StrippedHeader, headers_stripped_on_replay, previous_error,
    properties_on_replay,
};

use crate::domain::{Decoded, Message, Position, System};

/// Deaths beyond this many are left out, the oldest first.
const MOST_HOPS: usize = 100;

/// What one dialect found on a message: its own hops, latest first, and what follows from them.
struct Account {
    decoded: Decoded,
    /// Kafka: the place of its last header. Writers append, so the larger is the later account.
    last_header: Option<usize>,
}

/// Reads every dialect that is present on a message that lies at `position`, and merges them.
pub fn decode(position: &Position, message: &Message) -> Decoded {
    merge::merge(accounts(position, message))
}

/// The accounts of all dialects, the latest first.
fn accounts(position: &Position, message: &Message) -> Vec<Account> {
    match position.system() {
        System::Kafka => {
            let mut accounts: Vec<Account> =
                [x_error::decode(message), spring_kafka::decode(message)]
                    .into_iter()
                    .flatten()
                    .collect();
            accounts.sort_by_key(|account| std::cmp::Reverse(account.last_header));
            accounts
        }
        System::RabbitMq => {
            let mut accounts: Vec<Account> = [
                x_death::decode(position.dlq(), message),
                x_error::decode(message),
                spring_kafka::decode(message),
            ]
            .into_iter()
            .flatten()
            .collect();
            // Headers have no order here, so the times tell; an account without one is the elder.
            accounts.sort_by_key(|account| std::cmp::Reverse(account.latest_time()));
            accounts
        }
    }
}

#[cfg(test)]
mod tests;
