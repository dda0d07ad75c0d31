//! A message body for people: JSON re-indented without touching a character of its values, text, or a
//! hex dump.

use std::fmt::Write as _;

use askama::filters::Safe;
use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::dialects::readable;
use crate::domain::Message;
use crate::web::escape::{Markup, escaped};

/// A page shows so much of a body; the download has all of it.
pub(crate) const SHOWN_BYTES: usize = 256 * 1024;

/// A hex dump needs four characters a byte.
pub(crate) const HEX_BYTES: usize = 32 * 1024;

/// A larger JSON is edited and compared as it is written: laid out, it can be forty times as long.
const LAID_OUT_BYTES: usize = 1024 * 1024;

/// JSON may be nested as deep as it is long; what lies deeper than this is indented as this is, so that the
/// length of a page stays a multiple of what it shows.
const DEEPEST_INDENT: usize = 20;

/// What a body is, found by trying.
pub(crate) enum Reading {
    /// Well-formed JSON.
    Json,
    /// UTF-8, with why it is no JSON.
    Text(String),
    /// Not UTF-8 from this byte on.
    Binary(usize),
}

pub(crate) fn read(body: &[u8]) -> Reading {
    match std::str::from_utf8(body) {
        Err(error) => Reading::Binary(error.valid_up_to()),
        Ok(text) => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Reading::Json,
            Err(error) => Reading::Text(error.to_string()),
        },
    }
}

impl Reading {
    /// In words, with what was tried.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Json => "JSON".to_owned(),
            Self::Text(why) => format!("text; it is no JSON: {why}"),
            Self::Binary(at) => {
                format!("binary; it is no text: byte {at} is not UTF-8")
            }
        }
    }
}

/// The form of a page that shows an envelope and not what is inside.
pub(crate) const STORED: &str = "stored";

/// The body that a form of the page shows: what the application reads, or the envelope around it.
pub(crate) fn body_of(message: &Message, form: Option<&str>) -> Bytes {
    let inside = match form {
        Some(STORED) => None,
        _ => readable(message),
    };
    let shown = inside.as_ref().unwrap_or(message);
    shown.body.clone().unwrap_or_default()
}

/// Something to be said about the value that begins at a byte of the body.
pub(crate) struct Note {
    pub(crate) at: usize,
    pub(crate) words: String,
}

/// JSON with a line a value, keys and values marked for the stylesheet. Numbers, key order and escapes
/// stay as they are written. What a note is about is marked, and its words end the line.
pub(crate) fn json(text: &str, notes: &[Note]) -> Markup {
    let mut html = String::with_capacity(text.len() * 2);
    let mut of_line: Vec<&Note> = Vec::new();
    for token in tokens(text) {
        let about = notes
            .iter()
            .filter(|note| Some(note.at) == place(text, &token));
        let known = of_line.len();
        of_line.extend(about);
        let is_marked = of_line.len() > known;
        if is_marked {
            html.push_str("<mark>");
        }
        if matches!(token, Token::Line(_)) {
            say(&mut html, of_line.drain(..));
        }
        match token {
            Token::Plain(text) => html.push_str(&escaped(text)),
            Token::Line(depth) => {
                html.push('\n');
                html.extend(indent(depth));
            }
            Token::Key(text) => mark(&mut html, "k", text),
            Token::String(text) => mark(&mut html, "s", text),
            Token::Word(text) => mark(&mut html, "w", text),
        }
        if is_marked {
            html.push_str("</mark>");
        }
    }
    say(&mut html, of_line);
    Safe(html)
}

/// Where a token that can begin a value stands in the text.
fn place(text: &str, token: &Token<'_>) -> Option<usize> {
    match token {
        Token::Plain(part) | Token::String(part) | Token::Word(part) => {
            let distance = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
            (distance < text.len()).then_some(distance)
        }
        Token::Line(_) | Token::Key(_) => None,
    }
}

fn say<'a>(html: &mut String, notes: impl IntoIterator<Item = &'a Note>) {
    for note in notes {
        let _ = write!(
            html,
            "<span class=\"note\">  ← {}</span>",
            escaped(&note.words)
        );
    }
}

