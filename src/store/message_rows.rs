//! A message as columns: key and body as they are, headers and properties as JSON.

use bytes::Bytes;
use sqlx::FromRow;

use super::StoreError;
use crate::domain::Message;

#[derive(Debug, FromRow)]
pub(super) struct MessageRow {
    pub(super) message_key: Option<Vec<u8>>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) headers: String,
    pub(super) properties: Option<String>,
}

impl MessageRow {
    pub(super) fn into_message(self) -> Result<Message, StoreError> {
        let properties = self
            .properties
            .as_deref()
            .map(serde_json::from_str)
            .transpose();
        Ok(Message {
            key: self.message_key.map(Bytes::from),
            body: self.body.map(Bytes::from),
            headers: serde_json::from_str(&self.headers).map_err(StoreError::corrupt("headers"))?,
            properties: properties.map_err(StoreError::corrupt("properties"))?,
        })
    }
}

/// The two columns that are JSON.
#[derive(Debug)]
pub(super) struct EncodedParts {
    pub(super) headers: String,
    pub(super) properties: Option<String>,
}

pub(super) fn encode(message: &Message) -> Result<EncodedParts, StoreError> {
    let properties = message
        .properties
        .as_ref()
        .map(serde_json::to_string)
        .transpose();
    Ok(EncodedParts {
        headers: serde_json::to_string(&message.headers).map_err(StoreError::corrupt("headers"))?,
        properties: properties.map_err(StoreError::corrupt("properties"))?,
    })
}
