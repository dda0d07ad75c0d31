use super::Metrics;

/// What became of an attempt to deliver a message to a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationOutcome {
    Delivered,
    /// Another attempt follows.
    Failed,
    GivenUp,
}

impl NotificationOutcome {
    const ALL: [Self; 3] = [Self::Delivered, Self::Failed, Self::GivenUp];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
        }
    }
}

/// Notifications. `target` is the configured name of a webhook.
impl Metrics {
    /// Exposes the counters of a webhook at 0, so that its first failure is an increase.
    pub fn declare_notifications(&self, target: &str) {
        let attempts = &self.live.notifications.attempts;
        for outcome in NotificationOutcome::ALL {
            let counter = attempts.with_label_values(&[target, outcome.as_str()]);
            counter.inc_by(0);
        }
    }

    /// Counts an attempt.
    pub fn notification_attempt(&self, target: &str, outcome: NotificationOutcome) {
        let attempts = &self.live.notifications.attempts;
        attempts
            .with_label_values(&[target, outcome.as_str()])
            .inc();
    }
}
