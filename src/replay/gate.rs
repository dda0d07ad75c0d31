//! Refuses replays of payloads that their JSON Schema does not allow, if the configuration says so.

use std::collections::HashMap;

use super::{PreflightEvent, Refusal, RefusalKind, ReplayHandle};
use crate::dialects::unwrapped;
use crate::domain::DeadLetterId;
use crate::schemas::{Verdict, Violation};
use crate::store::{ReplayCandidate, StoreError};

impl ReplayHandle {
    /// Turns the verdict on each event around whose payload is not valid. A tombstone has no payload.
    pub(super) async fn gate(
        &self,
        events: &mut [PreflightEvent],
        candidates: &[ReplayCandidate],
    ) -> Result<(), StoreError> {
        let Some(schemas) = &self.schemas else {
            return Ok(());
        };
        let types: HashMap<DeadLetterId, &str> = candidates
            .iter()
            .filter_map(|candidate| {
                let event_type = candidate.summary.event.event_type.as_deref()?;
                Some((candidate.summary.id, event_type))
            })
            .collect();
        let mut checker = schemas.checker();
        for event in events.iter_mut().filter(|event| event.verdict.is_ok()) {
            let event_type = types.get(&event.dead_letter).copied();
            if !schemas.has(event_type) {
                continue;
            }
            let stored = self.store.message(event.dead_letter, event.revision);
            let stored = stored.await?;
            let message = unwrapped(&stored).map_or(stored, |(original, _)| original);
            let Some(payload) = message.body else {
                continue;
            };
            let reason = match checker.verdict(event_type, &payload).await {
                None | Some(Verdict::Valid) => continue,
                Some(Verdict::Invalid(violations)) => refusal(&violations),
                Some(Verdict::NotChecked(why)) => {
                    format!("its payload could not be checked by its schema: {why}")
                }
            };
            let kind = RefusalKind::InvalidPayload;
            event.verdict = Err(Refusal { kind, reason });
        }
        Ok(())
    }
}

/// The first violation in words, and how many more there are.
fn refusal(violations: &[Violation]) -> String {
    let first = violations.first().map_or_else(String::new, |violation| {
        let path = match violation.path.as_str() {
            "" => "the payload",
            path => path,
        };
        format!("{path} {}", violation.message)
    });
    let more = match violations.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    format!("its schema does not allow the payload: {first}{more}; edit it first")
}
