use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{ConfigError, HumanDuration, KafkaSaslConfig, KafkaTlsConfig, Secret};
use crate::domain::{ClusterName, QueueName, QueueRole, VhostName};

const LOCAL_AMQP: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";
const LOCAL_MANAGEMENT: &str = "http://guest:guest@127.0.0.1:15672";

/// More often, a queue would be held more than it is left alone.
const SHORTEST_OBSERVE_EVERY: Duration = Duration::from_secs(10);

/// One Kafka cluster: `[[kafka]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// Labels metrics and URLs; unique among all brokers.
    #[schemars(with = "String")]
    pub name: ClusterName,
    /// `host:port` of some brokers of the cluster.
    pub bootstrap_servers: Vec<String>,
    /// Forbid every write to this cluster: no replays.
    pub read_only: bool,
    /// Encrypts the connections; without the section they are plain text.
    pub tls: Option<KafkaTlsConfig>,
    /// Without the section nobody logs in.
    pub sasl: Option<KafkaSaslConfig>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            name: ClusterName::new("kafka"),
            bootstrap_servers: vec!["127.0.0.1:9092".to_owned()],
            read_only: false,
            tls: None,
            sasl: None,
        }
    }
}

impl KafkaConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        name_is_usable("kafka.name", &self.name)?;
        self.tls.as_ref().map_or(Ok(()), KafkaTlsConfig::validate)?;
        self.sasl
            .as_ref()
            .map_or(Ok(()), KafkaSaslConfig::validate)?;
        if self.bootstrap_servers.is_empty() {
            return Err(ConfigError::invalid(
                "kafka.bootstrap_servers",
                format!("{} has none; give at least one host:port", self.name),
            ));
        }
        match self
            .bootstrap_servers
            .iter()
            .find(|server| !is_host_and_port(server))
        {
            Some(server) => Err(ConfigError::invalid(
                "kafka.bootstrap_servers",
                format!("{server:?} is no host:port, for example kafka-1:9092"),
            )),
            None => Ok(()),
        }
    }
}

fn is_host_and_port(server: &str) -> bool {
    server
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// One RabbitMQ cluster: `[[rabbitmq]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RabbitMqConfig {
    /// Labels metrics and URLs; unique among all brokers.
    #[schemars(with = "String")]
    pub name: ClusterName,
    /// `amqp://user:password@host:5672/vhost` (`%2f` is the virtual host `/`); `amqps` for TLS.
    #[schemars(extend("default" = LOCAL_AMQP))]
    pub amqp_url: Secret,
    /// `http://user:password@host:15672`, the management plugin's API.
    #[schemars(extend("default" = LOCAL_MANAGEMENT))]
    pub management_url: Secret,
    /// `http://host:15692`, the prometheus plugin, or a list with one URL for each node of a cluster: a node's
    /// plugin tells of the queues that it leads. Without it the counts come from the management API, which
    /// costs the broker more.
    #[serde(deserialize_with = "one_or_several")]
    #[schemars(with = "OneOrSeveral")]
    pub prometheus_url: Vec<Secret>,
    /// Forbid every write and every lease on this cluster: no replays, no custody.
    pub read_only: bool,
    /// What is to be done with single queues: `[[rabbitmq.queues]]`.
    pub queues: Vec<QueueConfig>,
}

impl Default for RabbitMqConfig {
    fn default() -> Self {
        Self {
            name: ClusterName::new("rabbitmq"),
            amqp_url: Secret::new(LOCAL_AMQP),
            management_url: Secret::new(LOCAL_MANAGEMENT),
            prometheus_url: Vec::new(),
            read_only: false,
            queues: Vec::new(),
        }
    }
}

