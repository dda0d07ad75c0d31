//! What the buttons inside the editor do. They send the whole form and get it back, so that adding,
//! removing and undoing work without a script.

use super::bytes_field::{BytesField, BytesForm};
use super::form::EditForm;
use super::properties::PROPERTIES;
use crate::domain::{Message, RevisionNumber};

/// Applies the step of a button to the form; `false` if the step is not one of the editor's own.
pub(super) fn apply(form: &mut EditForm, step: &str, base: &Message) -> Result<bool, String> {
    if matches!(step, "back" | "add" | "check") {
        // The editor always ends with empty rows, and always tells what the schema says.
        return Ok(true);
    }
    if let Some(index) = step
        .strip_prefix("remove-")
        .and_then(|text| text.parse().ok())
    {
        if let Some(field) = form.headers.get_mut::<usize>(index) {
            field.removed = true;
        }
        form.headers
            .retain(|field| field.from.is_some() || !field.removed);
        return Ok(true);
    }
    if let Some(what) = step.strip_prefix("undo-") {
        undo(form, what, base);
        return Ok(true);
    }
    if let Some(written) = step.strip_prefix("as-").and_then(BytesForm::parse) {
        return form.body.rewrite(written, "payload").map(|()| true);
    }
    Ok(false)
}

/// Brings one field back to what the editor opened with.
fn undo(form: &mut EditForm, what: &str, base: &Message) {
    let opened = EditForm::of(base, RevisionNumber(0));
    match what {
        "body" => form.body = BytesField::of_body(base.body.as_deref()),
        "key" => form.key = opened.key,
        what => {
            let property = PROPERTIES.iter().position(|property| property.name == what);
            if let Some(index) = property {
                form.properties[index].clone_from(&opened.properties[index]);
            } else if let Some(field) = what
                .parse()
                .ok()
                .and_then(|i: usize| form.headers.get_mut(i))
                && let Some(original) = field.from.and_then(|from| opened.headers.get(from))
            {
                field.clone_from(original);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Header;

    fn form() -> (Message, EditForm) {
        let base = Message {
            headers: vec![Header::text("a", "1"), Header::text("b", "2")],
            body: Some("hi".into()),
            ..Message::default()
        };
        let form = EditForm::of(&base, RevisionNumber(0));
        (base, form)
    }

    #[test]
    fn every_change_can_be_undone() {
        let (base, opened) = form();
        let mut form = opened.clone();
        form.headers[0].value = "9".to_owned();
        form.body.text = "ho".to_owned();
        form.key = Some(BytesField::of(Some(b"k")));
        for step in ["remove-1", "undo-1", "undo-0", "undo-body", "undo-key"] {
            assert_eq!(apply(&mut form, step, &base), Ok(true), "{step}");
        }
        assert_eq!(form, opened);
    }

    #[test]
    fn a_new_row_is_taken_away_and_an_old_one_is_marked() {
        let (base, mut form) = form();
        let mut new = form.headers[0].clone();
        new.from = None;
        form.headers.push(new);
        assert_eq!(apply(&mut form, "remove-2", &base), Ok(true));
        assert_eq!(form.headers.len(), 2);
        assert_eq!(apply(&mut form, "remove-0", &base), Ok(true));
        assert!(form.headers[0].removed && form.headers.len() == 2);
    }

    #[test]
    fn other_steps_are_not_the_editors() {
        let (base, mut form) = form();
        assert_eq!(apply(&mut form, "review", &base), Ok(false));
        assert_eq!(apply(&mut form, "as-hex", &base), Ok(true));
        assert!(form.body.text.contains("68 69"));
    }
}
