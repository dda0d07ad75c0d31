use std::collections::HashMap;

use crate::domain::{Message, Replay, ReplayId};
use crate::replay::render::render;
use crate::store::{PlannedReplay, Store, StoreError};

/// Renders the messages of planned replays, or says of each why that will never work.
pub(super) async fn load_messages(
    store: &Store,
    planned: &[&PlannedReplay],
    connection_user: &str,
) -> Result<HashMap<ReplayId, Result<Message, String>>, StoreError> {
    let replays: Vec<&Replay> = planned.iter().map(|planned| &planned.replay).collect();
    let contents = store.replay_contents(&replays).await?;
    let message = |planned: &&PlannedReplay| {
        let (replay, options) = (&planned.replay, planned.options);
        let rendered = match contents.get(&replay.dead_letter) {
            Some(content) => {
                let revision = content.revision.as_ref();
                render(content, revision, replay, (options, connection_user))
                    .map_err(|error| error.to_string())
            }
            None => Err(missing(replay)),
        };
        (replay.id, rendered)
    };
    Ok(planned.iter().map(message).collect())
}

fn missing(replay: &Replay) -> String {
    match replay.revision.0 {
        0 => format!("there is no dead letter {}", replay.dead_letter),
        number => format!(
            "dead letter {} has no revision {number}",
            replay.dead_letter
        ),
    }
}
