use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::domain::Timestamp;
use crate::store::{Store, StoreError};

/// How often arrivals are counted, and growth is judged by them.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
const JUDGE_INTERVAL: Duration = Duration::from_secs(60);

/// Chunks of one round: while a backlog is read, counting stays behind and takes little from intake.
const CHUNKS: usize = 10;

/// Follows how fast failure groups fill until it is stopped.
pub async fn follow_group_trends(store: Store, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(COUNT_INTERVAL);
    let mut judged: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let is_due = judged.is_none_or(|at| at.elapsed() >= JUDGE_INTERVAL);
        match follow_once(&store, is_due).await {
            Ok(()) if is_due => judged = Some(Instant::now()),
            Ok(()) => {}
            Err(error) => {
                let error = crate::error_chain(&error);
                tracing::warn!(error, "cannot count the arrivals of failure groups");
            }
        }
    }
}

async fn follow_once(store: &Store, judge: bool) -> Result<(), StoreError> {
    let now = Timestamp::now();
    for _ in 0..CHUNKS {
        if !store.count_arrivals(now).await? {
            break;
        }
    }
    if judge {
        store.judge_growth(now).await?;
    }
    Ok(())
}
