use std::process::ExitCode;

use serde_json::Value;

use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::{table, visible, width};

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// For example `status:open error:Timeout age:>1h`; everything if absent.
    #[arg(long, default_value = "")]
    filter: String,
    /// newest or oldest: which first, in the order in which Redrive took them in.
    #[arg(long)]
    sort: Option<String>,
    /// At most so many, from 1 to 1000.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// `next_cursor` of the list before.
    #[arg(long)]
    cursor: Option<String>,
}

#[expect(clippy::print_stdout, reason = "the list is what the command is for")]
pub(super) async fn run(api: &ApiArgs, args: &ListArgs) -> anyhow::Result<ExitCode> {
    let limit = args.limit.to_string();
    let mut query = vec![("filter", args.filter.as_str()), ("limit", &limit)];
    query.extend(args.sort.as_deref().map(|sort| ("sort", sort)));
    query.extend(args.cursor.as_deref().map(|cursor| ("cursor", cursor)));
    let page = api.get(&["dead-letters"], &query).await?;
    if api.json {
        println!("{page}");
        return Ok(ExitCode::SUCCESS);
    }
    let items = page["items"].as_array().into_iter().flatten();
    let rows: Vec<_> = items.map(row).collect();
    if rows.is_empty() {
        println!("no dead letter matches");
        return Ok(ExitCode::SUCCESS);
    }
    let header = ["ID", "STATUS", "DIED", "DLQ", "EVENT", "ERROR"];
    print!("{}", table(&header, &rows, width()));
    if let Some(cursor) = page["next_cursor"].as_str() {
        let sort = args.sort.as_deref().map(|sort| format!("--sort {sort} "));
        println!(
            "more follow: {}--cursor {}",
            sort.unwrap_or_default(),
            visible(cursor)
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn row(letter: &Value) -> Vec<String> {
    let text = |value: &Value| visible(value.as_str().unwrap_or("-"));
    let error = &letter["error"];
    let class = error["class"].as_str().or(error["reason"].as_str());
    let message = error["message"].as_str().unwrap_or("");
    vec![
        letter["id"].to_string(),
        text(&letter["status"]),
        text(&letter["dead_at"]),
        text(&letter["dlq"]),
        text(&letter["event"]["event_type"]),
        visible(&format!("{} {message}", class.unwrap_or("-"))),
    ]
}
