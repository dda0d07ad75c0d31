//! `actor`, `action`, `since` and `until` of a URL, for the page and the API alike.

use super::parameters::Parameters;
use crate::domain::Timestamp;
use crate::store::AuditFilter;

/// The entries that a URL asks for, or which parameter is not understood.
pub(crate) fn audit_filter(query: &Parameters) -> Result<AuditFilter, String> {
    let time = |name: &str| -> Result<Option<Timestamp>, String> {
        let Some(text) = query.get(name) else {
            return Ok(None);
        };
        parse_time(text).map(Some).ok_or_else(|| {
            format!(
                "{name}={text} is no time; write 2026-11-24, 2026-11-24T15:30 or \
                 2026-11-24T15:30:00Z, in UTC"
            )
        })
    };
    Ok(AuditFilter {
        actor: query.get("actor").map(str::to_owned),
        action: query.get("action").map(str::to_owned),
        since: time("since")?,
        until: time("until")?,
    })
}

/// RFC 3339, or without an offset, as a browser's field for a time sends it: then it is UTC.
fn parse_time(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text).or_else(|| {
        let time: jiff::civil::DateTime = text.trim().parse().ok()?;
        let timestamp = jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?;
        Some(Timestamp(timestamp.as_millisecond()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_an_unreadable_one_is_named() {
        let since = |text: &str| {
            let query = Parameters::default().with("since", text);
            audit_filter(&query).map(|filter| filter.since.map(Timestamp::to_rfc3339))
        };
        let check = |text: &str, expected: &str| {
            assert_eq!(since(text), Ok(Some(expected.to_owned())), "{text}");
        };
        check("2026-11-24", "2026-11-24T00:00:00.000Z");
        check("2026-11-24T15:30", "2026-11-24T15:30:00.000Z");
        check("2026-11-24T15:30:00+02:00", "2026-11-24T13:30:00.000Z");
        assert_eq!(since(""), Ok(None));
        assert!(since("yesterday").unwrap_err().contains("since=yesterday"));
    }
}
