use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{ConfigError, HumanDuration, TraceExportConfig};
use crate::domain::NameFilter;

const SHORTEST_AGE_SECONDS: u64 = 60;

const TRACE_ID: &str = "{trace_id}";

/// AMQP's limit of a name.
const LONGEST_QUEUE_NAME: usize = 255;

/// What may wait in the tap's queue: fewer would be lost in a pause of a second, and more fill a broker.
const QUEUE_LENGTHS: RangeInclusive<u64> = 10_000..=10_000_000;

/// `[traces]`: which topics and exchanges are followed, and how long their events are kept. Dead letters and
/// replays are in traces in any case.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TracesConfig {
    /// Kafka topics whose events are kept, as glob patterns without regard to case; none by default. DLQs need
    /// not be named.
    pub kafka_topics: Vec<String>,
    /// Topics that match the patterns and are not followed.
    pub kafka_topics_ignored: Vec<String>,
    /// The consumer group of the tap, which needs Read on the topics and on the group.
    pub consumer_group: String,
    /// RabbitMQ exchanges whose events are kept, as glob patterns without regard to case; none by default. They
    /// are looked for in the virtual hosts of `amqp_url` and of `[[rabbitmq.queues]]`. Those whose names begin
    /// with `amq.` are followed only if a pattern begins so too. Bindings to DLQs are left out.
    pub rabbitmq_exchanges: Vec<String>,
    /// Exchanges that match the patterns and are not followed.
    pub rabbitmq_exchanges_ignored: Vec<String>,
    /// The queue that the tap declares in each of these virtual hosts, for copies; no other Redrive may use it.
    /// The user of `amqp_url` needs configure, write and read on it, read on the exchanges, and write on
    /// `amq.default`.
    pub rabbitmq_queue: String,
    /// Messages that wait in this queue at most; of more the oldest are dropped, and the gap is shown. A queue
    /// that is there with another limit has to be deleted first.
    pub rabbitmq_queue_max_length: u64,
    /// Events are removed so long after they happened.
    pub max_age: HumanDuration,
    /// Of more events those that were seen first are removed.
    pub max_events: u64,
    /// The page of a trace of the applications in Jaeger or Tempo, with `{trace_id}` for its ID.
    pub application_trace_url: Option<String>,
    /// Events that carry a W3C or B3 context belong to the application's trace: without a correlation ID its ID is
    /// theirs, and they are exported into it, with all that hangs below them. Otherwise it is only linked.
    pub join_application_traces: bool,
    /// Where stitched traces are sent: `[traces.export]`.
    pub export: TraceExportConfig,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self {
            kafka_topics: Vec::new(),
            kafka_topics_ignored: Vec::new(),
            consumer_group: "redrive-traces".to_owned(),
            rabbitmq_exchanges: Vec::new(),
            rabbitmq_exchanges_ignored: Vec::new(),
            rabbitmq_queue: "redrive-traces".to_owned(),
            rabbitmq_queue_max_length: 50_000,
            max_age: HumanDuration::from_secs(3 * 86_400),
            max_events: 1_000_000,
            application_trace_url: None,
            join_application_traces: false,
            export: TraceExportConfig::default(),
        }
    }
}

impl TracesConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        for (key, patterns) in [
            ("traces.kafka_topics", &self.kafka_topics),
            ("traces.kafka_topics_ignored", &self.kafka_topics_ignored),
            ("traces.rabbitmq_exchanges", &self.rabbitmq_exchanges),
            (
                "traces.rabbitmq_exchanges_ignored",
                &self.rabbitmq_exchanges_ignored,
            ),
        ] {
            let parsed = NameFilter::parse(patterns.iter().map(String::as_str));
            parsed.map_err(|error| ConfigError::invalid(key, error.to_string()))?;
        }
        if self.consumer_group.is_empty() {
            let problem = "must not be empty: the tap remembers what it has read by it";
            return Err(ConfigError::invalid("traces.consumer_group", problem));
        }
        self.validate_queue()?;
        if self.max_age.as_secs() < SHORTEST_AGE_SECONDS {
            return Err(ConfigError::invalid(
                "traces.max_age",
                "must be at least 1m",
            ));
        }
        if self.max_events == 0 {
            let problem =
                "must be at least 1; without kafka_topics and rabbitmq_exchanges nothing is kept";
            return Err(ConfigError::invalid("traces.max_events", problem));
        }
        if self.application_trace_url.is_some() && self.application_trace("0").is_none() {
            return Err(ConfigError::invalid(
                "traces.application_trace_url",
                "is no URL with {trace_id}, such as https://jaeger.example/trace/{trace_id}",
            ));
        }
        self.export.validate()
    }

    /// The page of a trace of the applications.
    pub fn application_trace(&self, trace_id: &str) -> Option<String> {
        let template = self.application_trace_url.as_deref()?;
        let url = Url::parse(&template.replace(TRACE_ID, trace_id)).ok()?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        (is_web && template.contains(TRACE_ID)).then(|| url.to_string())
    }

    fn validate_queue(&self) -> Result<(), ConfigError> {
        let name = &self.rabbitmq_queue;
        if name.is_empty() || name.len() > LONGEST_QUEUE_NAME || name.starts_with("amq.") {
            let problem = format!(
                "{name:?} cannot name a queue: RabbitMQ takes 1 to {LONGEST_QUEUE_NAME} bytes, and no name \
                 that begins with amq."
            );
            return Err(ConfigError::invalid("traces.rabbitmq_queue", problem));
        }
        let length = self.rabbitmq_queue_max_length;
        if !QUEUE_LENGTHS.contains(&length) {
            let (least, most) = (QUEUE_LENGTHS.start(), QUEUE_LENGTHS.end());
            let problem = format!("must lie between {least} and {most}");
            return Err(ConfigError::invalid(
                "traces.rabbitmq_queue_max_length",
                problem,
            ));
        }
        Ok(())
    }

    /// Whether any broker is followed at all.
    pub const fn follows_anything(&self) -> bool {
        !self.kafka_topics.is_empty() || !self.rabbitmq_exchanges.is_empty()
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
        check("rabbitmq_exchanges = ['a[']", "traces.rabbitmq_exchanges");
        check(
            "rabbitmq_exchanges_ignored = ['a[']",
            "traces.rabbitmq_exchanges_ignored",
        );
        check("rabbitmq_queue = ''", "traces.rabbitmq_queue");
        check("rabbitmq_queue = 'amq.tap'", "traces.rabbitmq_queue");
        check(
            "rabbitmq_queue_max_length = 9999",
            "traces.rabbitmq_queue_max_length",
        );
        check("consumer_group = ''", "traces.consumer_group");
        check("max_age = '10s'", "traces.max_age");
        check("max_events = 0", "traces.max_events");
        let template = |url: &str| format!("application_trace_url = '{url}'");
        let key = "traces.application_trace_url";
        check(&template("https://jaeger/trace"), key);
        check(&template("jaeger/{trace_id}"), key);
        check(&template("javascript:alert({trace_id})"), key);
    }

    #[test]
    fn a_trace_of_the_applications_has_its_page() {
        let check = |template: &str, expected: &str| {
            let text = format!("[traces]\napplication_trace_url = '{template}'");
            let config = Config::parse(&text, []).unwrap();
            let url = config.traces.application_trace("4bf9");
            assert_eq!(url.as_deref(), Some(expected));
        };
        check("https://j/trace/{trace_id}", "https://j/trace/4bf9");
        check(
            "http://t?q=\"{trace_id}\"&s=1",
            "http://t/?q=%224bf9%22&s=1",
        );
    }
}
