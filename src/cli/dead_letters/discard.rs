use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

use super::selection::Selection;
use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::{confirmed, visible};

/// Between two looks at an action that goes on.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    selection: Selection,
    /// Why, for everybody who finds them later.
    #[arg(long)]
    reason: String,
    /// For how many days they can be restored.
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    selection: Selection,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn discard(api: &ApiArgs, args: &DiscardArgs) -> anyhow::Result<ExitCode> {
    let what = args.selection.describe();
    if !args.yes && !confirmed(&format!("Discard {what} for {} days?", args.days))? {
        bail!("nothing was discarded");
    }
    let mut body = args.selection.body();
    body["reason"] = json!(args.reason);
    body["expires_in_days"] = json!(args.days);
    follow(api, "discards", &body).await
}

pub(super) async fn restore(api: &ApiArgs, args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let what = args.selection.describe();
    if !args.yes && !confirmed(&format!("Restore {what}?"))? {
        bail!("nothing was restored");
    }
    follow(api, "restores", &args.selection.body()).await
}

/// Asks for the action and waits for its end.
#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
async fn follow(api: &ApiArgs, path: &str, body: &Value) -> anyhow::Result<ExitCode> {
    let mut action = api.post(&[path], body).await?;
    while action["finished_at"].is_null() {
        tokio::time::sleep(POLL).await;
        let id = action["id"].to_string();
        action = api.get(&["bulk-actions", &id], &[]).await?;
    }
    if api.json {
        println!("{action}");
    } else {
        let done = if path == "discards" {
            "discarded"
        } else {
            "restored"
        };
        println!("{} {done}", action["changed"]);
    }
    if let Some(problem) = action["problem"].as_str() {
        bail!("it ended early: {}", visible(problem));
    }
    Ok(ExitCode::SUCCESS)
}
