use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::Value;

use super::selection::Selection;
use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::{confirmed, visible};

/// Between two looks at a job that runs.
const POLL: Duration = Duration::from_secs(1);

/// Nothing more will happen in these by itself.
const ENDED: [&str; 6] = [
    "consumed",
    "died_again",
    "not_seen_again",
    "failed",
    "unknown",
    "cancelled",
];

/// An end that makes the exit code 1.
const BAD: [&str; 3] = ["died_again", "failed", "unknown"];

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    selection: Selection,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Wait until every event has come to an end; exit code 1 if one died again, failed or is unknown.
    #[arg(long)]
    wait: bool,
    /// With --wait: give up after so many seconds, with exit code 1.
    #[arg(long, default_value_t = 900, requires = "wait")]
    timeout: u64,
}

pub(super) async fn run(api: &ApiArgs, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let what = args.selection.describe();
    if !args.yes && !confirmed(&format!("Replay {what} to where each came from?"))? {
        bail!("nothing was replayed");
    }
    let created = api.post(&["replays"], &args.selection.body()).await?;
    let Some(id) = created["id"].as_str() else {
        bail!("Redrive's answer names no job");
    };
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let mut job = created.clone();
    while args.wait && !has_ended(&job) && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
        job = api.get(&["replays", id], &[]).await?;
    }
    report(api, &job, &created["refused"]);
    let good = !args.wait || (has_ended(&job) && BAD.iter().all(|state| count(&job, state) == 0));
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[expect(
    clippy::print_stdout,
    reason = "the outcome is what the command is for"
)]
fn report(api: &ApiArgs, job: &Value, refused: &Value) {
    if api.json {
        let mut job = job.clone();
        job["refused"] = refused.clone();
        println!("{job}");
        return;
    }
    let counts: BTreeMap<_, _> = job["counts"].as_object().into_iter().flatten().collect();
    let counts: Vec<_> = counts
        .iter()
        .map(|(state, count)| format!("{count} {}", state.replace('_', " ")))
        .collect();
    let id = visible(job["id"].as_str().unwrap_or(""));
    println!("job {id}: {}", counts.join(", "));
    for refusal in refused.as_array().into_iter().flatten() {
        let reason = visible(refusal["reason"].as_str().unwrap_or(""));
        println!("  {} refused: {reason}", refusal["dead_letter_id"]);
    }
}

fn count(job: &Value, state: &str) -> u64 {
    job["counts"][state].as_u64().unwrap_or(0)
}

fn has_ended(job: &Value) -> bool {
    let ended: u64 = ENDED.iter().map(|state| count(job, state)).sum();
    job["total"].as_u64() == Some(ended)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_has_ended_when_nothing_more_happens_by_itself() {
        let check = |counts: Value, expected: bool| {
            assert_eq!(
                has_ended(&json!({ "total": 3, "counts": counts })),
                expected
            );
        };
        check(json!({ "consumed": 2, "unknown": 1 }), true);
        check(json!({ "consumed": 2, "passed": 1 }), false);
        check(json!({}), false);
    }
}
