use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;

/// `[schemas]`: JSON Schemas, draft-07 to 2020-12, by which payloads are checked.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SchemasConfig {
    /// A folder in which `OrderCreated.json` or `OrderCreated.schema.json` is the schema of the event type
    /// `OrderCreated`. The files may refer to one another.
    pub folder: Option<PathBuf>,
    /// Schemas of single event types: `[[schemas.types]]`.
    pub types: Vec<SchemaConfig>,
    /// Refuse to replay what its schema does not allow.
    pub gate_replays: bool,
}

/// `[[schemas.types]]`: the schema of one event type, before that of the folder.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaConfig {
    /// The event type, as events call it.
    pub event_type: String,
    /// Its schema.
    pub file: PathBuf,
}

impl SchemasConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let mut seen = std::collections::HashSet::new();
        let twice = self
            .types
            .iter()
            .find(|each| !seen.insert(&each.event_type));
        if let Some(twice) = twice {
            return Err(ConfigError::invalid(
                "schemas.types",
                format!("{:?} has two schemas; keep one", twice.event_type),
            ));
        }
        if self.gate_replays && self.folder.is_none() && self.types.is_empty() {
            return Err(ConfigError::invalid(
                "schemas.gate_replays",
                "there is no schema to gate by; set schemas.folder or add [[schemas.types]]",
            ));
        }
        Ok(())
    }
}
