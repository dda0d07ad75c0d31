//! The error of a dead letter: who tells it, what it says, and where it came from.

use super::dead_letter_list::list_of;
use super::stack_view::{FrameLine, frame_lines};
use crate::dialects::title_of_dialect;
use crate::domain::{DeadLetter, DeathReason, FilterField, Hop, Timestamp};
use crate::web::markup;

/// Everything that the headers tell of the failure.
pub(super) struct ErrorView {
    pub(super) class: String,
    pub(super) wrapper: String,
    pub(super) message: String,
    pub(super) reason: &'static str,
    /// The reason in the writer's own words; may be empty, as the three below.
    pub(super) raw_reason: String,
    pub(super) wrapper_message: String,
    pub(super) stage: String,
    pub(super) endpoint: String,
    /// Every death that any dialect tells, latest first.
    pub(super) hops: Vec<String>,
    pub(super) group: String,
    pub(super) group_href: String,
    pub(super) explanation: String,
    pub(super) frames: Vec<FrameLine>,
}

pub(super) fn error_view(letter: &DeadLetter) -> ErrorView {
    let failure = &letter.decoded.failure;
    let group = &letter.summary.group;
    ErrorView {
        class: failure.class.clone().unwrap_or_default(),
        wrapper: failure.wrapper_class.clone().unwrap_or_default(),
        message: failure.message.clone().unwrap_or_default(),
        reason: reason_means(letter.decoded.reason),
        raw_reason: letter.decoded.raw_reason.clone().unwrap_or_default(),
        wrapper_message: failure.wrapper_message.clone().unwrap_or_default(),
        stage: failure.stage.clone().unwrap_or_default(),
        endpoint: letter.decoded.origin.endpoint.clone().unwrap_or_default(),
        hops: letter.decoded.hops.iter().map(hop_words).collect(),
        group: letter.group_title.clone(),
        group_href: list_of(FilterField::Group, group.as_str()),
        explanation: letter.group_explanation.clone(),
        frames: frame_lines(failure.stack_trace.as_deref().unwrap_or("")),
    }
}

/// The error in a line.
pub(super) fn headline(letter: &DeadLetter) -> String {
    let failure = &letter.decoded.failure;
    let message = markup::cut_end(failure.message.as_deref().unwrap_or(""), 300);
    match (&failure.class, message.is_empty()) {
        (Some(class), false) => format!("{class}: {message}"),
        (Some(class), true) => class.clone(),
        (None, false) => message,
        (None, true) => reason_means(letter.decoded.reason).to_owned(),
    }
}

pub(super) const fn reason_means(reason: DeathReason) -> &'static str {
    use DeathReason as R;
    match reason {
        R::Exception => "its consumer failed and published it to the DLQ",
        R::Rejected => "its consumer rejected it",
        R::Expired => "it expired before it was consumed",
        R::MaxLength => "its queue was full",
        R::DeliveryLimit => "it was delivered too often",
        R::Unrouted => "no queue took it",
        R::Unknown => "its headers do not tell why it died",
    }
}

/// One death in a line: who tells it, where it was, why.
fn hop_words(hop: &Hop) -> String {
    let title = title_of_dialect(&hop.dialect);
    let place = hop.origin.destination.as_deref();
    let at = hop.origin.offset.map(|offset| format!("offset {offset}"));
    let why = hop.failure.class.as_deref().or(hop.raw_reason.as_deref());
    let when = hop.last_failed_at.or(hop.first_failed_at);
    let parts = [
        Some(title.to_owned()),
        place.map(|place| format!("in {place}")),
        at,
        Some(why.unwrap_or(hop.reason.as_str()).to_owned()),
        when.map(Timestamp::to_rfc3339),
    ];
    let words = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    markup::cut_end(&words, 300)
}
