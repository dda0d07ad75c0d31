//! Rounds of records, overlapped: while one is with the broker, what became of the round before it is
//! written down together with *sending* of the round after it, and the one after that is read and rendered.
//!
//! A round is handed over only after every record of the one before has landed. So the order of a key
//! is kept, and whatever goes wrong stops the pass: the round that waits was surely not sent and is
//! planned again.

use std::collections::HashMap;
use std::time::Instant;

use uuid::Uuid;

use super::{KafkaEngine, PassEnd};
use crate::brokers::kafka::{Batching, KafkaAdmin, ReplayProducer, SendError};
use crate::domain::{
    Landing, Message, Replay, ReplayEvent, ReplayId, ReplayState, Timestamp, TopicName,
};
use crate::replay::crash;
use crate::replay::engine::content::load_messages;
use crate::replay::engine::placement::{Placed, place};
use crate::replay::engine::queue::SendQueue;
use crate::replay::engine::round::take_round;
use crate::replay::engine::{EngineContext, EngineError, beside};
use crate::replay::recovery::HANDOVER_LIMIT;
use crate::store::PlannedReplay;

/// A record that is ready to be sent.
struct Prepared {
    replay: Replay,
    topic: TopicName,
    message: Message,
    /// As of the last sample.
    topic_id: Option<Uuid>,
    high_watermark: Landing,
}

/// A round that was read and rendered; nothing is written down of it yet.
#[derive(Default)]
struct Rendered {
    records: Vec<Prepared>,
    /// What will never be sent as it is.
    unsendable: Vec<(Replay, String)>,
    without_topic: Vec<(PlannedReplay, TopicName)>,
    unreachable: HashMap<TopicName, String>,
}

/// A round whose *sending* is on disk.
struct Ready {
    records: Vec<Prepared>,
    /// Before *sending* was written down: from here a recovery counts.
    begun: Instant,
    /// The store alone took so long that it is too late to send.
    store_was_slow: bool,
}

/// What became of a record that was handed over, or was about to be.
enum Fate {
    Landed(Landing),
    Refused(String),
    /// Only a scan can tell.
    Uncertain(String),
    /// It was too late to hand it over, or the client had no room.
    NotHandedOver,
}

impl KafkaEngine {
    /// Sends what is planned, round by round, until something goes wrong.
    pub(super) async fn send_all(&mut self, mut queue: SendQueue) -> Result<PassEnd, EngineError> {
        let admin = self.admin()?;
        let mut end = PassEnd::Clean;
        let mut landed = Vec::new();
        let mut in_hand: Option<Ready> = None;
        let first = take_round(queue.planned());
        let mut rendered = render_round(self.context.clone(), admin.clone(), first).await?;
        loop {
            if let Some(set_aside) = self.set_aside(&mut rendered).await? {
                queue.clear();
                end = set_aside;
            }
            if self.context.stop.is_cancelled() {
                rendered = Rendered::default();
                queue.clear();
            }
            if !queue.refill(&self.context, in_hand.is_some()).await {
                rendered = Rendered::default();
            }
            let mut store_was_slow = false;
            if let Some(ready) = &in_hand {
                store_was_slow = ready.store_was_slow;
                self.make_producer(self.batching_of(&ready.records)).await?;
            }
            let producer = self.producer.as_ref().map(|(_, producer)| producer);
            let (context, wanted) = (&self.context, rendered.records.len());
            let (ready, next_rendered, fates) = tokio::join!(
                beside(write_down(context.clone(), landed, rendered.records)),
                beside(render_round(
                    context.clone(),
                    admin.clone(),
                    take_round(queue.planned())
                )),
                hand_over(producer, in_hand),
            );
            let (ready, mut next_rendered) = match (ready, next_rendered) {
                (Ok(ready), Ok(next_rendered)) if fates.iter().all(has_landed) => {
                    (ready, next_rendered)
                }
                (ready, next_rendered) => {
                    let problem = next_rendered.err();
                    return self.break_off(ready, problem, fates, store_was_slow).await;
                }
            };
            landed = confirmations(fates);
            // What was paused or cancelled meanwhile is not overtaken by a later event of its key.
            if ready.as_ref().map_or(0, |ready| ready.records.len()) < wanted {
                next_rendered = Rendered::default();
                queue.clear();
            }
            if ready.is_none() && landed.is_empty() && next_rendered.is_empty() {
                return Ok(end);
            }
            (in_hand, rendered) = (ready, next_rendered);
        }
    }

