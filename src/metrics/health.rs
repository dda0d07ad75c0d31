use super::text::{Labels, SeriesBudget, families};
use crate::domain::{BrokerHealth, ClusterSnapshot};

families! {
    /// Whether the numbers can be trusted.
    struct HealthFamilies {
        /// 1 if the last sample of this broker succeeded, else 0.
        up: Gauge = "redrive_broker_up",
        /// When this broker was last sampled with success.
        last_success: Gauge = "redrive_sample_last_success_timestamp_seconds",
    }
}

impl HealthFamilies {
    pub(super) fn observe(&mut self, cluster: &ClusterSnapshot, budget: &mut SeriesBudget) {
        let labels = Labels::new(&[
            ("cluster", cluster.name.as_str()),
            ("system", cluster.system.as_str()),
        ]);
        let BrokerHealth {
            up, last_success, ..
        } = &cluster.health;
        self.up.set(budget, &labels, f64::from(u8::from(*up)));
        if let Some(at) = last_success {
            self.last_success.set(budget, &labels, at.as_seconds());
        }
    }
}
