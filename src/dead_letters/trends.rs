use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::domain::Timestamp;
use crate::store::Store;

/// How often growth is judged, as long as that takes little.
const INTERVAL: Duration = Duration::from_mins(1);

/// The wait after a judgement is so many times its duration, whatever the store holds.
const REST: u32 = 50;

/// Judges which failure groups grow until it is stopped.
pub async fn follow_group_trends(store: Store, stop: CancellationToken) {
    loop {
        let started = Instant::now();
        if let Err(error) = store.judge_growth(Timestamp::now()).await {
            let error = crate::error_chain(&error);
            tracing::warn!(error, "cannot judge which failure groups grow");
        }
        let wait = INTERVAL.max(started.elapsed() * REST);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
