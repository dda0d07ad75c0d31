//! What a restart must not forget: the thinned points of the charts, and when which offset of a topic was written.
//!
//! Both are written every five minutes and when the process ends, in transactions of a quarter of a megabyte at
//! most, and read back before the first look. A row that cannot be read is left out with a warning: its part of
//! the past is then not known. A crash forgets five minutes at most.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::KafkaStates;
use super::board::{Board, lock};
use super::history::{
    COARSE_STEP, Grid, HOUR, HourToSave, PAGES_THINNED, STEP, SeriesId, SeriesKey, Source, decode,
    decode_one, encode, floor, thinned,
};
use super::packing::Unreadable;
use crate::config::Config;
use crate::domain::{ClusterName, Timestamp};
use crate::error_chain;
use crate::store::{HistoryPage, Store, StoreError};

const INTERVAL: Duration = Duration::from_mins(5);

/// Points of five minutes are kept so long.
const FINE_FOR: Duration = Duration::from_hours(24);

/// After this no offset of a topic is told its time by what was remembered.
const OFFSETS_FOR: Duration = Duration::from_hours(24);

/// Bytes that one transaction writes: intake and replays write between two of them.
const BATCH_BYTES: usize = 256 * 1024;

pub(super) struct Memory {
    store: Store,
    board: Arc<Board>,
    clusters: Vec<ClusterName>,
    states: KafkaStates,
    interval: Duration,
    kept_for: Duration,
}

impl Memory {
    pub(super) fn new(
        config: &Config,
        store: &Store,
        states: &KafkaStates,
        board: &Arc<Board>,
    ) -> Self {
        Self {
            store: store.clone(),
            board: Arc::clone(board),
            clusters: config.cluster_names().cloned().collect(),
            states: states.clone(),
            interval: *config.sampling.interval,
            kept_for: *config.sampling.history_kept,
        }
    }

    /// Takes up what the last run left. Without it, everything begins anew.
    pub(super) async fn read_back(&self, now: Timestamp) {
        for cluster in &self.clusters {
            if let Err(error) = self.read_hours(cluster, now).await {
                warn(
                    cluster,
                    &error,
                    "the last hours of the charts cannot be read",
                );
            }
        }
        for (cluster, state) in &self.states {
            match self.store.offset_times(cluster).await {
                Ok(pages) => {
                    for page in pages {
                        if let Err(unreadable) = lock(state).remember(&page, now) {
                            warn_unreadable(cluster, unreadable, "times of offsets");
                        }
                    }
                }
                Err(error) => warn(cluster, &error, "the times of offsets cannot be read"),
            }
        }
    }

    /// The hour that is under way and the one before, of which sparklines are made.
    async fn read_hours(&self, cluster: &ClusterName, now: Timestamp) -> Result<(), StoreError> {
        let from = floor(now, HOUR).minus(HOUR);
        let pages = self
            .store
            .recent_history(cluster, STEP, (from, now))
            .await?;
        for page in pages {
            let lines = match decode(&page.points) {
                Ok(lines) => lines,
                Err(unreadable) => {
                    warn_unreadable(cluster, unreadable, "points of charts");
                    continue;
                }
            };
            let began_at = floor(page.began_at, HOUR);
            self.board.with_hours(cluster, |hours| {
                hours.read_back(began_at, lines, (now, self.interval));
            });
        }
        Ok(())
    }

