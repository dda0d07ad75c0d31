//! What an engine has before it: a window of planned replays, and the next as soon as half of it has gone, so
//! that nothing waits for the store between two windows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::pacing::{Allowed, LoadedTo, Pacing};
use super::{EngineContext, WINDOW, joined};
use crate::domain::Replay;
use crate::store::{PlannedReplay, StoreError};

/// Replays that are left of a window when the next is loaded.
const LOAD_BELOW: usize = WINDOW as usize / 2;

/// How long windows follow one another. Then an engine begins at the front again, where replays may have been
/// planned anew.
const LONGEST_PASS: Duration = Duration::from_secs(10);

/// Planned replays that may be sent now, in their order.
pub(super) struct SendQueue {
    planned: VecDeque<PlannedReplay>,
    following: Following,
    /// What else is planned is left to another pass.
    wanted: Box<dyn Fn(&Replay) -> bool + Send + Sync>,
    /// As of which brakes it was loaded.
    brakes: u64,
    begun: Instant,
}

/// What comes after the replays of a queue.
enum Following {
    Nothing,
    After(LoadedTo),
    Loading(JoinHandle<Result<Allowed, StoreError>>),
}

impl Following {
    fn of(loaded: Option<LoadedTo>) -> Self {
        loaded.map_or(Self::Nothing, Self::After)
    }
}

impl SendQueue {
    pub(super) fn new(allowed: Allowed) -> Self {
        Self {
            planned: allowed.planned.into(),
            following: Following::of(allowed.more_after),
            brakes: allowed.brakes,
            wanted: Box::new(|_| true),
            begun: Instant::now(),
        }
    }

    /// Leaves all others to another pass, those that follow as well.
    pub(super) fn keep_only(&mut self, wanted: impl Fn(&Replay) -> bool + Send + Sync + 'static) {
        self.planned.retain(|planned| wanted(&planned.replay));
        self.wanted = Box::new(wanted);
    }

    /// The first of them. Windows of which all is left to another pass keep no later one waiting.
    pub(super) async fn first(&mut self, context: &EngineContext) -> Option<&Replay> {
        while self.planned.is_empty() && !matches!(self.following, Following::Nothing) {
            self.refill(context, false).await;
        }
        self.planned.front().map(|planned| &planned.replay)
    }

    /// Loads what follows when little is left, and waits for it only when nothing is and nothing `is_in_hand`. What
    /// cannot be loaded does not follow: the next pass meets the same and says so. Where a brake has a say by now,
    /// what is left is loaded anew as well. Answers whether what was taken out before may still be sent: not if
    /// somebody changed a brake.
    pub(super) async fn refill(&mut self, context: &EngineContext, is_in_hand: bool) -> bool {
        if self.brakes != context.changes.brakes() {
            self.clear();
            return false;
        }
        if self.planned.len() > LOAD_BELOW {
            return true;
        }
        self.following = match std::mem::replace(&mut self.following, Following::Nothing) {
            Following::After(loaded) if self.begun.elapsed() < LONGEST_PASS => {
                let context = context.clone();
                // What a brake allows is told from the front.
                let load = async move { Pacing::default().load_after(&context, &loaded).await };
                Following::Loading(tokio::spawn(load))
            }
            Following::Loading(task)
                if task.is_finished() || (self.planned.is_empty() && !is_in_hand) =>
            {
                match joined(task).await {
                    Ok(allowed) if allowed.is_braked => {
                        self.planned.clear();
                        Following::Nothing
                    }
                    Ok(allowed) => {
                        let following = allowed.planned.into_iter();
                        let wanted = following.filter(|planned| (self.wanted)(&planned.replay));
                        self.planned.extend(wanted);
                        Following::of(allowed.more_after)
                    }
                    Err(_) => Following::Nothing,
                }
            }
            Following::Loading(task) => Following::Loading(task),
            Following::After(_) | Following::Nothing => Following::Nothing,
        };
        true
    }

    /// The replays themselves, to take some out.
    pub(super) const fn planned(&mut self) -> &mut VecDeque<PlannedReplay> {
        &mut self.planned
    }

    pub(super) fn clear(&mut self) {
        self.planned.clear();
        self.following = Following::Nothing;
    }
}
