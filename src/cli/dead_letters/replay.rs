use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::{Value, json};

use super::preflight;
use super::replay_options::{BrakeArgs, DestinationArgs, RabbitMqArgs};
use super::selection::Selection;
use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::{confirmed_count, visible};
use crate::web::markup::counted;

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
const BAD: [&str; 4] = ["died_again", "failed", "unknown", "cancelled"];

/// The exit code where nothing went wrong, but an event was not seen again: no proof that it was consumed.
const NOT_SEEN_AGAIN: u8 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    selection: Selection,
    /// Send this revision instead of the latest; 0 is the original.
    #[arg(long)]
    revision: Option<u32>,
    #[command(flatten)]
    destination: DestinationArgs,
    #[command(flatten)]
    rabbitmq: RabbitMqArgs,
    #[command(flatten)]
    brake: BrakeArgs,
    /// Say what would be sent, to whom, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not show the pre-flight and do not ask.
    #[arg(long)]
    yes: bool,
    /// Wait until every event has come to an end. The exit code is 0 if all were consumed; 1 if one died again, failed,
    /// is unknown or was cancelled; 3 if one was sent and not seen again, which is all that RabbitMQ can tell and no
    /// proof that it was consumed.
    #[arg(long)]
    wait: bool,
    /// With --wait: give up after so many seconds, with exit code 1.
    #[arg(long, default_value_t = 900, requires = "wait")]
    timeout: u64,
}

impl ReplayArgs {
    /// As the API takes it.
    fn body(&self) -> Value {
        let mut body = self.selection.body();
        body["revision"] = json!(self.revision);
        body["destination"] = self.destination.body();
        body["options"] = self.rabbitmq.body();
        body["brake"] = self.brake.body();
        body
    }
}

pub(super) async fn run(api: &ApiArgs, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let mut body = args.body();
    if args.dry_run {
        print_preflight(api, &api.post(&["replays", "preflight"], &body).await?);
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes {
        body["eligible"] = json!(ask(api, &body).await?);
    }
    let created = api.post(&["replays"], &body).await?;
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
    Ok(if args.wait {
        ExitCode::from(exit_code(&job))
    } else {
        ExitCode::SUCCESS
    })
}

/// What a job has come to when the wait for it is over.
fn exit_code(job: &Value) -> u8 {
    if !has_ended(job) || BAD.iter().any(|state| count(job, state) > 0) {
        1
    } else if count(job, "not_seen_again") > 0 {
        NOT_SEEN_AGAIN
    } else {
        0
    }
}

#[expect(clippy::print_stdout, reason = "the pre-flight is what was asked for")]
fn print_preflight(api: &ApiArgs, judged: &Value) {
    if api.json {
        println!("{judged}");
    } else {
        print!("{}", preflight::for_people(judged));
    }
}

/// Shows what would happen and asks; answers how many events the person agreed to.
#[expect(clippy::print_stderr, reason = "the question is no part of the result")]
async fn ask(api: &ApiArgs, body: &Value) -> anyhow::Result<u64> {
    let judged = api.post(&["replays", "preflight"], body).await?;
    eprint!("{}", preflight::for_people(&judged));
    let eligible = judged["eligible"].as_u64().unwrap_or(0);
    if eligible == 0 {
        bail!("nothing of the selection can be replayed");
    }
    let question = format!("Replay {}?", counted(eligible, "event", "events"));
    if !confirmed_count(&question, eligible)? {
        bail!("nothing was replayed");
    }
    Ok(eligible)
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
    let id = visible(job["id"].as_str().unwrap_or(""));
    println!("job {id}: {}", outcomes(job));
    for refusal in refused.as_array().into_iter().flatten() {
        let reason = visible(refusal["reason"].as_str().unwrap_or(""));
        println!("  {} refused: {reason}", refusal["dead_letter_id"]);
    }
}

/// `2 consumed, 1 died again`, or that a large job is not whole yet.
pub(super) fn outcomes(job: &Value) -> String {
    if job["state"] == "freezing" {
        return format!("being written down, {} so far", job["total"]);
    }
    let counts: BTreeMap<_, _> = job["counts"].as_object().into_iter().flatten().collect();
    let counts: Vec<_> = counts
        .iter()
        .map(|(state, count)| format!("{count} {}", state.replace('_', " ")))
        .collect();
    counts.join(", ")
}

pub(super) fn count(job: &Value, state: &str) -> u64 {
    job["counts"][state].as_u64().unwrap_or(0)
}

fn has_ended(job: &Value) -> bool {
    if job["state"] == "freezing" {
        return false;
    }
    let ended: u64 = ENDED.iter().map(|state| count(job, state)).sum();
    job["total"].as_u64() == Some(ended)
}

#[cfg(test)]
mod tests {
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
        // A large job has no events until it is written down.
        let freezing = json!({ "state": "freezing", "total": 0, "counts": {} });
        assert!(!has_ended(&freezing));
        assert_eq!(outcomes(&freezing), "being written down, 0 so far");
    }

    #[test]
    fn only_what_was_consumed_is_a_success() {
        let check = |counts: Value, expected: u8| {
            let job = json!({ "total": 2, "counts": counts });
            assert_eq!(exit_code(&job), expected, "{job}");
        };
        check(json!({ "consumed": 2 }), 0);
        check(json!({ "consumed": 1, "not_seen_again": 1 }), 3);
        check(json!({ "consumed": 1, "sent": 1 }), 1);
        for bad in ["died_again", "failed", "unknown", "cancelled"] {
            check(json!({ "consumed": 1, bad: 1 }), 1);
            check(json!({ "not_seen_again": 1, bad: 1 }), 1);
        }
    }
}
