//! The words of the field as types: identifiers, messages, dead letters, replays, samples.
//!
//! Nothing here does I/O and nothing here imports another module of the crate; every other module may
//! import this one. Wire formats, table rows and pages have types of their own and convert from these.

mod amqp_value;
mod bulk_action;
pub mod conventions;
mod dead_letter;
mod death;
mod digest;
mod exported;
mod failure_group;
mod filter;
mod flow;
mod glob;
mod grouping_rule;
mod id_set;
mod ids;
mod json_bytes;
mod json_text;
mod masking;
mod message;
mod pivot;
mod redrive_policy;
mod repair;
mod replay;
mod replay_job;
mod replay_options;
mod replay_state;
mod sample;
mod saved_filter;
mod snapshot;
mod time;
mod topology;
mod trace;
mod trace_gap;

pub use amqp_value::*;
pub use bulk_action::*;
pub use dead_letter::*;
pub use death::*;
pub use digest::{digest_of_fields, sha256_hex};
pub use exported::*;
pub use failure_group::*;
pub use filter::*;
pub use flow::*;
pub use glob::{GlobError, NameFilter};
pub use grouping_rule::{GroupingRule, RuleError, RuleSubject};
pub use id_set::DeadLetterIds;
pub use ids::*;
pub use json_text::{JsonKind, JsonMember, JsonNode, JsonStep};
pub use masking::Masking;
pub use message::*;
pub use pivot::*;
pub use redrive_policy::*;
pub use repair::*;
pub use replay::*;
pub use replay_job::*;
pub use replay_options::ReplayOptions;
pub use replay_state::*;
pub use sample::*;
pub use saved_filter::*;
pub use snapshot::*;
pub use time::Timestamp;
pub use topology::*;
pub use trace::*;
pub use trace_gap::*;
