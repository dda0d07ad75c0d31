use serde::Deserialize;

use super::{ConfigError, HumanDuration};
use crate::domain::NameFilter;

const SHORTEST_AGE_SECONDS: u64 = 60;

/// `[traces]`: which topics are followed, and how long their events are kept. Dead letters and replays are in
/// traces in any case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracesConfig {
    /// Kafka topics whose events are kept, as glob patterns without regard to case; none by default. DLQs need
    /// not be named.
    pub kafka_topics: Vec<String>,
    /// Topics that match the patterns and are not followed.
    pub kafka_topics_ignored: Vec<String>,
    /// The consumer group of the tap, which needs Read on the topics and on the group.
    pub consumer_group: String,
    /// Events are removed so long after they happened.
    pub max_age: HumanDuration,
    /// Of more events those that were seen first are removed.
    pub max_events: u64,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self {
            kafka_topics: Vec::new(),
            kafka_topics_ignored: Vec::new(),
            consumer_group: "redrive-traces".to_owned(),
            max_age: HumanDuration::from_secs(3 * 86_400),
            max_events: 1_000_000,
        }
    }
}

impl TracesConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        for (key, patterns) in [
            ("traces.kafka_topics", &self.kafka_topics),
            ("traces.kafka_topics_ignored", &self.kafka_topics_ignored),
        ] {
            let parsed = NameFilter::parse(patterns.iter().map(String::as_str));
            parsed.map_err(|error| ConfigError::invalid(key, error.to_string()))?;
        }
        if self.consumer_group.is_empty() {
            let problem = "must not be empty: the tap remembers what it has read by it";
            return Err(ConfigError::invalid("traces.consumer_group", problem));
        }
        if self.max_age.as_secs() < SHORTEST_AGE_SECONDS {
            return Err(ConfigError::invalid(
                "traces.max_age",
                "must be at least 1m",
            ));
        }
        if self.max_events == 0 {
            let problem = "must be at least 1; without kafka_topics nothing is kept";
            return Err(ConfigError::invalid("traces.max_events", problem));
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
            let text = format!("[traces]\n{text}");
            let error = Config::parse(&text, []).expect_err(&text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("kafka_topics = ['a[']", "traces.kafka_topics");
        check(
            "kafka_topics_ignored = ['a[']",
            "traces.kafka_topics_ignored",
        );
        check("consumer_group = ''", "traces.consumer_group");
        check("max_age = '10s'", "traces.max_age");
        check("max_events = 0", "traces.max_events");
    }
}
