use std::time::Duration;

use super::waiting::{Lowest, Place, Waiting};
use crate::domain::Timestamp;
use crate::store::{ExportPosition, Store, StoreError, TraceNews};

/// Rows that are read at once.
const ROWS: u32 = 2_000;

/// A replay has its time of change before it is committed, so that younger ones may still appear between those that
/// are there.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// How far the store was read for what is new in traces.
pub(super) struct News {
    event: i64,
    letter: i64,
    /// Time of change and row.
    replay: (i64, i64),
    remembered: ExportPosition,
}

impl News {
    /// Goes on where the last run had exported all; the first one ever begins with what comes from now on.
    pub(super) async fn resume(store: &Store, now: Timestamp) -> Result<Self, StoreError> {
        let end = store.export_end(now).await?;
        let position = if let Some(position) = store.export_position().await? {
            // A store that was restored from a copy may end before it.
            ExportPosition {
                event: position.event.min(end.event),
                letter: position.letter.min(end.letter),
                replay_ms: position.replay_ms,
            }
        } else {
            store.put_export_position(end).await?;
            end
        };
        Ok(Self {
            event: position.event,
            letter: position.letter,
            replay: (position.replay_ms, 0),
            remembered: position,
        })
    }

    /// The number of events that left the store before they were read.
    pub(super) async fn skip_what_is_gone(&mut self, store: &Store) -> Result<u64, StoreError> {
        let first = store.first_traced_event().await?;
        let gone = first.map_or(0, |first| first - 1 - self.event);
        if gone > 0 {
            self.event += gone;
        }
        Ok(u64::try_from(gone).unwrap_or(0))
    }

    /// Reads on, a page of each kind; whether there may be more.
    pub(super) async fn read(
        &mut self,
        store: &Store,
        waiting: &mut Waiting,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let events = store.events_after(self.event, ROWS).await?;
        self.event = events.last().map_or(self.event, |last| last.id);
        let letters = store.letters_after(self.letter, ROWS).await?;
        self.letter = letters.last().map_or(self.letter, |last| last.id);
        let (changed, row) = self.replay;
        let settled = now.minus(SETTLED_AFTER);
        let replays = store
            .replays_told_after((Timestamp(changed), row), settled, ROWS)
            .await?;
        let last = replays.last();
        self.replay = last.map_or(self.replay, |last| (last.changed_ms, last.id));
        let pages = [events.len(), letters.len(), replays.len()];
        let mut note = |news: Vec<TraceNews>, place: fn(&TraceNews) -> Place| {
            for new in news {
                let place = place(&new);
                if let Some(id) = new.correlation_id.filter(|id| !id.is_empty()) {
                    waiting.note(id, place, now);
                }
            }
        };
        note(events, |new| Place::Event(new.id));
        note(letters, |new| Place::Letter(new.id));
        note(replays, |new| Place::Replay(new.changed_ms));
        Ok(pages.iter().any(|rows| *rows >= ROWS as usize))
    }

    /// Notes up to where all is exported: before the first of what waits.
    pub(super) async fn remember(
        &mut self,
        store: &Store,
        waiting: Lowest,
    ) -> Result<(), StoreError> {
        let before = |place: Option<i64>, read: i64| place.map_or(read, |place| place - 1);
        let position = ExportPosition {
            event: before(waiting.event, self.event),
            letter: before(waiting.letter, self.letter),
            replay_ms: before(waiting.replay, self.replay.0),
        };
        if position != self.remembered {
            store.put_export_position(position).await?;
            self.remembered = position;
        }
        Ok(())
    }
}
