//! Redrive policies at work: looks at the groups that have one, replays what is due by an ordinary job,
//! and switches a policy off of which too much died again.
//!
//! What is not sent again without a person: what is not open (a replay of it is under way or unknown, it was
//! discarded), what the pre-flight refuses, and what only guesses could send. The page of the group says
//! how many that are, by reason.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::plan::sort_for_sending;
use super::start::split;
use super::ticks::Ticks;
use super::{
    DestinationChoice, PreflightEvent, ReplayError, ReplayHandle, ReplayRequest, RevisionChoice,
    Selection, crash,
};
use crate::domain::{
    DeadLetterId, FailureGroupId, Filter, ReplayJobId, ReplayOptions, Snapshot, Timestamp,
};
use crate::store::{
    NewAuditEntry, NewReplayJob, OpenLetter, RedriveFindings, ReplayCandidate, StoredPolicy,
};

/// How often it is looked whether a policy has something to do.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A group is looked at again after that time at the latest: what was refused may be possible now.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// After a look the group rests for so many times its duration, whatever the store holds.
const REST: u32 = 20;

/// Events of one run, which is one transaction.
const MOST_OF_A_RUN: usize = 1_000;

/// Open dead letters looked at together.
const CHUNK: u32 = 1_000;

const USED_UP: &str = "no attempt is left";
const COPY: &str = "possibly a second copy of another dead letter";
const GUESSED: &str = "its destination is only guessed";
const NO_ANSWER: &str = "the cluster of its destination does not answer";

/// Does what the policies say.
pub(super) struct PolicyKeeper {
    pub(super) handle: ReplayHandle,
    pub(super) stop: CancellationToken,
}

/// When a group is looked at next.
struct Watch {
    /// How the group was when it was looked at.
    mark: String,
    /// Not before, even if the group changes.
    rests_until: Timestamp,
    again_at: Timestamp,
}

impl Watch {
    fn is_over(&self, mark: &str, now: Timestamp) -> bool {
        now >= self.again_at || (self.mark != mark && now >= self.rests_until)
    }
}

impl PolicyKeeper {
    pub(super) async fn run(self) {
        let mut watches = HashMap::new();
        let mut ticks = Ticks::new(LOOK_INTERVAL, self.stop.clone());
        while ticks.next().await {
            if let Err(error) = self.look(&mut watches).await {
                tracing::warn!(%error, "redrive policies could not be looked after; trying again");
            }
        }
    }

    async fn look(&self, watches: &mut HashMap<FailureGroupId, Watch>) -> Result<(), ReplayError> {
        let active = self.handle.store.active_redrive_policies().await?;
        watches.retain(|group, _| active.iter().any(|(policy, _)| policy.group == *group));
        for (policy, mark) in active {
            let now = Timestamp::now();
            let watch = watches.get(&policy.group);
            if self.stop.is_cancelled() || watch.is_some_and(|watch| !watch.is_over(&mark, now)) {
                continue;
            }
            let started = Instant::now();
            let next_due = self.visit(&policy, now).await.unwrap_or_else(|error| {
                let error = crate::error_chain(&error);
                tracing::warn!(group = %policy.group, error, "a redrive policy could not be followed");
                None
            });
            let rest = policy.policy.first_delay.min(LONGEST_PAUSE);
            let rests_until = now.plus(rest.max(started.elapsed() * REST));
            let again_at = next_due.unwrap_or(Timestamp(i64::MAX));
            let again_at = again_at.min(now.plus(LONGEST_PAUSE)).max(rests_until);
            let watch = Watch {
                mark,
                rests_until,
                again_at,
            };
            watches.insert(policy.group, watch);
        }
        Ok(())
    }

