//! Rules by which the configuration groups dead letters before the built-in ones do.

use super::{Filter, FilterCondition, FilterField, FilterTerm, System};

/// `filter`, and what the dead letters that match have for an identity and a title. Both may hold
/// `{class}`, `{message}`, `{source}`, `{type}`, `{consumer}`, `{dlq}`, `{cluster}` and `{reason}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupingRule {
    name: String,
    filter: Filter,
    title: String,
    key: String,
}

/// What a rule looks at. Unknown texts are empty.
#[derive(Clone, Copy, Debug)]
pub struct RuleSubject<'a> {
    pub system: System,
    pub cluster: &'a str,
    pub vhost: &'a str,
    pub dlq: &'a str,
    pub source: &'a str,
    pub event_type: &'a str,
    pub consumer: &'a str,
    pub reason: &'a str,
    pub class: &'a str,
    /// As it was written.
    pub message: &'a str,
    /// The same with its variable parts replaced, for title and key.
    pub parameterised_message: &'a str,
}

/// Why a rule was refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RuleError {
    #[error("the filter is not understood: {0}")]
    Filter(#[from] super::FilterError),
    #[error("the filter is empty; a rule for all dead letters would hide the built-in ones")]
    EmptyFilter,
    #[error(
        "{0:?} cannot be asked by a rule; use source, error, type, consumer, reason, dlq, cluster, \
         vhost or system"
    )]
    Field(&'static str),
    #[error("{0:?} is no placeholder; use one of {all}", all = PLACEHOLDERS.join(" "))]
    Placeholder(String),
    #[error("{0} is empty")]
    Empty(&'static str),
}

const PLACEHOLDERS: [&str; 8] = [
    "{class}",
    "{message}",
    "{source}",
    "{type}",
    "{consumer}",
    "{dlq}",
    "{cluster}",
    "{reason}",
];

impl GroupingRule {
    /// An empty `title` means the name; an empty `key` makes all that match one group.
    pub fn new(name: &str, filter: &str, title: &str, key: &str) -> Result<Self, RuleError> {
        let name = name.trim();
        if name.is_empty() {
            return Err(RuleError::Empty("name"));
        }
        let filter = Filter::parse(filter)?;
        if filter.is_empty() {
            return Err(RuleError::EmptyFilter);
        }
        let refused = filter.terms().iter().find(|term| !is_known(term.field));
        if let Some(term) = refused {
            return Err(RuleError::Field(match term.field {
                FilterField::Text => "free text",
                named => named.qualifier(),
            }));
        }
        check_placeholders(title)?;
        check_placeholders(key)?;
        let title = if title.trim().is_empty() { name } else { title };
        Ok(Self {
            name: name.to_owned(),
            title: title.to_owned(),
            key: key.to_owned(),
            filter,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The filter as it was typed.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    pub fn matches(&self, subject: &RuleSubject<'_>) -> bool {
        let holds = |term: &FilterTerm| holds(term, subject) != term.negated;
        self.filter.terms().iter().all(holds)
    }

    pub fn title(&self, subject: &RuleSubject<'_>) -> String {
        filled(&self.title, subject)
    }

    pub fn key(&self, subject: &RuleSubject<'_>) -> String {
        filled(&self.key, subject)
    }
}

/// Fields that are known when a dead letter is grouped and never change.
const fn is_known(field: FilterField) -> bool {
    matches!(
        field,
        FilterField::Source
            | FilterField::Error
            | FilterField::Type
            | FilterField::Consumer
            | FilterField::Reason
            | FilterField::Dlq
            | FilterField::Cluster
            | FilterField::Vhost
            | FilterField::System
    )
}

fn holds(term: &FilterTerm, subject: &RuleSubject<'_>) -> bool {
    let value = match term.field {
        FilterField::Source => subject.source,
        FilterField::Type => subject.event_type,
        FilterField::Consumer => subject.consumer,
        FilterField::Reason => subject.reason,
        FilterField::Dlq => subject.dlq,
        FilterField::Cluster => subject.cluster,
        FilterField::Vhost => subject.vhost,
        FilterField::System => subject.system.as_str(),
        _ => "",
    };
    match &term.condition {
        FilterCondition::Is(wanted) => value == wanted,
        // What is unknown is like nothing.
        FilterCondition::Matches(pattern) => !value.is_empty() && is_like(value, pattern),
        FilterCondition::Contains(words) => [subject.class, subject.message]
            .iter()
            .any(|text| has_words(text, words, false)),
        FilterCondition::Begins(words) => [subject.class, subject.message]
            .iter()
            .any(|text| has_words(text, words, true)),
        _ => false,
    }
}

/// Whether a name is like a pattern in which `*` stands for any text.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, inner)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in inner {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether a text has these words one after another, or the one word as a part of a compound such as
/// `OrderCreated`: as the search does.
fn has_words(text: &str, wanted: &str, last_begins: bool) -> bool {
    let wanted: Vec<String> = words_of(wanted).map(str::to_lowercase).collect();
    let Some((last, before)) = wanted.split_last() else {
        return false;
    };
    let is_last = |word: &str| {
        if last_begins {
            word.starts_with(last.as_str())
        } else {
            word == last
        }
    };
    let words: Vec<String> = words_of(text).map(str::to_lowercase).collect();
    let in_row = words.windows(wanted.len()).any(|window| {
        let (found_before, found_last) = window.split_at(before.len());
        found_before == before && found_last.iter().all(|word| is_last(word))
    });
    let in_part = before.is_empty() && words_of(text).flat_map(parts_of).any(|part| is_last(&part));
    in_row || in_part
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

fn parts_of(word: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut previous: Option<char> = None;
    for character in word.chars() {
        let starts = previous.is_none_or(char::is_lowercase) && character.is_uppercase();
        if starts || parts.is_empty() {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.extend(character.to_lowercase());
        }
        previous = Some(character);
    }
    parts
}

fn check_placeholders(template: &str) -> Result<(), RuleError> {
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let inner = &rest[start..];
        let Some(end) = inner.find('}') else {
            return Err(RuleError::Placeholder(inner.to_owned()));
        };
        let placeholder = &inner[..=end];
        if !PLACEHOLDERS.contains(&placeholder) {
            return Err(RuleError::Placeholder(placeholder.to_owned()));
        }
        rest = &inner[end + 1..];
    }
    Ok(())
}

/// One scan, so that a value which looks like a placeholder stays what it is.
fn filled(template: &str, subject: &RuleSubject<'_>) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let inner = &rest[start..];
        let end = inner.find('}').map_or(inner.len(), |end| end + 1);
        text.push_str(&rest[..start]);
        text.push_str(match &inner[..end] {
            "{class}" => subject.class,
            "{message}" => subject.parameterised_message,
            "{source}" => subject.source,
            "{type}" => subject.event_type,
            "{consumer}" => subject.consumer,
            "{dlq}" => subject.dlq,
            "{cluster}" => subject.cluster,
            "{reason}" => subject.reason,
            other => other,
        });
        rest = &inner[end..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests;
