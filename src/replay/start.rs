//! Confirms jobs. A small one is whole when it is confirmed; a large one is written down afterwards, chunk
//! by chunk ([`super::freezing`]).

use uuid::Uuid;

use crate::domain::{Brake, ReplayId, ReplayJobId, Timestamp};
use crate::store::{NewAuditEntry, NewReplay, NewReplayJob, RefusedReplay, Replayed};

use super::freezing::StoredRequest;
use super::handle::{brake_for_audit, checked, entry};
use super::{
    Actor, DestinationChoice, JobStarted, PreflightEvent, ReplayError, ReplayHandle, ReplayRequest,
    Selection, crash,
};

/// Dead letters that are written down in the transaction that confirms their job.
const MOST_AT_ONCE: usize = 1_000;

impl ReplayHandle {
    /// Freezes a job and has it sent. When this returns, the job is on disk.
    pub async fn start(
        &self,
        request: ReplayRequest,
        actor: Actor,
    ) -> Result<JobStarted, ReplayError> {
        self.start_held(request, Brake::default(), actor).await
    }

    /// The same with a brake from the first event on.
    pub async fn start_held(
        &self,
        request: ReplayRequest,
        brake: Brake,
        actor: Actor,
    ) -> Result<JobStarted, ReplayError> {
        let brake = checked(brake)?;
        let few = self.few_selected(&request.selection, MOST_AT_ONCE).await?;
        let Some(ids) = few else {
            return self.start_freezing(&request, &brake, actor).await;
        };
        let candidates = self.candidates(&ids, request.revision).await?;
        let snapshot = self.snapshots.borrow().clone();
        let events = self
            .judge_gated(&ids, &candidates, &request, &snapshot)
            .await?;
        let (replays, mut refused) = split(events);
        let job = NewReplayJob {
            replays,
            ..new_job(&request, &actor)
        };
        if job.replays.is_empty() {
            return Err(ReplayError::NothingEligible { refused });
        }
        crash::point("plan.before_commit");
        let created = self
            .store
            .create_held_job(
                &job,
                &brake,
                replayed_of(&request.selection),
                &creation_entry(&job, &request, &brake, actor),
            )
            .await?;
        crash::point("plan.committed");
        refused.extend(created.refused);
        if created.planned.is_empty() {
            return Err(ReplayError::NothingEligible { refused });
        }
        tracing::info!(job = %job.id, planned = created.planned.len(), "a replay job was confirmed");
        self.changes.announce();
        Ok(JobStarted {
            job: job.id,
            planned: created.planned,
            refused,
        })
    }

    async fn start_freezing(
        &self,
        request: &ReplayRequest,
        brake: &Brake,
        actor: Actor,
    ) -> Result<JobStarted, ReplayError> {
        let job = new_job(request, &actor);
        let entry = creation_entry(&job, request, brake, actor);
        let stored = StoredRequest::of(request).encode()?;
        self.store
            .create_freezing_job(&job, brake, &stored, &entry)
            .await?;
        tracing::info!(job = %job.id, "a large replay job was confirmed");
        self.changes.announce();
        Ok(JobStarted {
            job: job.id,
            planned: Vec::new(),
            refused: Vec::new(),
        })
    }
}

/// What of a selection is sent though it was replayed before (`plan.rs` judges by the same).
pub(super) const fn replayed_of(selection: &Selection) -> Replayed {
    match selection {
        Selection::DeadLetters(_) => Replayed::AreSentAgain,
        Selection::Filter(_) => Replayed::AreRefused,
    }
}

fn new_job(request: &ReplayRequest, actor: &Actor) -> NewReplayJob {
    NewReplayJob {
        id: ReplayJobId(Uuid::now_v7()),
        created_at: Timestamp::now(),
        created_by: actor.name.clone(),
        selection: selection_for_people(&request.selection),
        options: request.options,
        replays: Vec::new(),
    }
}

/// What is eligible, in the order of sending, and what is not.
pub(super) fn split(events: Vec<PreflightEvent>) -> (Vec<NewReplay>, Vec<RefusedReplay>) {
    let mut replays = Vec::new();
    let mut refused = Vec::new();
    for event in events {
        match event.verdict {
            // IDs of version 7 are in the order in which they were made, which is that of sending.
            Ok(destination) => replays.push(NewReplay {
                id: ReplayId(Uuid::now_v7()),
                dead_letter: event.dead_letter,
                revision: event.revision,
                destination,
            }),
            Err(refusal) => refused.push(RefusedReplay {
                dead_letter: event.dead_letter,
                reason: refusal.reason,
            }),
        }
    }
    (replays, refused)
}

fn selection_for_people(selection: &Selection) -> String {
    match selection {
        Selection::DeadLetters(ids) if ids.len() == 1 => format!("dead letter {}", ids[0]),
        Selection::DeadLetters(ids) => format!("{} dead letters", ids.len()),
        Selection::Filter(filter) if filter.is_empty() => "all dead letters".to_owned(),
        Selection::Filter(filter) => filter.to_string(),
    }
}

/// The store adds which replays it planned: the exact set. Of a large job that is another entry.
fn creation_entry(
    job: &NewReplayJob,
    request: &ReplayRequest,
    brake: &Brake,
    actor: Actor,
) -> NewAuditEntry {
    let destination = match &request.destination {
        DestinationChoice::Original => "original".to_owned(),
        chosen => job.replays.first().map_or_else(
            || format!("{chosen:?}"),
            |replay| replay.destination.to_string(),
        ),
    };
    let detail = serde_json::json!({
        "job": job.id,
        "selection": job.selection,
        "destination": destination,
        "options": request.options,
        "brake": brake_for_audit(brake),
    });
    entry("replay.create", actor, job.created_at, detail)
}
