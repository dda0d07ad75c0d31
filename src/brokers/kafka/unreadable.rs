use std::collections::BTreeSet;

use super::{KafkaError, wire};
use crate::config::KafkaConfig;
use crate::domain::TopicName;

/// Named in full; of more the number is told.
const SHOWN: usize = 5;

/// Topics that a consumer is assigned and may not read. librdkafka says that there are some, not which, reads on from
/// the others, and comes back to these by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable(BTreeSet<TopicName>);

impl Unreadable {
    /// Those of the topics, as the cluster says now.
    pub async fn among(
        config: &KafkaConfig,
        topics: &BTreeSet<TopicName>,
    ) -> Result<Self, KafkaError> {
        let unreadable = wire::unreadable_topics(config, topics).await;
        unreadable.map(Self).map_err(KafkaError::TopicAccess)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Which they are, and what to do; `ignored` is the key of the configuration that leaves topics out.
    pub fn advice(&self, ignored: &str) -> String {
        let shown: Vec<&str> = self.0.iter().take(SHOWN).map(TopicName::as_str).collect();
        let more = match self.0.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!(
            "no permission to read {}{more}: grant Read, or name the topics in {ignored}; all others are read",
            shown.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_named_up_to_a_number() {
        let unreadable = |count: usize| {
            let names = (0..count).map(|number| TopicName::new(format!("t{number}")));
            Unreadable(names.collect()).advice("traces.kafka_topics_ignored")
        };
        let remedy =
            "grant Read, or name the topics in traces.kafka_topics_ignored; all others are read";
        assert_eq!(
            unreadable(2),
            format!("no permission to read t0, t1: {remedy}")
        );
        let many = format!("no permission to read t0, t1, t2, t3, t4 and 2 more: {remedy}");
        assert_eq!(unreadable(7), many);
    }
}
