use crate::domain::NewDeadLetter;
use crate::metrics::Metrics;
use crate::store::Indexed;

/// Counts what a batch brought. `indexed` may be shorter: certain redeliveries are not stored again.
pub(super) fn count<'a>(
    metrics: &Metrics,
    batch: impl IntoIterator<Item = &'a NewDeadLetter>,
    indexed: &[Indexed],
) {
    let batch: Vec<&NewDeadLetter> = batch.into_iter().collect();
    for entry in indexed {
        let Some(letter) = batch.get(entry.batch_index) else {
            continue;
        };
        let (system, dlq) = (letter.position.system(), letter.position.dlq());
        let source = letter
            .decoded
            .origin
            .destination
            .as_deref()
            .unwrap_or_default();
        metrics.dead_letter_seen(&letter.cluster, system, source, dlq, letter.decoded.reason);
        if entry.group_is_new_or_regressed {
            metrics.failure_group_new(&letter.cluster, system, dlq);
        }
    }
}