/// The same as plain text, for the diff and the editor.
pub(crate) fn json_text(text: &str) -> String {
    if text.len() > LAID_OUT_BYTES {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len() * 2);
    for token in tokens(text) {
        match token {
            Token::Line(depth) => {
                plain.push('\n');
                plain.extend(indent(depth));
            }
            Token::Plain(text) | Token::Key(text) | Token::String(text) | Token::Word(text) => {
                plain.push_str(text);
            }
        }
    }
    plain
}

/// Offset, sixteen bytes, and what of them is printable.
pub(crate) fn hex(body: &[u8]) -> Markup {
    Safe(escaped(&hex_text(body)))
}

/// The same as plain text.
pub(crate) fn hex_text(body: &[u8]) -> String {
    let mut dump = String::new();
    for (row, chunk) in body[..body.len().min(HEX_BYTES)].chunks(16).enumerate() {
        let _ = write!(dump, "{:08x}  ", row * 16);
        for index in 0..16 {
            match chunk.get(index) {
                Some(byte) => {
                    let _ = write!(dump, "{byte:02x} ");
                }
                None => dump.push_str("   "),
            }
            if index == 7 {
                dump.push(' ');
            }
        }
        dump.push(' ');
        dump.extend(chunk.iter().map(|byte| match byte {
            0x20..0x7f => char::from(*byte),
            _ => '.',
        }));
        dump.push('\n');
    }
    dump
}

fn indent(depth: usize) -> impl Iterator<Item = &'static str> {
    std::iter::repeat_n("  ", depth.min(DEEPEST_INDENT))
}

fn mark(html: &mut String, class: &str, text: &str) {
    let _ = write!(html, "<span class=\"{class}\">{}</span>", escaped(text));
}

enum Token<'a> {
    /// Punctuation.
    Plain(&'a str),
    /// A line break and the depth of what follows.
    Line(usize),
    Key(&'a str),
    String(&'a str),
    /// A number, true, false or null.
    Word(&'a str),
}

/// Splits well-formed JSON.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut depth: usize = 0;
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'"' => string_end(bytes, at),
            byte if is_word(byte) => word_end(bytes, at),
            _ => at + 1,
        };
        let part = &text[at..end];
        match bytes[at] {
            b'"' if is_key(bytes, end) => tokens.push(Token::Key(part)),
            b'"' => tokens.push(Token::String(part)),
            b'{' | b'[' => {
                tokens.push(Token::Plain(part));
                if !closes(bytes, end) {
                    depth += 1;
                    tokens.push(Token::Line(depth));
                }
            }
            b'}' | b']' => {
                if !opened(bytes, at) {
                    depth = depth.saturating_sub(1);
                    tokens.push(Token::Line(depth));
                }
                tokens.push(Token::Plain(part));
            }
            b',' => tokens.extend([Token::Plain(part), Token::Line(depth)]),
            b':' => tokens.push(Token::Plain(": ")),
            byte if byte.is_ascii_whitespace() => {}
            _ => tokens.push(Token::Word(part)),
        }
        at = end;
    }
    tokens
}

/// Bytes of numbers and literals; everything that is not ASCII counts in, so that no cut splits a
/// character.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.') || byte >= 0x80
}

fn word_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes[from..].iter();
    from + rest.take_while(|byte| is_word(**byte)).count()
}

fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn next_visible(bytes: &[u8], from: usize) -> Option<u8> {
    let mut rest = bytes[from..].iter();
    rest.find(|byte| !byte.is_ascii_whitespace()).copied()
}

fn is_key(bytes: &[u8], end: usize) -> bool {
    next_visible(bytes, end) == Some(b':')
}

fn closes(bytes: &[u8], end: usize) -> bool {
    matches!(next_visible(bytes, end), Some(b'}' | b']'))
}

