//! `redrive dead-letters replays …`: what became of replays, and what people do with their jobs.

mod decide;
mod jobs;
mod open;

use std::process::ExitCode;

use crate::cli::api_client::ApiArgs;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ReplaysArgs {
    #[command(flatten)]
    list: PageArgs,
    #[command(subcommand)]
    command: Option<ReplaysCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum ReplaysCommand {
    /// List the jobs, the newest first; so does `replays` alone.
    List(PageArgs),
    /// Show a job with the outcome of each event and the evidence for it.
    Show(jobs::ShowArgs),
    /// Send nothing more of a job until it is resumed.
    Pause(jobs::JobArgs),
    /// Let a paused job go on; what died again or failed so far does not stop it any more.
    Resume(jobs::JobArgs),
    /// Cancel what a job has not sent yet.
    Cancel(jobs::CancelArgs),
    /// Replace the brake of a job by these options; without any, nothing holds it back.
    Brake(jobs::BrakeJobArgs),
    /// List what is unknown in all jobs: it was being sent when something broke off.
    Unknown(open::OpenArgs),
    /// List what was sent in all jobs and has no outcome yet.
    Awaiting(open::OpenArgs),
    /// Decide about one unknown replay, all of a job, or all that match a filter.
    Decide(decide::DecideArgs),
}

/// A part of a list.
#[derive(Debug, clap::Args)]
struct PageArgs {
    /// At most so many, from 1 to 1000.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// `next_cursor` of the list before.
    #[arg(long)]
    cursor: Option<String>,
}

impl PageArgs {
    /// As the API takes it.
    fn query(&self) -> Vec<(&'static str, String)> {
        let cursor = self.cursor.clone().map(|cursor| ("cursor", cursor));
        let limit = ("limit", self.limit.to_string());
        cursor.into_iter().chain([limit]).collect()
    }
}

pub(super) async fn run(api: &ApiArgs, args: &ReplaysArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => jobs::list(api, &args.list).await,
        Some(ReplaysCommand::List(page)) => jobs::list(api, page).await,
        Some(ReplaysCommand::Show(show)) => jobs::show(api, show).await,
        Some(ReplaysCommand::Pause(job)) => jobs::change(api, job, "pause").await,
        Some(ReplaysCommand::Resume(job)) => jobs::change(api, job, "resume").await,
        Some(ReplaysCommand::Cancel(cancel)) => jobs::cancel(api, cancel).await,
        Some(ReplaysCommand::Brake(brake)) => jobs::brake(api, brake).await,
        Some(ReplaysCommand::Unknown(asked)) => open::list(api, asked, "unknown").await,
        Some(ReplaysCommand::Awaiting(asked)) => open::list(api, asked, "awaiting").await,
        Some(ReplaysCommand::Decide(decide)) => decide::run(api, decide).await,
    }
}
