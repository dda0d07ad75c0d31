//! The brake of running jobs: passes canary steps whose outcomes are known, and pauses a job of which
//! too much died again or failed.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::changes::Changes;
use super::ticks::Ticks;
use crate::domain::{Replay, ReplayJob, ReplayState, ReplayStateName, Timestamp};
use crate::store::{NewAuditEntry, Store, StoreError};

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Events of a canary step that are looked at one by one; a step releases fewer.
const MOST_OF_A_STEP: u32 = 1_000;

/// Watches the jobs that have something to send.
pub(super) struct BrakeKeeper {
    pub(super) store: Store,
    pub(super) changes: Changes,
    /// How long RabbitMQ, which tells nothing of a consumption, must be silent after a canary step.
    pub(super) ramp_wait: Duration,
    pub(super) stop: CancellationToken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Judgement {
    GoOn,
    NextStep,
    Stop(String),
}

impl BrakeKeeper {
    pub(super) async fn run(self) {
        let mut ticks = Ticks::new(LOOK_INTERVAL, self.stop.clone());
        while ticks.next().await {
            if let Err(error) = self.look(Timestamp::now()).await {
                tracing::warn!(%error, "the brakes of replay jobs could not be looked after");
            }
        }
    }

    async fn look(&self, now: Timestamp) -> Result<(), StoreError> {
        for job in self.store.jobs_to_send().await? {
            let at_step_end = job.allowed_by_ramp() == Some(0);
            let first = if at_step_end {
                let (skipped, limit) = (job.ramp_base, MOST_OF_A_STEP);
                self.store.replays_of_job(job.id, skipped, limit).await?
            } else {
                Vec::new()
            };
            match judge(&job, &first, self.ramp_wait, now) {
                Judgement::GoOn => {}
                Judgement::NextStep => {
                    let step = job.ramp_step + 1;
                    self.store.set_ramp_step(job.id, step).await?;
                    tracing::info!(job = %job.id, step, "a canary step was passed");
                    self.changes.announce();
                }
                Judgement::Stop(reason) => self.pause(&job, &reason, now).await?,
            }
        }
        Ok(())
    }

    async fn pause(&self, job: &ReplayJob, reason: &str, at: Timestamp) -> Result<(), StoreError> {
        let entry = NewAuditEntry {
            at,
            actor: "system".to_owned(),
            address: String::new(),
            action: "replay.stop".to_owned(),
            detail: serde_json::json!({ "job": job.id, "reason": reason }),
        };
        if self.store.pause_job(job.id, reason, &entry).await? {
            tracing::warn!(job = %job.id, reason, "a replay job was stopped");
            self.changes.announce();
        }
        Ok(())
    }
}

/// `first` are the first events of the ramp of a job whose canary step has released all it may.
fn judge(job: &ReplayJob, first: &[Replay], ramp_wait: Duration, now: Timestamp) -> Judgement {
    if let Some(reason) = too_many(job) {
        return Judgement::Stop(reason);
    }
    if job.allowed_by_ramp() == Some(0) && outcomes_are_known(job, first, ramp_wait, now) {
        return Judgement::NextStep;
    }
    Judgement::GoOn
}

/// Why the job has to stop. What somebody knew of when they resumed it counts no more.
fn too_many(job: &ReplayJob) -> Option<String> {
    let bad = job.bad().saturating_sub(job.forgiven);
    let released = job.released().saturating_sub(job.forgiven);
    if let Some(limit) = job.brake.stop_count
        && bad > u64::from(limit)
    {
        return Some(format!(
            "{bad} events died again or failed, more than {limit}"
        ));
    }
    if let Some(percent) = job.brake.stop_percent
        && bad * 100 > released * u64::from(percent)
    {
        return Some(format!(
            "{bad} of {released} events died again or failed, more than {percent} %"
        ));
    }
    None
}

/// Whether nothing of what was released waits for its outcome any more.
fn outcomes_are_known(
    job: &ReplayJob,
    first: &[Replay],
    ramp_wait: Duration,
    now: Timestamp,
) -> bool {
    use ReplayStateName as S;
    const UNDECIDED: [ReplayStateName; 4] = [S::Sending, S::Sent, S::Passed, S::Unknown];
    let undecided: u64 = UNDECIDED.iter().map(|state| job.count(*state)).sum();
    let silent = first.iter().filter(|replay| {
        matches!(&replay.state, ReplayState::Sent { at, landing: None } if now.since(*at) >= ramp_wait)
    });
    undecided == silent.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Brake, DeadLetterId, Destination, Landing, Offset, Partition, ReplayId, ReplayJobId,
        ReplayJobState, ReplayOptions, RevisionNumber,
    };
    use uuid::Uuid;

