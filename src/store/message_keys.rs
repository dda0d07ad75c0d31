use std::collections::HashMap;

use sqlx::{QueryBuilder, Sqlite};

use super::{Store, StoreError};
use crate::domain::DeadLetterId;

impl Store {
    /// The beginnings of the keys, as they arrived, of those dead letters that have one: at most so many bytes of each.
    pub async fn message_keys(
        &self,
        ids: &[DeadLetterId],
        bytes: u32,
    ) -> Result<HashMap<DeadLetterId, Vec<u8>>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT dead_letter, substr(message_key, 1, ");
        query
            .push_bind(bytes)
            .push(") FROM bodies WHERE message_key IS NOT NULL AND dead_letter IN (");
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(id.0);
        }
        query.push(")");
        let keys: Vec<(i64, Vec<u8>)> = query.build_query_as().fetch_all(&self.reader).await?;
        let keys = keys.into_iter().map(|(id, key)| (DeadLetterId(id), key));
        Ok(keys.collect())
    }
}
