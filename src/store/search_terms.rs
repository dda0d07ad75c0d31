//! What a dead letter is found by, as the terms of the full-text index, and a filter's terms as its
//! query. Documents and queries are split by the same code, so the index's own tokenizer only separates
//! at spaces.
//!
//! A document is the words of all its texts in order, then the parts of compound words
//! (`OrderCreated` → `order`, `created`), then one term a payload field, header and word of the error.
//! Those are marked by characters of Unicode's private use area, which no word contains; so is
//! punctuation in values.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::{
    AmqpValue, FilterCondition, FilterField, FilterTerm, Header, HeaderValue, Message,
};

/// Of a body, the rest is not found by its words.
const INDEXED_BODY_BYTES: usize = 64 * 1024;
/// Of one header's value, the rest is not found.
const INDEXED_HEADER_BYTES: usize = 4 * 1024;
/// A body beyond is not searched for fields.
const LARGEST_PARSED_BODY: usize = 1024 * 1024;
/// Further fields or headers of a message are not found by `payload.` and `header.`.
const MOST_FIELDS: usize = 500;
/// Longer words and values are found by their beginning.
const LONGEST_WORD: usize = 64;
const LONGEST_VALUE: usize = 128;

/// Of a dead letter of 1 KiB.
const USUAL_DOCUMENT_BYTES: usize = 4 * 1024;

const PAYLOAD_MARK: char = '\u{E100}';
const HEADER_MARK: char = '\u{E101}';
const ERROR_MARK: char = '\u{E102}';
const GROUP_MARK: char = '\u{E105}';
/// Between a path and its value.
const VALUE_MARK: char = '\u{E103}';
/// Every document has it: what does not match a term is everything without that term.
const EVERY: char = '\u{E104}';

/// What of a dead letter is indexed.
pub(super) struct Searchable<'a> {
    pub(super) message: &'a Message,
    /// What is inside, if the message is an envelope.
    pub(super) original: Option<&'a Message>,
    pub(super) group: &'a str,
    /// Class and message of the failure.
    pub(super) failure: [Option<&'a str>; 2],
    /// Source, DLQ, consumer, type and IDs.
    pub(super) names: [Option<&'a str>; 8],
}

impl Searchable<'_> {
    /// The document of the index.
    pub(super) fn document(&self) -> String {
        let mut document = Document {
            terms: String::with_capacity(USUAL_DOCUMENT_BYTES),
            ..Document::default()
        };
        document.terms.push(EVERY);
        document.terms.push(' ');
        push_field_term(&mut document.terms, GROUP_MARK, "", self.group);
        for text in self.failure.iter().chain(&self.names).flatten() {
            document.add_text(text);
        }
        for text in self.failure.iter().flatten() {
            document.add_error(text);
        }
        let readable = self.original.unwrap_or(self.message);
        let body = readable.body.as_deref().unwrap_or_default();
        let indexed = body.get(..INDEXED_BODY_BYTES).unwrap_or(body);
        document.add_text(&String::from_utf8_lossy(indexed));
        let key = self.message.key.as_deref().unwrap_or_default();
        document.add_text(&String::from_utf8_lossy(key));
        let own = &self.message.headers;
        let inside = self.original.into_iter().flat_map(|it| &it.headers);
        document.add_headers(
            own.iter()
                .chain(inside.filter(|header| !own.contains(header))),
        );
        if body.len() <= LARGEST_PARSED_BODY
            && let Ok(value) = serde_json::from_slice(body)
        {
            document.add_fields(&value, "", "");
        }
        document.finish()
    }
}

#[derive(Default)]
struct Document {
    terms: String,
    /// Parts of compound words, each once.
    parts: BTreeSet<String>,
    /// Terms of fields and headers, each once.
    fields: BTreeSet<String>,
}

impl Document {
    fn add_text(&mut self, text: &str) {
        for written in words_of(text) {
            self.terms.push(' ');
            push_word(&mut self.terms, written);
            self.parts.extend(parts_of(written));
        }
    }