    /// Ends a pass in which not all landed, or after which it cannot go on.
    async fn break_off(
        &mut self,
        ready: Result<Option<Ready>, EngineError>,
        problem: Option<EngineError>,
        fates: Vec<(Prepared, Fate)>,
        store_was_slow: bool,
    ) -> Result<PassEnd, EngineError> {
        let (ready, problem) = match ready {
            Ok(ready) => (ready, problem),
            Err(error) => (None, Some(error)),
        };
        // What waits goes back first, so that the end of a key reaches its later events.
        self.plan_again(ready).await?;
        self.write_fates(fates, store_was_slow).await?;
        problem.map_or(Ok(PassEnd::SomeFailed), Err)
    }

    /// Refuses what will never be sent; answers how the pass ends if something has to wait.
    async fn set_aside(&mut self, rendered: &mut Rendered) -> Result<Option<PassEnd>, EngineError> {
        for record in &rendered.records {
            self.missing.remove(&record.topic);
        }
        let mut refusals = self.missing_for_long(&rendered.without_topic);
        refusals.append(&mut rendered.unsendable);
        self.refuse(refusals).await?;
        let is_any_unreachable = !rendered.unreachable.is_empty();
        self.put_aside(rendered.unreachable.drain());
        Ok(if rendered.without_topic.is_empty() {
            is_any_unreachable.then_some(PassEnd::SomeFailed)
        } else {
            Some(PassEnd::TopicMissing)
        })
    }

    /// A broker accepts or refuses a batch whole, so where one was refused each record goes alone.
    fn batching_of(&self, records: &[Prepared]) -> Batching {
        let mut topics = records.iter().map(|record| &record.topic);
        if topics.any(|topic| self.one_by_one.contains(topic)) {
            Batching::OneByOne
        } else {
            Batching::Together
        }
    }

    /// Writes down a round of which not all landed, or after which the pass cannot go on.
    async fn write_fates(
        &mut self,
        fates: Vec<(Prepared, Fate)>,
        store_was_slow: bool,
    ) -> Result<(), EngineError> {
        let were_together =
            fates.len() > 1 && matches!(self.producer, Some((Batching::Together, _)));
        let (landed, others): (Vec<_>, Vec<_>) = fates.into_iter().partition(has_landed);
        let (any_landed, any_other) = (!landed.is_empty(), !others.is_empty());
        let landed = confirmations(landed).into_iter();
        let mut events: Vec<(ReplayId, ReplayEvent)> =
            landed.map(|(replay, event)| (replay.id, event)).collect();
        let mut uncertain = Vec::new();
        for (record, fate) in others {
            let replay = &record.replay;
            match fate {
                // Perhaps for the sake of another record of its batch.
                Fate::Refused(_) if were_together => {
                    self.one_by_one.insert(record.topic);
                    events.push((replay.id, ReplayEvent::ProvenAbsent));
                }
                Fate::Refused(reason) => events.extend(self.refusal(replay, reason).await?),
                Fate::Uncertain(reason) => uncertain.push(reason),
                Fate::Landed(_) | Fate::NotHandedOver => {
                    events.push((replay.id, ReplayEvent::ProvenAbsent));
                }
            }
        }
        if let Some(reason) = uncertain.first() {
            let (cluster, replays) = (&self.context.cluster, uncertain.len());
            tracing::warn!(%cluster, replays, reason, "replays have to be looked for");
        }
        self.context.advance(events).await?;
        crash::point("kafka.sent.committed");
        self.drop_producer().await;
        if any_other && !any_landed && store_was_slow {
            return Err(EngineError::StoreTooSlow);
        }
        Ok(())
    }

    /// A round that was not handed over is surely not sent.
    async fn plan_again(&self, ready: Option<Ready>) -> Result<(), EngineError> {
        let records = ready.into_iter().flat_map(|ready| ready.records);
        let events = records.map(|record| (record.replay.id, ReplayEvent::ProvenAbsent));
        self.context.advance(events.collect()).await?;
        Ok(())
    }
}

const fn has_landed((_, fate): &(Prepared, Fate)) -> bool {
    matches!(fate, Fate::Landed(_))
}

/// The events of records that landed; the others have none here.
fn confirmations(fates: Vec<(Prepared, Fate)>) -> Vec<(Replay, ReplayEvent)> {
    let at = Timestamp::now();
    let confirmation = |(record, fate): (Prepared, Fate)| match fate {
        Fate::Landed(landing) => {
            let landing = Some(landing);
            Some((record.replay, ReplayEvent::Confirmed { at, landing }))
        }
        _ => None,
    };
    fates.into_iter().filter_map(confirmation).collect()
}

impl Rendered {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.unsendable.is_empty()
            && self.without_topic.is_empty()
            && self.unreachable.is_empty()
    }
}

