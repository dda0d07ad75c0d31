//! The filter language over dead letters: `status:open source:orders error:Timeout -age:>1d "free text"`.
//!
//! `payload.<path>:value` and `header.<name>:value` ask for one field: paths have dots, `[0]` for one and
//! `[]` for any element. Text is found by whole words, in any case; the parts of `OrderCreated` and of
//! `ord-4711` are words of their own, and `time*` stands for all words that begin so.
//!
//! A filter is a row of terms that must all hold. A term is a qualifier with a value, or text; a leading
//! `-` negates it; quotes keep spaces, colons and stars literal, with `\"` and `\\` inside them. A
//! qualifier with names as values matches the whole name, in which an unquoted `*` stands for any text.
//!
//! To add a qualifier: a variant of [`FilterField`] with its word and its line in [`FilterField::ALL`],
//! how its value is read (`parser.rs`), and the column it reads (`store`).

mod parser;
mod values;

use std::fmt;
use std::time::Duration;

use super::Timestamp;
pub use parser::FilterError;

/// Which dead letters are meant, with the text that was typed. The empty filter means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
    terms: Vec<FilterTerm>,
}

/// One condition of a filter. A field that is unknown on a dead letter does not match, so the negated
/// term does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterTerm {
    /// The term was written with a leading `-`.
    pub negated: bool,
    pub field: FilterField,
    /// Which field of the payload or which header; empty for all other fields.
    pub path: String,
    pub condition: FilterCondition,
}

/// What a term looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilterField {
    Status,
    /// Topic or queue of origin.
    Source,
    /// Error class or error message.
    Error,
    /// The DLQ's topic or queue.
    Dlq,
    Cluster,
    System,
    Vhost,
    /// Consumer group, connector or endpoint that failed.
    Consumer,
    /// Event type.
    Type,
    /// Failure group.
    Group,
    /// Correlation ID.
    Correlation,
    /// Causation ID.
    Causation,
    /// Event ID.
    Event,
    /// Aggregate ID.
    Aggregate,
    /// Reason of the death.
    Reason,
    /// Time since the death.
    Age,
    /// Died at or after a time.
    After,
    /// Died before a time.
    Before,
    /// Redrive's own number of the dead letter.
    Id,
    /// Whether it has a revision.
    Edited,
    /// Whether it may be a second delivery of another one.
    Duplicate,
    /// Changed by the repair of that number.
    Repair,
    /// Bytes of key, body and headers.
    Size,
    /// A field of the JSON payload, by its path.
    Payload,
    /// A header, by its name.
    Header,
    /// Free text: error, event type, source, DLQ, consumer, the event's IDs, payload and headers.
    Text,
}

/// How a term compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterCondition {
    /// Equal, case included.
    Is(String),
    /// Equal to a pattern in which `*` stands for any text; everything else is literal.
    Matches(String),
    /// Contains these words one after another; case is ignored.
    Contains(String),
    /// As [`Self::Contains`], but the last word, or the field's value, only begins so.
    Begins(String),
    Since(Timestamp),
    Until(Timestamp),
    /// First and last ID of each range.
    Ids(Vec<(i64, i64)>),
    Flag(bool),
    /// More than so many bytes.
    Larger(u64),
    /// Fewer than so many bytes.
    Smaller(u64),
    OlderThan(Duration),
    YoungerThan(Duration),
}

impl Filter {
    /// Reads what a person typed; every refusal says where and how to write it instead.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self {
            terms: parser::parse(text.trim_end())?,
            text: text.trim().to_owned(),
        })
    }

    /// Whether every dead letter matches.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The filter as it was typed, without surrounding spaces.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The terms, all of which must hold, in the order in which they were typed.
    pub fn terms(&self) -> &[FilterTerm] {
        &self.terms
    }

    /// The filter in words, for a confirmation: `status is open and age is over 1h`.
    pub fn describe(&self) -> String {
        if self.is_empty() {
            return "all dead letters".to_owned();
        }
        let terms: Vec<String> = self.terms.iter().map(FilterTerm::to_string).collect();
        terms.join(" and ")
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Display for FilterTerm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is, is_not, value) = self.condition.words();
        let verb = if self.negated { is_not } else { is };
        let separator = if self.path.is_empty() { "" } else { " " };
        let (label, path) = (self.field.label(), &self.path);
        write!(formatter, "{label}{separator}{path} {verb} {value}")
    }
}

