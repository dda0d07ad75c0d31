//! Tells webhooks of failure groups that are new or came back.
//!
//! One task makes notices of what intake found (`collect.rs`); one task a target takes them into
//! messages (`message.rs`), as many as its limit allows, and posts each until it is taken
//! (`delivery.rs`). Everything in between is in the store: a message that was not taken before a crash
//! is sent again with the same ID. Receivers are slow or down for hours: no task waits for another, and
//! what waits is bounded.
//!
//! To add a form of message: a variant of [`NotificationKind`](crate::config::NotificationKind) and its
//! arm in `message.rs`.

mod collect;
mod delivery;
mod message;
mod signature;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::store::Store;

pub use message::test_notice;

/// How often the tasks look for work: a person who is told two seconds later acts no later.
const INTERVAL: Duration = Duration::from_secs(2);

/// The tasks of all targets, for the caller to spawn. Without a target one task remains, which settles
/// what intake notes.
pub fn tasks(
    config: &Arc<Config>,
    store: &Store,
    metrics: &Arc<Metrics>,
    stop: &CancellationToken,
) -> Vec<BoxFuture<'static, ()>> {
    let collector = collect::Collector::new(config, store.clone(), stop.clone());
    let mut tasks: Vec<BoxFuture<'static, ()>> = vec![Box::pin(collector.run())];
    for target in &config.notifications {
        let (store, metrics) = (store.clone(), Arc::clone(metrics));
        match delivery::Delivery::new(target, store, metrics, stop.clone()) {
            Ok(delivery) => tasks.push(Box::pin(delivery.run())),
            Err(error) => {
                let error = crate::error_chain(&error.without_url());
                tracing::error!(
                    target = target.name(),
                    error,
                    "no HTTP client for a webhook"
                );
            }
        }
    }
    tasks
}
