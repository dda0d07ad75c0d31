use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;

/// Of one ID: each name is looked for in every message.
const MOST_NAMES: usize = 16;

/// AMQP's limit of the name of a header.
const LONGEST_NAME: usize = 255;

/// `[event_names]`: how events call what identifies them, where it is not what Redrive looks for by itself. Each key
/// is a list of names, asked in this order and before the usual ones: of headers, in any spelling, then of
/// fields of a JSON body, with a dot between the names of nested objects (`meta.order_ref`). What is stored
/// already keeps the IDs that it had.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventNamesConfig {
    /// The event's own ID.
    pub event_id: Vec<String>,
    /// What kind of event it is.
    pub event_type: Vec<String>,
    /// What all events of one business transaction have in common.
    pub correlation_id: Vec<String>,
    /// The event that this one follows from.
    pub causation_id: Vec<String>,
    /// What it is about, for example the order.
    pub aggregate_id: Vec<String>,
    /// The service that published the event.
    pub source: Vec<String>,
    /// The span that published it, as W3C's `traceparent` is written.
    pub traceparent: Vec<String>,
}

impl EventNamesConfig {
    /// Whether there is no name but the usual ones.
    pub fn is_empty(&self) -> bool {
        self.lists().iter().all(|(_, names)| names.is_empty())
    }

    fn lists(&self) -> [(&'static str, &[String]); 7] {
        [
            ("event_names.event_id", &self.event_id),
            ("event_names.event_type", &self.event_type),
            ("event_names.correlation_id", &self.correlation_id),
            ("event_names.causation_id", &self.causation_id),
            ("event_names.aggregate_id", &self.aggregate_id),
            ("event_names.source", &self.source),
            ("event_names.traceparent", &self.traceparent),
        ]
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        for (key, names) in self.lists() {
            if names.len() > MOST_NAMES {
                let problem = format!("takes at most {MOST_NAMES} names");
                return Err(ConfigError::invalid(key, problem));
            }
            let is_name = |name: &&String| {
                let is_empty = name.split('.').any(|part| part.trim().is_empty());
                !is_empty && name.len() <= LONGEST_NAME
            };
            if let Some(name) = names.iter().find(|name| !is_name(name)) {
                let problem = format!(
                    "{name:?} is no name of a header or a field, such as X-Order-Ref or meta.order_ref"
                );
                return Err(ConfigError::invalid(key, problem));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn names_are_read_and_a_broken_one_is_named() {
        let parse = |text: &str| Config::parse(&format!("[event_names]\n{text}"), []);
        assert!(Config::default().event_names.is_empty());
        let config = parse("correlation_id = ['meta.order_ref', 'X-Ref']").unwrap();
        assert!(!config.event_names.is_empty());
        let check = |text: &str, expected: &str| {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("event_id = ['a..b']", "event_names.event_id: \"a..b\"");
        check("source = ['']", "event_names.source");
        check("traceparent = [' ']", "event_names.traceparent");
        check("correlation = ['a']", "correlation");
        let many = format!("event_type = {:?}", ["a"; 17]);
        check(&many, "at most 16");
    }
}