impl FilterCondition {
    /// The verb, its negation, and the value.
    fn words(&self) -> (&'static str, &'static str, String) {
        match self {
            Self::Is(value) => ("is", "is not", value.clone()),
            Self::Matches(pattern) => ("is like", "is not like", pattern.clone()),
            Self::Contains(part) => ("contains", "does not contain", format!("“{part}”")),
            Self::Begins(part) => ("has", "does not have", format!("“{part}…”")),
            Self::OlderThan(age) => ("is over", "is at most", describe_age(*age)),
            Self::YoungerThan(age) => ("is under", "is at least", describe_age(*age)),
            Self::Since(at) => ("is from", "is before", at.to_string()),
            Self::Until(at) => ("is before", "is from", at.to_string()),
            Self::Ids(ranges) => ("is in", "is not in", describe_ranges(ranges)),
            Self::Flag(yes) => ("is", "is not", if *yes { "yes" } else { "no" }.to_owned()),
            Self::Larger(size) => ("is over", "is at most", format!("{size} bytes")),
            Self::Smaller(size) => ("is under", "is at least", format!("{size} bytes")),
        }
    }
}

fn describe_ranges(ranges: &[(i64, i64)]) -> String {
    let range = |(first, last): &(i64, i64)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

impl FilterField {
    /// Every field whose qualifier is one word, in the order in which the page suggests them.
    pub const ALL: [Self; 23] = [
        Self::Status,
        Self::Source,
        Self::Error,
        Self::Type,
        Self::Consumer,
        Self::Reason,
        Self::Age,
        Self::Dlq,
        Self::System,
        Self::Cluster,
        Self::Vhost,
        Self::Group,
        Self::Correlation,
        Self::Causation,
        Self::Event,
        Self::Aggregate,
        Self::After,
        Self::Before,
        Self::Id,
        Self::Edited,
        Self::Duplicate,
        Self::Repair,
        Self::Size,
    ];

    /// The word before the colon; empty for free text.
    pub const fn qualifier(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Source => "source",
            Self::Error => "error",
            Self::Dlq => "dlq",
            Self::Cluster => "cluster",
            Self::System => "system",
            Self::Vhost => "vhost",
            Self::Consumer => "consumer",
            Self::Type => "type",
            Self::Group => "group",
            Self::Correlation => "correlation",
            Self::Causation => "causation",
            Self::Event => "event",
            Self::Aggregate => "aggregate",
            Self::Reason => "reason",
            Self::Age => "age",
            Self::After => "after",
            Self::Before => "before",
            Self::Id => "id",
            Self::Edited => "edited",
            Self::Duplicate => "duplicate",
            Self::Repair => "repair",
            Self::Size => "size",
            Self::Payload => "payload",
            Self::Header => "header",
            Self::Text => "",
        }
    }

    /// What the field is called in a sentence.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Dlq => "DLQ",
            Self::Vhost => "virtual host",
            Self::Type => "event type",
            Self::Group => "failure group",
            Self::Correlation => "correlation ID",
            Self::Causation => "causation ID",
            Self::Event => "event ID",
            Self::Aggregate => "aggregate ID",
            Self::After | Self::Before => "time of death",
            Self::Id => "ID",
            Self::Duplicate => "possible duplicate",
            Self::Text => "text",
            named => named.qualifier(),
        }
    }

    /// The text of a term that asks for exactly this value, quoted where it must be: for links.
    pub fn term(self, value: &str) -> String {
        let plain = !value.is_empty()
            && !value.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\\' | '*'))
            && (self != Self::Text || !value.contains(':') && !value.starts_with('-'));
        let value = if plain {
            value.to_owned()
        } else {
            format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
        };
        match self {
            Self::Text => value,
            named => format!("{}:{value}", named.qualifier()),
        }
    }
}

/// The duration in the units of the language, largest first: `1d2h`.
fn describe_age(age: Duration) -> String {
    let mut rest = age.as_secs();
    let parts = parser::AGE_UNITS.map(|(unit, seconds)| {
        let count = rest / seconds;
        rest %= seconds;
        (count, unit)
    });
    let written: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if written.is_empty() {
        "0s".to_owned()
    } else {
        written.concat()
    }
}

#[cfg(test)]
mod tests;
