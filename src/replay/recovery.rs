//! What became of Kafka records whose delivery was never reported: after a crash, or because the
//! broker did not answer in time (broker-facts D.2, K-IDEMP).
//!
//! A record may arrive late as long as its producer tries, so nobody looks before the delivery timeout
//! is over. Then its partition is read from the high watermark of before sending. What is found was
//! sent. What is not found was never sent, but only if it cannot lie beyond the high watermark still
//! (appended, not yet replicated), was not removed by retention or compaction, and the log was not cut off.
//! Else it is unknown, and waits for a person.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::brokers::kafka::{
    KafkaAdmin, KafkaError, PartitionReplicas, ScanResult, Watermarks, scan_for_headers,
};
use crate::config::KafkaConfig;
use crate::domain::conventions::REPLAY_ID;
use crate::domain::{
    Destination, Landing, Offset, Partition, Replay, ReplayEvent, ReplayState, Timestamp, TopicName,
};

use super::engine::{Next, SetAside};

/// A record is handed to the producer at most so long after `sending` was written down.
pub(super) const HANDOVER_LIMIT: Duration = Duration::from_secs(1);

/// librdkafka looks for timeouts about once a second, and the broker may still work on a request whose
/// sender is gone.
const MARGIN: Duration = Duration::from_secs(2);

/// How often a partition is looked at that does not allow a proof yet.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A partition that does not allow a proof for so long makes its replays unknown.
const GIVE_UP_AFTER: Duration = Duration::from_mins(5);

/// What Kafka itself uses where the brokers do not tell.
const DEFAULT_REPLICA_LAG_LIMIT: Duration = Duration::from_secs(30);

/// Topics in which a replay is still being looked for. Nothing else is sent there meanwhile, so that
/// the order per key is kept.
#[derive(Debug, Default)]
pub(super) struct Held {
    topics: HashSet<TopicName>,
    look_again: Option<Duration>,
}

impl Held {
    pub(super) fn holds(&self, topic: &TopicName) -> bool {
        self.topics.contains(topic)
    }

    pub(super) fn next(&self) -> Next {
        self.look_again.map_or(Next::WhenTold, Next::In)
    }

    fn hold(&mut self, topic: &TopicName, look_again: Duration) {
        self.topics.insert(topic.clone());
        let sooner = self
            .look_again
            .map_or(look_again, |known| known.min(look_again));
        self.look_again = Some(sooner);
    }
}

/// Replays that were being sent to one partition.
struct Search {
    replays: Vec<(Replay, Landing)>,
    started_at: Timestamp,
    from: Offset,
}

/// Everything that was read about a partition after the delivery timeout.
#[derive(Clone, Debug)]
struct Evidence {
    /// `None`: the topic or the partition is not there.
    replicas: Option<PartitionReplicas>,
    /// `None`: the brokers do not tell, perhaps because we may not ask.
    settings: Option<LogSettings>,
    replica_lag_limit: Duration,
    /// Read before the scan, which ends at `high`.
    watermarks: Watermarks,
    watermarks_read_at: Timestamp,
    scan: ScanResult,
    /// Which topic of that name it is, if that is known.
    topic_id: Option<Uuid>,
    /// Why the partition, which is there, could not be read.
    problem: Option<String>,
}

/// The settings of a topic that decide what its log can prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LogSettings {
    min_in_sync: usize,
    compacted: bool,
}

impl From<HashMap<String, String>> for LogSettings {
    fn from(settings: HashMap<String, String>) -> Self {
        let min_in_sync = settings.get("min.insync.replicas");
        let cleanup = settings.get("cleanup.policy");
        Self {
            min_in_sync: min_in_sync.and_then(|text| text.parse().ok()).unwrap_or(1),
            compacted: cleanup.is_some_and(|policy| policy.contains("compact")),
        }
    }
}

/// What the evidence says of one replay.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Found(Landing),
    Absent,
    /// No proof yet: look again after so long.
    NotYet(Duration),
    Unprovable(String),
}

/// What a look found out.
pub(super) struct Looked {
    pub(super) events: Vec<(Replay, ReplayEvent)>,
    /// The topics in which it is too early to say.
    pub(super) held: Held,
    /// Topics with a partition that cannot be read now, and why; they keep no other topic waiting.
    pub(super) unreachable: HashMap<TopicName, String>,
}

