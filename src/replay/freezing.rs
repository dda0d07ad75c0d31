//! Writes large jobs down after they were confirmed. A selection of any size is judged twice in chunks:
//! first to learn in which order its events will be sent, of which no more is kept than their places;
//! then to plan them in that order. Nothing is sent before the job is whole.
//!
//! A crash costs the first pass and no more: what is planned already is found to be active and left
//! alone, and it was the beginning of the order.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{DeadLetterId, Filter, ReplayOptions, RevisionNumber, Timestamp};
use crate::store::{Freezing, NewAuditEntry, ReplayCandidate, StoreError};

use super::plan::{SendingPlace, sending_place};
use super::selection::SelectionWalk;
use super::start::{replayed_of, split};
use super::{
    DestinationChoice, ReplayError, ReplayHandle, ReplayRequest, RevisionChoice, Selection, crash,
};

/// Replays that one transaction plans.
const PLANNED_AT_ONCE: usize = 500;

const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(2);

/// A request as the store keeps it while its job is not whole.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredRequest {
    dead_letters: Option<Vec<DeadLetterId>>,
    filter: Option<String>,
    revision: Option<RevisionNumber>,
    destination: DestinationChoice,
    #[serde(default)]
    options: ReplayOptions,
}

impl StoredRequest {
    pub(super) fn of(request: &ReplayRequest) -> Self {
        let (dead_letters, filter) = match &request.selection {
            Selection::DeadLetters(ids) => (Some(ids.clone()), None),
            Selection::Filter(filter) => (None, Some(filter.text().to_owned())),
        };
        Self {
            dead_letters,
            filter,
            revision: match request.revision {
                RevisionChoice::Latest => None,
                RevisionChoice::Number(number) => Some(number),
            },
            destination: request.destination.clone(),
            options: request.options,
        }
    }

    pub(super) fn encode(&self) -> Result<String, StoreError> {
        serde_json::to_string(self).map_err(StoreError::corrupt("a replay request"))
    }

    /// The request again, or why this version does not understand it.
    fn decode(text: &str) -> Result<ReplayRequest, String> {
        let stored: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let selection = match (stored.dead_letters, stored.filter) {
            (Some(ids), _) => Selection::DeadLetters(ids),
            (None, filter) => {
                let filter = Filter::parse(&filter.unwrap_or_default());
                Selection::Filter(filter.map_err(|error| error.to_string())?)
            }
        };
        Ok(ReplayRequest {
            selection,
            revision: stored
                .revision
                .map_or(RevisionChoice::Latest, RevisionChoice::Number),
            destination: stored.destination,
            options: stored.options,
        })
    }
}

/// Makes the jobs whole that were confirmed, one after the other.
pub(super) struct Freezer {
    pub(super) handle: ReplayHandle,
    pub(super) stop: tokio_util::sync::CancellationToken,
}

/// What the first pass found.
#[derive(Default)]
struct Order {
    eligible: Vec<(SendingPlace, DeadLetterId)>,
    refused: u64,
}

