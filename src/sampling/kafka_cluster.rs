use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::board::{Observation, lock};
use super::derive_kafka::{KafkaDerivation, KafkaState};
use super::task::ClusterSampler;
use super::time_proofs::{Question, TimeProofs};
use crate::brokers::kafka::wire::KafkaSampler;
use crate::config::KafkaConfig;
use crate::domain::{ClusterDetail, KafkaSample};
use crate::error_chain;

/// Looks at one Kafka cluster.
pub(super) struct KafkaCluster {
    config: KafkaConfig,
    request_timeout: Duration,
    sampler: KafkaSampler,
    /// Shared with what writes it down for the next start.
    state: Arc<Mutex<KafkaState>>,
    proofs: TimeProofs,
}

impl KafkaCluster {
    pub(super) fn new(
        config: &KafkaConfig,
        request_timeout: Duration,
        state: Arc<Mutex<KafkaState>>,
    ) -> Self {
        Self {
            config: config.clone(),
            request_timeout,
            sampler: KafkaSampler::new(config, request_timeout),
            state,
            proofs: TimeProofs::default(),
        }
    }

    fn derive(&mut self, mut sample: KafkaSample) -> Observation {
        let started = Instant::now();
        let taken_at = sample.ends_at;
        let cost = std::mem::take(&mut sample.cost);
        let problems = std::mem::take(&mut sample.problems);
        let facts = facts(&sample);
        let KafkaDerivation {
            detail,
            publish_to_commit,
        } = lock(&self.state).derive(sample);
        Observation {
            detail: ClusterDetail::Kafka(detail),
            taken_at,
            cost,
            deriving_took: started.elapsed(),
            problems,
            facts,
            publish_to_commit,
        }
    }

    /// Asks how late groups are at least of which that is not known; the next look uses it. Without an answer
    /// their time lag stays what it is.
    async fn prove(&mut self, observation: &Observation) {
        let ClusterDetail::Kafka(detail) = &observation.detail else {
            return;
        };
        let Some(question) = self.proofs.due(detail, observation.taken_at) else {
            return;
        };
        let Question { partitions, times } = question;
        let asking = self.sampler.first_offsets_since(&partitions, &times);
        match tokio::time::timeout(self.request_timeout, asking).await {
            Ok(Ok(answers)) => lock(&self.state).prove(&answers),
            Ok(Err(error)) => tracing::debug!(%error, "how late groups are is not known"),
            Err(_) => tracing::debug!("how late groups are is not known: no answer in time"),
        }
    }

    /// Asks what the last records are where a group may have read all that it is ever shown; the next look
    /// uses it. Without an answer they count as records.
    async fn read_tails(&mut self, observation: &Observation) {
        let ClusterDetail::Kafka(detail) = &observation.detail else {
            return;
        };
        let tails = lock(&self.state).tails_in_doubt(detail, observation.taken_at);
        if tails.is_empty() {
            return;
        }
        let asking = self.sampler.tail_contents(tails);
        match tokio::time::timeout(self.request_timeout, asking).await {
            Ok(Ok(answers)) => lock(&self.state).learn_tails(answers),
            Ok(Err(error)) => tracing::debug!(%error, "the last records are not known"),
            Err(_) => tracing::debug!("the last records are not known: no answer in time"),
        }
    }
}

impl ClusterSampler for KafkaCluster {
    async fn sample(&mut self) -> Result<Observation, String> {
        let sample = self.sampler.sample().await;
        let sample = sample.map_err(|error| error_chain(&error))?;
        let observation = self.derive(sample);
        self.prove(&observation).await;
        self.read_tails(&observation).await;
        Ok(observation)
    }

    fn reconnect(&mut self) {
        self.sampler = KafkaSampler::new(&self.config, self.request_timeout);
    }
}

fn facts(sample: &KafkaSample) -> Vec<(String, String)> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = Vec::new();
    facts.extend(sample.cluster_id.clone().map(|id| fact("cluster ID", id)));
    facts.push(fact("brokers", sample.brokers.to_string()));
    facts.push(fact("topics", sample.topics.len().to_string()));
    facts.push(fact("consumer groups", sample.groups.len().to_string()));
    facts
}
