use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::list::time;
use crate::traces::{RepeatCounts, RepeatedEvent, SourceRepeats, repeats};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::views::who_consumes;

#[derive(Debug, Serialize)]
pub(super) struct Duplicates {
    sources: Vec<OfSource>,
    items: Vec<Item>,
}

#[derive(Debug, Serialize)]
struct Counts {
    duplicates: u64,
    retries: u64,
    replays: u64,
    elsewhere: u64,
}

#[derive(Debug, Serialize)]
struct OfSource {
    source: Option<String>,
    cluster: String,
    destination: String,
    consumers: Vec<String>,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Debug, Serialize)]
struct Item {
    event_id: Option<String>,
    event_type: Option<String>,
    correlation_id: Option<String>,
    source: Option<String>,
    cluster: String,
    destination: String,
    times: u64,
    #[serde(flatten)]
    counts: Counts,
    first_at: String,
    last_at: String,
}

/// Of each list.
const MOST: usize = 1_000;

/// Events that were seen more than once.
pub(super) async fn list(State(state): State<AppState>) -> Result<Json<Duplicates>, Problem> {
    let found = repeats(state.store.repeated_events().await?);
    let source = |repeats: SourceRepeats| OfSource {
        consumers: who_consumes(&repeats.place, &state),
        cluster: repeats.place.cluster().to_string(),
        destination: repeats.place.channel().0.to_owned(),
        counts: counts(&repeats.counts),
        source: repeats.source,
    };
    Ok(Json(Duplicates {
        sources: found.sources.into_iter().take(MOST).map(source).collect(),
        items: found.events.into_iter().take(MOST).map(item).collect(),
    }))
}

const fn counts(counts: &RepeatCounts) -> Counts {
    Counts {
        duplicates: counts.duplicates,
        retries: counts.retries,
        replays: counts.replays,
        elsewhere: counts.elsewhere,
    }
}

fn item(repeated: RepeatedEvent) -> Item {
    let traced = repeated.event;
    Item {
        cluster: traced.place.cluster().to_string(),
        destination: traced.place.destination(),
        event_id: traced.event.event_id,
        event_type: traced.event.event_type,
        correlation_id: traced.event.correlation_id,
        source: traced.source,
        times: repeated.times,
        counts: counts(&repeated.counts),
        first_at: time(traced.at),
        last_at: time(repeated.last),
    }
}
