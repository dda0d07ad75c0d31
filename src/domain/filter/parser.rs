//! Reads the filter language, character by character, in linear time.

use thiserror::Error;

use super::values::condition;
use super::{FilterField, FilterTerm};

/// Longer text is refused: nobody types it, and each term costs the store a comparison a row.
const LONGEST_FILTER: usize = 2_000;
const MOST_TERMS: usize = 40;
/// Characters of a filter that are shown before and behind the place of an error.
const SHOWN_AROUND: usize = 40;

/// Units of an age with their seconds, largest first.
pub(super) const AGE_UNITS: [(char, u64); 5] = [
    ('w', 7 * 24 * 3600),
    ('d', 24 * 3600),
    ('h', 3600),
    ('m', 60),
    ('s', 1),
];

/// Why a filter was refused, where, and what to write instead.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message} at character {position}: {remedy}")]
pub struct FilterError {
    /// The first character (not byte) that is meant in the text as it was typed, counted from 1.
    pub position: usize,
    pub message: String,
    pub remedy: String,
}

impl FilterError {
    /// The refusal, and under it the filter with a mark at the place that is meant.
    pub fn shown_in(&self, typed: &str) -> String {
        let place = self.position.saturating_sub(1);
        let first = place.saturating_sub(SHOWN_AROUND);
        let excerpt = typed.chars().skip(first).take(2 * SHOWN_AROUND);
        let excerpt: String = excerpt
            .map(|it| if it.is_control() { ' ' } else { it })
            .collect();
        format!("{self}\n{excerpt}\n{}^", " ".repeat(place - first))
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<FilterTerm>, FilterError> {
    terms(text).map_err(|error| FilterError {
        position: error.position + 1,
        ..error
    })
}

/// Errors count from 0.
fn terms(text: &str) -> Result<Vec<FilterTerm>, FilterError> {
    if text.chars().count() > LONGEST_FILTER {
        return Err(FilterError {
            position: LONGEST_FILTER,
            message: "the filter is too long".to_owned(),
            remedy: format!("write at most {LONGEST_FILTER} characters"),
        });
    }
    let mut scanner = Scanner {
        characters: text.chars().collect(),
        position: 0,
    };
    let mut terms = Vec::new();
    while let Some(start) = scanner.next_term() {
        if terms.len() == MOST_TERMS {
            return Err(FilterError {
                position: start,
                message: "the filter has too many terms".to_owned(),
                remedy: format!("write at most {MOST_TERMS} terms"),
            });
        }
        terms.push(scanner.term()?);
    }
    Ok(terms)
}

struct Scanner {
    characters: Vec<char>,
    position: usize,
}

/// A value as it was written.
pub(super) struct Written {
    pub(super) text: String,
    pub(super) quoted: bool,
    position: usize,
}

impl Written {
    pub(super) fn refused(&self, message: String, remedy: impl Into<String>) -> FilterError {
        FilterError {
            position: self.position,
            message,
            remedy: remedy.into(),
        }
    }
}

impl Scanner {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.position).copied()
    }

    /// Skips spaces; the start of the next term, if there is one.
    fn next_term(&mut self) -> Option<usize> {
        while self.peek()?.is_whitespace() {
            self.position += 1;
        }
        Some(self.position)
    }

    fn term(&mut self) -> Result<FilterTerm, FilterError> {
        let negated = self.peek() == Some('-');
        if negated {
            self.position += 1;
        }
        let (field, path) = self.qualifier()?;
        let written = self.value()?;
        if written.text.is_empty() {
            let remedy = match field {
                FilterField::Text => "write what to look for, or leave it out".to_owned(),
                named if path.is_empty() => {
                    format!("write a value right after {}:", named.qualifier())
                }
                named => format!("write a value right after {}.{path}:", named.qualifier()),
            };
            return Err(written.refused("a value is missing".to_owned(), remedy));
        }
        Ok(FilterTerm {
            negated,
            field,
            path,
            condition: condition(field, &written)?,
        })
    }

