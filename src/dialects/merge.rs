use super::{Account, MOST_HOPS, header_values};
use crate::domain::{
    AttemptsKind, DeathReason, Decoded, ExchangeName, Failure, Hop, Origin, Timestamp,
};

/// Only the newest hop keeps its stack trace whole; a message of 1 MiB of headers must not become a
/// row of many times that.
const LONGEST_OLDER_STACK_TRACE: usize = 4 * 1024;

impl Account {
    pub(super) fn latest_time(&self) -> Option<Timestamp> {
        let times = |hop: &Hop| hop.last_failed_at.max(hop.first_failed_at);
        self.decoded.hops.iter().filter_map(times).max()
    }
}

/// The normalised view of accounts that come latest first. Facts that belong together, such as topic
/// and offset or class and message, come from one account; only gaps are filled from another.
pub(super) fn merge(accounts: Vec<Account>) -> Decoded {
    let found: Vec<Decoded> = accounts
        .into_iter()
        .map(|account| account.decoded)
        .collect();
    let mut hops = Vec::new();
    let mut merged = Decoded {
        origin: merged_origin(&found),
        failure: merged_failure(&found),
        reason: merged_reason(&found),
        raw_reason: found.iter().find_map(|one| one.raw_reason.clone()),
        envelope: found.iter().find_map(|one| one.envelope),
        payload_absent: found.iter().any(|one| one.payload_absent),
        attempts: merged_attempts(&found),
        first_failed_at: found.iter().filter_map(|one| one.first_failed_at).min(),
        last_failed_at: found
            .iter()
            .find(|one| !one.hops.is_empty())
            .and_then(|latest| latest.last_failed_at),
        hops: Vec::new(),
    };
    hops.extend(found.into_iter().flat_map(|one| one.hops).take(MOST_HOPS));
    shorten_older_stack_traces(&mut hops);
    merged.hops = hops;
    merged
}

fn merged_origin(found: &[Decoded]) -> Origin {
    let origins = || found.iter().map(|one| &one.origin);
    let mut merged = origins()
        .find(|origin| origin.destination.is_some())
        .or_else(|| origins().next())
        .cloned()
        .unwrap_or_default();
    let same_place =
        |origin: &&Origin| origin.destination.is_none() || origin.destination == merged.destination;
    let companions: Vec<&Origin> = origins().filter(same_place).collect();
    merged.exchange = merged
        .exchange
        .or_else(|| companions.iter().find_map(|origin| origin.exchange.clone()));
    merged.timestamp = merged
        .timestamp
        .or_else(|| companions.iter().find_map(|origin| origin.timestamp));
    merged.consumer = merged
        .consumer
        .or_else(|| companions.iter().find_map(|origin| origin.consumer.clone()));
    merged.timestamp_type = merged
        .timestamp_type
        .or_else(|| companions.iter().find_map(|origin| origin.timestamp_type));
    merged.endpoint = merged
        .endpoint
        .or_else(|| companions.iter().find_map(|origin| origin.endpoint.clone()));
    restore_first_publish(&mut merged, &companions);
    merged
}

/// A consumer that publishes to its own retry queue replaces exchange and key in what the broker knows.
/// Where it kept them elsewhere, those are the ones of the first publish.
fn restore_first_publish(merged: &mut Origin, companions: &[&Origin]) {
    let is_default = |exchange: &Option<ExchangeName>| {
        exchange
            .as_ref()
            .is_none_or(|name| name.as_str().is_empty())
    };
    let with_key = || {
        companions
            .iter()
            .filter(|origin| !origin.routing_keys.is_empty())
    };
    if is_default(&merged.exchange)
        && let Some(origin) = with_key().find(|origin| !is_default(&origin.exchange))
    {
        merged.exchange.clone_from(&origin.exchange);
        merged.routing_keys.clone_from(&origin.routing_keys);
    } else if let Some(origin) = with_key().find(|origin| origin.destination.is_none()) {
        merged.routing_keys.clone_from(&origin.routing_keys);
    }
}

fn merged_failure(found: &[Decoded]) -> Failure {
    found
        .iter()
        .map(|one| &one.failure)
        .find(|failure| **failure != Failure::default())
        .cloned()
        .unwrap_or_default()
}

/// That a message expired in a retry queue says less than why it went there.
fn merged_reason(found: &[Decoded]) -> DeathReason {
    let reasons = || found.iter().map(|one| one.reason);
    reasons()
        .find(|reason| !matches!(reason, DeathReason::Expired | DeathReason::Unknown))
        .or_else(|| reasons().find(|reason| *reason != DeathReason::Unknown))
        .unwrap_or(DeathReason::Unknown)
}

/// The kinds cannot be added; what a consumer counted says more than what the broker did.
fn merged_attempts(found: &[Decoded]) -> Option<(u64, AttemptsKind)> {
    [
        AttemptsKind::Deliveries,
        AttemptsKind::Retries,
        AttemptsKind::Deaths,
    ]
    .into_iter()
    .find_map(|wanted| {
        found
            .iter()
            .filter_map(|one| one.attempts)
            .find(|(_, kind)| *kind == wanted)
    })
}

fn shorten_older_stack_traces(hops: &mut [Hop]) {
    let traces = hops
        .iter_mut()
        .filter_map(|hop| hop.failure.stack_trace.as_mut());
    for trace in traces.skip(1) {
        *trace = header_values::cut(trace, LONGEST_OLDER_STACK_TRACE);
    }
}
