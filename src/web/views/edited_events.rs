//! What revisions change of the events that a replay would send, for some of them.

use super::diff_view::{DiffLine, body_diff, header_diff, property_diff};
use crate::domain::RevisionNumber;
use crate::replay::PreflightEvent;
use crate::store::{Store, StoreError};

/// Edited events whose difference is shown.
const SAMPLES: usize = 3;

/// An event that is sent as somebody edited it.
pub(super) struct EditedEvent {
    pub(super) letter: i64,
    pub(super) revision: u32,
    /// Key and properties, headers, payload: what differs from the original.
    pub(super) lines: Vec<DiffLine>,
}

/// The first of those that are sent as a revision.
pub(super) async fn edited_events(
    store: &Store,
    events: &[PreflightEvent],
) -> Result<Vec<EditedEvent>, StoreError> {
    let edited = events
        .iter()
        .filter(|event| event.verdict.is_ok() && event.revision.0 > 0);
    let mut samples = Vec::new();
    for event in edited.take(SAMPLES) {
        let letter = event.dead_letter;
        let original = store.message(letter, RevisionNumber(0)).await?;
        let revision = store.message(letter, event.revision).await?;
        let mut lines = property_diff(&original, &revision);
        lines.extend(header_diff(&original, &revision));
        lines.extend(body_diff(
            original.body.as_deref(),
            revision.body.as_deref(),
        ));
        samples.push(EditedEvent {
            letter: letter.0,
            revision: event.revision.0,
            lines,
        });
    }
    Ok(samples)
}
