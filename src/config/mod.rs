//! The configuration: `redrive.toml`, with every key overridable by a `REDRIVE_*` variable.
//!
//! One struct a section. A new key is a field with a doc comment and a default; what two fields must
//! agree on is checked in `validate`. Durations are written `500ms`, `10s`, `5m`, `1h`, `7d`.

mod alerting;
mod brokers;
mod dlq_topics;
mod environment;
mod error;
mod event_names;
mod grouping;
mod kafka_security;
mod masking;
mod metrics;
mod notifications;
mod reference;
mod retention;
mod schemas;
mod sections;
mod trace_export;
mod traces;
mod values;

use std::collections::HashSet;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

pub use alerting::PrometheusConfig;
pub use brokers::{KafkaConfig, QueueConfig, QueueCustody, RabbitMqConfig};
pub(crate) use dlq_topics::DlqTopics;
pub use error::ConfigError;
pub use event_names::EventNamesConfig;
pub use grouping::GroupingConfig;
pub use kafka_security::{KafkaSaslConfig, KafkaTlsConfig, OauthClient, SaslMechanism};
pub use masking::MaskingConfig;
pub use metrics::{Alias, GroupSeries, MetricsConfig, SeriesDetail};
pub use notifications::{NotificationConfig, NotificationKind};
pub use reference::{json_schema, reference};
pub use retention::RetentionConfig;
pub use schemas::{SchemaConfig, SchemasConfig};
pub use sections::{
    DeadLettersConfig, HttpConfig, LogConfig, LogFormat, ReplayConfig, SamplingConfig, StoreConfig,
    TelemetryConfig,
};
pub use trace_export::{ExportProtocol, TraceExportConfig};
pub use traces::TracesConfig;
pub use values::{HumanDuration, Secret};

use crate::domain::{ClusterName, NameFilter};

/// The whole configuration.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub http: HttpConfig,
    pub store: StoreConfig,
    /// Without any broker in the file, the default local ports are tried.
    pub kafka: Vec<KafkaConfig>,
    /// RabbitMQ clusters: `[[rabbitmq]]`.
    pub rabbitmq: Vec<RabbitMqConfig>,
    pub sampling: SamplingConfig,
    pub metrics: MetricsConfig,
    pub dead_letters: DeadLettersConfig,
    pub event_names: EventNamesConfig,
    pub grouping: GroupingConfig,
    pub masking: MaskingConfig,
    pub retention: RetentionConfig,
    pub replay: ReplayConfig,
    /// Webhooks: `[[notifications]]`.
    pub notifications: Vec<NotificationConfig>,
    pub schemas: SchemasConfig,
    pub prometheus: PrometheusConfig,
    pub traces: TracesConfig,
    pub telemetry: TelemetryConfig,
    pub log: LogConfig,
}

