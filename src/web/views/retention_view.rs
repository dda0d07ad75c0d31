//! What leaves the store, and what retention did last: a panel of Status.

use crate::config::Config;
use crate::domain::Timestamp;
use crate::store::{RetentionRun, StoreSpace};
use crate::web::AppState;
use crate::web::markup;
use crate::web::problem::Problem;

/// The rows of the panel.
pub(super) struct RetentionView {
    pub(super) size: String,
    pub(super) rules: Vec<String>,
    pub(super) last: String,
    pub(super) problem: String,
}

pub(super) async fn retention_view(
    state: &AppState,
    now: Timestamp,
) -> Result<RetentionView, Problem> {
    let (last, busy) = state.store.last_retention_runs().await?;
    Ok(RetentionView {
        size: size_words(state.store.space().await?),
        rules: rules(&state.config),
        last: last_words(last.as_ref(), busy.as_ref(), now),
        problem: last.and_then(|run| run.problem).unwrap_or_default(),
    })
}

fn size_words(space: StoreSpace) -> String {
    let size = markup::bytes(space.bytes);
    match space.free_bytes {
        0 => size,
        free => format!("{size}, of which {} are free", markup::bytes(free)),
    }
}

fn rules(config: &Config) -> Vec<String> {
    let history = markup::duration(*config.sampling.history_kept);
    let config = &config.retention;
    let mut rules = vec!["Discarded ones are removed when their discard expires.".to_owned()];
    let which = if config.remove_open {
        "Replayed, gone and open ones"
    } else {
        "Replayed and gone ones"
    };
    if let Some(age) = config.max_age {
        rules.push(format!(
            "{which} are removed after {}.",
            markup::duration(*age)
        ));
    }
    if let Some(limit) = config.max_bytes {
        let limit = markup::bytes(limit);
        rules.push(format!(
            "{which} are removed, the oldest first, beyond {limit}."
        ));
    }
    if rules.len() == 1 {
        rules.push(
            "Nothing else is removed: retention.max_age and max_bytes are not set.".to_owned(),
        );
    }
    rules.push(format!("Charts look back {history}."));
    rules
}

fn last_words(last: Option<&RetentionRun>, busy: Option<&RetentionRun>, now: Timestamp) -> String {
    let Some(last) = last else {
        return "not yet".to_owned();
    };
    let ran = markup::ago_text(last.finished_at, now);
    match busy {
        None => format!("{ran}; nothing was removed so far"),
        Some(run) => format!(
            "{ran}; the last to remove something removed {} {}, and made {} of {}",
            markup::counted(run.removed, "dead letter", "dead letters"),
            markup::ago_text(run.finished_at, now),
            markup::bytes(run.bytes_after),
            markup::bytes(run.bytes_before),
        ),
    }
}
