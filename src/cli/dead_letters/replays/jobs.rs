use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};

use super::PageArgs;
use super::open::{print_events, query_of};
use crate::cli::api_client::ApiArgs;
use crate::cli::dead_letters::replay::{count, outcomes};
use crate::cli::dead_letters::replay_options::BrakeArgs;
use crate::cli::terminal::{confirmed_count, table, visible, width};
use crate::domain::ReplayOptions;
use crate::web::markup::counted;

#[derive(Debug, clap::Args)]
pub(super) struct JobArgs {
    /// The job, as `replays` names it.
    job: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Only events in this state, for example `died_again`.
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct CancelArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct BrakeJobArgs {
    #[command(flatten)]
    job: JobArgs,
    #[command(flatten)]
    brake: BrakeArgs,
}

#[expect(clippy::print_stdout, reason = "the list is what the command is for")]
pub(super) async fn list(api: &ApiArgs, args: &PageArgs) -> anyhow::Result<ExitCode> {
    let query = args.query();
    let page = api.get(&["replays"], &query_of(&query)).await?;
    if api.json {
        println!("{page}");
        return Ok(ExitCode::SUCCESS);
    }
    let items = page["items"].as_array().into_iter().flatten();
    let rows: Vec<_> = items.map(row).collect();
    if rows.is_empty() {
        println!("nothing was replayed yet");
        return Ok(ExitCode::SUCCESS);
    }
    let header = ["JOB", "STATE", "EVENTS", "STARTED", "BY", "OF", "OUTCOMES"];
    print!("{}", table(&header, &rows, width()));
    if let Some(cursor) = page["next_cursor"].as_str() {
        println!("more follow: --cursor {}", visible(cursor));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(job: &Value) -> Vec<String> {
    let text = |field: &str| visible(job[field].as_str().unwrap_or("-"));
    vec![
        text("id"),
        text("state"),
        job["total"].to_string(),
        text("created_at"),
        text("created_by"),
        text("selection"),
        outcomes(job),
    ]
}

#[expect(clippy::print_stdout, reason = "the job is what the command is for")]
pub(super) async fn show(api: &ApiArgs, args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let id = args.job.job.as_str();
    let mut query = args.page.query();
    query.extend(args.state.clone().map(|state| ("state", state)));
    let path = ["replays", id, "events"];
    let page = api.get(&path, &query_of(&query)).await?;
    let mut job = api.get(&["replays", id], &[]).await?;
    if api.json {
        job["events"] = page["items"].clone();
        job["next_cursor"] = page["next_cursor"].clone();
        println!("{job}");
        return Ok(ExitCode::SUCCESS);
    }
    print_job(&job);
    print_events(&page);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn change(
    api: &ApiArgs,
    args: &JobArgs,
    action: &str,
) -> anyhow::Result<ExitCode> {
    let job = api
        .post(&["replays", &args.job, action], &json!({}))
        .await?;
    report(api, &job);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn cancel(api: &ApiArgs, args: &CancelArgs) -> anyhow::Result<ExitCode> {
    let job = api.get(&["replays", &args.job.job], &[]).await?;
    let planned = count(&job, "planned");
    if planned == 0 && job["state"] != "freezing" {
        bail!("nothing of the job is left to cancel: {}", outcomes(&job));
    }
    let what = counted(planned, "event", "events");
    let question = format!("Cancel {what} that the job has not sent yet?");
    if !args.yes && !confirmed_count(&question, planned)? {
        bail!("nothing was cancelled");
    }
    change(api, &args.job, "cancel").await
}

pub(super) async fn brake(api: &ApiArgs, args: &BrakeJobArgs) -> anyhow::Result<ExitCode> {
    let path = ["replays", &args.job.job, "brake"];
    let job = api.post(&path, &args.brake.body()).await?;
    report(api, &job);
    Ok(ExitCode::SUCCESS)
}

/// The job as a change left it.
#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
pub(super) fn report(api: &ApiArgs, job: &Value) {
    if api.json {
        println!("{job}");
    } else {
        print_job(job);
    }
}

#[expect(clippy::print_stdout, reason = "the job is what the command is for")]
fn print_job(job: &Value) {
    let text = |field: &str| visible(job[field].as_str().unwrap_or("-"));
    println!("job {}: {}", text("id"), outcomes(job));
    let (started, by) = (text("created_at"), text("created_by"));
    println!("{} events of {}", job["total"], text("selection"));
    println!("{}, started {started} by {by}", text("state"));
    if job["reason"].is_string() {
        println!("why: {}", text("reason"));
    }
    let options = serde_json::from_value::<ReplayOptions>(job["options"].clone());
    for words in options.unwrap_or_default().words() {
        println!("on RabbitMQ it {words}");
    }
    for line in brake_words(&job["brake"]) {
        println!("{line}");
    }
    for obstacle in job["obstacles"].as_array().into_iter().flatten() {
        let text = |field: &str| visible(obstacle[field].as_str().unwrap_or("-"));
        println!(
            "could not be sent on {} at {}, and is tried again by itself: {}",
            text("cluster"),
            text("at"),
            text("reason")
        );
    }
}

/// What holds the job back, a line each.
fn brake_words(brake: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(
        brake["not_before"]
            .as_str()
            .map(|at| format!("not before {}", visible(at))),
    );
    let rate = brake["events_per_second"].as_u64();
    lines.extend(rate.map(|rate| format!("at most {rate} events per second")));
    if brake["ramp"] == true {
        lines.push("canary ramp: 1, 10, 100, then the rest".to_owned());
    }
    let percent = brake["stop_percent"].as_u64();
    lines.extend(
        percent.map(|percent| format!("pauses when more than {percent} % die again or fail")),
    );
    let events = brake["stop_count"].as_u64();
    lines.extend(events.map(|events| format!("pauses when more than {events} die again or fail")));
    lines
}
