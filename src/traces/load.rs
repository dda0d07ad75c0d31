use std::collections::{BTreeSet, HashMap};

use super::MOST_HANDOVERS;
use super::stitch::{MOST_STEPS, Trace, stitch};
use crate::domain::{
    DeadLetterId, DeadLetterSummary, Destination, ExchangeName, KnownHandover, Landing, Origin,
    RecordPlace, Replay, ReplayState, System, Timestamp, TracedEdit, TracedLetter, TracedReplay,
};
use crate::store::{Store, StoreError};

/// Gaps that a trace tells of.
const MOST_GAPS: u32 = 10;

/// Stitches all that is known of one correlation ID; empty if nothing is.
pub async fn load(store: &Store, correlation_id: &str) -> Result<Trace, StoreError> {
    load_by(store, correlation_id, &known_handovers(store).await?).await
}

/// The handovers by which causes are inferred.
pub(super) async fn known_handovers(store: &Store) -> Result<BTreeSet<KnownHandover>, StoreError> {
    let known = store.known_handovers(MOST_HANDOVERS).await?;
    Ok(known.into_iter().collect())
}

/// As [`load`], for many traces by the same handovers.
pub(super) async fn load_by(
    store: &Store,
    correlation_id: &str,
    handovers: &BTreeSet<KnownHandover>,
) -> Result<Trace, StoreError> {
    let parts = store.trace_parts(correlation_id, MOST_STEPS).await?;
    let read = (parts.events.len() + parts.dead_letters.len()) as u64;
    let all = parts.all_events + parts.all_dead_letters;
    let mut edits: HashMap<DeadLetterId, Vec<TracedEdit>> = HashMap::new();
    for edit in parts.edits {
        edits.entry(edit.letter).or_default().push(edit);
    }
    let letters = parts.dead_letters.iter();
    let letters = letters.map(|(summary, origin)| TracedLetter {
        edits: edits.remove(&summary.id).unwrap_or_default(),
        ..letter(summary, origin)
    });
    let replays = parts.replays.iter().map(replay);
    let mut trace = stitch(
        parts.events,
        letters.collect(),
        replays.collect(),
        handovers,
    );
    trace.left_out += all.saturating_sub(read);
    if let Some(span) = trace.span() {
        trace.gaps = store.trace_gaps(span, MOST_GAPS).await?;
    }
    Ok(trace)
}

fn letter(summary: &DeadLetterSummary, origin: &Origin) -> TracedLetter {
    TracedLetter {
        id: summary.id,
        cluster: summary.cluster.clone(),
        position: summary.position.clone(),
        at: summary.dead_at,
        event: summary.event.clone(),
        status: summary.status,
        reason: summary.reason,
        failure_class: summary.failure_class.clone(),
        failure_message: summary.failure_message.clone(),
        consumed_from: consumed_from(summary.position.system(), origin).filter(|_| !origin.guessed),
        consumer: summary
            .consumer
            .as_ref()
            .map(|consumer| consumer.as_str().to_owned()),
        original: original(summary, origin),
        died_from: summary.died_from_replay,
        edits: Vec::new(),
    }
}

fn consumed_from(system: System, origin: &Origin) -> Option<String> {
    let source = origin.destination.as_deref()?;
    if system == System::Kafka {
        return Some(source.to_owned());
    }
    let key = origin.routing_keys.first().map(String::as_str);
    let exchange = origin.exchange.as_ref().map(ExchangeName::as_str);
    let parts = [exchange, key.filter(|key| *key != source), Some(source)];
    let known = parts.into_iter().flatten().filter(|part| !part.is_empty());
    Some(known.collect::<Vec<_>>().join(":"))
}

/// The record that the headers name, unless only the DLQ's name suggests it.
fn original(summary: &DeadLetterSummary, origin: &Origin) -> Option<RecordPlace> {
    if summary.position.system() != System::Kafka || origin.guessed {
        return None;
    }
    Some(RecordPlace {
        cluster: summary.cluster.clone(),
        topic: origin.destination.as_deref()?.into(),
        partition: origin.partition?,
        offset: origin.offset?,
    })
}

fn replay(replay: &Replay) -> TracedReplay {
    let (at, landing) = sent(&replay.state);
    TracedReplay {
        id: replay.id,
        job: replay.job,
        letter: replay.dead_letter,
        revision: replay.revision,
        at,
        state: replay.state.name(),
        destination: replay.destination.clone(),
        attempt: replay.attempt,
        landed: landing.and_then(|landing| landed(&replay.destination, landing)),
    }
}

/// When it was sent and where it landed, or at least when that was decided.
const fn sent(state: &ReplayState) -> (Option<Timestamp>, Option<Landing>) {
    match state {
        ReplayState::Planned => (None, None),
        ReplayState::DiedAgain { sent_at, .. } => (*sent_at, None),
        ReplayState::Sending { started_at, .. } => (Some(*started_at), None),
        ReplayState::Sent { at, landing } => (Some(*at), *landing),
        ReplayState::Passed {
            sent_at, landing, ..
        }
        | ReplayState::Consumed {
            sent_at, landing, ..
        } => (Some(*sent_at), Some(*landing)),
        ReplayState::NotSeenAgain {
            sent_at, landing, ..
        } => (Some(*sent_at), *landing),
        ReplayState::Failed { at, .. }
        | ReplayState::Unknown { at, .. }
        | ReplayState::Cancelled { at } => (Some(*at), None),
    }
}

fn landed(destination: &Destination, landing: Landing) -> Option<RecordPlace> {
    match destination {
        Destination::Kafka { cluster, topic, .. } => Some(RecordPlace {
            cluster: cluster.clone(),
            topic: topic.clone(),
            partition: landing.partition,
            offset: landing.offset,
        }),
        Destination::RabbitMq { .. } => None,
    }
}
