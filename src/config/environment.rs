//! `REDRIVE_HTTP__LISTEN=…` sets `http.listen`; `REDRIVE_KAFKA__0__NAME=…` the first cluster's name.

use toml::{Table, Value};

use super::ConfigError;

const PREFIX: &str = "REDRIVE_";

/// Lays the variables over the file. A variable without `__` is none of ours, for example
/// `REDRIVE_TEST_KAFKA`.
pub(super) fn overlay(
    table: &mut Table,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    for (variable, text) in variables {
        let Some(path) = variable
            .strip_prefix(PREFIX)
            .filter(|path| path.contains("__"))
        else {
            continue;
        };
        let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let value = if is_secret(&keys) {
            Value::from(text)
        } else {
            parse_value(&text)
        };
        set(table, &keys, value).map_err(|reason| ConfigError::Variable {
            variable: variable.clone(),
            reason,
        })?;
    }
    Ok(())
}

/// Passwords and headers are text, even one of digits only, or in quotation marks.
fn is_secret(keys: &[String]) -> bool {
    match keys {
        [.., section, _] if section == "headers" => true,
        [.., key] => matches!(key.as_str(), "password" | "secret" | "client_secret"),
        [] => false,
    }
}

/// Lists, booleans and numbers are written as in TOML; everything else is a string.
fn parse_value(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    parsed
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::from(text))
}

fn set(table: &mut Table, keys: &[String], value: Value) -> Result<(), String> {
    match keys {
        [] => Err("the name of a key is missing".to_owned()),
        [key] => {
            table.insert(key.clone(), value);
            Ok(())
        }
        [key, index, rest @ ..] if index.parse::<usize>().is_ok() => {
            let index = index.parse::<usize>().map_err(|error| error.to_string())?;
            set_in_list(table, key, index, rest, value)
        }
        [key, rest @ ..] => {
            let inner = table
                .entry(key.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            match inner {
                Value::Table(inner) => set(inner, rest, value),
                _ => Err(format!("{key} is no section")),
            }
        }
    }
}

fn set_in_list(
    table: &mut Table,
    key: &str,
    index: usize,
    rest: &[String],
    value: Value,
) -> Result<(), String> {
    let list = table
        .entry(key.to_owned())
        .or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(list) = list else {
        return Err(format!("{key} is no list"));
    };
    if index > list.len() {
        return Err(format!(
            "{key} has {} entries; the next index is {}",
            list.len(),
            list.len()
        ));
    }
    if index == list.len() {
        list.push(Value::Table(Table::new()));
    }
    match (&mut list[index], rest) {
        (entry, []) => {
            *entry = value;
            Ok(())
        }
        (Value::Table(entry), rest) => set(entry, rest, value),
        _ => Err(format!("{key}[{index}] is no section")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_text_whatever_it_looks_like() {
        let variables = [
            ("REDRIVE_KAFKA__0__SASL__PASSWORD", "00123"),
            ("REDRIVE_KAFKA__0__SASL__CLIENT_SECRET", "12345678"),
            ("REDRIVE_NOTIFICATIONS__0__SECRET", "\"quoted\""),
            ("REDRIVE_TRACES__EXPORT__HEADERS__API-KEY", "true"),
            ("REDRIVE_METRICS__SERIES_LIMIT", "7"),
        ];
        let variables = variables.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let mut table = Table::new();
        overlay(&mut table, variables).unwrap();
        let sasl = &table["kafka"][0]["sasl"];
        assert_eq!(sasl["password"].as_str(), Some("00123"));
        assert_eq!(sasl["client_secret"].as_str(), Some("12345678"));
        assert_eq!(
            table["notifications"][0]["secret"].as_str(),
            Some("\"quoted\"")
        );
        assert_eq!(
            table["traces"]["export"]["headers"]["api-key"].as_str(),
            Some("true")
        );
        assert_eq!(table["metrics"]["series_limit"].as_integer(), Some(7));
    }
}
