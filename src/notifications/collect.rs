use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::INTERVAL;
use super::message::{Links, NoticeContent};
use crate::config::{Config, NotificationConfig};
use crate::domain::Timestamp;
use crate::store::{DlqBacklog, NewNotice, Store, StoreError};

/// Events of one transaction.
const CHUNK: u32 = 200;

/// Makes notices of the events that intake noted.
pub(super) struct Collector {
    targets: Vec<String>,
    links: Links,
    store: Store,
    stop: CancellationToken,
}

impl Collector {
    pub(super) fn new(config: &Arc<Config>, store: Store, stop: CancellationToken) -> Self {
        let targets = config.notifications.iter();
        Self {
            targets: targets.map(NotificationConfig::name).collect(),
            links: Links::new(config.http.public_url.as_deref()),
            store,
            stop,
        }
    }

    pub(super) async fn run(self) {
        if let Err(error) = self.forget_other_targets().await {
            let error = crate::error_chain(&error);
            tracing::warn!(error, "notices for removed webhooks could not be removed");
        }
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.collect().await {
                let error = crate::error_chain(&error);
                tracing::warn!(error, "cannot queue notifications; trying again");
            }
        }
    }

    async fn forget_other_targets(&self) -> Result<(), StoreError> {
        let forgotten = self.store.forget_other_targets(&self.targets).await?;
        if forgotten > 0 {
            tracing::warn!(
                forgotten,
                "what was queued for webhooks that are no longer configured is forgotten"
            );
        }
        Ok(())
    }

    async fn collect(&self) -> Result<(), StoreError> {
        // Events that were noted while a backlog was read are counted before it is told: it is looked up
        // before they are settled, and again after.
        let ripe = self.store.untold_backlogs().await?;
        while self.settle_events().await? {
            if self.stop.is_cancelled() {
                return Ok(());
            }
        }
        if ripe.is_empty() {
            return Ok(());
        }
        let is_ripe = |backlog: &DlqBacklog| ripe.iter().any(|known| known.dlq == backlog.dlq);
        let mut told = self.store.untold_backlogs().await?;
        told.retain(is_ripe);
        let news: Vec<&DlqBacklog> = told.iter().filter(|backlog| backlog.groups > 0).collect();
        let notices = match news.first() {
            None => Vec::new(),
            Some(first) => {
                let subject = format!("backlog {} {}", first.dlq.cluster, first.dlq.dlq);
                self.for_all(&subject, &NoticeContent::of_backlogs(&news, &self.links))
            }
        };
        let now = Timestamp::now();
        self.store.tell_backlogs(&told, &notices, now).await
    }

    /// Makes notices of some events; `false` if there are no more.
    async fn settle_events(&self) -> Result<bool, StoreError> {
        let events = self.store.group_events(CHUNK).await?;
        let news = events.iter().filter(|event| !event.is_backlog);
        let notices: Vec<NewNotice> = news
            .flat_map(|event| {
                let subject = format!("group {}", event.group);
                self.for_all(&subject, &NoticeContent::of_group(event, &self.links))
            })
            .collect();
        let now = Timestamp::now();
        self.store
            .settle_group_events(&events, &notices, now)
            .await?;
        Ok(!events.is_empty())
    }

    fn for_all(&self, subject: &str, content: &NoticeContent) -> Vec<NewNotice> {
        let notice = |target: &String| NewNotice {
            target: target.clone(),
            subject: subject.to_owned(),
            content: content.to_json(),
        };
        self.targets.iter().map(notice).collect()
    }
}
