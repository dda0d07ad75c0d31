//! Judges what is selected, chunk by chunk: what a pre-flight shows and what a job takes.

use std::collections::HashSet;

use crate::domain::{DeadLetterId, Snapshot, Timestamp};
use crate::store::ReplayCandidate;

use super::audience::Audiences;
use super::cautions::cautions;
use super::plan::{PlanContext, judge, sort_for_sending, unknown};
use super::selection::SelectionWalk;
use super::{
    Preflight, PreflightEvent, ReplayError, ReplayHandle, ReplayRequest, RevisionChoice, Selection,
};

/// Events that a pre-flight names; the numbers are of all.
const EVENTS_NAMED: usize = 1_000;

impl ReplayHandle {
    /// What would happen if the request were confirmed now. Changes nothing.
    pub async fn preflight(&self, request: &ReplayRequest) -> Result<Preflight, ReplayError> {
        let snapshot = self.snapshots.borrow().clone();
        let through = self.store.newest_id().await?;
        let now = Timestamp::now();
        let mut walk = SelectionWalk::new(&self.store, &request.selection, now, through);
        let mut preflight = Preflight::default();
        let mut audiences = Audiences::default();
        loop {
            let ids = walk.next().await?;
            if ids.is_empty() {
                break;
            }
            let candidates = self.candidates(&ids, request.revision).await?;
            let events = self
                .judge_gated(&ids, &candidates, request, &snapshot)
                .await?;
            audiences.add(&events, &candidates);
            preflight.add(events);
        }
        if preflight.matching == 0 {
            return Err(ReplayError::NothingSelected);
        }
        preflight.audiences = audiences.finish(&snapshot);
        preflight.cautions = cautions(request.options, &preflight.audiences, &snapshot);
        Ok(preflight)
    }

    /// The named dead letters that exist, in the order in which they will be sent.
    pub(super) async fn candidates(
        &self,
        ids: &[DeadLetterId],
        revision: RevisionChoice,
    ) -> Result<Vec<ReplayCandidate>, ReplayError> {
        let revision = match revision {
            RevisionChoice::Latest => None,
            RevisionChoice::Number(number) => Some(number),
        };
        let mut candidates = self.store.replay_candidates(ids, revision).await?;
        sort_for_sending(&mut candidates);
        Ok(candidates)
    }

    /// What [`Self::judge_all`] says, but nothing is eligible whose payload its schema refuses, if replays are gated.
    pub(super) async fn judge_gated(
        &self,
        ids: &[DeadLetterId],
        candidates: &[ReplayCandidate],
        request: &ReplayRequest,
        snapshot: &Snapshot,
    ) -> Result<Vec<PreflightEvent>, ReplayError> {
        let mut events = self.judge_all(ids, candidates, request, snapshot);
        self.gate(&mut events, candidates).await?;
        Ok(events)
    }

    pub(super) fn judge_all(
        &self,
        ids: &[DeadLetterId],
        candidates: &[ReplayCandidate],
        request: &ReplayRequest,
        snapshot: &Snapshot,
    ) -> Vec<PreflightEvent> {
        let context = PlanContext {
            config: &self.config,
            snapshot,
            request,
        };
        let known: HashSet<DeadLetterId> = candidates
            .iter()
            .map(|candidate| candidate.summary.id)
            .collect();
        let judged = candidates
            .iter()
            .map(|candidate| judge(candidate, &context));
        let missing = ids.iter().filter(|id| !known.contains(id));
        judged.chain(missing.map(|id| unknown(*id))).collect()
    }

    /// Whether a selection names or matches at most so many, and which ones these are.
    pub(super) async fn few_selected(
        &self,
        selection: &Selection,
        most: usize,
    ) -> Result<Option<Vec<DeadLetterId>>, ReplayError> {
        let through = self.store.newest_id().await?;
        let mut walk = SelectionWalk::new(&self.store, selection, Timestamp::now(), through);
        let mut ids = Vec::new();
        loop {
            let next = walk.next().await?;
            if next.is_empty() {
                break;
            }
            ids.extend(next);
            if ids.len() > most {
                return Ok(None);
            }
        }
        if ids.is_empty() {
            return Err(ReplayError::NothingSelected);
        }
        Ok(Some(ids))
    }
}

impl Preflight {
    fn add(&mut self, events: Vec<PreflightEvent>) {
        for event in events {
            self.matching += 1;
            match &event.verdict {
                Ok(_) => {
                    self.eligible += 1;
                    self.already_replayed += u64::from(event.replayed_before);
                }
                Err(refusal) => *self.refused.entry(refusal.kind).or_default() += 1,
            }
            if self.events.len() < EVENTS_NAMED {
                self.events.push(event);
            }
        }
    }
}
