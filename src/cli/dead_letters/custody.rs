//! `redrive dead-letters take` and `return`: out of an observed RabbitMQ queue into the store, and back.

use std::process::ExitCode;

use anyhow::bail;
use serde_json::Value;

use super::selection::Selection;
use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::visible;

#[derive(Debug, clap::Args)]
pub(super) struct TakeArgs {
    /// The number of the dead letter, as `list` gives it.
    id: i64,
    /// Accept that this counts as a delivery of each of the first messages of its queue, where a delivery limit
    /// counts it.
    #[arg(long)]
    accept_cost: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReturnArgs {
    #[command(flatten)]
    selection: Selection,
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
pub(super) async fn take(api: &ApiArgs, args: &TakeArgs) -> anyhow::Result<ExitCode> {
    let id = args.id.to_string();
    let query = accepted(args.accept_cost);
    let answer = api
        .post_query(&["dead-letters", &id, "take"], query)
        .await?;
    if api.json {
        println!("{answer}");
    } else {
        println!("dead letter {id} is in the store now");
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
pub(super) async fn give_back(api: &ApiArgs, args: &ReturnArgs) -> anyhow::Result<ExitCode> {
    let answer = api.post(&["returns"], &args.selection.body()).await?;
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let (returned, refused, unknown) = (list("returned"), list("refused"), list("unknown"));
    if api.json {
        println!("{answer}");
    } else {
        println!("{} returned", returned.len());
        for one in &refused {
            println!("{}", with_reason(one, "not returned"));
        }
        for one in &unknown {
            println!("{}", with_reason(one, "unknown"));
        }
    }
    match refused.len() + unknown.len() {
        0 => Ok(ExitCode::SUCCESS),
        others => bail!("dead letters that were not returned, or perhaps: {others}"),
    }
}

fn with_reason(one: &Value, what: &str) -> String {
    let reason = one["reason"].as_str().unwrap_or_default();
    format!("{}: {what}: {}", one["dead_letter_id"], visible(reason))
}

/// As the API takes it.
pub(super) const fn accepted(accept_cost: bool) -> &'static [(&'static str, &'static str)] {
    if accept_cost {
        &[("accept_cost", "true")]
    } else {
        &[]
    }
}