/// Looks for every replay that was being sent, but for those to topics that were put aside.
pub(super) async fn look_for(
    (config, admin): (&KafkaConfig, &KafkaAdmin),
    sending: Vec<Replay>,
    (aside, topic_ids): (&SetAside<TopicName>, &HashMap<TopicName, Uuid>),
    (delivery_timeout, now): (Duration, Timestamp),
) -> Result<Looked, KafkaError> {
    let mut held = Held::default();
    let mut unreachable = HashMap::new();
    let mut events = Vec::new();
    let wait = HANDOVER_LIMIT + delivery_timeout + MARGIN;
    let (searches, unplaced) = group_by_partition(sending);
    for replay in unplaced {
        let reason = "it is not known to which partition it was sent";
        events.push((replay, unprovable(reason, now)));
    }
    for ((topic, partition), search) in searches {
        let over_at = search.started_at.plus(wait);
        if now < over_at {
            held.hold(&topic, over_at.since(now));
            continue;
        }
        if unreachable.contains_key(&topic) || aside.holds(&topic, Instant::now()) {
            held.hold(&topic, LOOK_AGAIN);
            continue;
        }
        let evidence = Evidence {
            topic_id: topic_ids.get(&topic).copied(),
            ..gather(config, admin, (&topic, partition), &search).await?
        };
        if let Some(problem) = &evidence.problem {
            unreachable.insert(topic.clone(), problem.clone());
        }
        for (replay, recorded) in search.replays {
            let at = Timestamp::now();
            match verdict(&replay, recorded, &evidence, (over_at, at)) {
                Verdict::Found(landing) => {
                    let landing = Some(landing);
                    events.push((replay, ReplayEvent::Confirmed { at, landing }));
                }
                Verdict::Absent => events.push((replay, ReplayEvent::ProvenAbsent)),
                Verdict::NotYet(look_again) => held.hold(&topic, look_again),
                Verdict::Unprovable(reason) => events.push((replay, unprovable(&reason, at))),
            }
        }
    }
    Ok(Looked {
        events,
        held,
        unreachable,
    })
}

fn unprovable(reason: &str, at: Timestamp) -> ReplayEvent {
    ReplayEvent::Unprovable {
        at,
        reason: reason.to_owned(),
    }
}

fn group_by_partition(
    sending: Vec<Replay>,
) -> (BTreeMap<(TopicName, Partition), Search>, Vec<Replay>) {
    let mut searches: BTreeMap<(TopicName, Partition), Search> = BTreeMap::new();
    let mut unplaced = Vec::new();
    for replay in sending {
        let (
            Destination::Kafka { topic, .. },
            ReplayState::Sending {
                started_at,
                high_watermark: Some(recorded),
                ..
            },
        ) = (&replay.destination, &replay.state)
        else {
            unplaced.push(replay);
            continue;
        };
        let (started_at, recorded) = (*started_at, *recorded);
        let place = (topic.clone(), recorded.partition);
        let search = searches.entry(place).or_insert_with(|| Search {
            replays: Vec::new(),
            started_at,
            from: recorded.offset,
        });
        search.started_at = search.started_at.max(started_at);
        search.from = search.from.min(recorded.offset);
        search.replays.push((replay, recorded));
    }
    (searches, unplaced)
}

async fn gather(
    config: &KafkaConfig,
    admin: &KafkaAdmin,
    (topic, partition): (&TopicName, Partition),
    search: &Search,
) -> Result<Evidence, KafkaError> {
    let described = admin.topic(topic).await?;
    let Some(replicas) = described.and_then(|found| found.partition(partition)) else {
        return Ok(Evidence::without_partition(search.from));
    };
    let replica_lag_limit = replica_lag_limit(admin, replicas).await;
    let settings = admin.topic_config(topic).await;
    let settings = settings.map(LogSettings::from).inspect_err(|error| {
        tracing::warn!(%error, "without it less can be proven");
    });
    let watermarks_read_at = Timestamp::now();
    let nothing = Evidence::without_partition(search.from);
    let evidence = Evidence {
        replicas: Some(replicas),
        settings: settings.ok(),
        replica_lag_limit,
        watermarks_read_at,
        ..nothing
    };
    // The cluster answers, so an error is this partition's: it has no leader, or may not be read.
    Ok(match read(config, admin, (topic, replicas), search).await {
        Ok((watermarks, scan)) => Evidence {
            watermarks,
            scan,
            ..evidence
        },
        Err(error) => Evidence {
            problem: Some(crate::error_chain(&error)),
            ..evidence
        },
    })
}

async fn read(
    config: &KafkaConfig,
    admin: &KafkaAdmin,
    (topic, described): (&TopicName, PartitionReplicas),
    search: &Search,
) -> Result<(Watermarks, ScanResult), KafkaError> {
    let watermarks = admin.watermarks_of(topic, &described).await?;
    let replays = search.replays.iter();
    let wanted: HashSet<String> = replays.map(|(replay, _)| replay.id.to_string()).collect();
    let range = (search.from, watermarks.high);
    let scan = scan_for_headers(
        config,
        (topic, described.partition),
        range,
        REPLAY_ID,
        &wanted,
    )
    .await?;
    Ok((watermarks, scan))
}