impl Freezer {
    pub(super) async fn run(self) {
        let mut changes = self.handle.changes();
        while !self.stop.is_cancelled() {
            changes.borrow_and_update();
            let pause = match self.freeze_next().await {
                Ok(true) => continue,
                Ok(false) => None,
                Err(error) => {
                    tracing::warn!(%error, "a replay job could not be written down; trying again");
                    Some(PAUSE_AFTER_ERROR)
                }
            };
            let again = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => drop(changes.changed().await),
                }
            };
            tokio::select! {
                () = again => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Makes the oldest job whole that is not; answers whether there was one.
    async fn freeze_next(&self) -> Result<bool, ReplayError> {
        let store = &self.handle.store;
        let Some(freezing) = store.unfinished_freezing().await? else {
            return Ok(false);
        };
        match StoredRequest::decode(&freezing.request) {
            Ok(request) => self.freeze(&freezing, &request).await?,
            Err(reason) => {
                let problem = format!("this version cannot read what was confirmed: {reason}");
                self.finish(&freezing, 0, Some(&problem)).await?;
            }
        }
        Ok(true)
    }

    async fn freeze(
        &self,
        freezing: &Freezing,
        request: &ReplayRequest,
    ) -> Result<(), ReplayError> {
        let order = self.first_pass(freezing, request).await?;
        let mut refused = order.refused;
        for chunk in order.eligible.chunks(PLANNED_AT_ONCE) {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let ids: Vec<DeadLetterId> = chunk.iter().map(|(_, id)| *id).collect();
            let snapshot = self.handle.snapshots.borrow().clone();
            let found = self.handle.candidates(&ids, request.revision).await?;
            let found = in_order(found, &ids);
            let judged = self.handle.judge_gated(&ids, &found, request, &snapshot);
            let events = judged.await?;
            let (replays, no_more) = split(events);
            let (store, replayed) = (&self.handle.store, replayed_of(&request.selection));
            let planned = store.plan_more(freezing.job, &replays, replayed, Timestamp::now());
            let Some(created) = planned.await? else {
                return Ok(());
            };
            refused += (no_more.len() + created.refused.len()) as u64;
            crash::point("freeze.chunk");
            self.handle.changes.announce();
        }
        // A stop in the first pass left the order short.
        if self.stop.is_cancelled() {
            return Ok(());
        }
        self.finish(freezing, refused, None).await
    }

    async fn first_pass(
        &self,
        freezing: &Freezing,
        request: &ReplayRequest,
    ) -> Result<Order, ReplayError> {
        let store = &self.handle.store;
        let planned = store.dead_letters_of_job(freezing.job).await?;
        let planned: HashSet<DeadLetterId> = planned.iter().collect();
        let at = freezing.confirmed_at;
        let mut walk = SelectionWalk::new(store, &request.selection, at, freezing.through);
        let mut sources = HashMap::new();
        let mut order = Order::default();
        loop {
            let ids = walk.next().await?;
            if ids.is_empty() || self.stop.is_cancelled() {
                break;
            }
            let snapshot = self.handle.snapshots.borrow().clone();
            let candidates = self.handle.candidates(&ids, request.revision).await?;
            let places: HashMap<DeadLetterId, SendingPlace> = candidates
                .iter()
                .map(|candidate| (candidate.summary.id, sending_place(candidate, &mut sources)))
                .collect();
            for event in self.handle.judge_all(&ids, &candidates, request, &snapshot) {
                let id = event.dead_letter;
                match (event.verdict, places.get(&id)) {
                    (Ok(_), Some(place)) => order.eligible.push((*place, id)),
                    _ if planned.contains(&id) => {}
                    _ => order.refused += 1,
                }
            }
        }
        order.eligible.sort_unstable();
        Ok(order)
    }

    async fn finish(
        &self,
        freezing: &Freezing,
        refused: u64,
        problem: Option<&str>,
    ) -> Result<(), ReplayError> {
        let store = &self.handle.store;
        let letters = store.dead_letters_of_job(freezing.job).await?;
        let count = letters.len();
        let entry = NewAuditEntry {
            at: Timestamp::now(),
            actor: freezing.confirmed_by.clone(),
            address: freezing.address.clone(),
            action: "replay.freeze".to_owned(),
            detail: serde_json::json!({
                "job": freezing.job,
                "count": count,
                "dead_letters": letters,
                "refused": refused,
                "problem": problem,
            }),
        };
        store
            .finish_freezing(freezing.job, refused, problem, &entry)
            .await?;
        tracing::info!(job = %freezing.job, count, refused, "a replay job is whole");
        self.handle.changes.announce();
        Ok(())
    }
}

/// Brings candidates into the order of the IDs.
fn in_order(candidates: Vec<ReplayCandidate>, ids: &[DeadLetterId]) -> Vec<ReplayCandidate> {
    let mut by_id: HashMap<DeadLetterId, ReplayCandidate> = candidates
        .into_iter()
        .map(|candidate| (candidate.summary.id, candidate))
        .collect();
    ids.iter().filter_map(|id| by_id.remove(id)).collect()
}
