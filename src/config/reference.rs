//! What can be configured, told by the structs themselves: as a JSON Schema for editors, and as a page for people.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::Config;
use super::values::DURATION;

const HEAD: &str = "# Configuration

<!-- Written by `redrive config-reference > docs/configuration.md`, out of the comments in src/config. -->

Redrive reads the file that `--config` or `REDRIVE_CONFIG` names, then the environment: `REDRIVE_`, the key in capitals, and `__` for each dot, as in
`REDRIVE_HTTP__LISTEN=127.0.0.1:9000`, `REDRIVE_KAFKA__0__SASL__PASSWORD=…`, `REDRIVE_DEAD_LETTERS__KAFKA_TOPICS='[\"*.dead\"]'`. `redrive check` says what
is wrong, and with which key. `redrive config-reference --json-schema > redrive.schema.json` lets an editor complete and check the file (Taplo, for
example: `#:schema redrive.schema.json` in its first line). Durations are written `500ms`, `10s`, `5m`, `1h`, `7d`.
";

/// The JSON Schema (draft 2020-12) of `redrive.toml`.
pub fn json_schema() -> Value {
    schemars::schema_for!(Config).to_value()
}

/// All keys with their values, defaults and meanings, as Markdown.
pub fn reference() -> String {
    let schema = json_schema();
    let mut page = HEAD.to_owned();
    let root = Described {
        schema: &schema,
        root: &schema,
    };
    for (name, property) in root.properties() {
        section(&mut page, name, &property);
    }
    page
}

/// A part of the schema, with the whole to look references up in.
#[derive(Clone, Copy)]
struct Described<'a> {
    schema: &'a Value,
    root: &'a Value,
}

impl<'a> Described<'a> {
    fn at(self, schema: &'a Value) -> Self {
        Self { schema, ..self }
    }

    /// Itself, or what it refers to; without the `null` of what may be absent.
    fn resolved(self) -> Self {
        if let Some(reference) = self.schema["$ref"].as_str() {
            let name = reference.trim_start_matches("#/$defs/");
            return self.at(&self.root["$defs"][name]).resolved();
        }
        let mut choices = self.schema["anyOf"].as_array().into_iter().flatten();
        match choices.find(|choice| choice["type"] != "null") {
            Some(choice) => self.at(choice).resolved(),
            None => self,
        }
    }

    fn properties(self) -> impl Iterator<Item = (&'a String, Self)> {
        let properties: Option<&Map<_, _>> = self.schema["properties"].as_object();
        properties
            .into_iter()
            .flatten()
            .map(move |(name, schema)| (name, self.at(schema)))
    }

    fn items(self) -> Option<Self> {
        let items = self.resolved().schema.get("items")?;
        Some(self.at(items).resolved())
    }

    /// The table that it is, or of which it is a list.
    fn table(self) -> Option<(Self, bool)> {
        let is_table = |described: &Self| described.schema["properties"].is_object();
        let alone = Some(self.resolved())
            .filter(is_table)
            .map(|table| (table, false));
        alone.or_else(|| Some((self.items().filter(is_table)?, true)))
    }

    fn text(self) -> String {
        let text = self.schema["description"].as_str().unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What may be written for it.
    fn value(self) -> String {
        if let Some(items) = self.items() {
            return format!("list: {}", items.value());
        }
        let resolved = self.resolved();
        let words = resolved.words();
        if !words.is_empty() {
            return words.join(", ");
        }
        let kind = &resolved.schema["type"];
        let kind = kind
            .as_array()
            .and_then(|kinds| kinds.first())
            .unwrap_or(kind);
        let kind = match (resolved.schema["title"].as_str(), kind.as_str()) {
            (Some(DURATION), _) => DURATION,
            (_, Some("integer" | "number")) => "number",
            (_, Some("boolean")) => "true, false",
            (_, Some("object")) => "table",
            _ => "text",
        };
        kind.to_owned()
    }

    /// The words of an enumeration.
    fn words(self) -> Vec<String> {
        let alone = self.schema["enum"].as_array().into_iter().flatten();
        let described = self.schema["oneOf"].as_array().into_iter().flatten();
        let described = described.flat_map(|choice| {
            let words = choice["enum"].as_array().into_iter().flatten();
            words.chain(choice.get("const"))
        });
        let words = alone.chain(described).filter_map(Value::as_str);
        words.map(|word| format!("`{word}`")).collect()
    }

    /// What it is where it is not written; `name` is its own in `table`.
    fn default(self, name: &str, table: Self) -> String {
        let mut required = table.schema["required"].as_array().into_iter().flatten();
        if required.any(|required| required == name) {
            return "must be given".to_owned();
        }
        match &self.schema["default"] {
            Value::Null => "none".to_owned(),
            Value::Array(items) if items.is_empty() => "none".to_owned(),
            Value::String(text) if text.is_empty() => "none".to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        }
    }
}

/// A table of the file, then those within it.
fn section(page: &mut String, path: &str, described: &Described<'_>) {
    let Some((table, is_list)) = described.table() else {
        return;
    };
    let heading = if is_list {
        format!("[[{path}]]")
    } else {
        format!("[{path}]")
    };
    let mut about = about(&table.text(), &heading);
    let beside = described.text();
    if !beside.is_empty() && described.schema != table.schema && !beside.contains(&heading) {
        about = format!("{about} {beside}");
    }
    // Writing to a string cannot fail.
    let _ = write!(page, "\n## `{heading}`\n\n{about}\n");
    let (tables, keys): (Vec<_>, Vec<_>) = table
        .properties()
        .partition(|(_, property)| property.table().is_some());
    if !keys.is_empty() {
        page.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
    }
    for (name, key) in keys {
        let (value, default) = (key.value(), key.default(name, table));
        let cells =
            [format!("`{name}`"), value, default, key.text()].map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }
    for (name, inner) in tables {
        section(page, &format!("{path}.{name}"), &inner);
    }
}

/// What the comment says, without the name that is the heading.
fn about(text: &str, heading: &str) -> String {
    let rest = text.strip_prefix(&format!("`{heading}`: ")).unwrap_or(text);
    let rest = rest.replace(&format!(": `{heading}`."), ".");
    let mut letters = rest.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_the_one_in_the_documentation() {
        let written = include_str!("../../docs/configuration.md");
        assert!(
            written == reference(),
            "docs/configuration.md is old: redrive config-reference > docs/configuration.md"
        );
    }

    #[test]
    fn every_key_has_a_meaning() {
        let page = reference();
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let silent: Vec<&str> = rows.filter(|row| row.ends_with("|  |")).collect();
        assert!(silent.is_empty(), "{silent:#?}");
        for key in [
            "`body_limit_bytes`",
            "## `[[rabbitmq.queues]]`",
            "`SCRAM-SHA-512`",
        ] {
            assert!(page.contains(key), "{key}");
        }
    }
}