    fn add_error(&mut self, text: &str) {
        for written in words_of(text) {
            self.terms.push(' ');
            self.terms.push(ERROR_MARK);
            push_word(&mut self.terms, written);
            let parts = parts_of(written).into_iter();
            self.parts
                .extend(parts.map(|part| format!("{ERROR_MARK}{part}")));
        }
    }

    fn add_headers<'a>(&mut self, headers: impl Iterator<Item = &'a Header>) {
        let mut left = MOST_FIELDS;
        for header in headers.take(MOST_FIELDS) {
            let name = String::from_utf8_lossy(&header.name);
            let values = header_texts(&header.value, left);
            if !values.is_empty() {
                self.add_text(&name);
            }
            left -= values.len();
            for value in values {
                let indexed = cut_at_character(&value, INDEXED_HEADER_BYTES);
                self.add_text(indexed);
                self.fields.insert(field_term(HEADER_MARK, &name, indexed));
            }
        }
    }

    /// `path` names each element by its index, `any` all elements of an array alike.
    fn add_fields(&mut self, value: &Value, path: &str, any: &str) {
        if self.fields.len() >= 2 * MOST_FIELDS {
            return;
        }
        let text = match value {
            Value::Object(fields) => {
                let separator = if path.is_empty() { "" } else { "." };
                for (name, value) in fields {
                    let path = format!("{path}{separator}{name}");
                    self.add_fields(value, &path, &format!("{any}{separator}{name}"));
                }
                return;
            }
            Value::Array(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    self.add_fields(value, &format!("{path}[{index}]"), &format!("{any}[]"));
                }
                return;
            }
            Value::String(text) => text.clone(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        };
        self.fields.insert(field_term(PAYLOAD_MARK, path, &text));
        if path != any {
            self.fields.insert(field_term(PAYLOAD_MARK, any, &text));
        }
    }

    fn finish(self) -> String {
        let Self {
            mut terms,
            parts,
            fields,
        } = self;
        for term in parts.iter().chain(&fields) {
            terms.push(' ');
            terms.push_str(term);
        }
        terms
    }
}

/// The filter's terms that the index answers, as one query; `None` if there are none.
pub(super) fn query(terms: &[FilterTerm]) -> Option<String> {
    let asked = terms.iter().filter(|term| is_indexed(term.field));
    let (negated, wanted): (Vec<_>, Vec<_>) = asked.partition(|term| term.negated);
    if negated.is_empty() && wanted.is_empty() {
        return None;
    }
    let phrases = |terms: &[&FilterTerm]| terms.iter().map(|term| phrase(term)).collect();
    let mut wanted: Vec<String> = phrases(&wanted);
    wanted.extend(terms.iter().filter_map(narrowing));
    let negated: Vec<String> = phrases(&negated);
    if wanted.is_empty() {
        wanted.push(format!("\"{EVERY}\""));
    }
    let mut query = format!("({})", wanted.join(" AND "));
    if !negated.is_empty() {
        query = format!("{query} NOT ({})", negated.join(" OR "));
    }
    Some(query)
}

/// A term that a column answers, as what the index can do for it: every document of a match has these words.
/// Where another term asks the index anyway, it then reads only what may match both.
fn narrowing(term: &FilterTerm) -> Option<String> {
    let FilterCondition::Is(value) = &term.condition else {
        return None;
    };
    let words = match term.field {
        _ if term.negated => return None,
        FilterField::Group => field_term(GROUP_MARK, "", value),
        FilterField::Source
        | FilterField::Dlq
        | FilterField::Consumer
        | FilterField::Type
        | FilterField::Event
        | FilterField::Correlation
        | FilterField::Causation
        | FilterField::Aggregate => words_of(value).map(word).collect::<Vec<_>>().join(" "),
        _ => return None,
    };
    (!words.is_empty()).then(|| format!("\"{words}\""))
}

/// Whether terms of this field are answered by the index and not by a column.
pub(super) const fn is_indexed(field: FilterField) -> bool {
    matches!(
        field,
        FilterField::Text | FilterField::Error | FilterField::Payload | FilterField::Header
    )
}