/// Reads and renders what may be in flight together.
async fn render_round(
    context: EngineContext,
    admin: KafkaAdmin,
    round: Vec<PlannedReplay>,
) -> Result<Rendered, EngineError> {
    if round.is_empty() {
        return Ok(Rendered::default());
    }
    let placement = place(&admin, round).await?;
    let placed = placement.placed.iter();
    let planned: Vec<&PlannedReplay> = placed.map(|placed| &placed.planned).collect();
    let messages = load_messages(&context.store, &planned, "").await?;
    let topics = placement.placed.iter().map(|placed| &placed.topic);
    let topic_ids = context.topic_ids(topics);
    let mut rendered = Rendered {
        without_topic: placement.without_topic,
        unreachable: placement.unreachable,
        ..Rendered::default()
    };
    for (placed, message) in placement.placed.into_iter().zip(messages) {
        let Placed {
            planned: PlannedReplay { replay, .. },
            topic,
            high_watermark,
        } = placed;
        match message {
            Ok(message) => rendered.records.push(Prepared {
                replay,
                topic_id: topic_ids.get(&topic).copied(),
                topic,
                message,
                high_watermark,
            }),
            Err(reason) => rendered.unsendable.push((replay, reason)),
        }
    }
    crash::point("kafka.prepared");
    Ok(rendered)
}

/// Commits what landed together with *sending* of the next round, and answers the records that may
/// leave now: what was cancelled or paused meanwhile may not.
async fn write_down(
    context: EngineContext,
    landed: Vec<(Replay, ReplayEvent)>,
    records: Vec<Prepared>,
) -> Result<Option<Ready>, EngineError> {
    let (at, begun) = (Timestamp::now(), Instant::now());
    let anything_landed = !landed.is_empty();
    let mut events = landed;
    events.extend(records.iter().map(|record| {
        let high_watermark = Some(record.high_watermark);
        let event = ReplayEvent::Sending {
            at,
            high_watermark,
            topic_id: record.topic_id,
        };
        (record.replay.clone(), event)
    }));
    let changed = context.advance_known(events).await?;
    if anything_landed {
        crash::point("kafka.sent.committed");
    }
    if records.is_empty() {
        return Ok(None);
    }
    crash::point("kafka.sending.committed");
    let store_was_slow = begun.elapsed() >= HANDOVER_LIMIT;
    // In the order of the records.
    let is_sending = |replay: &Replay| matches!(replay.state, ReplayState::Sending { .. });
    let mut sending = changed.into_iter().filter(is_sending).peekable();
    let may_leave = records.into_iter().filter_map(|record| {
        let replay = sending.next_if(|sending| sending.id == record.replay.id)?;
        Some(Prepared { replay, ..record })
    });
    Ok(Some(Ready {
        records: may_leave.collect(),
        begun,
        store_was_slow,
    }))
}

/// Hands the records to the client in order and waits for what the broker says of each.
async fn hand_over(
    producer: Option<&ReplayProducer>,
    ready: Option<Ready>,
) -> Vec<(Prepared, Fate)> {
    let (Some(producer), Some(ready)) = (producer, ready) else {
        return Vec::new();
    };
    let first = ready.records.first();
    let cluster = first.map(|first| first.replay.destination.cluster().as_str());
    let replays = ready.records.len();
    let _round = tracing::info_span!(parent: None, "replay_round", cluster, replays);
    let mut pending = Vec::with_capacity(ready.records.len());
    for record in ready.records {
        let partition = record.high_watermark.partition;
        // A recovery relies on it that nothing leaves later.
        let delivery = (ready.begun.elapsed() < HANDOVER_LIMIT)
            .then(|| producer.enqueue(&record.topic, partition, &record.message));
        crash::point("kafka.enqueued");
        pending.push((record, delivery));
    }
    let mut fates = Vec::with_capacity(pending.len());
    for (record, delivery) in pending {
        let fate = match delivery {
            Some(Ok(delivery)) => Fate::from(delivery.wait().await),
            Some(Err(error)) => Fate::from(Err(error)),
            None => Fate::NotHandedOver,
        };
        crash::point("kafka.answered");
        fates.push((record, fate));
    }
    fates
}

impl From<Result<Landing, SendError>> for Fate {
    fn from(answer: Result<Landing, SendError>) -> Self {
        match answer {
            Ok(landing) => Self::Landed(landing),
            Err(SendError::NotPersisted { reason }) => Self::Refused(reason),
            Err(SendError::NotTaken { .. }) => Self::NotHandedOver,
            Err(SendError::PossiblyPersisted { reason }) => Self::Uncertain(reason),
        }
    }
}
