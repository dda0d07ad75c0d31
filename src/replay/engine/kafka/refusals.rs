//! What will not be sent, and what must not be sent after it: later events of a key never overtake one
//! that failed.

use std::time::{Duration, Instant};

use super::KafkaEngine;
use crate::domain::{Replay, ReplayEvent, ReplayId, TopicName};
use crate::replay::engine::placement::topic_of;
use crate::replay::engine::{EngineError, refused};
use crate::store::{PlannedReplay, StoreError};

/// A topic may be unknown to a broker that has just started. After so long it does not exist.
const MISSING_TOPIC_LIMIT: Duration = Duration::from_secs(10);

impl KafkaEngine {
    /// The replays whose topic has been missing for so long that it does not exist.
    pub(super) fn missing_for_long(
        &mut self,
        without_topic: &[(PlannedReplay, TopicName)],
    ) -> Vec<(Replay, String)> {
        let mut refusals = Vec::new();
        for (planned, topic) in without_topic {
            let since = self
                .missing
                .entry(topic.clone())
                .or_insert_with(Instant::now);
            if since.elapsed() >= MISSING_TOPIC_LIMIT {
                let reason = format!("topic {topic} does not exist");
                refusals.push((planned.replay.clone(), reason));
            }
        }
        refusals
    }

    pub(super) async fn refuse(&self, refusals: Vec<(Replay, String)>) -> Result<(), EngineError> {
        let mut events = Vec::new();
        for (replay, reason) in refusals {
            events.extend(self.refusal(&replay, reason).await?);
        }
        self.context.advance(events).await?;
        Ok(())
    }

    /// A refusal, and with it the end of its key in this job: later events must not overtake it.
    pub(super) async fn refusal(
        &self,
        replay: &Replay,
        reason: String,
    ) -> Result<Vec<(ReplayId, ReplayEvent)>, EngineError> {
        let mut events = vec![(replay.id, refused(reason))];
        let followers = self.followers(replay, "an earlier event of the same key failed");
        events.extend(followers.await?);
        Ok(events)
    }

    pub(super) async fn followers(
        &self,
        replay: &Replay,
        reason: &str,
    ) -> Result<Vec<(ReplayId, ReplayEvent)>, StoreError> {
        let Some(topic) = topic_of(replay) else {
            return Ok(Vec::new());
        };
        let planned = self
            .context
            .store
            .planned_of_same_key(replay, topic)
            .await?;
        let later = planned.into_iter().filter(|id| *id > replay.id);
        Ok(later.map(|id| (id, refused(reason))).collect())
    }
}
