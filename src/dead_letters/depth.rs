use std::time::Duration;

use super::IntakeContext;
use crate::domain::Timestamp;

/// How often the depth is counted; a scrape reads the last count.
const INTERVAL: Duration = Duration::from_secs(5);

/// Publishes how many dead letters wait in each DLQ and how old the oldest is.
pub(super) async fn publish_depths(context: IntakeContext) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            () = context.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = publish_once(&context).await {
            tracing::warn!(error = %crate::error_chain(&error), "cannot count the dead letters");
        }
    }
}

async fn publish_once(context: &IntakeContext) -> Result<(), crate::store::StoreError> {
    let now = Timestamp::now();
    for depth in context.store.dlq_depths().await? {
        let age = depth.oldest.map(|oldest| now.since(oldest));
        context
            .metrics
            .set_dlq_depth(&depth.cluster, depth.system, &depth.dlq, depth.open, age);
    }
    context
        .metrics
        .set_store_size(context.store.size_bytes().await?);
    context.store.forget_old_minutes(now).await?;
    Ok(())
}