    /// Looks at one group, replays what is due, and answers when the next one is.
    async fn visit(
        &self,
        policy: &StoredPolicy,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, ReplayError> {
        let store = &self.handle.store;
        if let Some((job, reason)) = store.redrive_run_to_stop_for(policy).await? {
            self.switch_off(policy, job, &reason, now).await?;
            return Ok(None);
        }
        // One run after the other: what is being sent may tell that the next one is no good.
        if store.redrive_run_is_under_way(&policy.group).await? {
            return Ok(Some(now));
        }
        let look = self.sort_out(policy, now).await?;
        let next_due = look.next_due();
        if !look.eligible.is_empty() {
            self.start_run(policy, look.eligible, now).await?;
        }
        let findings = RedriveFindings {
            skipped: look.skipped.into_iter().collect(),
            ..look.findings
        };
        store.note_redrive_findings(policy, &findings, now).await?;
        Ok(next_due)
    }

    /// Goes through the open dead letters of a group and judges those that are due, until a run is full.
    async fn sort_out(&self, policy: &StoredPolicy, now: Timestamp) -> Result<Look, ReplayError> {
        let snapshot = self.handle.snapshots.borrow().clone();
        let mut look = Look::default();
        let mut after = DeadLetterId(0);
        loop {
            let store = &self.handle.store;
            let letters = store.open_letters_of_group(&policy.group, after, CHUNK);
            let letters = letters.await?;
            let Some(last) = letters.last().filter(|_| !self.stop.is_cancelled()) else {
                return Ok(look);
            };
            after = last.id();
            let due = look.take_due(&letters, policy, now);
            if look.eligible.len() >= MOST_OF_A_RUN {
                look.findings.for_next_run += due.len() as u64;
            } else if !due.is_empty() {
                self.judge_due(&due, &snapshot, &mut look).await?;
            }
        }
    }

    async fn judge_due(
        &self,
        due: &HashMap<DeadLetterId, u32>,
        snapshot: &Snapshot,
        look: &mut Look,
    ) -> Result<(), ReplayError> {
        // As by a filter: what was replayed meanwhile is left out.
        let request = ReplayRequest {
            selection: Selection::Filter(Filter::default()),
            revision: RevisionChoice::Latest,
            destination: DestinationChoice::Original,
            options: ReplayOptions::default(),
        };
        let ids: Vec<DeadLetterId> = due.keys().copied().collect();
        let candidates = self.handle.candidates(&ids, request.revision).await?;
        let events = self
            .handle
            .judge_gated(&ids, &candidates, &request, snapshot)
            .await?;
        let mut events: HashMap<DeadLetterId, PreflightEvent> = events
            .into_iter()
            .map(|event| (event.dead_letter, event))
            .collect();
        for candidate in candidates {
            let id = candidate.summary.id;
            let (Some(event), Some(made)) = (events.remove(&id), due.get(&id)) else {
                continue;
            };
            match reason_to_skip(&candidate, &event, snapshot) {
                Some(reason) => look.skip(reason),
                None if look.eligible.len() >= MOST_OF_A_RUN => look.findings.for_next_run += 1,
                None => look.eligible.push(Eligible {
                    candidate,
                    event,
                    attempt: made + 1,
                }),
            }
        }
        Ok(())
    }

    async fn start_run(
        &self,
        policy: &StoredPolicy,
        eligible: Vec<Eligible>,
        now: Timestamp,
    ) -> Result<(), ReplayError> {
        let attempts: Vec<(DeadLetterId, u32)> = eligible
            .iter()
            .map(|letter| (letter.event.dead_letter, letter.attempt))
            .collect();
        let (replays, _) = split(in_sending_order(eligible));
        let job = NewReplayJob {
            id: ReplayJobId(Uuid::now_v7()),
            created_at: now,
            created_by: format!("policy of failure group {}", policy.group),
            selection: format!("what is due of failure group {}", policy.group),
            options: ReplayOptions::default(),
            replays,
        };
        let entry = NewAuditEntry {
            at: now,
            actor: job.created_by.clone(),
            address: String::new(),
            action: "replay.create".to_owned(),
            detail: serde_json::json!({
                "job": job.id,
                "selection": job.selection,
                "destination": "original",
                "failure_group": policy.group,
                "attempts": policy.policy.attempts,
            }),
        };
        crash::point("policy.before_commit");
        let store = &self.handle.store;
        let started = store.start_redrive_run(policy, &job, &attempts, &entry);
        if let Some(created) = started.await? {
            crash::point("policy.committed");
            let planned = created.planned.len();
            tracing::info!(job = %job.id, group = %policy.group, planned, "a redrive policy made a job");
            self.handle.changes.announce();
        }
        Ok(())
    }

    async fn switch_off(
        &self,
        policy: &StoredPolicy,
        job: ReplayJobId,
        reason: &str,
        at: Timestamp,
    ) -> Result<(), ReplayError> {
        let entry = NewAuditEntry {
            at,
            actor: "system".to_owned(),
            address: String::new(),
            action: "redrive_policy.stop".to_owned(),
            detail: serde_json::json!({
                "failure_group": policy.group,
                "reason": reason,
                "job": job,
            }),
        };
        let store = &self.handle.store;
        if store.stop_redrive_policy(policy, reason, &entry).await? {
            tracing::warn!(group = %policy.group, reason, "a redrive policy switched itself off");
            self.handle.changes.announce();
        }
        Ok(())
    }
}

/// A dead letter that the next run replays, for its `attempt`-th time.
struct Eligible {
    candidate: ReplayCandidate,
    event: PreflightEvent,
    attempt: u32,
}

/// What a look at a group finds.
#[derive(Default)]
struct Look {
    eligible: Vec<Eligible>,
    findings: RedriveFindings,
    skipped: BTreeMap<String, u64>,
}

impl Look {
    fn skip(&mut self, reason: &str) {
        *self.skipped.entry(reason.to_owned()).or_default() += 1;
    }

