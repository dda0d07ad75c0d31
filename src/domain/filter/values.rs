//! Reads the value of one term: what each qualifier takes, and what to write instead.

use std::time::Duration;

use super::parser::{AGE_UNITS, FilterError, Written};
use super::{FilterCondition, FilterField};
use crate::domain::{DeadLetterStatus, DeathReason, System, Timestamp};

/// A shorter beginning would stand for too many words of the search index.
const SHORTEST_BEGINNING: usize = 3;
/// More ranges of IDs than a selection by hand has.
const MOST_ID_RANGES: usize = 500;
/// Units of a size with their bytes.
const SIZE_UNITS: [(&str, u64); 3] = [("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30)];

pub(super) fn condition(
    field: FilterField,
    written: &Written,
) -> Result<FilterCondition, FilterError> {
    match field {
        FilterField::Text | FilterField::Error => words(written),
        FilterField::Payload | FilterField::Header => field_value(written),
        FilterField::Age => age_condition(written),
        FilterField::Size => size_condition(written),
        FilterField::After => time(written).map(FilterCondition::Since),
        FilterField::Before => time(written).map(FilterCondition::Until),
        FilterField::Id | FilterField::Repair => ids(written).map(FilterCondition::Ids),
        FilterField::Edited | FilterField::Duplicate => flag(field, written),
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

/// Words of the search index; an unquoted star at the end stands for the rest of the last word.
fn words(written: &Written) -> Result<FilterCondition, FilterError> {
    let has_word = |text: &str| text.chars().any(char::is_alphanumeric);
    match beginning(written)? {
        Some(start) if !start.ends_with(char::is_alphanumeric) => Err(written.refused(
            "a star follows no word".to_owned(),
            "write the beginning of a word right before it: time*",
        )),
        Some(start) => Ok(FilterCondition::Begins(start)),
        None if has_word(&written.text) => Ok(FilterCondition::Contains(written.text.clone())),
        None => Err(written.refused(
            format!("{:?} has neither a letter nor a digit", written.text),
            "write a word to look for; punctuation only separates words",
        )),
    }
}

fn field_value(written: &Written) -> Result<FilterCondition, FilterError> {
    Ok(match beginning(written)? {
        Some(start) => FilterCondition::Begins(start),
        None => FilterCondition::Is(written.text.clone()),
    })
}

/// What stands before an unquoted star at the end, if there is one.
fn beginning(written: &Written) -> Result<Option<String>, FilterError> {
    if written.quoted || !written.text.contains('*') {
        return Ok(None);
    }
    let start = written.text.strip_suffix('*').unwrap_or_default();
    if start.contains('*') || start.chars().count() < SHORTEST_BEGINNING {
        return Err(written.refused(
            format!("{:?} has a star in the wrong place", written.text),
            format!(
                "write at least {SHORTEST_BEGINNING} characters and then one star at the end, or put \
                 the value in quotes"
            ),
        ));
    }
    Ok(Some(start.to_owned()))
}

fn size_condition(written: &Written) -> Result<FilterCondition, FilterError> {
    let refused = || {
        written.refused(
            format!("{:?} is no size", written.text),
            "write size:>10k for larger or size:<2m for smaller, in bytes, k, m or g",
        )
    };
    let (larger, size) = match written.text.split_at_checked(1) {
        Some((">", size)) => (true, size.to_ascii_lowercase()),
        Some(("<", size)) => (false, size.to_ascii_lowercase()),
        _ => return Err(refused()),
    };
    let unit = SIZE_UNITS
        .into_iter()
        .find_map(|(unit, bytes)| Some((size.strip_suffix(unit)?, bytes)));
    let (count, unit) = unit.unwrap_or((size.as_str(), 1));
    let count: u64 = count.parse().map_err(|_| refused())?;
    let bytes = count
        .checked_mul(unit)
        .filter(|b| i64::try_from(*b).is_ok());
    let bytes = bytes.ok_or_else(refused)?;
    Ok(if larger {
        FilterCondition::Larger(bytes)
    } else {
        FilterCondition::Smaller(bytes)
    })
}

/// `2026-11-25`, `2026-11-25T10:00`, or RFC 3339; without an offset it is UTC.
fn time(written: &Written) -> Result<Timestamp, FilterError> {
    let text = &written.text;
    let midnight = format!("{text}T00:00Z");
    let utc = format!("{text}Z");
    [text, &utc, &midnight]
        .into_iter()
        .find_map(|text| Timestamp::parse_rfc3339(text))
        .ok_or_else(|| {
            written.refused(
                format!("{text:?} is no time"),
                "write 2026-11-25, 2026-11-25T10:00 (UTC) or 2026-11-25T10:00+01:00",
            )
        })
}

fn ids(written: &Written) -> Result<Vec<(i64, i64)>, FilterError> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        (first <= last).then_some((i64::from(first), i64::from(last)))
    };
    let ranges: Option<Vec<_>> = written.text.split(',').map(range).collect();
    ranges
        .filter(|ranges| ranges.len() <= MOST_ID_RANGES)
        .ok_or_else(|| {
            written.refused(
                format!("{:?} is no set of IDs", written.text),
                format!("write id:5 or id:1-500,502, at most {MOST_ID_RANGES} ranges"),
            )
        })
}

fn flag(field: FilterField, written: &Written) -> Result<FilterCondition, FilterError> {
    match written.text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(FilterCondition::Flag(true)),
        "no" | "false" => Ok(FilterCondition::Flag(false)),
        _ => {
            let word = field.qualifier();
            Err(written.refused(
                format!("{:?} is neither yes nor no", written.text),
                format!("write {word}:yes or {word}:no"),
            ))
        }
    }
}
