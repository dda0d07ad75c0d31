use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};

use super::jobs::report;
use crate::cli::api_client::ApiArgs;
use crate::cli::dead_letters::replay::count;
use crate::cli::terminal::{confirmed, confirmed_count};
use crate::web::markup::counted;

#[derive(Debug, clap::Args)]
pub(super) struct DecideArgs {
    /// What became of them.
    decision: DecisionWord,
    /// The job; all of it that is unknown, if no replay is named.
    #[arg(required_unless_present = "filter", conflicts_with = "filter")]
    job: Option<String>,
    /// One replay of the job.
    #[arg(requires = "job")]
    replay: Option<String>,
    /// Instead of a job: every unknown replay whose dead letter matches; '' means all.
    #[arg(long)]
    filter: Option<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DecisionWord {
    /// They arrived.
    AcceptAsSent,
    /// They did not arrive; their dead letters are open again.
    AcceptAsFailed,
    /// Send them again under the same replay ID; a consumer that knows it drops the second copy.
    SendAgain,
}

impl DecisionWord {
    const fn as_str(self) -> &'static str {
        match self {
            Self::AcceptAsSent => "accept_as_sent",
            Self::AcceptAsFailed => "accept_as_failed",
            Self::SendAgain => "send_again",
        }
    }

    /// What is asked about so many.
    fn question(self, what: &str) -> String {
        match self {
            Self::AcceptAsSent => format!("Take it that {what} arrived?"),
            Self::AcceptAsFailed => format!("Take it that {what} did not arrive, and reopen?"),
            Self::SendAgain => format!("Send {what} again?"),
        }
    }
}

pub(super) async fn run(api: &ApiArgs, args: &DecideArgs) -> anyhow::Result<ExitCode> {
    match (&args.filter, &args.job, &args.replay) {
        (Some(filter), _, _) => about_matching(api, args, filter).await,
        (None, Some(job), Some(replay)) => about_one(api, args, (job, replay)).await,
        (None, Some(job), None) => about_job(api, args, job).await,
        (None, None, _) => bail!("name a job, or give --filter"),
    }
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
async fn about_one(
    api: &ApiArgs,
    args: &DecideArgs,
    (job, replay): (&str, &str),
) -> anyhow::Result<ExitCode> {
    if !args.yes && !confirmed(&args.decision.question("the replay"))? {
        bail!("nothing was decided");
    }
    let path = ["replays", job, "events", replay, "resolve"];
    let decided = api.post(&path, &decision(args)).await?;
    if api.json {
        println!("{decided}");
    } else {
        println!("1 decided");
    }
    Ok(ExitCode::SUCCESS)
}

async fn about_job(api: &ApiArgs, args: &DecideArgs, job: &str) -> anyhow::Result<ExitCode> {
    let known = api.get(&["replays", job], &[]).await?;
    let unknown = count(&known, "unknown");
    agree(args, unknown)?;
    let path = ["replays", job, "resolve"];
    let body = json!({ "decision": args.decision.as_str(), "count": unknown });
    report(api, &api.post(&path, &body).await?);
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
async fn about_matching(
    api: &ApiArgs,
    args: &DecideArgs,
    filter: &str,
) -> anyhow::Result<ExitCode> {
    let query = [("filter", filter), ("limit", "1")];
    let seen = api.get(&["replays", "unknown"], &query).await?;
    agree(args, seen["count"].as_u64().unwrap_or(0))?;
    let mut body = decision(args);
    body["filter"] = json!(filter);
    body["count"] = seen["count"].clone();
    body["as_of"] = seen["as_of"].clone();
    let path = ["replays", "unknown", "resolve"];
    let decided = api.post(&path, &body).await?;
    if api.json {
        println!("{decided}");
    } else {
        println!("{} decided", decided["decided"]);
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks about all that are unknown.
fn agree(args: &DecideArgs, unknown: u64) -> anyhow::Result<()> {
    if unknown == 0 {
        bail!("none of them is unknown");
    }
    let what = counted(unknown, "unknown replay", "unknown replays");
    if !args.yes && !confirmed_count(&args.decision.question(&what), unknown)? {
        bail!("nothing was decided");
    }
    Ok(())
}

fn decision(args: &DecideArgs) -> Value {
    json!({ "decision": args.decision.as_str() })
}
