//! JSON Schemas and what they find in one payload. Runs in the child process only.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::LocationSegment;
use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

use super::{SchemaDocument, Violation};
use crate::domain::{JsonNode, JsonStep};

/// More violations than a person reads.
const MOST_VIOLATIONS: usize = 20;

/// A message may quote a whole list of what is allowed.
const LONGEST_MESSAGE: usize = 300;

/// Steps that one pattern may go back on one string.
const BACKTRACKS: usize = 100_000;

/// All schemas; each is compiled when it is first asked for.
pub(super) struct SchemaSet {
    documents: HashMap<String, Value>,
    files: Files,
    compiled: HashMap<String, Validator>,
}

/// The documents by everything under which another may refer to them.
#[derive(Clone)]
struct Files(Arc<HashMap<String, Value>>);

impl Retrieve for Files {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let found = self.0.get(uri.as_str().trim_end_matches('#'));
        found
            .cloned()
            .ok_or_else(|| "no other schema has that file name or $id".into())
    }
}

impl SchemaSet {
    /// Takes all documents, so that each can refer to the others, or says which is none and why.
    pub(super) fn read(documents: Vec<SchemaDocument>) -> Result<Self, String> {
        let mut read = HashMap::new();
        let mut files = HashMap::new();
        for document in documents {
            let value: Value = serde_json::from_str(&document.text)
                .map_err(|error| format!("{}: is no JSON: {error}", document.name))?;
            if let Some(id) = value.get("$id").and_then(Value::as_str) {
                files.insert(id.trim_end_matches('#').to_owned(), value.clone());
            }
            files.insert(uri(&document.name), value.clone());
            read.insert(document.name, value);
        }
        Ok(Self {
            documents: read,
            files: Files(Arc::new(files)),
            compiled: HashMap::new(),
        })
    }

    /// Compiles a schema, or says what is wrong with it.
    pub(super) fn compile(&mut self, name: &str) -> Result<&Validator, String> {
        if !self.compiled.contains_key(name) {
            let schema = self.documents.get(name);
            let schema = schema.ok_or_else(|| format!("there is no schema {name}"))?;
            let validator = jsonschema::options()
                .with_base_uri(uri(name))
                .with_retriever(self.files.clone())
                .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACKS))
                .build(schema)
                .map_err(|error| schema_error(&error))?;
            self.compiled.insert(name.to_owned(), validator);
        }
        self.compiled
            .get(name)
            .ok_or_else(|| format!("there is no schema {name}"))
    }

    /// What a schema finds in a payload; nothing if it is valid.
    pub(super) fn violations(
        &mut self,
        name: &str,
        payload: &[u8],
    ) -> Result<Vec<Violation>, String> {
        let validator = self.compile(name)?;
        let whole = |message: String| {
            vec![Violation {
                path: String::new(),
                message,
                at: 0,
            }]
        };
        let Ok(text) = std::str::from_utf8(payload) else {
            return Ok(whole("is no JSON: it is no text".to_owned()));
        };
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return Ok(whole(format!("is no JSON: {error}"))),
        };
        let errors = validator.iter_errors(&value).take(MOST_VIOLATIONS);
        let errors: Vec<_> = errors.collect();
        if errors.is_empty() {
            return Ok(Vec::new());
        }
        let root = JsonNode::parse(text)?;
        Ok(errors.iter().map(|error| violation(&root, error)).collect())
    }
}

/// References among the files lead to their names.
fn uri(name: &str) -> String {
    let mut uri = "redrive:///".to_owned();
    uri.extend(url::form_urlencoded::byte_serialize(name.as_bytes()));
    uri
}

fn schema_error(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().as_str();
    match place {
        "" => error.to_string(),
        place => format!("at {place}: {error}"),
    }
}

fn violation(root: &JsonNode, error: &ValidationError<'_>) -> Violation {
    let mut steps: Vec<JsonStep> = error
        .instance_path()
        .iter()
        .map(|segment| match segment {
            LocationSegment::Property(name) => JsonStep::Name(name.into_owned()),
            LocationSegment::Index(index) => JsonStep::Index(index),
        })
        .collect();
    let at = root.at(&steps).map_or(0, |node| node.span.start);
    let message = if let ValidationErrorKind::Required { property } = error.kind() {
        let name = property.as_str().unwrap_or_default();
        steps.push(JsonStep::Name(name.to_owned()));
        "is missing".to_owned()
    } else {
        // Not the value itself: it stands in the payload, and it may be long.
        let message = error.masked_with("it").to_string();
        message.chars().take(LONGEST_MESSAGE).collect()
    };
    Violation {
        path: path(&steps),
        message,
        at,
    }
}

/// As the filter language writes it after `payload.`: `data.items[0].sku`.
fn path(steps: &[JsonStep]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            JsonStep::Index(index) => {
                // Writing to a string cannot fail.
                let _ = write!(path, "[{index}]");
            }
            JsonStep::Name(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
        }
    }
    path
}

#[cfg(test)]
mod tests;
