use crate::config::DeadLettersConfig;
use crate::domain::{GlobError, KafkaDetail, NameFilter, TopicStatus};

/// The patterns of `[dead_letters]`, compiled.
#[derive(Clone, Debug)]
pub(crate) struct DlqTopics {
    wanted: NameFilter,
    ignored: NameFilter,
}

impl DlqTopics {
    pub(crate) fn new(config: &DeadLettersConfig) -> Result<Self, GlobError> {
        Ok(Self {
            wanted: NameFilter::parse(config.kafka_topics.iter().map(String::as_str))?,
            ignored: NameFilter::parse(config.kafka_topics_ignored.iter().map(String::as_str))?,
        })
    }

    /// The topics of a cluster that hold dead letters.
    pub(crate) fn of<'a>(
        &'a self,
        detail: &'a KafkaDetail,
    ) -> impl Iterator<Item = &'a TopicStatus> {
        detail
            .topics
            .iter()
            .filter(|status| !status.internal && self.matches(status.topic.as_str()))
    }

    pub(crate) fn matches(&self, topic: &str) -> bool {
        self.wanted.matches(topic) && !self.ignored.matches(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_dlq(name: &str) -> bool {
        let topics = DlqTopics::new(&DeadLettersConfig::default()).unwrap();
        let topic = |internal| TopicStatus {
            topic: name.into(),
            topic_id: None,
            internal,
            partitions: Vec::new(),
            produce_rate: None,
            produced_total: 0,
        };
        let detail = KafkaDetail {
            topics: vec![topic(false), topic(true)],
            groups: Vec::new(),
        };
        topics.of(&detail).count() == 1
    }

    #[test]
    fn the_conventions_of_the_frameworks_are_found_and_work_topics_are_not() {
        for name in [
            "orders.dlq",
            "orders-dlt",
            "orders.DLT",
            "orders_dlq",
            "orders-DLQ",
            "dlq.orders",
            "error.orders.billing",
            "dead-letter-topic-orders",
            "wolverine-dead-letter-queue",
            "orders.dead-letter",
            "orders-deadletter",
            "orders_dead_letter",
        ] {
            assert!(is_dlq(name), "{name}");
        }
        for name in [
            "orders",
            "error",
            "errors",
            "dlqueue",
            "payments-retry-0",
            "mydlq",
        ] {
            assert!(!is_dlq(name), "{name}");
        }
    }
}
