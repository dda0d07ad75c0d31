//! The largest record that a Kafka topic takes, as its broker says, remembered for a minute: an editor
//! asks at every step.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::brokers::kafka::KafkaAdmin;
use crate::config::KafkaConfig;
use crate::domain::{ClusterName, TopicName};

/// A person waits for the answer; without one the usual limit is said.
const PATIENCE: Duration = Duration::from_secs(5);

const REMEMBERED: Duration = Duration::from_mins(1);

/// What each topic was found to take, and when. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicLimits {
    known: Arc<Mutex<HashMap<(ClusterName, TopicName), Known>>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    at: Instant,
    /// Absent if the broker did not tell.
    bytes: Option<usize>,
}

impl TopicLimits {
    /// `max.message.bytes` of a topic; `None` if its broker does not tell in time.
    pub(super) async fn of(&self, kafka: &KafkaConfig, topic: &TopicName) -> Option<usize> {
        let key = (kafka.name.clone(), topic.clone());
        let remembered = self.lock().get(&key).copied();
        if let Some(known) = remembered.filter(|known| known.at.elapsed() < REMEMBERED) {
            return known.bytes;
        }
        let bytes = tokio::time::timeout(PATIENCE, ask(kafka, topic)).await;
        let bytes = bytes.unwrap_or_default();
        let at = Instant::now();
        let mut known = self.lock();
        known.retain(|_, known| known.at.elapsed() < REMEMBERED);
        known.insert(key, Known { at, bytes });
        bytes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(ClusterName, TopicName), Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(kafka: &KafkaConfig, topic: &TopicName) -> Option<usize> {
    let admin = KafkaAdmin::new(kafka).ok()?;
    let settings = admin.topic_config(topic).await;
    let settings = settings.inspect_err(|error| {
        tracing::debug!(%error, "the largest record of a topic is not known");
    });
    settings.ok()?.get("max.message.bytes")?.parse().ok()
}
