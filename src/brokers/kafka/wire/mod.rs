//! The sampling client: reads all groups, committed offsets and log ends of a cluster with about a
//! dozen requests, whatever the number of groups.
//!
//! librdkafka is not used for this: its group calls cost two requests a group and abort the process on
//! late answers (broker-facts E.3). Requests are encoded by the `kafka-protocol` crate; answers are
//! decoded here ([`answers`]), because the crate trusts the counts that a peer sends.
//!
//! `ListGroups` returns the groups that the asked broker coordinates, so no coordinator is looked up.
//! Committed offsets are read before log ends: lag is never negative (metrics.md, "Sampling rules").
//! Connections stay open between samples; after an error one is dropped and opened anew.

mod access;
mod answers;
mod cluster;
mod connection;
mod error;
mod every_answer;
mod groups;
mod log_tails;
mod offsets;
mod problems;
mod questions;
mod reader;
mod sampler;
mod scram;
mod settings;
mod share_groups;
mod tls;
mod topic_access;

pub use error::WireError;
pub use every_answer::read_as_every_answer;
pub use log_tails::{LogTail, TailContent};
pub use questions::FirstOffsets;
pub use reader::DecodeError;
pub use sampler::KafkaSampler;
pub(super) use settings::{broker_settings, topic_settings};
pub use tls::TlsFileError;
pub(super) use topic_access::unreadable_topics;

/// The versions that [`answers`] can read, from Kafka 2.8 on.
mod versions {
    pub(super) const SASL_HANDSHAKE: (i16, i16) = (1, 1);
    pub(super) const SASL_AUTHENTICATE: (i16, i16) = (2, 2);
    pub(super) const METADATA: (i16, i16) = (9, 12);
    pub(super) const LIST_GROUPS: (i16, i16) = (4, 5);
    pub(super) const DESCRIBE_GROUPS: (i16, i16) = (5, 5);
    pub(super) const CONSUMER_GROUP_DESCRIBE: (i16, i16) = (0, 1);
    pub(super) const SHARE_GROUP_DESCRIBE: (i16, i16) = (1, 1);
    pub(super) const DESCRIBE_SHARE_GROUP_OFFSETS: (i16, i16) = (0, 0);
    /// Many groups a request.
    pub(super) const OFFSET_FETCH_BATCHED: (i16, i16) = (8, 8);
    /// One group a request, for brokers before 3.0.
    pub(super) const OFFSET_FETCH_SINGLE: (i16, i16) = (7, 7);
    /// From 0.11 on, and without a session.
    pub(super) const FETCH: (i16, i16) = (4, 4);
    pub(super) const LIST_OFFSETS: (i16, i16) = (6, 7);
    pub(super) const DESCRIBE_CONFIGS: (i16, i16) = (4, 4);
}
