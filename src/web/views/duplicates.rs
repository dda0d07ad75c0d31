//! Events that were seen more than once: what a producer sent twice, what was retried, and what was replayed.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::NavigationEntry;
use super::trace_rows::trace_url;
use crate::domain::{BindingDestination, EventPlace, Timestamp};
use crate::traces::{RepeatCounts, RepeatedEvent, Repeats, SourceRepeats, repeats};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// Events of one page.
const ROWS: usize = 200;

struct SourceRow {
    /// Empty if its events do not say.
    source: String,
    destination: String,
    cluster: String,
    /// The consumer groups that read the topic, or the queues to which the exchange is bound.
    consumers: String,
    counts: CountCells,
}

struct EventRow {
    href: String,
    event_id: Markup,
    event_type: String,
    source: String,
    destination: String,
    times: u64,
    counts: CountCells,
    first: Markup,
    last: Markup,
}

struct CountCells {
    duplicates: Markup,
    retries: Markup,
    replays: Markup,
    elsewhere: Markup,
}

#[derive(Template)]
#[template(path = "duplicates.html")]
struct DuplicatesPage {
    sentence: String,
    sources: Vec<SourceRow>,
    events: Vec<EventRow>,
    /// Events that are not shown.
    left_out: usize,
}

pub(crate) async fn duplicates(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let found = repeats(state.store.repeated_events().await?);
    let sources = found.sources.iter().take(ROWS);
    let content = DuplicatesPage {
        sentence: sentence(&found),
        sources: sources.map(|source| source_row(source, &state)).collect(),
        left_out: found.events.len().saturating_sub(ROWS),
        events: found
            .events
            .iter()
            .take(ROWS)
            .map(|event| event_row(event, visit.now))
            .collect(),
    };
    visit.page(&state, NavigationEntry::Traces, "Duplicates", &content)
}

fn sentence(found: &Repeats) -> String {
    let sum = |count: fn(&RepeatCounts) -> u64| -> u64 {
        found.events.iter().map(|event| count(&event.counts)).sum()
    };
    let duplicates = sum(|counts| counts.duplicates);
    if found.events.is_empty() {
        return "No event of the newest 20,000 came twice.".to_owned();
    }
    format!(
        "{} of the newest 20,000 came more than once: {}, {}, {}.",
        markup::counted(found.events.len() as u64, "event", "events"),
        markup::counted(duplicates, "duplicate", "duplicates"),
        markup::counted(sum(|counts| counts.retries), "retry", "retries"),
        markup::counted(sum(|counts| counts.replays), "replay", "replays"),
    )
}

fn source_row(repeats: &SourceRepeats, state: &AppState) -> SourceRow {
    SourceRow {
        source: repeats.source.clone().unwrap_or_default(),
        destination: repeats.place.channel().0.to_owned(),
        cluster: repeats.place.cluster().to_string(),
        consumers: who_consumes(&repeats.place, state).join(", "),
        counts: CountCells::of(&repeats.counts),
    }
}

/// Who may meet the copies.
pub(crate) fn who_consumes(place: &EventPlace, state: &AppState) -> Vec<String> {
    let snapshot = state.snapshot();
    match place {
        EventPlace::Record(record) => {
            let groups = snapshot.groups().filter(|(cluster, group)| {
                let mut topics = group.topics.iter();
                cluster.name == record.cluster && topics.any(|topic| topic.topic == record.topic)
            });
            let tap = &state.config.traces.consumer_group;
            let groups = groups.filter(|(_, group)| group.group.as_str() != tap);
            groups.map(|(_, group)| group.group.to_string()).collect()
        }
        EventPlace::Routed(routed) => {
            let cluster = snapshot.cluster(&routed.cluster);
            let detail = cluster.and_then(|cluster| cluster.rabbitmq());
            let bindings = detail.iter().flat_map(|detail| &detail.bindings);
            let of_exchange = bindings.filter(|binding| {
                binding.vhost == routed.vhost && binding.exchange == routed.exchange
            });
            let queues = of_exchange.filter_map(|binding| match &binding.destination {
                BindingDestination::Queue(queue) => Some(queue.to_string()),
                BindingDestination::Exchange(_) => None,
            });
            let mut names: Vec<String> = queues.collect();
            names.sort();
            names.dedup();
            names
        }
    }
}

fn event_row(repeated: &RepeatedEvent, now: Timestamp) -> EventRow {
    let traced = &repeated.event;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let correlation_id = text(&traced.event.correlation_id);
    EventRow {
        href: trace_url(&correlation_id),
        event_id: markup::identifier(&text(&traced.event.event_id)),
        event_type: text(&traced.event.event_type),
        source: text(&traced.source),
        destination: traced.place.destination(),
        times: repeated.times,
        counts: CountCells::of(&repeated.counts),
        first: markup::ago(traced.at, now),
        last: markup::ago(repeated.last, now),
    }
}

impl CountCells {
    fn of(counts: &RepeatCounts) -> Self {
        Self {
            duplicates: markup::count(counts.duplicates),
            retries: markup::count(counts.retries),
            replays: markup::count(counts.replays),
            elsewhere: markup::count(counts.elsewhere),
        }
    }
}
