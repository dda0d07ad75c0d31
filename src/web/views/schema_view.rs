//! What the JSON Schema of its event type says of a payload, for the payload tab, the editor and the
//! review.

use super::payload::Note;
use crate::dialects::unwrapped;
use crate::domain::Message;
use crate::schemas::{Schemas, Verdict, Violation};
use crate::web::markup;

/// A violation in a line.
pub(super) struct ViolationRow {
    pub(super) path: String,
    pub(super) message: String,
    /// "line 3"; empty where the text that is shown is not what was checked.
    pub(super) place: String,
}

/// A schema's verdict.
pub(super) struct SchemaView {
    pub(super) status: &'static str,
    pub(super) words: String,
    pub(super) rows: Vec<ViolationRow>,
    /// Where the payload is to be marked.
    pub(super) notes: Vec<Note>,
}

impl SchemaView {
    /// The verdict on what a replay of `message` sends; `None` if its event type has no schema, or it
    /// has no body.
    pub(super) async fn load(
        schemas: &Schemas,
        event_type: Option<&str>,
        message: &Message,
    ) -> Option<Self> {
        if !schemas.has(event_type) {
            return None;
        }
        let inside = unwrapped(message).map(|(original, _)| original);
        let is_inside = inside.is_some();
        let body = inside.as_ref().unwrap_or(message).body.clone()?;
        let verdict = schemas.verdict(event_type, &body).await?;
        Some(Self::of(verdict, (!is_inside).then_some(&body)))
    }

    fn of(verdict: Verdict, shown: Option<&[u8]>) -> Self {
        let (status, words, violations) = match verdict {
            Verdict::Valid => ("ok", "Valid by its schema.".to_owned(), Vec::new()),
            Verdict::NotChecked(why) => ("unknown", format!("Not checked: {why}."), Vec::new()),
            Verdict::Invalid(violations) => {
                let count = markup::counted(violations.len() as u64, "violation", "violations");
                let words = format!("Not valid by its schema: {count}.");
                ("critical", words, violations)
            }
        };
        let rows = violations.iter().map(|violation| row(violation, shown));
        Self {
            status,
            words,
            rows: rows.collect(),
            notes: match shown {
                Some(_) => violations.iter().map(note).collect(),
                None => Vec::new(),
            },
        }
    }
}

fn row(violation: &Violation, shown: Option<&[u8]>) -> ViolationRow {
    // Of one long line the number says nothing.
    let lines = shown.filter(|body| body.contains(&b'\n'));
    let before = lines.and_then(|body| body.get(..violation.at));
    let place = before.map(|before| {
        let line = before.split(|byte| *byte == b'\n').count();
        format!("line {line}")
    });
    ViolationRow {
        path: path(violation),
        message: violation.message.clone(),
        place: place.unwrap_or_default(),
    }
}

fn note(violation: &Violation) -> Note {
    Note {
        at: violation.at,
        words: format!("{} {}", path(violation), violation.message),
    }
}

fn path(violation: &Violation) -> String {
    match violation.path.as_str() {
        "" => "the payload".to_owned(),
        path => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_has_a_line_only_in_the_text_that_was_checked() {
        let violation = Violation {
            path: "a.b".to_owned(),
            message: "is missing".to_owned(),
            at: 8,
        };
        let invalid = Verdict::Invalid(vec![violation]);
        let shown = SchemaView::of(invalid.clone(), Some(b"{\n \"a\":\n{}}"));
        assert_eq!(
            (shown.status, shown.rows[0].place.as_str()),
            ("critical", "line 3")
        );
        assert_eq!(shown.notes[0].words, "a.b is missing");
        let inside = SchemaView::of(invalid, None);
        assert_eq!(inside.rows[0].place, "");
        assert!(inside.notes.is_empty());
    }
}
