//! What happened to a dead letter, oldest first: its deaths, its arrival, edits, replays and outcomes.

use super::error_view::reason_means;
use super::evidence::evidence;
use super::failure_group::{NOTES, path_of};
use super::replays::state_status;
use super::revert::Revert;
use crate::domain::{DeadLetter, Hop, Replay, Revision, RevisionNumber, Timestamp};
use crate::store::GroupNote;
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};
use crate::web::problem::Problem;

/// One entry of the history.
pub(super) struct Happening {
    /// Sorts the entries; entries without a time come first.
    at: Option<Timestamp>,
    pub(super) status: &'static str,
    pub(super) when: Markup,
    pub(super) what: String,
    pub(super) detail: String,
    pub(super) links: Vec<Link>,
    /// The revision that this entry made, if it is not the newest.
    pub(super) revert: Option<Revert>,
}

/// Where more of it is told.
pub(super) struct Link {
    pub(super) href: String,
    pub(super) label: &'static str,
}

pub(super) async fn happenings(
    state: &AppState,
    letter: &DeadLetter,
    now: Timestamp,
) -> Result<Vec<Happening>, Problem> {
    let id = letter.summary.id;
    let mut all: Vec<_> = letter
        .decoded
        .hops
        .iter()
        .map(|hop| death(hop, now))
        .collect();
    all.reverse();
    all.push(arrival(letter, now));
    if let Some(replay) = letter.summary.died_from_replay {
        all.extend(predecessor(state, replay, letter.summary.dead_at, now).await);
    }
    let revisions = state.store.revisions(id).await?;
    let latest = letter.summary.latest_revision;
    let edits = revisions.iter();
    all.extend(edits.map(|revision| edit(revision, latest, now)));
    let replays = state.store.replays_of(id).await?;
    all.extend(replays.iter().map(|replay| replayed(replay, now)));
    if let Some(discard) = state.store.discard_of(id).await? {
        let what = format!("Discarded by {}", discard.by);
        let mut happening = entry(Some(discard.at), now, Status::Idle, what);
        happening.detail = discard.reason;
        all.push(happening);
    }
    let notes = state
        .store
        .group_notes(&letter.summary.group, NOTES)
        .await?;
    all.extend(notes.into_iter().map(|note| group_note(note, letter, now)));
    all.sort_by_key(|happening| happening.at);
    Ok(all)
}

fn entry(at: Option<Timestamp>, now: Timestamp, status: Status, what: String) -> Happening {
    Happening {
        at,
        status: status.class(),
        when: markup::optional_ago(at, now, "the headers give no time"),
        what,
        detail: String::new(),
        links: Vec::new(),
        revert: None,
    }
}

const fn link(href: String, label: &'static str) -> Link {
    Link { href, label }
}

fn death(hop: &Hop, now: Timestamp) -> Happening {
    let at = hop.last_failed_at.or(hop.first_failed_at);
    let place = hop
        .origin
        .destination
        .as_deref()
        .unwrap_or("an unknown place");
    let times = match hop.attempts {
        Some((count, _)) if count > 1 => format!(", {count} times"),
        _ => String::new(),
    };
    let mut happening = entry(at, now, Status::Critical, format!("Died in {place}{times}"));
    let failure = &hop.failure;
    happening.detail = match (&failure.class, &failure.message) {
        (Some(class), Some(message)) => format!("{class}: {}", markup::cut_end(message, 300)),
        (Some(text), None) | (None, Some(text)) => markup::cut_end(text, 300),
        (None, None) => reason_means(hop.reason).to_owned(),
    };
    happening
}

fn arrival(letter: &DeadLetter, now: Timestamp) -> Happening {
    let summary = &letter.summary;
    let what = format!("Arrived in {}", summary.position.dlq());
    let mut happening = entry(Some(summary.indexed_at), now, Status::Idle, what);
    happening.revert = Revert::to(RevisionNumber(0), summary.latest_revision);
    happening.detail = match summary.custody {
        crate::domain::Custody::Broker | crate::domain::Custody::Stream => {
            "indexed; the broker keeps the message".to_owned()
        }
        crate::domain::Custody::Store => {
            "taken from its queue or imported; the store keeps the message".to_owned()
        }
    };
    happening
}

async fn predecessor(
    state: &AppState,
    replay: crate::domain::ReplayId,
    dead_at: Timestamp,
    now: Timestamp,
) -> Option<Happening> {
    let first = state.store.replay(replay).await.ok()?;
    let what = format!("Is the replay of dead letter {}", first.dead_letter);
    let mut happening = entry(Some(dead_at), now, Status::Warning, what);
    "it was sent again and died again".clone_into(&mut happening.detail);
    let history = format!("/dead-letters/{}?tab=history", first.dead_letter);
    happening.links = vec![link(history, "Its predecessor")];
    Some(happening)
}

fn edit(revision: &Revision, latest: RevisionNumber, now: Timestamp) -> Happening {
    let what = format!(
        "Edited by {}: revision {}",
        revision.author, revision.number
    );
    let mut happening = entry(Some(revision.created_at), now, Status::Idle, what);
    happening.detail = revision.note.clone().unwrap_or_default();
    let page = format!("/dead-letters/{}", revision.dead_letter);
    let number = revision.number;
    happening.links = vec![
        link(format!("{page}?revision={number}"), "Show"),
        link(
            format!("{page}/edit?revision={number}"),
            "Open in the editor",
        ),
    ];
    happening.revert = Revert::to(revision.number, latest);
    happening
}

fn group_note(note: GroupNote, letter: &DeadLetter, now: Timestamp) -> Happening {
    let what = format!("Note of {} on its failure group", note.author);
    let mut happening = entry(Some(note.at), now, Status::Idle, what);
    happening.detail = note.text;
    happening.links = vec![link(path_of(&letter.summary.group), "The group")];
    happening
}

fn replayed(replay: &Replay, now: Timestamp) -> Happening {
    let (status, word) = state_status(replay.state.name());
    let edited = match replay.revision.0 {
        0 => "unedited".to_owned(),
        number => format!("revision {number}"),
    };
    let what = format!(
        "Replay {} ({edited}) to {}: {word}",
        replay.attempt, replay.destination
    );
    let mut happening = entry(Some(replay.updated_at), now, status, what);
    happening.detail = evidence(replay, now);
    happening.links = vec![link(format!("/replays/{}", replay.job), "The replay")];
    happening
}
