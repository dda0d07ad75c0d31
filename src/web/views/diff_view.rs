//! The difference between the original and an edit, line by line.

use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use super::headers_view::{HeaderRow, bytes_text, kind, property_rows, value_text};
use super::payload::{self, Reading};
use crate::domain::{Header, Message};

/// One line of a diff.
pub(super) struct DiffLine {
    /// `ins`, `del`, `same`, or `gap` for lines left out.
    pub(super) class: &'static str,
    pub(super) sign: &'static str,
    pub(super) text: String,
}

/// An unlucky pair of large texts is compared roughly instead of for ever.
const PATIENCE: Duration = Duration::from_millis(500);

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// More lines are not shown.
const LINES: usize = 5_000;

/// The lines that differ between two bodies, empty if none does. JSON is compared as laid out for
/// people; if only the layout differs, as it is written.
pub(super) fn body_diff(old: Option<&[u8]>, new: Option<&[u8]>) -> Vec<DiffLine> {
    if old == new {
        return Vec::new();
    }
    let (laid_out_old, laid_out_new) = (lines_of(old), lines_of(new));
    if laid_out_old == laid_out_new {
        return diff(&raw(old), &raw(new));
    }
    diff(&laid_out_old, &laid_out_new)
}

/// The key and the AMQP properties that differ, a line each.
pub(super) fn property_diff(old: &Message, new: &Message) -> Vec<DiffLine> {
    let lines = |message: &Message| -> String {
        let key = (message.properties.is_none()).then(|| {
            let key = message.key.as_deref();
            format!(
                "key: {}\n",
                key.map_or_else(|| "(null)".to_owned(), bytes_text)
            )
        });
        let row = |row: HeaderRow| format!("{}: {}\n", row.name, row.value);
        key.into_iter()
            .chain(property_rows(message).into_iter().map(row))
            .collect()
    };
    if (&old.key, &old.properties) == (&new.key, &new.properties) {
        return Vec::new();
    }
    diff(&lines(old), &lines(new))
}

/// The headers that differ, in their order.
pub(super) fn header_diff(old: &Message, new: &Message) -> Vec<DiffLine> {
    let lines = |message: &Message| -> String {
        let rows = message.headers.iter().map(header_line);
        rows.collect()
    };
    if old.headers == new.headers {
        return Vec::new();
    }
    diff(&lines(old), &lines(new))
}

fn header_line(header: &Header) -> String {
    let value = value_text(&header.value).replace('\n', "\n    ");
    format!(
        "{} ({}): {value}\n",
        header.name_lossy(),
        kind(&header.value)
    )
}

fn lines_of(body: Option<&[u8]>) -> String {
    let Some(bytes) = body else {
        return "(null)\n".to_owned();
    };
    match payload::read(bytes) {
        Reading::Json => payload::json_text(&String::from_utf8_lossy(bytes)),
        _ => raw(body),
    }
}

fn raw(body: Option<&[u8]>) -> String {
    let Some(bytes) = body else {
        return "(null)\n".to_owned();
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => payload::hex_text(bytes),
    }
}

fn diff(old: &str, new: &str) -> Vec<DiffLine> {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if index > 0 {
            lines.push(line("gap", " ", "⋯"));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (class, sign) = match change.tag() {
                ChangeTag::Delete => ("del", "−"),
                ChangeTag::Insert => ("ins", "+"),
                ChangeTag::Equal => ("same", " "),
            };
            lines.push(line(class, sign, change.value().trim_end_matches('\n')));
        }
    }
    lines.truncate(LINES);
    lines
}

fn line(class: &'static str, sign: &'static str, text: &str) -> DiffLine {
    DiffLine {
        class,
        sign,
        text: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(old: &str, new: &str) -> Vec<String> {
        let lines = body_diff(Some(old.as_bytes()), Some(new.as_bytes()));
        let changed = lines.iter().filter(|line| line.class != "same");
        changed
            .map(|line| format!("{}{}", line.sign, line.text))
            .collect()
    }

    #[test]
    fn json_is_compared_by_value_and_line() {
        let old = r#"{"id":1,"total":null}"#;
        let new = r#"{"id": 1, "total": 42}"#;
        assert_eq!(
            changed(old, new),
            ["−  \"total\": null", "+  \"total\": 42"]
        );
    }

    #[test]
    fn a_difference_in_layout_alone_is_still_shown() {
        assert_eq!(changed("{}", "{ }"), ["−{}", "+{ }"]);
        assert!(changed("{}", "{}").is_empty());
    }

    #[test]
    fn a_key_and_a_property_are_compared() {
        let changed = |old: &Message, new: &Message| -> Vec<String> {
            let lines = property_diff(old, new);
            let changed = lines.iter().filter(|line| line.class != "same");
            changed
                .map(|line| format!("{}{}", line.sign, line.text))
                .collect()
        };
        let with_key = |key: Option<&'static [u8]>| Message {
            key: key.map(bytes::Bytes::from_static),
            ..Message::default()
        };
        let (null, empty) = (with_key(None), with_key(Some(b"")));
        assert_eq!(changed(&null, &empty), ["−key: (null)", "+key: "]);
        assert!(property_diff(&null, &null).is_empty());
        let with_priority = |priority| Message {
            properties: Some(Box::new(crate::domain::AmqpProperties {
                priority,
                ..Default::default()
            })),
            ..Message::default()
        };
        let lines = changed(&with_priority(None), &with_priority(Some(3)));
        assert_eq!(lines, ["+priority: 3"]);
    }

    #[test]
    fn null_is_not_empty() {
        assert!(!body_diff(None, Some(b"")).is_empty());
    }
}
