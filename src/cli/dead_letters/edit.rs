use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use similar::TextDiff;

use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::{confirmed, visible};

/// Without an option, the payload is opened in `$EDITOR`.
#[derive(Debug, clap::Args)]
pub(super) struct EditArgs {
    /// Its number, as `list` gives it.
    id: i64,
    /// The new payload: a file, or `-` for standard input.
    #[arg(long)]
    payload: Option<PathBuf>,
    /// Set a header to a text, as NAME=VALUE; may be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = name_and_value)]
    headers: Vec<(String, String)>,
    /// Remove every header of that name; may be repeated.
    #[arg(long = "remove-header", value_name = "NAME")]
    removed: Vec<String>,
    /// Why, for the history.
    #[arg(long, default_value = "")]
    note: String,
    /// Do not show the difference and do not ask.
    #[arg(long)]
    yes: bool,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("it needs a `=` between name and value")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) async fn run(api: &ApiArgs, args: &EditArgs) -> anyhow::Result<ExitCode> {
    let id = args.id.to_string();
    let letter = api.get(&["dead-letters", &id], &[]).await?;
    let revision = letter["latest_revision"].to_string();
    let path = ["dead-letters", &id, "revisions", &revision];
    let latest = api.get(&path, &[]).await?;
    let mut change = json!({ "builds_on": letter["latest_revision"], "note": args.note });
    let old = payload_of(&latest)?;
    let changes_headers = !args.headers.is_empty() || !args.removed.is_empty();
    let new = match &args.payload {
        Some(path) => Some(read(path)?),
        None if changes_headers => None,
        None => Some(in_editor(&old, &id)?),
    };
    if let Some(new) = new.as_ref().filter(|new| **new != old) {
        change["payload"] = json!({ "base64": STANDARD.encode(new) });
    }
    if changes_headers {
        change["headers"] = changed_headers(&latest, args);
    }
    if change.get("payload").is_none() && change.get("headers").is_none() {
        bail!("nothing was changed");
    }
    if !args.yes {
        show_difference(&old, new.as_deref().unwrap_or(&old), args);
        if !confirmed("Save this as a new revision?")? {
            bail!("nothing was saved");
        }
    }
    let saved = api
        .post(&["dead-letters", &id, "revisions"], &change)
        .await?;
    report(api, &saved);
    Ok(ExitCode::SUCCESS)
}

/// A null payload is edited like an empty one.
fn payload_of(message: &Value) -> anyhow::Result<Vec<u8>> {
    match message["payload"]["base64"].as_str() {
        Some(text) => STANDARD.decode(text).context("the payload is no base64"),
        None => Ok(Vec::new()),
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let name = path.display();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {name}"))?;
    Ok(bytes)
}

/// Lets a person change the payload in `$EDITOR`.
fn in_editor(payload: &[u8], id: &str) -> anyhow::Result<Vec<u8>> {
    let editor = std::env::var("EDITOR").context("EDITOR is not set; give --payload FILE")?;
    if std::str::from_utf8(payload).is_err() {
        bail!("the payload is binary; give --payload FILE");
    }
    let mut file = tempfile::Builder::new()
        .prefix(&format!("dead-letter-{id}-"))
        .suffix(".json")
        .tempfile()
        .context("cannot create a temporary file")?;
    file.write_all(payload)?;
    file.flush()?;
    let mut words = editor.split_whitespace();
    let program = words
        .next()
        .context("EDITOR is empty; give --payload FILE")?;
    let status = Command::new(program)
        .args(words)
        .arg(file.path())
        .status()
        .with_context(|| format!("cannot start EDITOR={editor}"))?;
    if !status.success() {
        bail!("the editor ended with {status}; nothing was saved");
    }
    read(file.path())
}

/// The headers in their order, the last of a name with its new value; a header that was not there comes
/// last.
fn changed_headers(message: &Value, args: &EditArgs) -> Value {
    let mut headers: Vec<Value> = message["headers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|header| !args.removed.iter().any(|name| header["name"] == **name))
        .cloned()
        .collect();
    let is_amqp = !message["properties"].is_null();
    for (name, text) in &args.headers {
        let value = if is_amqp {
            json!({ "amqp": { "type": "long_string", "value": text } })
        } else {
            json!({ "bytes": text })
        };
        match headers
            .iter_mut()
            .rev()
            .find(|header| header["name"] == **name)
        {
            Some(header) => header["value"] = value,
            None => headers.push(json!({ "name": name, "value": value })),
        }
    }
    Value::Array(headers)
}

#[expect(
    clippy::print_stdout,
    reason = "the difference is shown before it is saved"
)]
fn show_difference(old: &[u8], new: &[u8], args: &EditArgs) {
    match (std::str::from_utf8(old), std::str::from_utf8(new)) {
        (Ok(old), Ok(new)) if old != new => {
            let diff = TextDiff::from_lines(old, new);
            for line in diff.unified_diff().header("now", "new").to_string().lines() {
                println!("{}", visible(line));
            }
        }
        _ if old != new => println!("payload: {} bytes become {}", old.len(), new.len()),
        _ => {}
    }
    for name in &args.removed {
        println!("-{}", visible(name));
    }
    for (name, value) in &args.headers {
        println!("+{}: {}", visible(name), visible(value));
    }
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
fn report(api: &ApiArgs, saved: &Value) {
    if api.json {
        println!("{saved}");
    } else {
        let (id, revision) = (&saved["dead_letter_id"], &saved["revision"]);
        println!("saved as revision {revision}; replay it: redrive dead-letters replay {id}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(headers: &[&str], removed: &[&str]) -> EditArgs {
        EditArgs {
            id: 1,
            payload: None,
            headers: headers.iter().map(|h| name_and_value(h).unwrap()).collect(),
            removed: removed.iter().map(|&name| name.to_owned()).collect(),
            note: String::new(),
            yes: true,
        }
    }

    #[test]
    fn headers_keep_their_order_and_the_last_of_a_name_is_set() {
        let message = json!({"properties": null, "headers": [
            {"name": "a", "value": {"bytes": "1"}},
            {"name": "b", "value": {"bytes": "2"}},
            {"name": "a", "value": {"bytes": "3"}},
        ]});
        let changed = changed_headers(&message, &args(&["a=x=y", "c=new"], &["b"]));
        assert_eq!(
            changed,
            json!([
                {"name": "a", "value": {"bytes": "1"}},
                {"name": "a", "value": {"bytes": "x=y"}},
                {"name": "c", "value": {"bytes": "new"}},
            ])
        );
        assert!(name_and_value("no value").is_err());
    }
}
