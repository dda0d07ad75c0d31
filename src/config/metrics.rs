use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;
use crate::domain::NameFilter;

/// `[metrics]`: what `/metrics` exports.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// At most so many series of all brokers together; further ones are dropped, those of partitions
    /// first, and counted in `redrive_series_dropped_total`.
    pub series_limit: usize,
    /// How much is exported of which consumer groups: `[[metrics.groups]]`.
    pub groups: Vec<GroupSeries>,
    /// The same numbers once more under the names of other exporters, for dashboards that exist. Each doubles
    /// its series.
    pub aliases: Vec<Alias>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            // A Kafka cluster of 1,000 groups and 10,000 partitions has about 150,000.
            series_limit: 500_000,
            groups: Vec::new(),
            aliases: Vec::new(),
        }
    }
}

impl MetricsConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if (1_000..=10_000_000).contains(&self.series_limit) {
            return Ok(());
        }
        Err(ConfigError::invalid(
            "metrics.series_limit",
            format!(
                "{} series; it must lie between 1000 and 10000000. To export less of some consumer \
                 groups use [[metrics.groups]]",
                self.series_limit
            ),
        ))
    }
}

/// `[[metrics.groups]]`: how much is exported of the consumer groups whose names match. The first pattern that
/// matches decides; where none does it is every partition.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupSeries {
    /// A glob pattern without regard to case.
    pattern: GroupPattern,
    /// A series for each partition, one for all partitions of a topic, or none; the pages show the group in any case.
    pub series: SeriesDetail,
}

impl GroupSeries {
    pub fn matches(&self, group: &str) -> bool {
        self.pattern.0.matches(group)
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
struct GroupPattern(#[schemars(with = "String")] NameFilter);

impl TryFrom<String> for GroupPattern {
    type Error = String;

    fn try_from(pattern: String) -> Result<Self, String> {
        if pattern.is_empty() {
            return Err("metrics.groups.pattern is empty; `*` matches every group".to_owned());
        }
        NameFilter::parse([pattern.as_str()])
            .map(Self)
            .map_err(|error| format!("metrics.groups.pattern: {error}"))
    }
}

/// How much is exported of a consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("enum" = ["partition", "topic", "none"]))]
pub enum SeriesDetail {
    /// Series for each partition.
    Partition,
    /// One series for all partitions of a topic.
    Topic,
    /// Nothing; the pages still show the group.
    None,
}

impl TryFrom<String> for SeriesDetail {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "partition" => Ok(Self::Partition),
            "topic" => Ok(Self::Topic),
            "none" => Ok(Self::None),
            _ => Err(format!(
                "metrics.groups.series: {word:?} is none of \"partition\", \"topic\" and \"none\""
            )),
        }
    }
}

/// Another exporter whose names are exported as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("enum" = ["rabbitmq", "kafka_exporter", "kafka_lag_exporter"]))]
pub enum Alias {
    /// `RabbitMQ`'s own prometheus plugin: `rabbitmq_queue_messages` and so on.
    RabbitMq,
    /// `kafka_consumergroup_lag` and so on.
    KafkaExporter,
    /// `kafka_consumergroup_group_lag` and so on.
    KafkaLagExporter,
}

impl TryFrom<String> for Alias {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "rabbitmq" => Ok(Self::RabbitMq),
            "kafka_exporter" => Ok(Self::KafkaExporter),
            "kafka_lag_exporter" => Ok(Self::KafkaLagExporter),
            _ => Err(format!(
                "metrics.aliases: {name:?} is none of \"rabbitmq\", \"kafka_exporter\" and \
                 \"kafka_lag_exporter\""
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn mistakes_name_the_key_and_the_remedy() {
        let check = |text: &str, expected: &[&str]| {
            let error = Config::parse(text, []).expect_err(text).to_string();
            for part in expected {
                assert!(error.contains(part), "{text}: {error}");
            }
        };
        check(
            "[metrics]\nseries_limit = 0",
            &["metrics.series_limit", "between 1000"],
        );
        check(
            "[metrics]\naliases = ['burrow']",
            &["metrics.aliases", "\"burrow\"", "kafka_lag_exporter"],
        );
        let group = "[[metrics.groups]]\n";
        check(
            &format!("{group}pattern = 'a*'\nseries = 'all'"),
            &["metrics.groups.series", "\"all\"", "\"topic\""],
        );
        check(
            &format!("{group}pattern = 'a['\nseries = 'topic'"),
            &["metrics.groups.pattern", "a["],
        );
        check(
            &format!("{group}pattern = ''\nseries = 'topic'"),
            &["metrics.groups.pattern", "`*`"],
        );
        check(&format!("{group}pattern = 'a'"), &["series"]);
        check("[metrics]\nseries = 3", &["series", "series_limit"]);
    }

    #[test]
    fn patterns_are_read_in_their_order() {
        let text = "[metrics]\naliases = ['kafka_exporter', 'rabbitmq']\n\
                    [[metrics.groups]]\npattern = 'Audit-*'\nseries = 'topic'\n\
                    [[metrics.groups]]\npattern = '*'\nseries = 'none'";
        let metrics = Config::parse(text, []).unwrap().metrics;
        assert_eq!(metrics.aliases, [Alias::KafkaExporter, Alias::RabbitMq]);
        let first = |group: &str| {
            let mut patterns = metrics.groups.iter();
            patterns.find(|g| g.matches(group)).map(|g| g.series)
        };
        assert_eq!(first("audit-7"), Some(SeriesDetail::Topic));
        assert_eq!(first("payments"), Some(SeriesDetail::None));
    }
}
