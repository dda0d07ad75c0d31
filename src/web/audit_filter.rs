//! `actor`, `action`, `since` and `until` of a URL, for the page and the API alike.

use super::parameters::Parameters;
use crate::store::AuditFilter;

/// The entries that a URL asks for, or which parameter is not understood.
pub(crate) fn audit_filter(query: &Parameters) -> Result<AuditFilter, String> {
    Ok(AuditFilter {
        actor: query.get("actor").map(str::to_owned),
        action: query.get("action").map(str::to_owned),
        since: query.time("since")?,
        until: query.time("until")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

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
