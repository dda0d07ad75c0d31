use std::process::ExitCode;

use serde_json::Value;

use super::PageArgs;
use crate::cli::api_client::ApiArgs;
use crate::cli::dead_letters::preflight::destination;
use crate::cli::terminal::{table, visible};
use crate::web::markup::thousands;

#[derive(Debug, clap::Args)]
pub(super) struct OpenArgs {
    /// Only replays of dead letters that match; all if absent.
    #[arg(long, default_value = "")]
    filter: String,
    #[command(flatten)]
    page: PageArgs,
}

/// Replays of all jobs that have no outcome yet.
#[expect(clippy::print_stdout, reason = "the list is what the command is for")]
pub(super) async fn list(
    api: &ApiArgs,
    args: &OpenArgs,
    outcome: &str,
) -> anyhow::Result<ExitCode> {
    let mut query = args.page.query();
    query.push(("filter", args.filter.clone()));
    let page = api.get(&["replays", outcome], &query_of(&query)).await?;
    if api.json {
        println!("{page}");
        return Ok(ExitCode::SUCCESS);
    }
    let count = page["count"].as_u64().unwrap_or(0);
    println!("{} {outcome}", thousands(count));
    print_events(&page);
    Ok(ExitCode::SUCCESS)
}

/// A page of replays, and how it goes on.
#[expect(clippy::print_stdout, reason = "the list is what the command is for")]
pub(super) fn print_events(page: &Value) {
    let items = page["items"].as_array().into_iter().flatten();
    let rows: Vec<_> = items.map(row).collect();
    if rows.is_empty() {
        return;
    }
    let header = [
        "DEAD LETTER",
        "STATE",
        "JOB",
        "REPLAY",
        "REVISION",
        "TO",
        "EVIDENCE",
    ];
    print!("{}", table(&header, &rows, usize::MAX));
    if let Some(cursor) = page["next_cursor"].as_str() {
        println!("more follow: --cursor {}", visible(cursor));
    }
}

fn row(event: &Value) -> Vec<String> {
    let text = |field: &str| visible(event[field].as_str().unwrap_or("-"));
    vec![
        event["dead_letter_id"].to_string(),
        text("state"),
        text("job_id"),
        text("replay_id"),
        event["revision"].to_string(),
        destination(&event["destination"]),
        text("evidence"),
    ]
}

/// A query as the client takes it.
pub(super) fn query_of<'a>(pairs: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    pairs
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}
