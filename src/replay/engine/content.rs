use crate::domain::{Message, Replay};
use crate::replay::render::{Source, render};
use crate::store::{PlannedReplay, ReplayContent, Store, StoreError};

/// Renders the messages of planned replays, in their order, or says of each why that will never work.
pub(super) async fn load_messages(
    store: &Store,
    planned: &[&PlannedReplay],
    connection_user: &str,
) -> Result<Vec<Result<Message, String>>, StoreError> {
    let replays: Vec<&Replay> = planned.iter().map(|planned| &planned.replay).collect();
    let contents = store.replay_contents(&replays).await?;
    let rendered = planned.iter().zip(contents).map(|(planned, content)| {
        let content = content.ok_or_else(|| missing(&planned.replay))?;
        rendered(content, planned, connection_user)
    });
    Ok(rendered.collect())
}

fn rendered(
    content: ReplayContent,
    planned: &PlannedReplay,
    connection_user: &str,
) -> Result<Message, String> {
    let (original, message) = match content.revision {
        Some(revision) => (Some(content.original), revision),
        None => (None, content.original),
    };
    let source = Source {
        cluster: &content.cluster,
        position: &content.position,
        death: &content.death,
        edited_from: original.as_ref(),
    };
    let options = (planned.options, connection_user);
    render(source, message, &planned.replay, options).map_err(|error| error.to_string())
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
