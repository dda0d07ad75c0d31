use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, HumanDuration};

/// A store with nothing in it is smaller; a limit near that would remove everything at once.
const SMALLEST_LIMIT: u64 = 16 * 1024 * 1024;
const SHORTEST_AGE_SECONDS: u64 = 3600;

/// `[retention]`: what leaves the store. Discarded dead letters leave when their discard expires,
/// whatever is set here. Nothing is ever removed from Kafka or RabbitMQ.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Dead letters that were replayed, or are gone from their queue, are removed so long after the
    /// store first held them, if the outcome of every replay is settled. Without it, they stay.
    pub max_age: Option<HumanDuration>,
    /// While the store is larger, without the history of charts, the oldest of them are removed whatever their
    /// age.
    pub max_bytes: Option<u64>,
    /// Say in so many words that age and size remove open dead letters as well. Those that are being
    /// replayed or whose replay is unknown stay in any case.
    pub remove_open: bool,
}

impl RetentionConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self
            .max_age
            .is_some_and(|age| age.as_secs() < SHORTEST_AGE_SECONDS)
        {
            return Err(ConfigError::invalid(
                "retention.max_age",
                "must be at least 1h",
            ));
        }
        if self.max_bytes.is_some_and(|bytes| bytes < SMALLEST_LIMIT) {
            let problem = format!("must be at least {SMALLEST_LIMIT} (16 MiB)");
            return Err(ConfigError::invalid("retention.max_bytes", problem));
        }
        if self.remove_open && self.max_age.is_none() && self.max_bytes.is_none() {
            return Err(ConfigError::invalid(
                "retention.remove_open",
                "does nothing without retention.max_age or retention.max_bytes; set one of them",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn mistakes_name_the_key_and_the_remedy() {
        let check = |text: &str, expected: &str| {
            let text = format!("[retention]\n{text}");
            let error = Config::parse(&text, []).expect_err(&text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("max_age = '10m'", "retention.max_age");
        check("max_bytes = 1000", "retention.max_bytes");
        check("remove_open = true", "set one of them");
        let whole = "[retention]\nmax_age = '90d'\nmax_bytes = 20000000000\nremove_open = true";
        assert!(Config::parse(whole, []).is_ok());
    }
}