    /// Consumes `word:` or `payload.path:` if the term starts with a qualifier.
    fn qualifier(&mut self) -> Result<(FilterField, String), FilterError> {
        for field in [FilterField::Payload, FilterField::Header] {
            if let Some(path) = self.path_of(field)? {
                return Ok((field, path));
            }
        }
        let rest = self.characters.get(self.position..).unwrap_or_default();
        let starts_with_letter = rest.first().is_some_and(char::is_ascii_alphabetic);
        let word_end = rest
            .iter()
            .position(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')));
        let Some(length) = word_end.filter(|end| starts_with_letter && rest[*end] == ':') else {
            return Ok((FilterField::Text, String::new()));
        };
        let word: String = rest.iter().take(length).collect();
        let field = FilterField::ALL
            .into_iter()
            .find(|field| field.qualifier().eq_ignore_ascii_case(&word));
        let field = field.ok_or_else(|| FilterError {
            position: self.position,
            message: format!("{word:?} is no qualifier"),
            remedy: format!(
                "use one of {}, payload.<path>, header.<name>, or put the text in quotes",
                FilterField::ALL.map(FilterField::qualifier).join(", ")
            ),
        })?;
        self.position += length + 1;
        Ok((field, String::new()))
    }

    /// Consumes `payload.<path>:` or `header.<name>:`; quotes keep spaces and colons in the path.
    fn path_of(&mut self, field: FilterField) -> Result<Option<String>, FilterError> {
        let start = self.position;
        let word = field.qualifier();
        let rest = self.characters.get(start..).unwrap_or_default();
        let written: String = rest.iter().take(word.len()).collect();
        let ends_there = matches!(rest.get(word.len()), Some('.' | ':'));
        if !written.eq_ignore_ascii_case(word) || !ends_there {
            return Ok(None);
        }
        self.position += word.len();
        let mut path = String::new();
        let mut quoted = false;
        while let Some(character) = self.peek().filter(|c| quoted || !c.is_whitespace()) {
            self.position += 1;
            match character {
                '"' => quoted = !quoted,
                ':' if !quoted => return checked_path(field, &path, start).map(Some),
                other => path.push(other),
            }
        }
        if quoted {
            return Err(no_path(field, start));
        }
        // A word such as `payload.json` without a colon is text.
        self.position = start;
        Ok(None)
    }

    fn value(&mut self) -> Result<Written, FilterError> {
        let position = self.position;
        if self.peek() == Some('"') {
            return self.quoted_value();
        }
        let mut text = String::new();
        while let Some(character) = self.peek().filter(|c| !c.is_whitespace()) {
            if character == '"' {
                return Err(FilterError {
                    position: self.position,
                    message: "a quote stands inside a value".to_owned(),
                    remedy: "put the whole value in quotes and write \\\" for a quote in it"
                        .to_owned(),
                });
            }
            text.push(character);
            self.position += 1;
        }
        Ok(Written {
            text,
            quoted: false,
            position,
        })
    }

    fn quoted_value(&mut self) -> Result<Written, FilterError> {
        let position = self.position;
        self.position += 1;
        let mut text = String::new();
        while let Some(character) = self.peek() {
            self.position += 1;
            match character {
                '"' => {
                    self.expect_space()?;
                    return Ok(Written {
                        text,
                        quoted: true,
                        position,
                    });
                }
                '\\' if matches!(self.peek(), Some('"' | '\\')) => {
                    text.extend(self.peek());
                    self.position += 1;
                }
                other => text.push(other),
            }
        }
        Err(FilterError {
            position,
            message: "a quote is not closed".to_owned(),
            remedy: "close it with \"".to_owned(),
        })
    }

    fn expect_space(&self) -> Result<(), FilterError> {
        match self.peek() {
            Some(character) if !character.is_whitespace() => Err(FilterError {
                position: self.position,
                message: format!("{character:?} follows a closing quote"),
                remedy: "write a space between two terms".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Every step of a path is a name or an index.
fn checked_path(field: FilterField, path: &str, start: usize) -> Result<String, FilterError> {
    let Some(path) = path.strip_prefix('.') else {
        return Err(no_path(field, start));
    };
    let is_complete = |path: &str| path.split('.').all(|step| !step.is_empty());
    let is_index = |index: &str| {
        let digits = index.split_once(']').map(|(digits, _)| digits);
        digits.is_some_and(|digits| digits.chars().all(|c| c.is_ascii_digit()))
    };
    let is_payload = field == FilterField::Payload;
    let indices_are_closed = path.split('[').skip(1).all(is_index);
    if path.is_empty() || is_payload && !(is_complete(path) && indices_are_closed) {
        return Err(no_path(field, start));
    }
    Ok(path.to_owned())
}

fn no_path(field: FilterField, position: usize) -> FilterError {
    let (message, remedy) = if field == FilterField::Payload {
        (
            "the path into the payload is not complete",
            "write payload.customerId:42, payload.items[0].sku:A1 or payload.items[].sku:A1",
        )
    } else {
        (
            "the name of the header is missing",
            "write header.tenant:acme, with quotes around a name that has a colon or a space",
        )
    };
    FilterError {
        position,
        message: message.to_owned(),
        remedy: remedy.to_owned(),
    }
}
