//! Cells of the list of dead letters that are more than a word.

use std::collections::HashMap;

use askama::filters::Safe;

use super::letter_columns::{LetterColumn, ListView};
use super::trace_rows::trace_url;
use crate::domain::{DeadLetterId, DeadLetterSummary, Position};
use crate::store::Page;
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::problem::Problem;

/// Of a key that is longer, the beginning is shown.
const KEY_BYTES: u32 = 256;

/// Where it lies in its topic.
pub(super) fn position(position: &Position) -> Markup {
    match position {
        Position::Kafka {
            partition, offset, ..
        } => Safe(format!("{partition}, {offset}")),
        Position::RabbitMq { .. } => markup::absent("messages of RabbitMQ have no place by number"),
    }
}

/// The beginning of a key.
pub(super) fn key(bytes: Option<&[u8]>) -> Markup {
    let Some(bytes) = bytes else {
        return markup::absent("the message has no key");
    };
    let text = match std::str::from_utf8(bytes) {
        Ok("") => return Safe("(empty)".to_owned()),
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return Safe("<span class=\"meta\">no text</span>".to_owned()),
    };
    markup::identifier(text)
}

pub(super) fn correlation(letter: &DeadLetterSummary) -> Markup {
    match &letter.event.correlation_id {
        Some(id) => markup::linked_identifier(id, &trace_url(id)),
        None => markup::absent("the message carries no correlation ID"),
    }
}

/// The keys of a page, if it shows them.
pub(super) async fn keys_of(
    state: &AppState,
    view: &ListView,
    page: &Page<DeadLetterSummary>,
) -> Result<HashMap<DeadLetterId, Vec<u8>>, Problem> {
    if !view.columns.contains(&LetterColumn::Key) {
        return Ok(HashMap::new());
    }
    let ids: Vec<_> = page.items.iter().map(|letter| letter.id).collect();
    Ok(state.store.message_keys(&ids, KEY_BYTES).await?)
}