fn phrase(term: &FilterTerm) -> String {
    let (text, star) = match &term.condition {
        FilterCondition::Begins(text) => (text.as_str(), "*"),
        FilterCondition::Is(text) | FilterCondition::Contains(text) => (text.as_str(), ""),
        _ => ("", ""),
    };
    let words = match term.field {
        FilterField::Payload => field_term(PAYLOAD_MARK, &term.path, text),
        FilterField::Header => field_term(HEADER_MARK, &term.path, text),
        FilterField::Error => words_of(text)
            .map(|written| format!("{ERROR_MARK}{}", word(written)))
            .collect::<Vec<_>>()
            .join(" "),
        _ => words_of(text).map(word).collect::<Vec<_>>().join(" "),
    };
    format!("\"{words}\"{star}")
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

fn word(written: &str) -> String {
    let mut word = String::new();
    push_word(&mut word, written);
    word
}

fn push_word(into: &mut String, written: &str) {
    let start = into.len();
    if written.is_ascii() && written.len() <= LONGEST_WORD {
        into.push_str(written);
        into[start..].make_ascii_lowercase();
    } else {
        push_lower(into, written, LONGEST_WORD, |character| character);
    }
}

/// The parts of `OrderCreated`; none of a word that is no compound.
fn parts_of(written: &str) -> Vec<String> {
    let starts_inside = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
    if written.is_ascii() && !written.as_bytes().windows(2).any(starts_inside) {
        return Vec::new();
    }
    let characters = || {
        let mut after_lower = false;
        written.chars().take(LONGEST_WORD).map(move |character| {
            let starts = after_lower && character.is_uppercase();
            after_lower = character.is_lowercase();
            (starts, character)
        })
    };
    if !characters().any(|(starts, _)| starts) {
        return Vec::new();
    }
    let mut parts = Vec::new();
    let mut part = String::new();
    for (starts, character) in characters() {
        if starts {
            parts.push(std::mem::take(&mut part));
        }
        part.extend(character.to_lowercase());
    }
    parts.push(part);
    parts
}

fn field_term(mark: char, path: &str, value: &str) -> String {
    let mut term = String::with_capacity(path.len() + value.len() + 8);
    push_field_term(&mut term, mark, path, value);
    term
}

fn push_field_term(into: &mut String, mark: char, path: &str, value: &str) {
    into.push(mark);
    push_lower(into, path, usize::MAX, without_punctuation);
    into.push(VALUE_MARK);
    push_lower(into, value, LONGEST_VALUE, without_punctuation);
}

/// ASCII that is neither letter nor digit would end the term.
fn without_punctuation(character: char) -> char {
    if character.is_ascii() && !character.is_ascii_alphanumeric() {
        char::from_u32(0xE000 + u32::from(character)).unwrap_or(EVERY)
    } else {
        character
    }
}

/// Adds the beginning of a text in lower case, of which each character becomes what `written` says.
fn push_lower(into: &mut String, text: &str, longest: usize, written: impl Fn(char) -> char) {
    for character in text.chars().take(longest) {
        if character.is_ascii() {
            into.push(written(character.to_ascii_lowercase()));
        } else {
            into.extend(character.to_lowercase().map(&written));
        }
    }
}

/// The value in words, or those of the leaves of a nested one, at most so many.
fn header_texts(value: &HeaderValue, most: usize) -> Vec<String> {
    let HeaderValue::Amqp(value) = value else {
        let text = value.as_text().into_iter().take(most);
        return text.map(str::to_owned).collect();
    };
    let mut texts = Vec::new();
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop().filter(|_| texts.len() < most) {
        match value {
            AmqpValue::Array(values) => waiting.extend(values.iter().rev()),
            AmqpValue::Table(fields) => waiting.extend(fields.iter().rev().map(|(_, it)| it)),
            scalar => texts.extend(scalar.scalar_text()),
        }
    }
    texts
}

fn cut_at_character(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev();
    let end = end.into_iter().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
