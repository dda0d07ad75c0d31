use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

use super::selection::Selection;
use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::{confirmed_count, visible};
use crate::web::markup::{counted, thousands};

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
    let mut body = args.selection.body();
    if !args.yes {
        let for_days = format!(" for {}", counted(args.days.into(), "day", "days"));
        body["eligible"] = json!(ask(api, "discards", &body, &for_days).await?);
    }
    body["reason"] = json!(args.reason);
    body["expires_in_days"] = json!(args.days);
    follow(api, "discards", &body).await
}

pub(super) async fn restore(api: &ApiArgs, args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let mut body = args.selection.body();
    if !args.yes {
        body["eligible"] = json!(ask(api, "restores", &body, "").await?);
    }
    follow(api, "restores", &body).await
}

/// Says how many and asks; answers the number that the person agreed to.
#[expect(clippy::print_stderr, reason = "the question is no part of the result")]
async fn ask(api: &ApiArgs, path: &str, selected: &Value, how: &str) -> anyhow::Result<u64> {
    let judged = api.post(&[path, "preflight"], selected).await?;
    let number = |field: &str| judged[field].as_u64().unwrap_or(0);
    let (matching, eligible) = (number("matching"), number("eligible"));
    let (verb, status, done) = if path == "discards" {
        ("Discard", "open", "discarded")
    } else {
        ("Restore", "discarded", "restored")
    };
    let of_status = format!("{} of them {status}", thousands(eligible));
    eprintln!("{} selected, {of_status}", thousands(matching));
    if eligible == 0 {
        bail!("nothing of the selection is {status}");
    }
    let what = counted(eligible, "dead letter", "dead letters");
    if !confirmed_count(&format!("{verb} {what}{how}?"), eligible)? {
        bail!("nothing was {done}");
    }
    Ok(eligible)
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