impl Config {
    /// Reads the file, if one is given, then the environment, then checks the whole.
    pub fn load(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = match path {
            None => String::new(),
            Some(path) => {
                std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
                    path: path.to_owned(),
                    source,
                })?
            }
        };
        Self::parse(&text, variables)
    }

    /// The same for text that was read already.
    pub fn parse(
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table: toml::Table =
            toml::from_str(text).map_err(|source| ConfigError::syntax(text, &source))?;
        environment::overlay(&mut table, variables)?;
        let mut config: Self = table
            .try_into()
            .map_err(|source| ConfigError::syntax(text, &source))?;
        config.add_default_brokers();
        config.validate()?;
        Ok(config)
    }

    fn add_default_brokers(&mut self) {
        if self.kafka.is_empty() && self.rabbitmq.is_empty() {
            self.kafka.push(KafkaConfig::default());
            self.rabbitmq.push(RabbitMqConfig::default());
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.http.validate()?;
        self.sampling.validate()?;
        self.metrics.validate()?;
        self.replay.validate()?;
        self.event_names.validate()?;
        self.grouping.validate()?;
        self.retention.validate()?;
        notifications::validate(&self.notifications)?;
        notifications::validate_public_url(self.http.public_url.as_deref())?;
        self.schemas.validate()?;
        self.prometheus.validate()?;
        self.traces.validate()?;
        self.kafka.iter().try_for_each(KafkaConfig::validate)?;
        self.rabbitmq
            .iter()
            .try_for_each(RabbitMqConfig::validate)?;
        NameFilter::parse(self.dead_letters.kafka_topics.iter().map(String::as_str))?;
        NameFilter::parse(
            self.dead_letters
                .kafka_topics_ignored
                .iter()
                .map(String::as_str),
        )?;
        self.cluster_names_are_unique()
    }

    fn cluster_names_are_unique(&self) -> Result<(), ConfigError> {
        let mut seen = HashSet::new();
        match self.cluster_names().find(|name| !seen.insert(*name)) {
            Some(name) => Err(ConfigError::invalid(
                "name",
                format!(
                    "{:?} names two brokers; give each its own, they label metrics and URLs",
                    name.as_str()
                ),
            )),
            None => Ok(()),
        }
    }

    /// All configured brokers, Kafka first.
    pub fn cluster_names(&self) -> impl Iterator<Item = &ClusterName> {
        self.kafka
            .iter()
            .map(|kafka| &kafka.name)
            .chain(self.rabbitmq.iter().map(|r| &r.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, [])
    }

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn without_a_file_it_looks_for_brokers_on_the_default_local_ports() {
        let config = parse("").unwrap();
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8750");
        assert_eq!(config.kafka[0].bootstrap_servers, ["127.0.0.1:9092"]);
        assert_eq!(
            config.rabbitmq[0].amqp_url.expose(),
            "amqp://guest:guest@127.0.0.1:5672/%2f"
        );
    }

    #[test]
    fn a_queue_that_is_looked_at_by_itself_is_observed_and_left_alone_in_between() {
        let check = |keys: &str, expected: &str| {
            let file = format!("[[rabbitmq]]\n[[rabbitmq.queues]]\nname = 'q.dlq'\n{keys}");
            let refused = parse(&file).map(|_| ()).map_err(|error| error.to_string());
            match expected {
                "" => assert_eq!(refused, Ok(())),
                _ => assert!(
                    refused.clone().unwrap_err().contains(expected),
                    "{refused:?}"
                ),
            }
        };
        check("observe_every = '10s'", "");
        check("observe_every = '9s'", "is shorter than 10s for q.dlq");
        check(
            "observe_every = '10m'\ncustody = 'managed'",
            "is set for q.dlq, which is managed",
        );
    }

    #[test]
    fn a_variable_overrides_the_file() {
        let file =
            "[http]\nlisten = '127.0.0.1:1'\n[[kafka]]\nname = 'a'\nbootstrap_servers = ['x:1']";
        let environment = variables(&[
            ("REDRIVE_HTTP__LISTEN", "127.0.0.1:2"),
            ("REDRIVE_SAMPLING__INTERVAL", "3s"),
            ("REDRIVE_KAFKA__0__BOOTSTRAP_SERVERS", "[\"y:1\", \"z:2\"]"),
            ("REDRIVE_LOG__LEVEL", "debug"),
            (
                "REDRIVE_TEST_KAFKA",
                "no key of the configuration has a single underscore only",
            ),
        ]);
        let config = Config::parse(file, environment).unwrap();
        assert_eq!(config.http.listen.port(), 2);
        assert_eq!(config.sampling.interval.as_secs(), 3);
        assert_eq!(config.kafka[0].bootstrap_servers, ["y:1", "z:2"]);
        assert_eq!(config.kafka[0].name.as_str(), "a");
    }

    #[test]
    fn a_cluster_of_rabbitmq_has_one_plugin_or_several() {
        let check = |urls: &str, expected: &[&str]| {
            let config = parse(&format!("[[rabbitmq]]\nname = 'r'\n{urls}")).unwrap();
            let urls = config.rabbitmq[0].prometheus_url.iter();
            assert_eq!(urls.map(Secret::expose).collect::<Vec<_>>(), expected);
        };
        check("", &[]);
        check("prometheus_url = 'http://a:1'", &["http://a:1"]);
        check(
            "prometheus_url = ['http://a:1', 'http://b:1']",
            &["http://a:1", "http://b:1"],
        );
    }

    #[test]
    fn mistakes_name_the_key_and_the_remedy() {
        let check = |text: &str, expected: &str| {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check(
            "[http]\nlisten = '0.0.0.0:8750'",
            "http.allow_unauthenticated",
        );
        check("[http]\nlissten = '127.0.0.1:1'", "lissten");
        check("[sampling]\ninterval = '10'", "10s");
        check("[sampling]\ninterval = '10ms'", "sampling.interval");
        check(
            "[sampling]\nhistory_kept = '30d'",
            "must lie between 1d and 7d",
        );
        check(
            "[replay]\nkafka_delivery_timeout = '10ms'",
            "replay.kafka_delivery_timeout",
        );
        check(
            "[[kafka]]\nname = 'a'\nbootstrap_servers = []",
            "kafka.bootstrap_servers",
        );
        check(
            "[[kafka]]\nname = 'a'\n[[rabbitmq]]\nname = 'a'",
            "\"a\" names two brokers",
        );
        check(
            "[[rabbitmq]]\nname = 'r'\namqp_url = 'http://x'",
            "rabbitmq.amqp_url",
        );
        let prometheus = |urls: &str| format!("[[rabbitmq]]\nname = 'r'\nprometheus_url = {urls}");
        let key = "rabbitmq.prometheus_url";
        check(&prometheus("'rabbit-1:15692'"), key);
        check(&prometheus("['http://a:15692', 'amqp://b']"), key);
        check(
            &prometheus("['http://a:1', 'http://a:1']"),
            "names a URL twice",
        );
        check(&prometheus("15692"), "a URL or a list of URLs");
        check("[dead_letters]\nkafka_topics = ['a[']", "a[");
        check("[schemas]\ngate_replays = true", "schemas.folder");
        let types = "[[schemas.types]]\nevent_type = 'A'\nfile = 'a.json'\n".repeat(2);
        check(&types, "\"A\" has two schemas");
    }

    #[test]
    fn secrets_are_never_printed() {
        let config =
            parse("[[rabbitmq]]\nname = 'r'\namqp_url = 'amqp://u:hunter2@h/%2f'").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        for broken in [
            "[[rabbitmq]]\nname = 'r'\namqp_url = 'amqp://u:hunter2@h/%2f\n",
            "[[rabbitmq]]\nname = 'r'\namqp_url = amqp://u:hunter2@h/%2f\n",
            "[[rabbitmq]]\nname = 'r'\namqp_url = ['hunter2']\n",
            "[[rabbitmq]]\nname = 'r'\namqp_url = 'hunter2'\n",
        ] {
            let error = parse(broken).expect_err(broken).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = parse("[http]\n\nlisten = 'x\n").unwrap_err().to_string();
        assert!(error.contains("line 3, column"), "{error}");
    }
}