/// How long a record may be appended and not yet replicated; none at all with one replica.
async fn replica_lag_limit(admin: &KafkaAdmin, replicas: PartitionReplicas) -> Duration {
    if replicas.replicas <= 1 {
        return Duration::ZERO;
    }
    admin.replica_lag_limit().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "assuming Kafka's default for replica.lag.time.max.ms");
        DEFAULT_REPLICA_LAG_LIMIT
    })
}

impl Evidence {
    /// Whether the log is not that to which the replay was sent, though it has its name.
    fn is_of_another_topic(&self, replay: &Replay) -> bool {
        let ReplayState::Sending { topic_id, .. } = &replay.state else {
            return false;
        };
        let ids = topic_id.zip(self.topic_id);
        ids.is_some_and(|(then, now)| then != now)
    }

    /// Why this log will never prove that a record is absent.
    fn what_was_lost(&self, recorded: Landing) -> Option<&'static str> {
        // Of a partition that is not there, or cannot be read, nothing was read.
        self.replicas.filter(|_| self.problem.is_none())?;
        if self.watermarks.high < recorded.offset {
            return Some("the destination's log was cut off after it was sent");
        }
        if self.watermarks.low > recorded.offset || self.scan.gap {
            return Some("retention removed the part of the destination's log where it would be");
        }
        let compacted = self.settings.is_some_and(|settings| settings.compacted);
        (compacted && !self.scan.contiguous)
            .then_some("the destination was compacted: it may have been there and be gone")
    }

    /// What does not prove anything now, and may later.
    fn what_is_missing(&self) -> Option<String> {
        if let Some(problem) = &self.problem {
            return Some(format!(
                "the destination partition could not be read: {problem}"
            ));
        }
        self.what_is_missing_of_a_log().map(str::to_owned)
    }

    fn what_is_missing_of_a_log(&self) -> Option<&'static str> {
        let Some(replicas) = self.replicas else {
            return Some("the destination partition is no longer there");
        };
        match self.settings {
            Some(settings) if replicas.in_sync_replicas < settings.min_in_sync => {
                return Some("the destination had too few in-sync replicas to prove anything");
            }
            // With every replica in sync and no offset missing, no setting makes a difference.
            None if replicas.in_sync_replicas < replicas.replicas || !self.scan.contiguous => {
                return Some("the settings of the destination could not be read");
            }
            _ => {}
        }
        let incomplete = !self.scan.complete;
        incomplete.then_some("the destination's log could not be read to its end")
    }

    fn without_partition(from: Offset) -> Self {
        Self {
            replicas: None,
            settings: None,
            replica_lag_limit: Duration::ZERO,
            watermarks: Watermarks {
                low: from,
                high: from,
            },
            watermarks_read_at: Timestamp::now(),
            scan: ScanResult {
                found: HashMap::new(),
                gap: false,
                complete: false,
                contiguous: false,
            },
            topic_id: None,
            problem: None,
        }
    }
}

/// Judges one replay. `over_at` is when its producer had surely given up.
fn verdict(
    replay: &Replay,
    recorded: Landing,
    evidence: &Evidence,
    (over_at, now): (Timestamp, Timestamp),
) -> Verdict {
    if let Some(offset) = evidence.scan.found.get(&replay.id.to_string()) {
        return Verdict::Found(Landing {
            partition: recorded.partition,
            offset: *offset,
        });
    }
    if evidence.is_of_another_topic(replay) {
        let reason = "the destination topic was deleted and made anew after it was sent";
        return Verdict::Unprovable(reason.to_owned());
    }
    if let Some(reason) = evidence.what_was_lost(recorded) {
        return Verdict::Unprovable(reason.to_owned());
    }
    if let Some(reason) = evidence.what_is_missing() {
        return if now.since(over_at) >= GIVE_UP_AFTER {
            Verdict::Unprovable(reason)
        } else {
            Verdict::NotYet(LOOK_AGAIN)
        };
    }
    // A record may be appended and lie beyond the high watermark until its followers have it, or have
    // left the in-sync replicas.
    let replicated_at = over_at.plus(evidence.replica_lag_limit.mul_f64(1.5));
    if evidence.watermarks_read_at < replicated_at {
        return Verdict::NotYet(replicated_at.since(now).max(LOOK_AGAIN));
    }
    Verdict::Absent
}

#[cfg(test)]
mod tests;
