//! Numbers, times, identifiers and states as HTML: each with its unit, its exact value as title, and
//! never colour alone.

use std::time::Duration;

use askama::filters::Safe;

use super::escape::{Markup, escaped};
use crate::domain::{TimeLag, Timestamp};

/// From here on a count is shortened.
const SHORTENED_FROM: u64 = 10_000;

/// What a state means for the person who looks; always shown as colour, shape and word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Ok,
    Idle,
    Unknown,
    Warning,
    Critical,
}

impl Status {
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Idle => "idle",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

pub(crate) fn status(status: Status, word: &str) -> Markup {
    Safe(format!(
        "<span class=\"status {}\">{}</span>",
        status.class(),
        escaped(word)
    ))
}

/// A small outlined word: a role, a system, a badge.
pub(crate) fn badge(status: Status, word: &str) -> Markup {
    Safe(format!(
        "<span class=\"badge {}\">{}</span>",
        status.class(),
        escaped(word)
    ))
}

/// What is not known is a dash that says so.
pub(crate) fn absent(why: &str) -> Markup {
    Safe(format!(
        "<span class=\"absent\" title=\"{0}\" aria-label=\"{0}\">–</span>",
        escaped(why)
    ))
}

/// `1,284`; from 10,000 on `12.8k` with the exact value as title.
pub(crate) fn count(value: u64) -> Markup {
    let exact = thousands(value);
    if value < SHORTENED_FROM {
        return Safe(exact);
    }
    Safe(format!(
        "<span title=\"{exact}\">{}</span>",
        shortened(value)
    ))
}

pub(crate) fn optional_count(value: Option<u64>, why: &str) -> Markup {
    value.map_or_else(|| absent(why), count)
}

/// The exact number with thousands separated.
pub(crate) fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.8k`, `3.1M`: three significant digits.
pub(crate) fn shortened(value: u64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let number = value as f64;
    let Some((scale, unit)) = units.into_iter().find(|(scale, _)| number >= *scale) else {
        return value.to_string();
    };
    let scaled = number / scale;
    if scaled < 100.0 {
        format!("{scaled:.1}{unit}")
    } else {
        format!("{scaled:.0}{unit}")
    }
}

/// "1 group", "3 groups".
pub(crate) fn counted(value: u64, singular: &str, plural: &str) -> String {
    let noun = if value == 1 { singular } else { plural };
    format!("{} {noun}", thousands(value))
}

/// `12.3/s`
pub(crate) fn rate(per_second: Option<f64>) -> Markup {
    match per_second {
        Some(rate) if rate.is_finite() => Safe(rate_text(rate)),
        _ => absent("not known yet: a rate needs two samples"),
    }
}

pub(crate) fn rate_text(per_second: f64) -> String {
    if per_second >= 1000.0 {
        format!("{:.1}k/s", per_second / 1000.0)
    } else {
        format!("{:.1}/s", per_second.max(0.0))
    }
}

/// `1.2 MiB`
pub(crate) fn bytes(value: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", units[unit])
}

/// `3 m 12 s`: the two largest units.
pub(crate) fn duration(value: Duration) -> String {
    let seconds = value.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if value < Duration::from_secs(1) && !value.is_zero() => {
            format!("{} ms", value.as_millis())
        }
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} m {rest} s"),
        (0, _, _) => format!("{hours} h {minutes} m"),
        _ => format!("{days} d {hours} h"),
    }
}

pub(crate) fn time_lag(lag: Option<TimeLag>) -> Markup {
    match lag {
        None => absent("the age of the oldest unread message is not known yet"),
        Some(TimeLag::Exactly(lag)) => Safe(duration(lag)),
        Some(TimeLag::AtLeast(lag)) => Safe(format!(
            "<span title=\"proven to be at least that\">≥ {}</span>",
            duration(lag)
        )),
    }
}

/// "3 m ago" with the absolute time as title; the script keeps it current.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let absolute = at.to_rfc3339();
    Safe(format!(
        "<time datetime=\"{absolute}\" title=\"{absolute}\" data-ago>{}</time>",
        ago_text(at, now)
    ))
}

pub(crate) fn optional_ago(at: Option<Timestamp>, now: Timestamp, why: &str) -> Markup {
    at.map_or_else(|| absent(why), |at| ago(at, now))
}

/// "just now", "3 m ago": one unit, because it is read in passing.
pub(crate) fn ago_text(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.since(at).as_secs();
    match seconds {
        0..=1 => "just now".to_owned(),
        2..=59 => format!("{seconds} s ago"),
        60..=3_599 => format!("{} m ago", seconds / 60),
        3_600..=86_399 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// The absolute time in UTC.
pub(crate) fn clock(at: Timestamp) -> Markup {
    let absolute = at.to_rfc3339();
    Safe(format!(
        "<time datetime=\"{absolute}\">{}</time>",
        absolute.replace('T', " ").replace('Z', " UTC")
    ))
}

/// A long identifier cut in the middle; the script adds a copy button.
pub(crate) fn identifier(id: &str) -> Markup {
    Safe(format!(
        "<code class=\"id\" title=\"{0}\" data-copy=\"{0}\">{1}</code>",
        escaped(id),
        escaped(&cut_middle(id))
    ))
}

/// The same as a link to the page of what it names.
pub(crate) fn linked_identifier(id: &str, href: &str) -> Markup {
    Safe(format!(
        "<a class=\"id\" href=\"{1}\" title=\"{0}\" data-copy=\"{0}\">{2}</a>",
        escaped(id),
        escaped(href),
        escaped(&cut_middle(id))
    ))
}

pub(crate) fn cut_middle(id: &str) -> String {
    const KEPT: usize = 8;
    let length = id.chars().count();
    if length <= 2 * KEPT + 4 {
        return id.to_owned();
    }
    let head: String = id.chars().take(KEPT).collect();
    let tail: String = id.chars().skip(length - KEPT).collect();
    format!("{head}…{tail}")
}

/// The start of a text, for tables.
pub(crate) fn cut_end(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_separated_and_then_shortened() {
        let check = |value: u64, expected: &str| assert_eq!(count(value).0, expected);
        check(0, "0");
        check(1_284, "1,284");
        check(9_999, "9,999");
        check(12_845, "<span title=\"12,845\">12.8k</span>");
        check(3_100_000, "<span title=\"3,100,000\">3.1M</span>");
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        let check = |millis: u64, expected: &str| {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        };
        check(0, "0 s");
        check(250, "250 ms");
        check(12_000, "12 s");
        check(192_000, "3 m 12 s");
        check(7_260_000, "2 h 1 m");
        check(90_000_000, "1 d 1 h");
    }

    #[test]
    fn sizes_carry_their_unit() {
        assert_eq!(bytes(17), "17 B");
        assert_eq!(bytes(1_258_291), "1.2 MiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
    }

    #[test]
    fn a_name_cannot_leave_its_attribute() {
        let html = identifier("\" onmouseover=\"x").0;
        assert!(!html.contains("\" onmouseover"), "{html}");
    }

    #[test]
    fn an_identifier_is_cut_in_its_middle() {
        assert_eq!(
            cut_middle("0197f3a2-1111-7abc-8def-0123456789ab"),
            "0197f3a2…456789ab"
        );
        assert_eq!(cut_middle("orders"), "orders");
    }
}
