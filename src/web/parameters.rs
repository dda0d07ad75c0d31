//! Query strings and form bodies as ordered pairs, and the URLs that carry a page's state.

use std::fmt::Write as _;

use url::form_urlencoded;

use crate::domain::{RevisionNumber, Timestamp};

/// Names and values as they were sent; names may repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
}

/// More pairs than a page of checkboxes needs are dropped.
const MAX_PAIRS: usize = 5_000;

impl Parameters {
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(encoded).into_owned();
        Self {
            pairs: pairs.take(MAX_PAIRS).collect(),
        }
    }

    /// The first value of that name that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        let found = pairs.find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// The value as a time, or what is wrong with it.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, String> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        parse_time(text).map(Some).ok_or_else(|| {
            format!(
                "{name}={text} is no time; write 2026-11-24, 2026-11-24T15:30 or \
                 2026-11-24T15:30:00Z, in UTC"
            )
        })
    }

    /// `revision`, or what is wrong with it.
    pub(crate) fn revision(&self) -> Result<Option<RevisionNumber>, String> {
        let Some(text) = self.get("revision") else {
            return Ok(None);
        };
        let number = text.parse().map(|number| Some(RevisionNumber(number)));
        number.map_err(|_| format!("{text:?} is no number of a revision"))
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let matching = self.pairs.iter().filter(move |(key, _)| key == name);
        matching.map(|(_, value)| value.as_str())
    }

    /// The same with one value for that name; an empty value removes it.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let others = self.pairs.iter().filter(|(key, _)| key != name);
        let mut pairs: Vec<_> = others.cloned().collect();
        if !value.is_empty() {
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Self { pairs }
    }

    /// `path?a=b`, or the bare path without parameters.
    pub(crate) fn url(&self, path: &str) -> String {
        if self.pairs.is_empty() {
            return path.to_owned();
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.pairs);
        format!("{path}?{}", query.finish())
    }
}

/// RFC 3339, or without an offset, as a browser's field for a time sends it: then it is UTC.
fn parse_time(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text).or_else(|| {
        let time: jiff::civil::DateTime = text.trim().parse().ok()?;
        let timestamp = jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?;
        Some(Timestamp(timestamp.as_millisecond()))
    })
}

/// A path of segments, each encoded, so that a virtual host `/` stays one segment.
pub(crate) fn path<'a>(segments: impl IntoIterator<Item = &'a str>) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || is_inner_dot(segment, byte)
            {
                path.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    path
}

/// A dot is plain, except in the names that a browser would resolve away.
fn is_inner_dot(segment: &str, byte: u8) -> bool {
    byte == b'.' && segment != "." && segment != ".."
}

/// `/dead-letters/list?filter=…`
pub(crate) fn list_url(filter: &str) -> String {
    Parameters::default()
        .with("filter", filter)
        .url("/dead-letters/list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_host_stays_one_segment() {
        assert_eq!(path(["queues", "r", "/", "a b"]), "/queues/r/%2F/a%20b");
    }

    #[test]
    fn state_in_a_url_is_replaced_and_removed() {
        let parameters = Parameters::parse(b"sort=lag&id=1&id=2");
        assert_eq!(parameters.all("id").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(
            parameters.with("sort", "-name").url("/x"),
            "/x?id=1&id=2&sort=-name"
        );
        assert_eq!(parameters.with("id", "").url("/x"), "/x?sort=lag");
    }
}
