//! The editor's page: the form's fields as rows, each with its state.

use askama::Template;
use askama::filters::Safe;

use super::Base;
use super::bytes_field::{BytesField, BytesForm};
use super::drafts::DraftNote;
use super::form::{EditForm, HeaderField, Lock, opened_headers, system_of};
use super::properties::PROPERTIES;
use super::typed;
use crate::web::escape::{Markup, attribute, escaped, textarea};
use crate::web::views::schema_view::SchemaView;
use crate::web::views::shown_revision::name as revision_name;
use crate::web::visit::Visit;

/// Empty rows for new headers, for those who have no script to add some.
const EMPTY_ROWS: usize = 2;

/// An entry of a list to choose from.
pub(super) struct Choice {
    value: String,
    is_chosen: bool,
}

/// Payload or key.
pub(super) struct BytesInput {
    text: Markup,
    forms: Vec<Choice>,
    is_changed: bool,
}

/// A header.
pub(super) struct HeaderInput {
    index: usize,
    name: Markup,
    value: Markup,
    from: String,
    kind: String,
    kinds: Vec<Choice>,
    removed: bool,
    /// `edited`, `removed`, `new`, or nothing.
    state: &'static str,
    /// Why it cannot be edited; empty if it can.
    lock: String,
    /// It may be taken away.
    removable: bool,
    shown: String,
}

/// A property of AMQP.
pub(super) struct PropertyInput {
    name: &'static str,
    hint: &'static str,
    text: Markup,
    locked: bool,
    is_changed: bool,
}

/// The editor.
#[derive(Template)]
#[template(path = "edit.html")]
pub(super) struct Editor {
    id: i64,
    back: String,
    action: String,
    csrf: String,
    builds_on: u32,
    opened: u32,
    /// Which revision it begins with; empty if that is the newest.
    begins_with: String,
    problem: String,
    body: BytesInput,
    key: Option<BytesInput>,
    headers: Vec<HeaderInput>,
    header_count: usize,
    properties: Vec<PropertyInput>,
    note: String,
    schema: Option<SchemaView>,
    draft: Option<DraftNote>,
}

impl Editor {
    pub(super) fn of(
        visit: &Visit,
        base: &Base,
        form: EditForm,
        problem: String,
        (schema, draft): (Option<SchemaView>, Option<DraftNote>),
    ) -> Self {
        let opened = EditForm::of(&base.opened, base.newest);
        let filled = form.headers.iter().filter(|field| is_filled(field));
        let mut fields: Vec<_> = filled.cloned().collect();
        fields.extend(std::iter::repeat_n(empty_field(), EMPTY_ROWS));
        let id = base.letter.summary.id;
        Self {
            id: id.0,
            back: format!("/dead-letters/{id}"),
            action: format!("/dead-letters/{id}/edit"),
            csrf: visit.csrf.clone(),
            builds_on: form.builds_on.0,
            opened: form.opened.0,
            begins_with: begins_with(&form),
            problem,
            body: bytes_input(&form.body, &opened.body),
            key: opened.key.as_ref().map(|opened| {
                let sent = form.key.as_ref().unwrap_or(opened);
                bytes_input(sent, opened)
            }),
            headers: header_inputs(base, &fields),
            header_count: fields.len(),
            properties: property_inputs(base, &form),
            note: form.note,
            schema,
            draft,
        }
    }
}

fn begins_with(form: &EditForm) -> String {
    if form.opened == form.builds_on {
        return String::new();
    }
    let opened = revision_name(form.opened.0);
    format!(
        "You begin with {opened}. The newest is revision {}; what you save comes after it.",
        form.builds_on
    )
}

fn is_filled(field: &HeaderField) -> bool {
    field.from.is_some() || !field.name.is_empty() || !field.value.is_empty()
}

fn empty_field() -> HeaderField {
    HeaderField {
        name: String::new(),
        kind: String::new(),
        value: String::new(),
        from: None,
        removed: false,
    }
}

fn bytes_input(field: &BytesField, opened: &BytesField) -> BytesInput {
    let choice = |form: BytesForm| Choice {
        value: form.as_str().to_owned(),
        is_chosen: form == field.form,
    };
    BytesInput {
        text: textarea(&field.text),
        forms: BytesForm::ALL.map(choice).into(),
        is_changed: field != opened,
    }
}

fn header_inputs(base: &Base, fields: &[HeaderField]) -> Vec<HeaderInput> {
    let opened = opened_headers(&base.opened);
    let kinds = typed::kinds(system_of(&base.opened));
    let input = |(index, field): (usize, &HeaderField)| {
        let original = field.from.and_then(|from| opened.get(from));
        let locked = original.filter(|original| original.lock.is_some());
        let lock = locked.and_then(|original| original.lock.as_ref());
        let kept = original.map(|original| original.field.kind.as_str());
        // A type that is not on offer stays possible for the header that has it.
        let extra = kept.filter(|kind| !kinds.contains(kind));
        let offered = kinds.iter().copied().chain(extra);
        HeaderInput {
            index,
            name: Safe(match locked {
                Some(original) => escaped(&original.field.name),
                None => attribute(&field.name),
            }),
            value: textarea(&field.value),
            from: field.from.map(|from| from.to_string()).unwrap_or_default(),
            kind: locked
                .map(|original| original.field.kind.clone())
                .unwrap_or_default(),
            kinds: offered
                .map(|kind| Choice {
                    value: kind.to_owned(),
                    is_chosen: kind == field.kind,
                })
                .collect(),
            removed: field.removed,
            state: match original {
                _ if field.removed => "removed",
                None if is_filled(field) => "new",
                Some(original) if lock.is_none() && original.field != *field => "edited",
                _ => "",
            },
            lock: match lock {
                Some(Lock::LeftOut(reason)) => format!("a replay leaves it out: {reason}"),
                Some(Lock::Unwritable) => {
                    "its name or value holds bytes that cannot be typed; it goes along as it is"
                        .to_owned()
                }
                None => String::new(),
            },
            removable: !matches!(lock, Some(Lock::LeftOut(_))),
            shown: locked
                .map(|original| original.field.value.clone())
                .unwrap_or_default(),
        }
    };
    fields.iter().enumerate().map(input).collect()
}

fn property_inputs(base: &Base, form: &EditForm) -> Vec<PropertyInput> {
    let Some(properties) = base.opened.properties.as_deref() else {
        return Vec::new();
    };
    let rows = PROPERTIES.iter().zip(&form.properties);
    rows.map(|(property, sent)| {
        let opened = property.text(properties);
        let text = sent.as_ref().unwrap_or(&opened);
        PropertyInput {
            name: property.name,
            hint: property.hint,
            text: Safe(attribute(text)),
            locked: property.is_locked(properties),
            is_changed: *text != opened,
        }
    })
    .collect()
}