fn opened(bytes: &[u8], at: usize) -> bool {
    let mut before = bytes[..at].iter().rev();
    let visible = before.find(|byte| !byte.is_ascii_whitespace());
    matches!(visible, Some(b'{' | b'['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_what_is_inside_an_envelope_and_stored_the_envelope() {
        let around = r#"{"Message":"{\"id\":1}","Exception":"x"}"#;
        let kind = |kind: &str| crate::domain::AmqpProperties {
            kind: Some(kind.to_owned()),
            ..crate::domain::AmqpProperties::default()
        };
        let check = |kind_of, form, expected: &str| {
            let message = Message {
                body: Some(Bytes::from(around)),
                properties: Some(Box::new(kind(kind_of))),
                ..Message::default()
            };
            assert_eq!(body_of(&message, form), expected, "{kind_of} {form:?}");
        };
        let easynetq = "EasyNetQ.SystemMessages.Error, EasyNetQ";
        check(easynetq, None, r#"{"id":1}"#);
        check(easynetq, Some("hex"), r#"{"id":1}"#);
        check(easynetq, Some(STORED), around);
        check("Order", None, around);
    }

    #[test]
    fn values_stay_as_they_are_written() {
        let check = |json: &str, expected: &str| assert_eq!(json_text(json), expected);
        check(
            r#"{"b":1.10,"a":[12345678901234567890,{}],"c":[]}"#,
            "{\n  \"b\": 1.10,\n  \"a\": [\n    12345678901234567890,\n    {}\n  ],\n  \"c\": []\n}",
        );
        check(
            r#"{"k\"{":"v\\","ü":"[,]"}"#,
            "{\n  \"k\\\"{\": \"v\\\\\",\n  \"ü\": \"[,]\"\n}",
        );
        check("  42 ", "42");
        check("[ ]", "[]");
    }

    #[test]
    fn deep_json_does_not_fill_the_memory() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(matches!(read(deep.as_bytes()), Reading::Json));
        let bound = deep.len() * (2 * DEEPEST_INDENT + 2);
        assert!(json(&deep, &[]).0.len() <= bound);
        assert!(json_text(&deep).len() <= bound);
        let wide = format!("[{}1]", "1,".repeat(LAID_OUT_BYTES / 2));
        assert_eq!(json_text(&wide), wide);
    }

    #[test]
    fn a_body_cannot_leave_its_place() {
        let html = json(r#"{"<b>":"</pre><script>"}"#, &[]).0;
        assert!(!html.contains("<b>") && !html.contains("<script"), "{html}");
    }

    #[test]
    fn a_note_marks_its_value_and_ends_its_line() {
        let note = |at: usize, words: &str| Note {
            at,
            words: words.to_owned(),
        };
        let notes = [
            note(5, "a lacks <b>"),
            note(16, "c is wrong"),
            note(99, "gone"),
        ];
        let html = json(r#"{"a":{"d":[]},"c":1}"#, &notes).0;
        let first = html.lines().nth(1).unwrap();
        assert!(
            first.contains("<mark>{</mark><span class=\"note\">  ← a lacks &lt;b&gt;</span>"),
            "{html}"
        );
        assert!(
            !html.contains("c is wrong") && !html.contains("gone"),
            "a key is no value: {html}"
        );
        let html = json(r#"{"c":1}"#, &[note(5, "c is wrong")]).0;
        assert!(
            html.contains(
                "<mark><span class=\"w\">1</span></mark><span class=\"note\">  ← c is wrong"
            ),
            "{html}"
        );
        let html = json("{}", &[note(0, "empty")]).0;
        assert!(html.ends_with("← empty</span>"), "{html}");
    }

    #[test]
    fn a_body_is_what_it_can_be_read_as() {
        assert!(matches!(read(b"{}"), Reading::Json));
        assert!(matches!(read(b"{"), Reading::Text(_)));
        assert!(matches!(read(b"ab\xff"), Reading::Binary(2)));
    }

    #[test]
    fn a_hex_dump_shows_offset_bytes_and_text() {
        let dump = hex(b"hello \x00\xffworld 12345").0;
        assert!(
            dump.starts_with("00000000  68 65 6c 6c 6f 20 00 ff  77 6f 72"),
            "{dump}"
        );
        assert!(
            dump.contains(" hello ..world 12\n00000010  33 34 35"),
            "{dump}"
        );
    }
}
