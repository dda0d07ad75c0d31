use super::handovers::HandoverDurations;
use super::histogram::ClusterDurations;
use super::text::{Labels, SeriesBudget, families};
use crate::domain::{ClusterName, ConsumerGroup, GroupTopicStatus, QueueStatus};

families! {
    /// Work that is done on events, whatever the broker.
    struct EventFamilies {
        /// Events that a consumer has done with since Redrive started: the committed progress of a consumer
        /// group on a topic, or the messages of a work queue that were settled.
        processed: Counter = "events_processed_total",
        /// Time from publishing an event to a stage of its processing, which the basis names: the commit of
        /// the consumer group beyond the event, as far as samples can tell, or the publishing of an event that names
        /// it as its cause.
        durations: Histogram = "event_processing_duration_seconds",
    }
}

impl EventFamilies {
    pub(super) fn processed_by_group(
        &mut self,
        cluster: &ClusterName,
        group: &ConsumerGroup,
        topic: &GroupTopicStatus,
        budget: &mut SeriesBudget,
    ) {
        let labels = Labels::new(&[
            ("cluster", cluster.as_str()),
            ("system", "kafka"),
            ("source", topic.topic.as_str()),
            ("consumer", group.as_str()),
        ]);
        self.processed
            .set(budget, &labels, topic.processed_total as f64);
    }

    /// The consumers of a queue have no name, so the queue stands for them. Outside the default
    /// virtual host it is qualified, since queues of several virtual hosts may share a name.
    pub(super) fn settled_by_queue(
        &mut self,
        cluster: &ClusterName,
        queue: &QueueStatus,
        budget: &mut SeriesBudget,
    ) {
        if queue.sample.counters.is_none() {
            return;
        }
        let name = queue.sample.queue.as_str();
        let consumer = match queue.sample.vhost.as_str() {
            "/" => name.to_owned(),
            vhost => {
                let vhost = vhost.replace('%', "%25").replace('/', "%2f");
                format!("{vhost}/{name}")
            }
        };
        let labels = Labels::new(&[
            ("cluster", cluster.as_str()),
            ("system", "rabbitmq"),
            ("source", name),
            ("consumer", &consumer),
        ]);
        self.processed
            .set(budget, &labels, queue.totals.settled as f64);
    }

    pub(super) fn durations(
        &mut self,
        cluster: &ClusterName,
        durations: &ClusterDurations,
        budget: &mut SeriesBudget,
    ) {
        durations.write(cluster, &mut self.durations, budget);
    }

    pub(super) fn handovers(
        &mut self,
        cluster: &ClusterName,
        durations: &HandoverDurations,
        budget: &mut SeriesBudget,
    ) {
        durations.write(cluster, &mut self.durations, budget);
    }
}
