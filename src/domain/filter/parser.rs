//! Reads the filter language, character by character, in linear time.

use std::time::Duration;

use thiserror::Error;

use super::{FilterCondition, FilterField, FilterTerm};
use crate::domain::{DeadLetterStatus, DeathReason, System};

/// Longer text is refused: nobody types it, and each term costs the store a comparison a row.
const LONGEST_FILTER: usize = 2_000;
const MOST_TERMS: usize = 40;

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
    /// The first character (not byte) that is meant, counted from 0.
    pub position: usize,
    pub message: String,
    pub remedy: String,
}

pub(super) fn parse(text: &str) -> Result<Vec<FilterTerm>, FilterError> {
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
struct Written {
    text: String,
    quoted: bool,
    position: usize,
}

impl Written {
    fn refused(&self, message: String, remedy: impl Into<String>) -> FilterError {
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
        let field = self.qualifier()?;
        let written = self.value()?;
        if written.text.is_empty() {
            let remedy = match field {
                FilterField::Text => "write what to look for, or leave it out".to_owned(),
                named => format!("write a value right after {}:", named.qualifier()),
            };
            return Err(written.refused("a value is missing".to_owned(), remedy));
        }
        Ok(FilterTerm {
            negated,
            field,
            condition: condition(field, &written)?,
        })
    }

    /// Consumes `word:` if the term starts with a qualifier.
    fn qualifier(&mut self) -> Result<FilterField, FilterError> {
        let rest = self.characters.get(self.position..).unwrap_or_default();
        let starts_with_letter = rest.first().is_some_and(char::is_ascii_alphabetic);
        let word_end = rest
            .iter()
            .position(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')));
        let Some(length) = word_end.filter(|end| starts_with_letter && rest[*end] == ':') else {
            return Ok(FilterField::Text);
        };
        let word: String = rest.iter().take(length).collect();
        let field = FilterField::ALL
            .into_iter()
            .find(|field| field.qualifier().eq_ignore_ascii_case(&word));
        let field = field.ok_or_else(|| FilterError {
            position: self.position,
            message: format!("{word:?} is no qualifier"),
            remedy: format!(
                "use one of {}, or put the text in quotes",
                FilterField::ALL.map(FilterField::qualifier).join(", ")
            ),
        })?;
        self.position += length + 1;
        Ok(field)
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

fn condition(field: FilterField, written: &Written) -> Result<FilterCondition, FilterError> {
    match field {
        FilterField::Text | FilterField::Error => {
            Ok(FilterCondition::Contains(written.text.clone()))
        }
        FilterField::Age => age_condition(written),
        FilterField::Status => {
            let words = DeadLetterStatus::ALL.map(DeadLetterStatus::as_str);
            one_of(field, written, &words)
        }
        FilterField::Reason => one_of(field, written, &DeathReason::ALL.map(DeathReason::as_str)),
        FilterField::System => one_of(field, written, &System::ALL.map(System::as_str)),
        _ if !written.quoted && written.text.contains('*') => {
            Ok(FilterCondition::Matches(written.text.clone()))
        }
        _ => Ok(FilterCondition::Is(written.text.clone())),
    }
}

fn one_of(
    field: FilterField,
    written: &Written,
    words: &[&str],
) -> Result<FilterCondition, FilterError> {
    words
        .iter()
        .find(|word| word.eq_ignore_ascii_case(&written.text))
        .map(|word| FilterCondition::Is((*word).to_owned()))
        .ok_or_else(|| {
            written.refused(
                format!("{:?} is no {}", written.text, field.qualifier()),
                format!("use one of {}", words.join(", ")),
            )
        })
}

fn age_condition(written: &Written) -> Result<FilterCondition, FilterError> {
    const REMEDY: &str = "write age:>1h for older or age:<10m for younger, with s, m, h, d or w";
    let refused = || written.refused(format!("{:?} is no age", written.text), REMEDY);
    let (older, length) = match written.text.split_at_checked(1) {
        Some((">", length)) => (true, length),
        Some(("<", length)) => (false, length),
        _ => return Err(refused()),
    };
    let age = parse_age(length).ok_or_else(refused)?;
    Ok(if older {
        FilterCondition::OlderThan(age)
    } else {
        FilterCondition::YoungerThan(age)
    })
}

/// Reads `90m` or `1d12h`. An age beyond what a clock can hold is refused by the checked arithmetic.
fn parse_age(text: &str) -> Option<Duration> {
    let mut total: u64 = 0;
    let mut count: Option<u64> = None;
    for character in text.chars() {
        if let Some(digit) = character.to_digit(10) {
            let tens = count.unwrap_or(0).checked_mul(10)?;
            count = Some(tens.checked_add(u64::from(digit))?);
            continue;
        }
        let (_, seconds) = AGE_UNITS
            .into_iter()
            .find(|(unit, _)| unit.eq_ignore_ascii_case(&character))?;
        total = total.checked_add(count.take()?.checked_mul(seconds)?)?;
    }
    let is_complete = count.is_none() && !text.is_empty();
    let fits_milliseconds = total < u64::MAX / 2_000;
    (is_complete && fits_milliseconds).then(|| Duration::from_secs(total))
}
