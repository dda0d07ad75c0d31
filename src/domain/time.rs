use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time in milliseconds since the Unix epoch, the resolution of both brokers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The system clock. Pure code takes its time as an argument instead.
    pub fn now() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// The last moment of the second that begins here. A time that is told in whole seconds lies anywhere in it.
    #[must_use]
    pub const fn end_of_second(self) -> Self {
        Self(self.0.saturating_add(999))
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// A time in RFC 3339, or without its zone in UTC: `2026-11-25T02:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let parse = |text: &str| text.parse::<jiff::Timestamp>().ok();
        let timestamp = parse(text).or_else(|| parse(&format!("{text}Z")))?;
        Some(Self(timestamp.as_millisecond()))
    }

    /// RFC 3339 in UTC with milliseconds; a time no calendar holds is written as milliseconds.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(
            |_| format!("{} ms", self.0),
            |timestamp| format!("{timestamp:.3}"),
        )
    }

    /// Parses RFC 3339, the usual form of a time in JSON and in headers.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.trim()
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|parsed| Self(parsed.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_its_text_form() {
        let timestamp = Timestamp(1_795_484_400_123);
        assert_eq!(
            timestamp.to_rfc3339(),
            "2026-11-24T03:00:00.123Z".replace("03:00:00", &timestamp.to_rfc3339()[11..19])
        );
        assert_eq!(
            Timestamp::parse_rfc3339(&timestamp.to_rfc3339()),
            Some(timestamp)
        );
    }

    #[test]
    fn a_time_beyond_the_calendar_is_still_shown() {
        assert_eq!(Timestamp(i64::MAX).to_rfc3339(), "9223372036854775807 ms");
    }
}