impl RabbitMqConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        name_is_usable("rabbitmq.name", &self.name)?;
        has_scheme("rabbitmq.amqp_url", &self.amqp_url, &["amqp", "amqps"])?;
        has_scheme(
            "rabbitmq.management_url",
            &self.management_url,
            &["http", "https"],
        )?;
        self.queues.iter().try_for_each(QueueConfig::validate)?;
        self.prometheus_urls_are_usable()
    }

    fn prometheus_urls_are_usable(&self) -> Result<(), ConfigError> {
        let key = "rabbitmq.prometheus_url";
        let mut known = HashSet::new();
        for url in &self.prometheus_url {
            has_scheme(key, url, &["http", "https"])?;
            if !known.insert(url) {
                let problem = "names a URL twice; a node's plugin tells of the queues of this node only, so each \
                               node needs its own";
                return Err(ConfigError::invalid(key, problem));
            }
        }
        Ok(())
    }

    /// The user name in `amqp_url`, under which Redrive publishes; `guest` where it names none.
    pub fn user(&self) -> String {
        let url = url::Url::parse(self.amqp_url.expose()).ok();
        let encoded = url.as_ref().map_or("", |url| url.username());
        if encoded.is_empty() {
            return "guest".to_owned();
        }
        let pair = format!("user={}", encoded.replace('+', "%2b"));
        let mut decoded = url::form_urlencoded::parse(pair.as_bytes());
        decoded
            .next()
            .map_or_else(|| encoded.to_owned(), |(_, user)| user.into_owned())
    }

    /// What the configuration says about a queue.
    pub fn queue(&self, vhost: &VhostName, queue: &QueueName) -> Option<&QueueConfig> {
        self.queues
            .iter()
            .find(|config| config.vhost == *vhost && config.name == *queue)
    }
}

/// `[[rabbitmq.queues]]`: what is to be done with one queue.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueConfig {
    /// Its virtual host.
    #[serde(default = "default_vhost")]
    #[schemars(with = "String")]
    pub vhost: VhostName,
    /// The queue itself; it need not exist yet.
    #[schemars(with = "String")]
    pub name: QueueName,
    /// Overrides the role that the topology suggests: `work`, `retry`, `dlq`, `parking`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub role: Option<QueueRole>,
    /// `observe` (default for every DLQ): a window is read when a person asks, and given back.
    /// `managed`: messages are moved into the store, which is then the record.
    #[serde(default)]
    pub custody: Option<QueueCustody>,
    /// Looks at an observed queue that often by itself, from 10s on; a look holds the first messages for about a
    /// second. Never where a look costs something or could harm.
    #[serde(default)]
    pub observe_every: Option<HumanDuration>,
}

impl QueueConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let key = "rabbitmq.queues.observe_every";
        let Some(every) = self.observe_every else {
            return Ok(());
        };
        if self.custody == Some(QueueCustody::Managed) {
            let problem = format!(
                "is set for {}, which is managed: it is read as messages arrive; take one of the two out",
                self.name
            );
            return Err(ConfigError::invalid(key, problem));
        }
        if *every < SHORTEST_OBSERVE_EVERY {
            let problem = format!("is shorter than 10s for {}", self.name);
            return Err(ConfigError::invalid(key, problem));
        }
        Ok(())
    }
}

fn default_vhost() -> VhostName {
    VhostName::new("/")
}

/// Who keeps the messages of a RabbitMQ DLQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QueueCustody {
    Observe,
    Managed,
}

/// How such a key may be written, for the reference.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum OneOrSeveral {
    One(String),
    Several(Vec<String>),
}

/// A URL, or a list of URLs.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    struct Urls;

    impl<'de> Visitor<'de> for Urls {
        type Value = Vec<Secret>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a URL or a list of URLs")
        }

        fn visit_str<E: de::Error>(self, url: &str) -> Result<Self::Value, E> {
            Ok(vec![Secret::new(url)])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut urls: A) -> Result<Self::Value, A::Error> {
            let mut several = Vec::new();
            while let Some(url) = urls.next_element()? {
                several.push(url);
            }
            Ok(several)
        }
    }

    deserializer.deserialize_any(Urls)
}

fn name_is_usable(key: &'static str, name: &ClusterName) -> Result<(), ConfigError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.as_str().is_empty() || !name.as_str().chars().all(allowed) {
        return Err(ConfigError::invalid(
            key,
            format!(
                "{:?} must be letters, digits, `-`, `_` and `.`: it stands in URLs",
                name.as_str()
            ),
        ));
    }
    Ok(())
}

fn has_scheme(key: &'static str, url: &Secret, schemes: &[&str]) -> Result<(), ConfigError> {
    let parsed = url::Url::parse(url.expose()).map_err(|error| {
        ConfigError::invalid(
            key,
            format!("is no URL ({error}); it starts with {}://", schemes[0]),
        )
    })?;
    if schemes.contains(&parsed.scheme()) && parsed.has_host() {
        return Ok(());
    }
    Err(ConfigError::invalid(
        key,
        format!("must start with {}://host", schemes.join(":// or ")),
    ))
}
