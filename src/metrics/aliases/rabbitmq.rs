use crate::domain::{ClusterName, QueueSample, RabbitMqDetail};
use crate::metrics::text::{Labels, SeriesBudget, families};

families! {
    /// What `RabbitMQ`'s own plugin says about queues on its page per object. Its counters of single queues are
    /// a series a channel there, and so have no like here.
    struct RabbitMqPluginFamilies {
        /// Messages in a queue, ready or unacknowledged.
        messages: Gauge = "rabbitmq_queue_messages",
        /// Messages in a queue that wait for a consumer.
        ready: Gauge = "rabbitmq_queue_messages_ready",
        /// Messages of a queue that were delivered and not yet acknowledged.
        unacked: Gauge = "rabbitmq_queue_messages_unacked",
        /// Size of the message bodies in a queue.
        bytes: Gauge = "rabbitmq_queue_messages_bytes",
        /// Consumers of a queue.
        consumers: Gauge = "rabbitmq_queue_consumers",
        /// Messages dead-lettered because they expired, since Redrive started.
        expired: Counter = "rabbitmq_global_messages_dead_lettered_expired_total",
        /// Messages dead-lettered because they were rejected, since Redrive started.
        rejected: Counter = "rabbitmq_global_messages_dead_lettered_rejected_total",
        /// Messages dead-lettered because a queue was full, since Redrive started.
        maxlen: Counter = "rabbitmq_global_messages_dead_lettered_maxlen_total",
        /// Messages dead-lettered because they were returned too often, since Redrive started.
        delivery_limit: Counter = "rabbitmq_global_messages_dead_lettered_delivery_limit_total",
    }
}

impl RabbitMqPluginFamilies {
    pub(super) fn observe(
        &mut self,
        cluster: &ClusterName,
        rabbitmq: &RabbitMqDetail,
        budget: &mut SeriesBudget,
    ) {
        let labels = Labels::new(&[("cluster", cluster.as_str())]);
        for queue in &rabbitmq.queues {
            self.observe_queue(&labels, &queue.sample, budget);
        }
        for counter in &rabbitmq.dead_lettered {
            let family = match counter.reason.as_str() {
                "expired" => &mut self.expired,
                "rejected" => &mut self.rejected,
                "maxlen" => &mut self.maxlen,
                "delivery_limit" => &mut self.delivery_limit,
                _ => continue,
            };
            let labels = labels
                .with("queue_type", &counter.queue_type)
                .with("dead_letter_strategy", &counter.strategy);
            family.set(budget, &labels, counter.count as f64);
        }
    }

    fn observe_queue(&mut self, labels: &Labels, queue: &QueueSample, budget: &mut SeriesBudget) {
        let labels = labels
            .with("vhost", queue.vhost.as_str())
            .with("queue", queue.queue.as_str());
        let counts = [
            (&mut self.messages, queue.messages),
            (&mut self.ready, queue.ready),
            (&mut self.unacked, queue.unacked),
            (&mut self.bytes, queue.bytes),
            (&mut self.consumers, queue.consumers),
        ];
        for (family, count) in counts {
            if let Some(count) = count {
                family.set(budget, &labels, count as f64);
            }
        }
    }
}