    const WAIT: Duration = Duration::from_mins(1);
    const NOW: Timestamp = Timestamp(1_000_000);

    fn job(ramp_step: usize, counts: &[(ReplayStateName, u64)]) -> ReplayJob {
        ReplayJob {
            id: ReplayJobId(Uuid::nil()),
            created_at: Timestamp(0),
            created_by: String::new(),
            selection: String::new(),
            state: ReplayJobState::Ready,
            reason: None,
            brake: Brake {
                ramp: true,
                stop_percent: Some(10),
                ..Brake::default()
            },
            options: ReplayOptions::default(),
            ramp_step,
            ramp_base: 0,
            forgiven: 0,
            refused: 0,
            counts: counts.to_vec(),
        }
    }

    fn sent(at: Timestamp, landing: Option<Landing>) -> Replay {
        Replay {
            id: ReplayId(Uuid::nil()),
            number: crate::domain::ReplayNumber(1),
            job: ReplayJobId(Uuid::nil()),
            dead_letter: DeadLetterId(1),
            revision: RevisionNumber(0),
            destination: Destination::queue("r".into(), "/".into(), &"q".into()),
            attempt: 1,
            state: ReplayState::Sent { at, landing },
            updated_at: at,
        }
    }

    use ReplayStateName as S;

    #[test]
    fn a_step_waits_for_the_outcome_of_all_it_released() {
        let judged = |counts: &[_]| judge(&job(1, counts), &[], WAIT, NOW);
        assert_eq!(
            judged(&[(S::Planned, 50), (S::Consumed, 10), (S::Passed, 1)]),
            Judgement::GoOn
        );
        assert_eq!(
            judged(&[(S::Planned, 50), (S::Consumed, 10), (S::DiedAgain, 1)]),
            Judgement::NextStep
        );
        assert_eq!(
            judged(&[(S::Planned, 50), (S::Consumed, 9), (S::DiedAgain, 2)]),
            Judgement::Stop("2 of 11 events died again or failed, more than 10 %".to_owned())
        );
        assert_eq!(
            judged(&[(S::Planned, 50), (S::Consumed, 10)]),
            Judgement::GoOn,
            "one more may go"
        );
    }

    #[test]
    fn silence_of_rabbitmq_passes_a_step_after_a_while_and_that_of_kafka_does_not() {
        let counts = [(S::Planned, 50), (S::Sent, 1)];
        let at = NOW.minus(WAIT);
        let landing = Landing {
            partition: Partition(0),
            offset: Offset(1),
        };
        let judged = |replay| judge(&job(0, &counts), &[replay], WAIT, NOW);
        assert_eq!(judged(sent(at, None)), Judgement::NextStep);
        assert_eq!(judged(sent(NOW, None)), Judgement::GoOn);
        assert_eq!(judged(sent(at, Some(landing))), Judgement::GoOn);
    }

    #[test]
    fn what_was_known_at_the_resume_does_not_stop_the_job_again() {
        let mut resumed = job(3, &[(S::Planned, 50), (S::Sent, 90), (S::Failed, 20)]);
        assert!(matches!(
            judge(&resumed, &[], WAIT, NOW),
            Judgement::Stop(_)
        ));
        resumed.forgiven = 20;
        assert_eq!(judge(&resumed, &[], WAIT, NOW), Judgement::GoOn);
        resumed.brake.stop_count = Some(0);
        resumed.forgiven = 19;
        assert!(matches!(
            judge(&resumed, &[], WAIT, NOW),
            Judgement::Stop(_)
        ));
    }
}
