//! The pages of one dead letter: bounded, nothing of it acts, its payload is shown as it is, and the
//! editor gives back what it opened.

use redrive::config::Config;
use redrive::dead_letters::from_export;
use redrive::domain::{
    DeadLetter, DeadLetterId, DeadLetterStatus, DeadLetterSummary, NewDeadLetter, RevisionNumber,
};
use redrive::web::{dead_letter_pages, edited_without_change};

use crate::dialects::{NOW, exported};
use crate::html::{self, shown, text_of, visible};
use crate::letters;

/// The frame of a page and its tables, and what a byte may become: `\u{e0041}` from two, forty spaces
/// of indentation, and each value in several places.
const PAGE_AT_ALL: usize = 256 * 1024;
const PAGE_A_BYTE: usize = 128;

/// A page shows no more of a body than this.
const SHOWN_BYTES: usize = 256 * 1024;

const PAYLOAD: &str = "<pre class=\"payload\"";

pub(crate) fn run(input: &[u8]) {
    let (position, message) = letters::read(input);
    let new = from_export(&exported(&position, &message), &Config::default(), NOW);
    let letter = stored(new);
    let pages = dead_letter_pages(&letter).expect("templates cannot fail");
    for page in &pages {
        assert!(page.len() <= PAGE_AT_ALL + PAGE_A_BYTE * input.len());
        html::check(page);
    }
    let body = message.body.as_deref().unwrap_or_default();
    if let (Some(raw), Some(laid_out)) = (text_of(&pages[1], PAYLOAD), text_of(&pages[0], PAYLOAD))
        && body.len() <= SHOWN_BYTES
    {
        let text = visible(&String::from_utf8_lossy(body));
        assert_eq!(shown(raw), text);
        // A string of JSON is UTF-8, which serde does not check where it ignores one.
        let is_json = |text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        if std::str::from_utf8(body).is_ok_and(is_json) {
            assert_eq!(without_space(&shown(laid_out)), without_space(&text));
        }
    }
    if let Ok(same) = edited_without_change(&message) {
        assert_eq!(same, message);
    }
}

/// What the layout may change.
fn without_space(text: &str) -> String {
    text.split_ascii_whitespace().collect()
}

fn stored(new: NewDeadLetter) -> DeadLetter {
    let summary = DeadLetterSummary {
        id: DeadLetterId(1),
        cluster: new.cluster,
        position: new.position,
        status: DeadLetterStatus::Open,
        custody: new.custody,
        dead_at: new.dead_at,
        indexed_at: NOW,
        reason: new.decoded.reason,
        source: new.decoded.origin.destination.clone(),
        consumer: new.decoded.origin.consumer.clone(),
        failure_class: new.decoded.failure.class.clone(),
        failure_message: new.decoded.failure.message.clone(),
        event: new.event,
        group: new.classification.group,
        size: new.message.size() as u64,
        attempts: new.decoded.attempts,
        latest_revision: RevisionNumber(0),
        died_from_replay: None,
        possible_duplicate_of: None,
    };
    DeadLetter {
        summary,
        message: new.message,
        body_omitted: new.body_omitted,
        decoded: new.decoded,
        group_title: new.classification.title,
        group_explanation: new.classification.explanation,
    }
}
