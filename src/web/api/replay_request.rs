//! What a replay is asked for with, for the pre-flight and for the job.

use serde::{Deserialize, Serialize};

use super::list::time;
use crate::domain::{
    Brake, ClusterName, DeadLetterId, ExchangeName, Filter, QueueName, ReplayOptions,
    RevisionNumber, TopicName, VhostName,
};
use crate::replay::{DestinationChoice, ReplayRequest, RevisionChoice, Selection};
use crate::web::problem::Problem;
use crate::web::views::start_time;

/// What shall be replayed: `dead_letter_ids` or `filter`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewReplays {
    dead_letter_ids: Option<Vec<i64>>,
    /// The empty filter means all dead letters.
    filter: Option<String>,
    /// The latest if absent; 0 is the original.
    revision: Option<u32>,
    destination: Option<DestinationBody>,
    brake: Option<BrakeBody>,
    #[serde(default)]
    options: ReplayOptions,
    /// How many events would be sent when the person looked; with another number nothing is.
    pub(super) eligible: Option<u64>,
}

impl NewReplays {
    pub(super) fn request(&self) -> Result<ReplayRequest, Problem> {
        Ok(ReplayRequest {
            selection: selection(self.dead_letter_ids.as_deref(), self.filter.as_deref())?,
            revision: match self.revision {
                None => RevisionChoice::Latest,
                Some(number) => RevisionChoice::Number(RevisionNumber(number)),
            },
            destination: destination(self.destination.as_ref())?,
            options: self.options,
        })
    }

    pub(super) fn brake(&self) -> Result<Brake, Problem> {
        self.brake
            .as_ref()
            .map_or_else(|| Ok(Brake::default()), BrakeBody::parse)
    }
}

/// How a job is held back; what is absent holds nothing back.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BrakeBody {
    not_before: Option<String>,
    events_per_second: Option<u32>,
    ramp: bool,
    stop_percent: Option<u8>,
    stop_count: Option<u32>,
}

impl BrakeBody {
    pub(super) fn parse(&self) -> Result<Brake, Problem> {
        Ok(Brake {
            not_before: self.not_before.as_deref().map(start_time).transpose()?,
            events_per_second: self.events_per_second,
            ramp: self.ramp,
            stop_percent: self.stop_percent,
            stop_count: self.stop_count,
        })
    }

    pub(super) fn of(brake: &Brake) -> Self {
        Self {
            not_before: brake.not_before.map(time),
            events_per_second: brake.events_per_second,
            ramp: brake.ramp,
            stop_percent: brake.stop_percent,
            stop_count: brake.stop_count,
        }
    }
}

/// Where to; absent or `"original"`: where each came from.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum DestinationBody {
    Word(String),
    Topic {
        cluster: ClusterName,
        topic: TopicName,
    },
    Queue {
        cluster: ClusterName,
        #[serde(default = "default_vhost")]
        vhost: VhostName,
        queue: QueueName,
    },
    Exchange {
        cluster: ClusterName,
        #[serde(default = "default_vhost")]
        vhost: VhostName,
        exchange: ExchangeName,
        routing_key: String,
    },
}

fn default_vhost() -> VhostName {
    VhostName::new("/")
}

fn selection(ids: Option<&[i64]>, filter: Option<&str>) -> Result<Selection, Problem> {
    match (ids, filter) {
        (Some(ids), None) => Ok(Selection::DeadLetters(
            ids.iter().copied().map(DeadLetterId).collect(),
        )),
        (None, Some(filter)) => Filter::parse(filter)
            .map(Selection::Filter)
            .map_err(|error| Problem::bad_request(error.to_string())),
        _ => Err(Problem::bad_request(
            "give either dead_letter_ids or filter",
        )),
    }
}

fn destination(body: Option<&DestinationBody>) -> Result<DestinationChoice, Problem> {
    Ok(match body.cloned() {
        None => DestinationChoice::Original,
        Some(DestinationBody::Word(word)) if word == "original" => DestinationChoice::Original,
        Some(DestinationBody::Word(word)) => {
            return Err(Problem::bad_request(format!(
                "destination {word:?} is neither \"original\" nor an object with cluster and topic, \
                 queue or exchange"
            )));
        }
        Some(DestinationBody::Topic { cluster, topic }) => {
            DestinationChoice::KafkaTopic { cluster, topic }
        }
        Some(DestinationBody::Queue {
            cluster,
            vhost,
            queue,
        }) => DestinationChoice::Queue {
            cluster,
            vhost,
            queue,
        },
        Some(DestinationBody::Exchange {
            cluster,
            vhost,
            exchange,
            routing_key,
        }) => DestinationChoice::Exchange {
            cluster,
            vhost,
            exchange,
            routing_key,
        },
    })
}