    /// Writes until told to stop, and then once more.
    pub(super) async fn keep(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.tick().await;
        loop {
            let ends = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                _ = ticks.tick() => false,
            };
            let now = Timestamp::now();
            for cluster in &self.clusters {
                if let Err(error) = self.write_hours(cluster).await {
                    warn(cluster, &error, "the charts cannot be written down");
                }
            }
            self.write_offset_times(now).await;
            if ends {
                return;
            }
            if let Err(error) = self.forget(now).await {
                let error = error_chain(&error);
                tracing::warn!(error, "old points of charts cannot be thinned or removed");
            }
        }
    }

    async fn write_hours(&self, cluster: &ClusterName) -> Result<(), StoreError> {
        for hour in self.board.hours_to_save(cluster) {
            let Some((hour, pages)) = encoded(hour).await else {
                return Ok(());
            };
            let page = |(page, points)| HistoryPage {
                cluster: cluster.clone(),
                page,
                began_at: hour.began_at,
                step: STEP,
                points,
            };
            let pages: Vec<_> = pages.into_iter().map(page).collect();
            for batch in batches(&pages, |page| page.points.len()) {
                self.store.write_history(batch).await?;
            }
            self.board.with_hours(cluster, |hours| hours.saved(&hour));
        }
        Ok(())
    }

    async fn write_offset_times(&self, now: Timestamp) {
        for (cluster, state) in &self.states {
            let state = Arc::clone(state);
            let encoding = tokio::task::spawn_blocking(move || lock(&state).remembered());
            let Ok(pages) = encoding.await else {
                return;
            };
            for batch in batches(&pages, |(_, topics)| topics.len()) {
                if let Err(error) = self.store.write_offset_times(cluster, batch, now).await {
                    warn(
                        cluster,
                        &error,
                        "the times of offsets cannot be written down",
                    );
                    break;
                }
            }
        }
    }

    /// Thins what is older than a day and removes what is older than it shall be.
    async fn forget(&self, now: Timestamp) -> Result<(), StoreError> {
        self.thin(now).await?;
        let tomorrow = now.plus(Duration::from_hours(24));
        // The last points of a page are up to six hours younger than its first.
        let oldest = now.minus(self.kept_for + HOUR * PAGES_THINNED);
        for step in [STEP, COARSE_STEP] {
            while self.store.forget_history(step, (oldest, tomorrow)).await? {}
        }
        let offsets_before = now.minus(OFFSETS_FOR);
        self.store.forget_offset_times(offsets_before).await
    }

    async fn thin(&self, now: Timestamp) -> Result<(), StoreError> {
        let span = HOUR * PAGES_THINNED;
        while let Some(oldest) = self.store.oldest_history(STEP).await? {
            let from = floor(oldest, span);
            let to = from.plus(span);
            if to > now.minus(FINE_FOR) {
                break;
            }
            for (cluster, page) in self.store.history_places(STEP, (from, to)).await? {
                self.thin_page(&cluster, page, (from, to)).await?;
            }
        }
        Ok(())
    }

    async fn thin_page(
        &self,
        cluster: &ClusterName,
        page: u16,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<(), StoreError> {
        let last = to.minus(Duration::from_millis(1));
        let rows = self.store.history_page(cluster, page, (from, last)).await?;
        let mut fine = BTreeMap::new();
        for row in rows.into_iter().filter(|row| row.step == STEP) {
            let place = row.began_at.since(from).as_secs() / HOUR.as_secs();
            match decode(&row.points) {
                Ok(lines) => {
                    fine.insert(usize::try_from(place).unwrap_or(0), lines);
                }
                Err(unreadable) => warn_unreadable(cluster, unreadable, "points of charts"),
            }
        }
        let fine: Vec<_> = fine.into_iter().collect();
        let coarse = HistoryPage {
            cluster: cluster.clone(),
            page,
            began_at: from,
            step: COARSE_STEP,
            points: thinned(&fine),
        };
        self.store.thin_history(&coarse, STEP, to).await
    }
}

/// Adds what the store has of a series to what is in memory, which is the newer one where both have it.
pub(super) async fn with_stored_points(
    store: &Store,
    key: &SeriesKey,
    mut recent: Source,
    grid: &Grid,
) -> Result<Source, StoreError> {
    let id = SeriesId::of(&key.series);
    // A page of points of half an hour begins up to six hours before its last point.
    let from = grid.from.minus(HOUR * PAGES_THINNED);
    let rows = store
        .history_page(&key.cluster, id.page(), (from, grid.to))
        .await?;
    for row in rows {
        match decode_one(&row.points, id) {
            Ok(Some(points)) => recent.add_older_points(row.began_at, row.step, &points),
            Ok(None) => {}
            Err(unreadable) => warn_unreadable(&key.cluster, unreadable, "points of charts"),
        }
    }
    Ok(recent)
}

/// Away from the threads that answer requests; `None` when the process ends.
async fn encoded(hour: HourToSave) -> Option<(HourToSave, Vec<(u16, Vec<u8>)>)> {
    let encoding = tokio::task::spawn_blocking(move || {
        let pages = encode(&hour.lines).collect();
        (hour, pages)
    });
    encoding.await.ok()
}

/// Parts of a list that have so many bytes together, or one item.
fn batches<T>(mut items: &[T], bytes: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut batches = Vec::new();
    while !items.is_empty() {
        let mut sum = 0;
        let fits = items.iter().take_while(|item| {
            sum += bytes(item);
            sum <= BATCH_BYTES
        });
        let (batch, rest) = items.split_at(fits.count().max(1));
        batches.push(batch);
        items = rest;
    }
    batches
}

fn warn(cluster: &ClusterName, error: &StoreError, what: &str) {
    let error = error_chain(error);
    tracing::warn!(%cluster, error, "{what}");
}

fn warn_unreadable(cluster: &ClusterName, unreadable: Unreadable, what: &str) {
    tracing::warn!(%cluster, %unreadable, "a row of the store with {what} is left out");
}

#[cfg(test)]
mod tests;
