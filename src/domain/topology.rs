use serde::{Deserialize, Serialize};

/// What a queue is for, found from the dead-letter edges between queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueRole {
    /// An application's own queue; never read without configuration.
    Work,
    /// Has a TTL, a dead-letter exchange and no consumers: messages wait here and go back to work.
    Retry,
    /// The dead-letter edge of a work queue routes here, and nobody consumes it.
    Dlq,
    /// Declared as such in the configuration: messages that people set aside.
    Parking,
}

impl QueueRole {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Retry => "retry",
            Self::Dlq => "dlq",
            Self::Parking => "parking",
        }
    }
}
