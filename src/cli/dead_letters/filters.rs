//! `redrive dead-letters filters …`: filters that are saved under a name.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::{table, visible};

#[derive(Debug, clap::Args)]
pub(super) struct FiltersArgs {
    #[command(subcommand)]
    command: Option<FiltersCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum FiltersCommand {
    /// List them by name; so does `filters` alone.
    List,
    /// Save a filter; one of that name is replaced.
    Save { name: String, filter: String },
    /// Remove one.
    Remove { name: String },
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
pub(super) async fn run(api: &ApiArgs, args: &FiltersArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        None | Some(FiltersCommand::List) => {
            let answer = api.get(&["saved-filters"], &[("limit", "1000")]).await?;
            if api.json {
                println!("{answer}");
            } else {
                print!("{}", listed(&answer));
            }
        }
        Some(FiltersCommand::Save { name, filter }) => {
            let body = json!({ "name": name, "filter": filter });
            let answer = api.post(&["saved-filters"], &body).await?;
            if api.json {
                println!("{answer}");
            } else {
                println!("saved");
            }
        }
        Some(FiltersCommand::Remove { name }) => {
            api.delete(&["saved-filters", name]).await?;
            println!("removed");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(answer: &Value) -> String {
    let items = answer["items"].as_array().into_iter().flatten();
    let cell = |one: &Value, field: &str| visible(one[field].as_str().unwrap_or_default());
    let rows: Vec<Vec<String>> = items
        .map(|one| {
            ["name", "created_by", "filter"]
                .map(|field| cell(one, field))
                .to_vec()
        })
        .collect();
    // A filter is of use only whole.
    table(&["NAME", "BY", "FILTER"], &rows, usize::MAX)
}
