mod history;

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::visible;

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Its number, as `list` gives it.
    id: i64,
}

#[expect(
    clippy::print_stdout,
    reason = "the dead letter is what the command is for"
)]
pub(super) async fn run(api: &ApiArgs, args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let letter = api
        .get(&["dead-letters", &args.id.to_string()], &[])
        .await?;
    if api.json {
        println!("{letter}");
    } else {
        print!("{}", for_people(&letter));
    }
    Ok(ExitCode::SUCCESS)
}

fn for_people(letter: &Value) -> String {
    let facts = [
        ("dead letter", &letter["id"]),
        ("status", &letter["status"]),
        ("died", &letter["dead_at"]),
        ("cluster", &letter["cluster"]),
        ("dlq", &letter["dlq"]),
        ("from", &letter["origin"]["destination"]),
        ("consumer", &letter["origin"]["consumer"]),
        ("event", &letter["event"]["event_type"]),
        ("event id", &letter["event"]["event_id"]),
        ("reason", &letter["error"]["reason"]),
        ("error", &letter["error"]["class"]),
        ("message", &letter["error"]["message"]),
        ("group", &letter["failure_group_title"]),
        ("revision", &letter["latest_revision"]),
    ];
    let known = facts.iter().filter(|(_, value)| !value.is_null());
    let mut text = String::new();
    for (name, value) in known {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:12} {}", plain(value));
    }
    text.push_str("\nheaders\n");
    for header in letter["headers"].as_array().into_iter().flatten() {
        let value = header["text"].as_str().map(visible);
        let value = value.unwrap_or_else(|| visible(&header["value"].to_string()));
        let _ = writeln!(text, "  {}: {value}", plain(&header["name"]));
    }
    text.push_str("\npayload\n");
    text.push_str(&payload(letter));
    text.push_str("\nhistory\n");
    text.push_str(&history::for_people(letter));
    text
}

/// Text keeps its lines; what is no text is counted, because a terminal cannot show it.
fn payload(letter: &Value) -> String {
    let payload = &letter["payload"];
    match (payload["text"].as_str(), payload["base64"].as_str()) {
        (Some(text), _) => {
            let lines: Vec<_> = text.lines().map(visible).collect();
            format!("  {}\n", lines.join("\n  "))
        }
        (None, Some(_)) => "  binary; --json has it as base64\n".to_owned(),
        (None, None) => match letter["payload_omitted"].as_str() {
            Some(why) => format!("  not kept: {}\n", visible(why)),
            None => "  null\n".to_owned(),
        },
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => visible(text),
        other => visible(&other.to_string()),
    }
}
