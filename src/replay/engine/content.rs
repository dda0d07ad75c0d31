use crate::domain::{Message, Replay};
use crate::replay::render::render;
use crate::store::{Store, StoreError};

/// Renders the message of a planned replay, or says why that will never work.
pub(super) async fn load_message(
    store: &Store,
    replay: &Replay,
    connection_user: &str,
) -> Result<Result<Message, String>, StoreError> {
    let loaded = async {
        let letter = store.dead_letter(replay.dead_letter).await?;
        let revision = match replay.revision.0 {
            0 => None,
            _ => Some(store.message(replay.dead_letter, replay.revision).await?),
        };
        Ok::<_, StoreError>((letter, revision))
    };
    match loaded.await {
        Ok((letter, revision)) => {
            let rendered = render(&letter, revision.as_ref(), replay, connection_user);
            Ok(rendered.map_err(|error| error.to_string()))
        }
        Err(error @ StoreError::Database(_)) => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}
