//! Where the records of a round go, as the brokers describe their topics now.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::brokers::kafka::{KafkaAdmin, KafkaError, TopicDescription, partition_for_key};
use crate::domain::{Destination, Landing, Partition, Replay, TopicName};
use crate::store::PlannedReplay;

/// A replay with its partition and that partition's high watermark before sending. The partition is
/// fixed here, so that a recovery has to look into one partition only.
pub(super) struct Placed {
    pub(super) planned: PlannedReplay,
    pub(super) topic: TopicName,
    pub(super) high_watermark: Landing,
}

/// A round with the replays set apart whose topic does not exist, or not yet.
pub(super) struct Placement {
    pub(super) placed: Vec<Placed>,
    pub(super) without_topic: Vec<(PlannedReplay, TopicName)>,
    /// Topics with a partition that cannot be reached, and why; the replays to it are left out.
    pub(super) unreachable: HashMap<TopicName, String>,
}

/// A topic as the brokers describe it, with what was read of it.
struct Topic {
    described: TopicDescription,
    high_watermarks: HashMap<Partition, Landing>,
}

impl Topic {
    fn new(described: TopicDescription) -> Self {
        Self {
            described,
            high_watermarks: HashMap::new(),
        }
    }
}

pub(super) async fn place(
    admin: &KafkaAdmin,
    round: Vec<PlannedReplay>,
) -> Result<Placement, KafkaError> {
    let mut topics: HashMap<TopicName, Option<Topic>> = HashMap::new();
    let mut placement = Placement {
        placed: Vec::with_capacity(round.len()),
        without_topic: Vec::new(),
        unreachable: HashMap::new(),
    };
    for planned in round {
        let Some(topic) = topic_of(&planned.replay).cloned() else {
            continue;
        };
        let known = match topics.entry(topic.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(admin.topic(&topic).await?.map(Topic::new)),
        };
        let Some(Topic {
            described,
            high_watermarks,
        }) = known
        else {
            placement.without_topic.push((planned, topic));
            continue;
        };
        if placement.unreachable.contains_key(&topic) {
            continue;
        }
        let partition = choose_partition(&planned, described);
        let high_watermark = match high_watermarks.entry(partition) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                // The cluster answers, so an error is this partition's.
                let read = match described.partition(partition) {
                    Some(described) => admin.watermarks_of(&topic, &described).await,
                    None => admin.watermarks(&topic, partition).await,
                };
                match read {
                    Ok(watermarks) => *new.insert(Landing {
                        partition,
                        offset: watermarks.high,
                    }),
                    Err(error) => {
                        let problem = crate::error_chain(&error);
                        placement.unreachable.insert(topic, problem);
                        continue;
                    }
                }
            }
        };
        placement.placed.push(Placed {
            planned,
            topic,
            high_watermark,
        });
    }
    Ok(placement)
}

/// The planned partition where the topic still has it, else the key's.
fn choose_partition(planned: &PlannedReplay, described: &TopicDescription) -> Partition {
    let partitions = u32::try_from(described.partitions.len()).unwrap_or(u32::MAX);
    let wanted = match planned.replay.destination {
        Destination::Kafka { partition, .. } => partition,
        Destination::RabbitMq { .. } => None,
    };
    let exists =
        |partition: &Partition| u32::try_from(partition.0).is_ok_and(|number| number < partitions);
    wanted
        .filter(exists)
        .unwrap_or_else(|| partition_for_key(planned.key.as_deref(), partitions))
}

pub(super) const fn topic_of(replay: &Replay) -> Option<&TopicName> {
    match &replay.destination {
        Destination::Kafka { topic, .. } => Some(topic),
        Destination::RabbitMq { .. } => None,
    }
}
