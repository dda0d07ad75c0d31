use super::events::EventFamilies;
use super::text::{Labels, SeriesBudget, families};
use crate::domain::{ClusterName, QueueRole, QueueStatus, RabbitMqDetail};

families! {
    /// What the snapshots say about RabbitMQ clusters. RabbitMQ's own plugin has similar series under
    /// other names: with the same names, a sum over both would count everything twice.
    struct RabbitMqFamilies {
        /// Messages in a queue, ready or unacknowledged.
        messages: Gauge = "redrive_rabbitmq_queue_messages",
        /// Messages in a queue that wait for a consumer.
        ready: Gauge = "redrive_rabbitmq_queue_ready",
        /// Messages of a queue that were delivered and not yet acknowledged.
        unacked: Gauge = "redrive_rabbitmq_queue_unacked",
        /// Size of the message bodies in a queue.
        bytes: Gauge = "redrive_rabbitmq_queue_bytes",
        /// Consumers of a queue.
        consumers: Gauge = "redrive_rabbitmq_queue_consumers",
        /// Messages that were published into a queue since Redrive started; dead letters that arrive are
        /// not counted as published by RabbitMQ.
        published: Counter = "redrive_rabbitmq_queue_published_total",
        /// Messages of a queue that were acknowledged, or delivered without need of it, since Redrive
        /// started.
        settled: Counter = "redrive_rabbitmq_queue_settled_total",
        /// Messages of a queue that were delivered again since Redrive started.
        redelivered: Counter = "redrive_rabbitmq_queue_redelivered_total",
        /// Always 1; says the type of a queue and its role: work, retry, dlq or parking.
        info: Gauge = "redrive_rabbitmq_queue_info",
        /// 1 for a queue whose dead letters vanish: its dead-letter exchange is missing, or their key
        /// routes nowhere.
        unroutable: Gauge = "redrive_rabbitmq_queue_dead_letter_unroutable",
        /// 1 for a work queue whose messages only go round through its retry queues: for ten samples and three
        /// rounds messages were delivered and came back, and none was settled.
        circling: Gauge = "redrive_rabbitmq_queue_circling",
        /// Messages that RabbitMQ dead-lettered since Redrive started; with strategy disabled they were
        /// discarded.
        dead_lettered: Counter = "redrive_rabbitmq_dead_lettered_total",
    }
}

impl RabbitMqFamilies {
    pub(super) fn observe(
        &mut self,
        cluster: &ClusterName,
        detail: &RabbitMqDetail,
        events: &mut EventFamilies,
        budget: &mut SeriesBudget,
    ) {
        let labels = Labels::new(&[("cluster", cluster.as_str())]);
        for queue in &detail.queues {
            self.observe_queue(&labels, queue, budget);
            if queue.role == QueueRole::Work {
                events.settled_by_queue(cluster, queue, budget);
            }
        }
        for counter in &detail.dead_lettered {
            let labels = labels
                .with("queue_type", &counter.queue_type)
                .with("strategy", &counter.strategy)
                .with("reason", &counter.reason);
            self.dead_lettered
                .set(budget, &labels, counter.count as f64);
        }
    }

    fn observe_queue(&mut self, labels: &Labels, queue: &QueueStatus, budget: &mut SeriesBudget) {
        let sample = &queue.sample;
        let labels = labels
            .with("vhost", sample.vhost.as_str())
            .with("queue", sample.queue.as_str());
        let counts = [
            (&mut self.messages, sample.messages),
            (&mut self.ready, sample.ready),
            (&mut self.unacked, sample.unacked),
            (&mut self.bytes, sample.bytes),
            (&mut self.consumers, sample.consumers),
        ];
        for (family, count) in counts {
            if let Some(count) = count {
                family.set(budget, &labels, count as f64);
            }
        }
        if sample.counters.is_some() {
            let totals = queue.totals;
            self.published.set(budget, &labels, totals.published as f64);
            self.settled.set(budget, &labels, totals.settled as f64);
            self.redelivered
                .set(budget, &labels, totals.redelivered as f64);
        }
        if queue.dead_letters_unroutable {
            self.unroutable.set(budget, &labels, 1.0);
        }
        if queue.circling.is_some() {
            self.circling.set(budget, &labels, 1.0);
        }
        let labels = labels
            .with("type", sample.queue_type.as_str())
            .with("role", queue.role.as_str());
        self.info.set(budget, &labels, 1.0);
    }
}