    /// Picks those whose time has come, with the number of attempts that were made.
    fn take_due(
        &mut self,
        letters: &[OpenLetter],
        policy: &StoredPolicy,
        now: Timestamp,
    ) -> HashMap<DeadLetterId, u32> {
        let mut taken = HashMap::new();
        for letter in letters {
            match policy.policy.due(letter.failed_at(), letter.attempts) {
                None => self.skip(USED_UP),
                Some(_) if letter.is_copy => self.skip(COPY),
                Some(due) if due > now => {
                    self.findings.waiting += 1;
                    let next = self.findings.next_due.unwrap_or(due);
                    self.findings.next_due = Some(next.min(due));
                }
                Some(_) => {
                    taken.insert(letter.id(), letter.attempts);
                }
            }
        }
        taken
    }

    /// When something is due next, as far as that is known.
    fn next_due(&self) -> Option<Timestamp> {
        // At the start nothing was sampled yet.
        let is_due = self.findings.for_next_run > 0 || self.skipped.contains_key(NO_ANSWER);
        if is_due {
            Some(Timestamp(0))
        } else {
            self.findings.next_due
        }
    }
}

/// Why an event that is due is left to a person.
fn reason_to_skip<'a>(
    candidate: &ReplayCandidate,
    event: &'a PreflightEvent,
    snapshot: &Snapshot,
) -> Option<&'a str> {
    let destination = match &event.verdict {
        Ok(destination) => destination,
        Err(refusal) => return Some(refusal.kind.as_str()),
    };
    if candidate.origin.guessed {
        return Some(GUESSED);
    }
    let cluster = snapshot.cluster(destination.cluster());
    let answers = cluster.is_some_and(|cluster| cluster.health.up);
    (!answers).then_some(NO_ANSWER)
}

fn in_sending_order(eligible: Vec<Eligible>) -> Vec<PreflightEvent> {
    let mut events = HashMap::with_capacity(eligible.len());
    let mut candidates = Vec::with_capacity(eligible.len());
    for letter in eligible {
        events.insert(letter.event.dead_letter, letter.event);
        candidates.push(letter.candidate);
    }
    sort_for_sending(&mut candidates);
    let ids = candidates.iter().map(|candidate| candidate.summary.id);
    ids.filter_map(|id| events.remove(&id)).collect()
}
