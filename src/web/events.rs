//! Server-sent events: which part of what Redrive knows has changed. The script then asks for the
//! changed parts of its page, so that one stream serves all tabs whatever they show.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::AppState;
use super::problem::Problem;
use crate::domain::Snapshot;

/// A browser holds one stream, whatever the number of its tabs.
const STREAMS: usize = 128;

/// Proxies cut connections that are silent for half a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often a stream looks whether the store changed; people do not notice faster.
const STORE_INTERVAL: Duration = Duration::from_secs(1);

static FREE: std::sync::LazyLock<Arc<Semaphore>> =
    std::sync::LazyLock::new(|| Arc::new(Semaphore::new(STREAMS)));

/// `event: changed` with the data `samples`, `replays` or `store`.
pub(crate) async fn stream(
    State(state): State<AppState>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let permit = Arc::clone(&FREE).try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many live pages",
            "close some pages, or reload by hand; everything but live updates works",
        )
    })?;
    let snapshots = state.sampling.subscribe();
    let watcher = Watcher {
        store_mark: state.store.change_mark().await.ok(),
        samples_are_open: true,
        replays: state.replay.changes(),
        replays_are_open: true,
        state,
        snapshots,
        _permit: permit,
    };
    let changes = stream::unfold(watcher, |mut watcher| async move {
        let topic = watcher.next_change().await?;
        let event = Event::default().event("changed").data(topic);
        Some((Ok(event), watcher))
    });
    Ok(Sse::new(changes).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

struct Watcher {
    state: AppState,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    samples_are_open: bool,
    replays: watch::Receiver<u64>,
    replays_are_open: bool,
    store_mark: Option<String>,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    /// Waits for a change; `None` when Redrive stops.
    async fn next_change(&mut self) -> Option<&'static str> {
        loop {
            tokio::select! {
                () = self.state.stop.cancelled() => return None,
                changed = self.snapshots.changed(), if self.samples_are_open => match changed {
                    Ok(()) => return Some("samples"),
                    Err(_) => self.samples_are_open = false,
                },
                changed = self.replays.changed(), if self.replays_are_open => match changed {
                    Ok(()) => return Some("replays"),
                    Err(_) => self.replays_are_open = false,
                },
                () = tokio::time::sleep(STORE_INTERVAL) => {
                    let mark = self.state.store.change_mark().await.ok();
                    if mark.is_some() && mark != self.store_mark {
                        self.store_mark = mark;
                        return Some("store");
                    }
                }
            }
        }
    }
}
