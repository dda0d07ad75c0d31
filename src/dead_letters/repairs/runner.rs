//! A program and the child that runs it on one dead letter after the other.

use bytes::Bytes;

use super::RepairError;
use crate::domain::{DeadLetter, DeadLetterId, Message, RepairOutcome, RevisionNumber};
use crate::replay::{Finding, ReplayHandle};
use crate::sandbox::{Answer, Sandbox, SandboxError, Task, Worker};
use crate::store::{Store, StoreError};

/// After so many payloads on which the program met its limits it is given up: each costs seconds.
const MOST_KILLS: u32 = 3;

pub(super) struct Runner {
    sandbox: Sandbox,
    /// Says what a broker would make of a repaired message.
    replay: ReplayHandle,
    program: String,
    worker: Option<Worker>,
    kills: u32,
}

/// What the program makes of one dead letter.
pub(super) struct Look {
    /// The payload as it is now.
    pub(super) before: Bytes,
    pub(super) outcome: RepairOutcome,
    /// What of a changed message may not arrive as it is written, or may be refused.
    pub(super) warnings: Vec<String>,
}

impl Look {
    fn failed(why: impl Into<String>) -> Self {
        Self {
            before: Bytes::new(),
            outcome: RepairOutcome::Failed(why.into()),
            warnings: Vec::new(),
        }
    }

    pub(super) fn new_bytes(&self) -> usize {
        match &self.outcome {
            RepairOutcome::Changed { message, .. } => message.body.as_ref().map_or(0, Bytes::len),
            RepairOutcome::Unchanged | RepairOutcome::Failed(_) => 0,
        }
    }
}

impl Runner {
    /// Compiles the program in a child of its own.
    pub(super) async fn start(
        (sandbox, replay): (&Sandbox, &ReplayHandle),
        program: &str,
    ) -> Result<Self, RepairError> {
        let program = program.to_owned();
        let task = Task::Repair {
            program: program.clone(),
        };
        Ok(Self {
            worker: Some(sandbox.start(task).await?),
            sandbox: sandbox.clone(),
            replay: replay.clone(),
            program,
            kills: 0,
        })
    }

    /// Runs the program on the newest revision of a dead letter.
    pub(super) async fn look_at(
        &mut self,
        store: &Store,
        id: DeadLetterId,
    ) -> Result<Look, RepairError> {
        let letter = match store.dead_letter(id).await {
            Err(StoreError::NoSuchDeadLetter(_)) => return Ok(Look::failed("it is gone")),
            letter => letter?,
        };
        let builds_on = letter.summary.latest_revision;
        let message = match (builds_on, &letter.body_omitted) {
            (RevisionNumber(0), Some(omitted)) => return Ok(Look::failed(omitted)),
            (RevisionNumber(0), None) => letter.message.clone(),
            _ => store.message(id, builds_on).await?,
        };
        let Some(before) = message.body.clone() else {
            return Ok(Look::failed("its payload is null"));
        };
        let (outcome, warnings) = match self.run(&before).await? {
            Answer::Changed(text) => {
                let body = Some(Bytes::from(text));
                let message = Message { body, ..message };
                self.judge(&letter, message).await
            }
            Answer::Failed(why) => (RepairOutcome::Failed(why), Vec::new()),
            Answer::Same | Answer::Checked(_) => (RepairOutcome::Unchanged, Vec::new()),
        };
        Ok(Look {
            before,
            outcome,
            warnings,
        })
    }

    /// What cannot be replayed is not saved, as in the editor.
    async fn judge(&self, letter: &DeadLetter, message: Message) -> (RepairOutcome, Vec<String>) {
        let findings = self.replay.deliverability(letter, &message).await;
        if let Some(refusal) = Finding::refusal(&findings) {
            return (RepairOutcome::Failed(refusal), Vec::new());
        }
        let builds_on = letter.summary.latest_revision;
        let warnings = findings.iter().map(Finding::text).collect();
        (RepairOutcome::Changed { builds_on, message }, warnings)
    }

    async fn run(&mut self, payload: &[u8]) -> Result<Answer, RepairError> {
        let mut worker = if let Some(worker) = self.worker.take() {
            worker
        } else {
            let program = self.program.clone();
            self.sandbox.start(Task::Repair { program }).await?
        };
        match worker.repair(payload).await {
            Ok(answer) => {
                self.worker = Some(worker);
                Ok(answer)
            }
            Err(SandboxError::Exceeded(limit)) => {
                self.kills += 1;
                if self.kills < MOST_KILLS {
                    return Ok(Answer::Failed(limit.to_owned()));
                }
                Err(RepairError::Program(format!(
                    "on {MOST_KILLS} payloads {limit}"
                )))
            }
            Err(error) => Err(error.into()),
        }
    }
}
